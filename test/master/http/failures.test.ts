import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { reasonOf, transportError } from "../../../src/master/http/failures.ts"
import type { MasterErrorReason } from "../../../src/master/MasterError.ts"

const place = { method: "useComputer", master: new URL("https://slap.example:8443/") }
const thrown = (code: string, message = "words", cause?: unknown) =>
  Object.assign(new Error(message, { cause }), code === "" ? {} : { code })

describe("transportError", () => {
  const cases: ReadonlyArray<readonly [code: string, reason: MasterErrorReason, message: string]> = [
    ["ECONNREFUSED", "Unreachable", "no answer: words (ECONNREFUSED); ask again later"],
    ["ENOTFOUND", "Unreachable", "no answer: words (ENOTFOUND)"],
    ["ECONNRESET", "Unreachable", "a master also does that when it refuses or misses this computer's certificate"],
    ["UND_ERR_CONNECT_TIMEOUT", "Unreachable", "no answer: words (UND_ERR_CONNECT_TIMEOUT)"],
    ["", "Unreachable", "no answer: words; ask again later"],
    ["SELF_SIGNED_CERT_IN_CHAIN", "Unreachable", "name its CA in master_ca_file"],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "Unreachable", "is self-signed and not trusted here"],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "Unreachable", "name its CA in master_ca_file"],
    ["CERT_HAS_EXPIRED", "Unreachable", "has expired (CERT_HAS_EXPIRED)"],
    ["CERT_NOT_YET_VALID", "Unreachable", "is not valid yet (CERT_NOT_YET_VALID)"],
    ["CERT_REVOKED", "Unreachable", "is not accepted (CERT_REVOKED: words)"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "Unreachable", "is for another name (words)"],
    ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", "Unreachable", "refuses or misses this computer's certificate"],
    ["ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED", "Unreachable", "refuses or misses this computer's certificate"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "Unreachable", "what answers there does not speak TLS"],
    ["ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", "Unreachable", "speaks no version of TLS that is safe"],
    ["ERR_SSL_UNSUPPORTED_PROTOCOL", "Unreachable", "speaks no version of TLS that is safe"],
    ["ERR_SSL_DH_KEY_TOO_SMALL", "Unreachable", "no safe way of encryption in common"],
    ["ERR_SSL_BAD_RECORD_TYPE", "Unreachable", "no answer: words (ERR_SSL_BAD_RECORD_TYPE)"],
    ["ERR_OSSL_PEM_NO_START_LINE", "Unauthorised", "the certificate files cannot be used: words"],
    ["UND_ERR_RES_EXCEEDED_MAX_SIZE", "InvalidAnswer", "the answer is larger than 64 MB"],
  ]

  it.each(cases)("%s", (code, reason, message) => {
    const error = transportError(place, thrown(code))
    expect(error).toMatchObject({ method: "useComputer", reason, status: undefined })
    expect(error.message).toContain("useComputer at slap.example:8443: ")
    expect(error.message).toContain(message)
  })

  it.each(["ECONNRESET", "ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED"])(
    "%s with a certificate that is not valid",
    (code) => {
      const { message } = transportError(place, thrown(code), "/ssl/computer.crt")
      expect(message).toContain("the certificate in /ssl/computer.crt is not valid today; renew it")
    },
  )

  it("the innermost error tells", () => {
    const inner = thrown("ECONNREFUSED", "connect ECONNREFUSED ::1:80")
    for (const outer of [new AggregateError([inner], ""), thrown("UND_ERR", "outer", inner)]) {
      expect(transportError(place, outer).message).toContain("no answer: connect ECONNREFUSED ::1:80; ask again later")
    }
  })

  it("what is thrown may be anything, and is shown on one line", () => {
    expect(transportError(place, "a\n\u001B[31mb").message).toContain(String.raw`no answer: a \u{1b}[31mb;`)
  })
})

describe("reasonOf", () => {
  it("takes every status that is no success for a failure", () => {
    const known = new Set<MasterErrorReason>(["Refused", "NotFound", "NotReady", "Unauthorised", "Unavailable"])
    for (let status = 300; status < 600; status++) {
      expect(known).toContain(reasonOf(status))
    }
  })
})
