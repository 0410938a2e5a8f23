// What to do about one software release: a pure rule. node-behaviour.md (Software releases).
import type { BuildMode } from "../../build/profile.ts"
import type { DesiredSoftware, SoftwareRequestedState } from "../../domain/DesiredState.ts"

/** What an operator's pass asks for beyond the master's wish. */
export interface SoftwareOrder extends BuildMode {
  /** Grows with each order. Work that begins under it deals with it and with all older ones. */
  readonly id: number
}

export interface SoftwareWish {
  readonly software: DesiredSoftware
  /** Grows whenever somebody asks for failed work to be tried at once. */
  readonly nudge: number
  /** The newest one, carried out or not. */
  readonly order: SoftwareOrder | undefined
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
  /** Why it failed. */
  readonly error: string | undefined
  /** The newest order that was tried, and the newest one that was carried out. */
  readonly tried: number
  readonly done: number
}

export const initialMemory: SoftwareMemory = {
  settled: undefined,
  failures: 0,
  retryAt: undefined,
  nudge: 0,
  failed: undefined,
  error: undefined,
  tried: 0,
  done: 0,
}

export type SoftwareDecision =
  | { readonly _tag: "Build"; readonly mode: BuildMode }
  | { readonly _tag: "Destroy" }
  /** Nothing to do before `until`, or before another wish when that is undefined. */
  | { readonly _tag: "Wait"; readonly until: number | undefined }

/** The number of the order that a wish carries; 0 without one. */
export const orderOf = ({ order }: SoftwareWish): number => order?.id ?? 0

export const decide = (wish: SoftwareWish, memory: SoftwareMemory, now: number): SoftwareDecision => {
  const { requested } = wish.software
  // Until it has succeeded: a forced build that failed is not over with an ordinary one.
  const order = wish.order !== undefined && wish.order.id > memory.done ? wish.order : undefined
  const isForced = order?.isForced === true && requested === "available"
  if (memory.settled === requested && !isForced) return { _tag: "Wait", until: undefined }
  const isRetry = memory.failed === requested && wish.nudge === memory.nudge && orderOf(wish) <= memory.tried
  if (isRetry && memory.retryAt !== undefined && now < memory.retryAt) return { _tag: "Wait", until: memory.retryAt }
  return requested === "available"
    ? { _tag: "Build", mode: { isForced, isDebug: order?.isDebug === true } }
    : { _tag: "Destroy" }
}

/** The wish was followed. */
export const succeeded = (wish: SoftwareWish): SoftwareMemory => ({
  ...initialMemory,
  settled: wish.software.requested,
  tried: orderOf(wish),
  done: orderOf(wish),
})

/** Following the wish failed; it is tried again at `retryAt`. */
export const failed = (
  wish: SoftwareWish,
  memory: SoftwareMemory,
  failure: { readonly error: string; readonly failures: number; readonly retryAt: number },
): SoftwareMemory => ({
  ...failure,
  settled: undefined,
  nudge: wish.nudge,
  failed: wish.software.requested,
  tried: orderOf(wish),
  done: memory.done,
})

/** Another wish came while this one was followed: nothing is known but which orders are over. */
export const forgotten = ({ done, tried }: SoftwareMemory): SoftwareMemory => ({ ...initialMemory, tried, done })
