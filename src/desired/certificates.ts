// Which certificates somebody has to renew: those that are not valid now, or not for much longer. Pure.
import * as DateTime from "effect/DateTime"
import type { CertificateWarning } from "../domain/NodeStatus.ts"
import type { Validity } from "../files/certificates.ts"

const day = 86_400_000

/** Milliseconds before a certificate's end in which it is told. */
export const expiryNotice = 30 * day

/** What to tell about a file; undefined when all is well. `shown`: a chain; all of it has to be valid. */
export const warningOf = (
  path: string,
  use: "shown" | "trusted",
  validities: ReadonlyArray<Validity> | undefined,
  now: number,
): CertificateWarning | undefined => {
  if (validities === undefined) return { path, expires: undefined, problem: "holds a certificate that cannot be read" }
  if (validities.length === 0) return { path, expires: undefined, problem: "holds no certificate" }
  // Of several CAs one is enough.
  const ends = validities.map(({ until }) => until)
  const expires = use === "shown" ? Math.min(...ends) : Math.max(...ends)
  const begins = validities.map(({ from }) => from)
  const begin = use === "shown" ? Math.max(...begins) : Math.min(...begins)
  const problem = problemOf(begin, expires, now)
  return problem === undefined ? undefined : { path, expires, problem }
}

const problemOf = (begin: number, end: number, now: number): string | undefined => {
  if (now > end) return `has expired on ${dateOf(end)}`
  if (now < begin) return `is not valid before ${dateOf(begin)}`
  if (end - now > expiryNotice) return undefined
  const days = Math.floor((end - now) / day)
  return `expires ${days === 0 ? "within a day" : `in ${days} day${days === 1 ? "" : "s"}`}, on ${dateOf(end)}`
}

const dateOf = (time: number): string => `${DateTime.formatIso(DateTime.makeUnsafe(time)).slice(0, 16)}Z`

const maximumLines = 3

/** The warnings in a few lines: partitions can have the same trouble by the hundred. */
export const describeCertificates = (warnings: ReadonlyArray<CertificateWarning>): ReadonlyArray<string> => {
  const lines = warnings.slice(0, maximumLines).map(({ path, problem }) => `the certificate in ${path} ${problem}`)
  const more = warnings.length - lines.length
  return more === 0 ? lines : [...lines, `${more} more certificates expire within 30 days, or have expired`]
}
