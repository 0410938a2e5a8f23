// Facts of the machine about its network: whose certificates it trusts, and what is itself.
import { getCACertificates } from "node:tls"

/** Node trusts a list of its own; operators expect what the machine trusts, and get Node's where it has nothing. */
export const systemCertificates = (): Array<string> => {
  // A directory of CAs has each under several names.
  const system = [...new Set(getCACertificates("system"))]
  return system.length > 0 ? [...system, ...getCACertificates("extra")] : getCACertificates("default")
}

/** A proxy could not reach it. */
export const isLoopback = (hostname: string): boolean =>
  hostname === "localhost" || hostname === "[::1]" || /^127(?:\.[0-9]+){3}$/.test(hostname)

/** Whether a proxy that the environment names speaks TLS itself. */
export const hasTlsProxy = (): boolean =>
  ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"].some((name) => /^https:/i.test(process.env[name] ?? ""))
