// When a master that does not answer is left alone. Pure: what is known of the master, and what follows from the next
// call. One call is let through now and then; all others fail here, without a connection and without waiting for one.

export interface Breaker {
  /** Calls in a row that nobody answered. */
  readonly failures: number
  /** Milliseconds since 1970 before which no call is let through. */
  readonly heldUntil: number
}

export const closed: Breaker = { failures: 0, heldUntil: 0 }

/** Fewer are no outage: a master whose cache is cold, a connection that was reset. */
const threshold = 5
const shortestPause = 1000
const longestPause = 60_000
/** No master may silence a node for longer. */
export const longestRetryAfter = 3_600_000

/** Milliseconds for which calls are held back after so many failures; none below the threshold. */
const pauseAfter = (failures: number): number =>
  failures < threshold ? 0 : Math.min(longestPause, shortestPause * 2 ** Math.min(failures - threshold, 16))

export type Outcome =
  | "Answered"
  /** The master, or a gateway before it, is not there; `retryAfter` is what it asks for, in milliseconds. */
  | { readonly retryAfter: number | undefined }

/** What is known after a call. `jitter` (0.75 to 1.25) keeps nodes from coming back all at once. */
export const after = (breaker: Breaker, outcome: Outcome, now: number, jitter: number): Breaker => {
  if (outcome === "Answered") return closed
  const failures = breaker.failures + 1
  const pause = Math.max(pauseAfter(failures) * jitter, Math.min(outcome.retryAfter ?? 0, longestRetryAfter))
  return { failures, heldUntil: Math.max(breaker.heldUntil, now + pause) }
}

/** Whether a call may go now. It is the only one until it has its answer, if the master was away. */
export const admit = (breaker: Breaker, now: number): { readonly isAdmitted: boolean; readonly next: Breaker } =>
  now < breaker.heldUntil
    ? { isAdmitted: false, next: breaker }
    : { isAdmitted: true, next: { ...breaker, heldUntil: now + pauseAfter(breaker.failures) } }
