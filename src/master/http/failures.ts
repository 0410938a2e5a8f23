// Turns what went wrong with a call into a MasterError: the reason decides what the agent does, the message is what an
// operator reads. Messages never show keys, certificates or credentials.
import { MasterError, type MasterErrorReason } from "../MasterError.ts"
import { longestRetryAfter } from "./breaker.ts"
import { afterClose, explainHandshake, isRefusedMaster } from "./handshake.ts"

/** Which call failed, and where. */
export interface CallPlace {
  readonly method: string
  readonly master: URL
}

/** The status table of slap-protocol.md (Transport), for an answer that is no 2xx. */
export const reasonOf = (status: number): MasterErrorReason => {
  switch (status) {
    case 401:
    case 403:
      return "Unauthorised"
    case 404:
      return "NotFound"
    case 408:
      return "NotReady"
    case 429:
      return "Unavailable"
    default:
      return status >= 500 ? "Unavailable" : "Refused"
  }
}

const advice: Readonly<Record<MasterErrorReason, string>> = {
  Unreachable: "the master cannot be reached",
  Unavailable: "the master cannot answer now; ask again later",
  Unauthorised: "the master does not accept this certificate; check cert_file and key_file, and that it is not revoked",
  NotFound: "the master knows no such computer, partition or method; check computer_id and master_url",
  NotReady: "the master has it not ready yet; ask again later",
  Refused: "the master refuses this call; repeating it unchanged is of no use",
  InvalidAnswer: "the answer is not what a SLAP master gives; check master_url",
}

/** `retryAfter`: milliseconds for which the master wants to be left alone. */
export const statusError = (
  place: CallPlace,
  status: number,
  body: Uint8Array,
  retryAfter: number | undefined,
): MasterError => {
  const reason = reasonOf(status)
  const text = place.method === "getComputerPartitionCertificate" ? "" : excerpt(body)
  const quoted = text === "" ? "" : ` (${text})`
  return failure(place, reason, `status ${status}${quoted}: ${redirected(status) ?? advice[reason]}`, {
    status,
    retryAfter,
  })
}

/** For a call that is not made, because calls before it had no answer. */
export const heldBack = (place: CallPlace, failures: number, milliseconds: number): MasterError => {
  const seconds = Math.ceil(milliseconds / 1000)
  const text = `not called, because the master was not there ${failures} times in a row; it is called again in ${seconds} s`
  return failure(place, "Unavailable", text, { isUnsent: true, retryAfter: milliseconds })
}

/** Milliseconds of a header `Retry-After`: seconds, or a date. */
export const retryAfterOf = (header: string | undefined, now: number): number | undefined => {
  if (header === undefined) {
    return undefined
  }
  const date = header.endsWith("GMT") ? Date.parse(header) : Number.NaN
  const milliseconds = /^\d{1,9}$/.test(header) ? Number(header) * 1000 : date - now
  return Number.isNaN(milliseconds) ? undefined : Math.min(Math.max(milliseconds, 0), longestRetryAfter)
}

const redirected = (status: number): string | undefined =>
  status >= 300 && status < 400 && status !== 304
    ? "the master sends this call elsewhere, which is not followed; put the final address into master_url"
    : undefined

export const invalidAnswer = (place: CallPlace, status: number, problem: string): MasterError =>
  failure(place, "InvalidAnswer", `${problem}: ${advice.InvalidAnswer}`, { status })

export const timedOut = (place: CallPlace, seconds: number): MasterError =>
  failure(place, "Unreachable", `no complete answer within ${seconds} s; ask again later`)

/**
 * For a call that got no answer: what the socket, TLS or the reading of a certificate file threw. `invalid` is the file
 * of the certificate that was shown, if it is not valid now.
 */
export const transportError = (place: CallPlace, thrown: unknown, invalid?: string): MasterError => {
  const root = rootOf(thrown)
  const [reason, explanation] = explain(root, place.master.protocol === "https:", invalid)
  return failure(place, reason, explanation, { isUnsent: isUnsent(root) })
}

interface Facts {
  readonly status?: number
  readonly isUnsent?: boolean
  readonly retryAfter?: number | undefined
}

const failure = (
  { master, method }: CallPlace,
  reason: MasterErrorReason,
  text: string,
  { isUnsent, retryAfter, status }: Facts = {},
): MasterError => {
  const message = `${method} at ${master.host}: ${text}`
  return new MasterError({
    method,
    reason,
    status,
    message,
    ...(isUnsent === true ? { isUnsent } : {}),
    ...(retryAfter === undefined ? {} : { retryAfter }),
  })
}

/** An answer that is compressed in a way that nobody asked for. */
export class EncodingError extends Error {
  readonly code = "SLAPGRID_ENCODING"
}

/** A certificate, key or CA file that cannot be read. */
export class CredentialsError extends Error {
  readonly code = "SLAPGRID_CREDENTIALS"
}

interface Thrown {
  readonly code: string
  readonly message: string
  /** The call of the system that failed. */
  readonly syscall?: string
}

/** Errors come wrapped (a refused connection to several addresses, a client that gave up): the innermost code tells. */
const rootOf = (thrown: unknown, depth = 0): Thrown => {
  if (!(thrown instanceof Error)) {
    return { code: "", message: String(thrown) }
  }
  const inner: unknown = thrown instanceof AggregateError ? thrown.errors[0] : thrown.cause
  if (inner instanceof Error && !(thrown instanceof CredentialsError) && depth < 5) {
    return rootOf(inner, depth + 1)
  }
  const { code, syscall } = thrown as NodeJS.ErrnoException
  return {
    code: typeof code === "string" ? code : "",
    message: thrown.message,
    ...(typeof syscall === "string" ? { syscall } : {}),
  }
}

/** Whether it failed before there was a connection that the master's certificate was good for. */
const isUnsent = ({ code, syscall }: Thrown): boolean =>
  syscall === "connect" ||
  syscall === "getaddrinfo" ||
  code === "UND_ERR_CONNECT_TIMEOUT" ||
  code === "SLAPGRID_CREDENTIALS" ||
  isRefusedMaster(code)

const explain = (
  { code, message }: Thrown,
  secure: boolean,
  invalid: string | undefined,
): readonly [MasterErrorReason, string] => {
  if (code === "SLAPGRID_CREDENTIALS" || code.startsWith("ERR_OSSL_")) {
    return [
      "Unauthorised",
      `the certificate files cannot be used: ${printable(message)}; check cert_file, key_file and master_ca_file`,
    ]
  }
  if (code === "SLAPGRID_ENCODING" || code === "Z_DATA_ERROR" || code === "Z_BUF_ERROR") {
    return ["InvalidAnswer", `the answer cannot be decompressed (${printable(message)}): ${advice.InvalidAnswer}`]
  }
  if (code === "UND_ERR_RES_EXCEEDED_MAX_SIZE" || code === "ERR_BUFFER_TOO_LARGE") {
    return ["InvalidAnswer", `the answer is larger than ${maximumAnswer / 1024 / 1024} MB: ${advice.InvalidAnswer}`]
  }
  const handshake = explainHandshake(code, printable(message), invalid)
  if (handshake !== undefined) {
    return ["Unreachable", handshake]
  }
  const detail = code === "" || message.includes(code) ? "" : ` (${code})`
  const hint = secure && closed.has(code) ? `; ${afterClose(invalid)}` : ""
  return ["Unreachable", `no answer: ${printable(message)}${detail}${hint}; ask again later`]
}

const closed = new Set(["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"])

/** Largest body that is read of any answer, in bytes. */
export const maximumAnswer = 64 * 1024 * 1024

const maximumExcerpt = 200

/** The beginning of a body for people: without tags, on one line. */
const excerpt = (body: Uint8Array): string => {
  const text = new TextDecoder().decode(body.subarray(0, 2000))
  if (text.includes("PRIVATE KEY") || text.includes("BEGIN CERTIFICATE")) {
    return ""
  }
  const plain = text
    .replaceAll(/<[^<>]*>/g, " ")
    .replaceAll(/\s+/g, " ")
    .trim()
  return printable(plain)
}

/** One line without anything that a terminal would obey. */
const printable = (text: string): string => {
  const short = text.length > maximumExcerpt ? `${text.slice(0, maximumExcerpt)}…` : text
  return short
    .replaceAll(/\s+/g, " ")
    .replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => String.raw`\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)
}
