// Which check of a TLS handshake failed, in words: OpenSSL's and Node's codes mean nothing to most operators, and a
// master that minds this computer's certificate often just hangs up.

/** Signed by nobody who is trusted. */
const untrusted = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "CERT_UNTRUSTED",
  "INVALID_CA",
  "INVALID_PURPOSE",
])

/** What is wrong with the master's own certificate; `words` is what was thrown, fit to be shown. */
const masterProblem = (code: string, words: string): string | undefined => {
  if (untrusted.has(code)) {
    return `the master's certificate is signed by no CA that is trusted here (${code}); name its CA in master_ca_file`
  }
  switch (code) {
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
      return `the master's certificate is self-signed and not trusted here (${code}); if it is the right one, name it in master_ca_file`
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return `the master's certificate is for another name (${words}); check master_url`
    case "CERT_HAS_EXPIRED":
      return `the master's certificate has expired (${code}); it has to be renewed there, unless this computer's clock is wrong`
    case "CERT_NOT_YET_VALID":
      return `the master's certificate is not valid yet (${code}); check this computer's clock`
    default:
      return code.startsWith("CERT_") ? `the master's certificate is not accepted (${code}: ${words})` : undefined
  }
}

/** Whether this end refused the master, so that nothing was sent. */
export const isRefusedMaster = (code: string): boolean =>
  masterProblem(code, "") !== undefined || code.startsWith("ERR_OSSL_")

const versions = /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|NO_PROTOCOLS_AVAILABLE/
const ciphers = /NO_SHARED_CIPHER|NO_CIPHERS_AVAILABLE|INSUFFICIENT_SECURITY|DH_KEY_TOO_SMALL|EE_KEY_TOO_SMALL/

const refusal = (invalid: string | undefined): string =>
  invalid === undefined
    ? "it refuses or misses this computer's certificate; check cert_file and key_file"
    : `the certificate in ${invalid} is not valid today; renew it, or set this computer's clock`

/** Why there is no TLS connection; undefined when the code tells of something else. `invalid`: see transportError. */
export const explainHandshake = (code: string, words: string, invalid: string | undefined): string | undefined => {
  const problem = masterProblem(code, words)
  if (problem !== undefined || !code.startsWith("ERR_SSL_")) {
    return problem
  }
  if (versions.test(code)) {
    return `the master speaks no version of TLS that is safe (${code}); it needs TLS 1.2 or newer`
  }
  if (ciphers.test(code)) {
    return `the master and this computer have no safe way of encryption in common (${code}); the master's TLS is too old`
  }
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG") {
    return `what answers there does not speak TLS (${code}); check the port in master_url, or whether it is http:// there`
  }
  return code.includes("ALERT") ? `the master ended the TLS handshake (${code}): ${refusal(invalid)}` : undefined
}

/** What a connection that was closed without a word can mean. */
export const afterClose = (invalid: string | undefined): string =>
  invalid === undefined
    ? "a master also does that when it refuses or misses this computer's certificate: check cert_file and key_file"
    : `a master does that when ${refusal(invalid)}`
