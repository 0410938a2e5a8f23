// What to do about one software release: a pure rule. node-behaviour.md (Software releases).
import type { DesiredSoftware, SoftwareRequestedState } from "../../domain/DesiredState.ts"

export interface SoftwareWish {
  readonly software: DesiredSoftware
  /** Grows whenever somebody asks for failed work to be tried at once. */
  readonly nudge: number
}

/** What the actor remembers of its own doing. */
export interface SoftwareMemory {
  /** The wish that was last worked on with success. */
  readonly settled: SoftwareRequestedState | undefined
  readonly failures: number
  /** When failed work is due again, in milliseconds since 1970. */
  readonly retryAt: number | undefined
  /** The nudge that the failed try had seen. */
  readonly nudge: number
  /** The wish that failed. */
  readonly failed: SoftwareRequestedState | undefined
}

export const initialMemory: SoftwareMemory = {
  settled: undefined,
  failures: 0,
  retryAt: undefined,
  nudge: 0,
  failed: undefined,
}

export type SoftwareDecision =
  | { readonly _tag: "Build" }
  | { readonly _tag: "Destroy" }
  /** Nothing to do before `until`, or before another wish when that is undefined. */
  | { readonly _tag: "Wait"; readonly until: number | undefined }

export const decide = (wish: SoftwareWish, memory: SoftwareMemory, now: number): SoftwareDecision => {
  const { requested } = wish.software
  if (memory.settled === requested) return { _tag: "Wait", until: undefined }
  const isRetry = memory.failed === requested && wish.nudge === memory.nudge
  if (isRetry && memory.retryAt !== undefined && now < memory.retryAt) return { _tag: "Wait", until: memory.retryAt }
  return requested === "available" ? { _tag: "Build" } : { _tag: "Destroy" }
}
