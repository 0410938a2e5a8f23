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
