// Why a call to the master failed. The reason decides what a caller may do; slap-protocol.md (Transport) maps
// statuses to reasons.
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

export const MasterErrorReason = Schema.Literals([
  /** No answer: connection refused, reset, timed out, or TLS failed before a reply. */
  "Unreachable",
  /** 5xx and 429: the master cannot answer now. */
  "Unavailable",
  /** 401, 403: certificate wrong or revoked. */
  "Unauthorised",
  /** 404: unknown computer, partition or method. */
  "NotFound",
  /** 408: not ready yet, ask again later. */
  "NotReady",
  /** 409 and other 4xx: do not repeat unchanged. */
  "Refused",
  /** An answer that is no valid document of the expected kind. */
  "InvalidAnswer",
])
export type MasterErrorReason = typeof MasterErrorReason.Type

export class MasterError extends Schema.TaggedError<MasterError>()("MasterError", {
  /** SLAP method, such as `getFullComputerInformation`. */
  method: Schema.String,
  reason: MasterErrorReason,
  /** HTTP status, when there was an answer. */
  status: Schema.UndefinedOr(Schema.Int),
  message: Schema.String,
  /** The call never left this machine, or nobody was there to get it. */
  isUnsent: Schema.optionalKey(Schema.Boolean),
  /** Milliseconds in which there is no use in another call. */
  retryAfter: Schema.optionalKey(Schema.Finite),
}) {
  /** Whether the master may have done what was asked although it did not say so. */
  get mayHaveArrived(): boolean {
    // A gateway answers these when it lost the master after it had passed the call on.
    return this.status === undefined ? this.isUnsent !== true : this.status === 502 || this.status === 504
  }

  /**
   * Whether the same call can succeed later without a change. Who is not authorised is refused, not what they say:
   * nothing is lost for a certificate that has expired.
   */
  get isRetryable(): boolean {
    return this.reason !== "NotFound" && this.reason !== "Refused"
  }
}

/** What a defect of a MasterClient is taken for: it says nothing about what the master has, and ends nobody's work. */
export const fromDefect =
  (method: string) =>
  (defect: unknown): Effect.Effect<never, MasterError> =>
    new MasterError({
      method,
      reason: "InvalidAnswer",
      status: undefined,
      message: `the master's client failed: ${defect instanceof Error ? defect.message : String(defect)}`,
    })
