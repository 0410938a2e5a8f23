// How long to wait before a program that ended is started again: at once the first time, then doubling up to a cap,
// and as if nothing had happened once it ran stably. Milliseconds.
export interface RestartPolicy {
  readonly base: number
  readonly cap: number
  /** A run at least this long makes earlier failures forgotten. */
  readonly stableAfter: number
}

export const restartPolicy: RestartPolicy = { base: 100, cap: 30_000, stableAfter: 10_000 }

/** Failures in a row, this one included, after a run of `ranFor`. */
export const countFailure = (policy: RestartPolicy, failuresBefore: number, ranFor: number): number =>
  ranFor >= policy.stableAfter ? 1 : failuresBefore + 1

/** The delay before the next start after `failures` in a row; jitter is the caller's. */
export const backoff = (policy: RestartPolicy, failures: number): number =>
  failures <= 1 ? 0 : Math.min(policy.cap, policy.base * 2 ** Math.min(failures - 2, 40))
