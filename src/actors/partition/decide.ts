// What to do about one partition: a pure rule with a reason in words. node-behaviour.md (Computer partitions).
import { samePartition } from "../../desired/diff.ts"
import { type DesiredPartition, isFree, type PartitionRequestedState } from "../../domain/DesiredState.ts"
import type { MasterStanding } from "../../domain/NodeStatus.ts"
import type { Rank } from "./Turnstile.ts"

/** What an operator's pass asks for beyond the master's wish. */
export interface PartitionOrder {
  /** Grows with each order. Work that begins under it deals with it and with all older ones. */
  readonly id: number
  /** It is processed although nothing changed. */
  readonly isForced: boolean
  /** One that should be started is processed and then stopped, until its next processing. */
  readonly stops: boolean
  /** buildout stops to be looked at where it fails (`-D`). */
  readonly isDebug: boolean
}

export interface PartitionWish {
  readonly partition: DesiredPartition
  /** Whether the release that the partition needs can be used; true when the master does not name it at all. */
  readonly isSoftwareReady: boolean
  /** Unless the master answers, what is installed is started and stopped, and nothing else is done. */
  readonly standing: MasterStanding
  /** Grows whenever somebody asks for failed work to be tried at once. */
  readonly nudge: number
  /** The newest one, carried out or not. */
  readonly order: PartitionOrder | undefined
}

/** The last processing that succeeded, in this life of the agent or (from `.timestamp`) an earlier one. */
export interface Processed {
  readonly timestamp: string | undefined
  /** Milliseconds since 1970. */
  readonly at: number
  /** Undefined when only `.timestamp` tells of it. */
  readonly wish: string | undefined
}

export interface PartitionMemory {
  readonly processed: Processed | undefined
  /** The state that the services follow; undefined right after the agent's start. */
  readonly enforced: PartitionRequestedState | "free" | undefined
  readonly hold: Hold | undefined
  /** Prepared: stopped and told so, it waits for what keeps it from going. Begun: there is no way back. */
  readonly removal: "Prepared" | "Begun" | undefined
  /** The newest order that was tried, and the newest one that was carried out. */
  readonly tried: number
  readonly done: number
}

/** Why the same work is not tried again before a time: it failed, or the SLA retains the partition. */
export interface Hold {
  readonly wish: string
  /** What is not tried again: a failed installation keeps nobody from starting what an earlier one left. */
  readonly during: Exclude<PartitionDecision["_tag"], "Wait">
  /** The nudge that was there when the hold began: a newer one ends it. */
  readonly nudge: number
  readonly failures: number
  /** Milliseconds since 1970. */
  readonly until: number
  readonly reason: string
  /** All was done, and promises failed: it is over when they are kept. */
  readonly isByPromises?: boolean
}

export interface Periods {
  /** Age after which an unchanged partition is processed again: 0 always, negative never. */
  readonly maximum: number
  /** How often 'always' is. */
  readonly sync: number
}

export type PartitionDecision =
  /** Nothing to do before `until`, or before another wish when that is undefined. */
  | { readonly _tag: "Wait"; readonly until: number | undefined; readonly reason: string | undefined }
  /** Start or stop what an earlier installation left, without installing. */
  | { readonly _tag: "Enforce"; readonly reason: string }
  | { readonly _tag: "Process"; readonly reason: string; readonly rank: Rank }
  | { readonly _tag: "Destroy"; readonly reason: string }
  /** Tell the master once more that it is destroyed: some free a root only when its children are gone. */
  | { readonly _tag: "Tell"; readonly reason: string }
  | { readonly _tag: "Free"; readonly reason: string }

/** What makes two wishes the same work. */
export const wishKey = ({ partition }: PartitionWish): string =>
  JSON.stringify([partition.requested, partition.software ?? null, partition.timestamp ?? null])

const wait = (until: number | undefined, reason?: string): PartitionDecision => ({ _tag: "Wait", until, reason })

/** Whether a newer wish can end a wait. That failed work is to be tried at once is no news where none has failed. */
export const isNews = (wish: PartitionWish, newer: PartitionWish, { hold }: Pick<PartitionMemory, "hold">): boolean =>
  hold !== undefined ||
  newer.standing !== wish.standing ||
  newer.isSoftwareReady !== wish.isSoftwareReady ||
  orderOf(newer) !== orderOf(wish) ||
  !samePartition(newer.partition, wish.partition)

/** When an unchanged partition is due by age; undefined: never. */
const dueAt = (wish: PartitionWish, processed: Processed, periods: Periods): number | undefined =>
  wish.partition.timestamp === undefined || periods.maximum === 0
    ? processed.at + periods.sync
    : periods.maximum < 0
      ? undefined
      : processed.at + periods.maximum

/** The number of the order that a wish carries; 0 without one. */
export const orderOf = ({ order }: PartitionWish): number => order?.id ?? 0

/** Whether a pass wants the partition processed and then stopped. Only what should run can be stopped beside that. */
export const isStopOrdered = (wish: PartitionWish, { done }: Pick<PartitionMemory, "done">): boolean =>
  wish.order?.stops === true && wish.order.id > done && wish.partition.requested === "started"

/** Why a pass wants it processed, until it has been: a failed try is not made good by doing nothing. */
const orderedReason = (wish: PartitionWish, memory: PartitionMemory): string | undefined =>
  isStopOrdered(wish, memory)
    ? "it is to be stopped by an operator"
    : wish.order?.isForced === true && wish.order.id > memory.done
      ? "it is forced by an operator"
      : undefined

const ageReason = ({ partition }: PartitionWish, { maximum }: Periods): string =>
  partition.timestamp === undefined
    ? "the master gives it no timestamp, so it is processed with every sync"
    : maximum === 0
      ? "its periodicity is 0, so it is processed with every sync"
      : `its last processing is older than ${maximum / 1000} s`

/** Why the master's wish asks for a processing, whatever the time. */
const changeReason = (wish: PartitionWish, processed: Processed | undefined): string | undefined => {
  if (processed === undefined) return "it has not been processed yet"
  const { timestamp } = processed
  const wanted = wish.partition.timestamp
  if (timestamp === undefined && processed.wish === undefined) return "its last processing did not come to its end"
  if (timestamp !== wanted) return `its timestamp is ${wanted ?? "absent"}, last processed was ${timestamp ?? "none"}`
  return processed.wish !== undefined && processed.wish !== wishKey(wish)
    ? "its requested state or release changed"
    : undefined
}

/** Why the partition has to be processed now, and how urgent that is; undefined: it has not. */
export const processingCause = (
  wish: PartitionWish,
  memory: PartitionMemory,
  periods: Periods,
  now: number,
): { readonly reason: string; readonly rank: Rank } | undefined => {
  const ordered = orderedReason(wish, memory)
  if (ordered !== undefined) return { reason: ordered, rank: "Changed" }
  const { hold, processed } = memory
  const changed = changeReason(wish, processed)
  const failures = hold?.during === "Process" && hold.wish === wishKey(wish) ? hold.failures : 0
  const due = processed === undefined ? undefined : dueAt(wish, processed, periods)
  const reason = changed ?? (due !== undefined && now >= due ? ageReason(wish, periods) : undefined)
  if (reason === undefined) return undefined
  if (failures > 0) return { reason: `${reason}; it failed ${failures} times`, rank: "Retried" }
  return { reason, rank: changed === undefined ? "Aged" : "Changed" }
}

/** The hold that is in force for this wish now. */
export const holdOf = (wish: PartitionWish, memory: PartitionMemory, now: number): Hold | undefined => {
  const { hold } = memory
  const isNew = hold?.wish !== wishKey(wish) || hold.nudge !== wish.nudge || orderOf(wish) > memory.tried
  return hold !== undefined && !isNew && now < hold.until ? hold : undefined
}

const masterReasons: Readonly<Record<Exclude<MasterStanding, "Answers">, string>> = {
  NotAsked: "waits until the master is asked",
  Away: "waits for the master, which does not answer",
  Refuses: "waits for the master, which refuses this computer",
}

const enforce = ({ partition }: PartitionWish): PartitionDecision => ({
  _tag: "Enforce",
  reason: `what is installed is to be ${partition.requested === "started" ? "started" : "stopped"}`,
})

/** What can be done without a master: what runs is made what it should be, nothing is installed or removed. */
const decideAlone = (wish: PartitionWish, memory: PartitionMemory, now: number, reason: string): PartitionDecision => {
  const { requested } = wish.partition
  if (isFree(wish.partition)) return wait(undefined, memory.enforced === "free" ? undefined : reason)
  const hold = holdOf(wish, memory, now)
  if (memory.enforced !== requested && hold?.during !== "Enforce") return enforce(wish)
  return hold?.during === "Enforce" ? wait(hold.until, hold.reason) : wait(undefined, reason)
}

const decideRemoval = (
  wish: PartitionWish,
  memory: PartitionMemory,
  now: number,
  reason: string,
): PartitionDecision => {
  const hold = holdOf(wish, memory, now)
  return hold === undefined ? { _tag: "Destroy", reason } : wait(hold.until, hold.reason)
}

export const decide = (
  wish: PartitionWish,
  memory: PartitionMemory,
  periods: Periods,
  now: number,
): PartitionDecision => {
  const { requested } = wish.partition
  if (memory.removal === "Begun") return decideRemoval(wish, memory, now, "its removal has begun")
  if (wish.standing !== "Answers") return decideAlone(wish, memory, now, masterReasons[wish.standing])
  if (isFree(wish.partition)) {
    return memory.enforced === "free" ? wait(undefined) : { _tag: "Free", reason: "it serves nobody" }
  }
  if (requested === "destroyed") {
    const isDone = memory.processed?.wish === wishKey(wish)
    if (!isDone) return decideRemoval(wish, memory, now, "the master wants it destroyed")
    const told = holdOf(wish, memory, now)
    return told === undefined
      ? { _tag: "Tell", reason: "it is destroyed, and the master still names it" }
      : wait(told.until)
  }
  const hold = holdOf(wish, memory, now)
  const cause = processingCause(wish, memory, periods, now)
  if (cause !== undefined && wish.isSoftwareReady && hold === undefined) return { _tag: "Process", ...cause }
  if (memory.enforced !== requested && hold?.during !== "Enforce") return enforce(wish)
  if (hold !== undefined) return wait(hold.until, hold.reason)
  if (cause !== undefined) return wait(undefined, `waits for its software release ${wish.partition.software ?? ""}`)
  return wait(memory.processed === undefined ? undefined : dueAt(wish, memory.processed, periods))
}

/** The partition was processed as `wish` says. */
export const remember = (wish: PartitionWish, at: number): PartitionMemory => ({
  // A free partition has nothing installed that could be started.
  processed: isFree(wish.partition) ? undefined : { timestamp: wish.partition.timestamp, at, wish: wishKey(wish) },
  enforced: isFree(wish.partition) ? "free" : wish.partition.requested,
  hold: undefined,
  removal: undefined,
  tried: orderOf(wish),
  done: orderOf(wish),
})

/** Milliseconds between two reports that a partition is destroyed, while the master still names it. */
const tellInterval = 10 * 60_000

/** The partition is destroyed, and the master was told. */
export const rememberDestroyed = (wish: PartitionWish, at: number): PartitionMemory => ({
  ...remember(wish, at),
  hold: {
    wish: wishKey(wish),
    during: "Tell",
    nudge: wish.nudge,
    failures: 0,
    until: at + tellInterval,
    reason: "it is destroyed",
  },
})

/** What is known before anything was done. */
export const initialMemory = (processed: Processed | undefined, isBeingRemoved = false): PartitionMemory => ({
  processed,
  enforced: undefined,
  hold: undefined,
  removal: isBeingRemoved ? "Begun" : undefined,
  tried: 0,
  done: 0,
})
