// A one-shot pass: what an operator asks of a node beside the master's wishes, what becomes of it, and its exit status.
// Pure. node-behaviour.md (Configuration) has the statuses.
import * as Schema from "effect/Schema"
import type { DesiredPartition, DesiredSoftware, DesiredState, SoftwareRequestedState } from "./DesiredState.ts"
import type { PartitionActualState } from "./NodeStatus.ts"

/** Software releases as the master wants them. */
const SoftwareRequest = Schema.TaggedStruct("Software", {
  /** URLs, or their MD5 as the name of their directory; empty: all. */
  only: Schema.Array(Schema.String),
  /** What is built is built again. */
  isForced: Schema.Boolean,
  /** Directories of releases that the master no longer names are removed. */
  collectsGarbage: Schema.Boolean,
  isDebug: Schema.Boolean,
})

/** Partitions as the master wants them. */
const InstanceRequest = Schema.TaggedStruct("Instance", {
  /** Partition ids; empty: all. */
  only: Schema.Array(Schema.String),
  /** What is up to date is processed again. */
  isForced: Schema.Boolean,
  /** What should be started is processed and then stopped, until its next processing. */
  stops: Schema.Boolean,
  isDebug: Schema.Boolean,
})

/** The promises of partitions that are to run, checked now. */
const PromiseRequest = Schema.TaggedStruct("Promise", {
  /** Partition ids; empty: all. */
  only: Schema.Array(Schema.String),
})

/** Usage is gathered and sent. */
const ReportRequest = Schema.TaggedStruct("Report", {})

/** Asks the master now and has what failed tried again, without waiting for what becomes of it. */
const SyncRequest = Schema.TaggedStruct("Sync", {})

export const PassRequest = Schema.Union([SoftwareRequest, InstanceRequest, PromiseRequest, ReportRequest, SyncRequest])
export type PassRequest = typeof PassRequest.Type
export type SoftwareRequest = typeof SoftwareRequest.Type
export type InstanceRequest = typeof InstanceRequest.Type
/** Those that the supervisor carries out. */
export type WorkRequest = SoftwareRequest | InstanceRequest | typeof PromiseRequest.Type

export const passStatus = { done: 0, failed: 1, promisesFailed: 2, masterAway: 3, alreadyRunning: 10 } as const
export type PassStatus = (typeof passStatus)[keyof typeof passStatus]

/** How one release or partition is left by a pass. */
export interface PassOutcome {
  /** A release's URL, a partition's id, or what else is worked on, in words. */
  readonly subject: string
  readonly result: "Done" | "PromisesFailed" | "Failed"
  /** Its state, and what is to be known about it. */
  readonly state: string
  /** Why it is not as the master wants it. */
  readonly problem: string | undefined
}

export type PassEvent =
  /** The master was asked, and these are worked on. */
  | { readonly _tag: "Began"; readonly subjects: ReadonlyArray<string> }
  | {
      readonly _tag: "Progress"
      readonly subject: string
      readonly state: string
    }
  | ({ readonly _tag: "Settled" } & PassOutcome)
  /** The last one. */
  | { readonly _tag: "Ended"; readonly status: PassStatus; readonly message: string | undefined }

/** Two passes of one kind are not run at once. Promises are instances' (the reference has one pid file for both). */
export const passKind = ({ _tag }: PassRequest): string => (_tag === "Promise" ? "instance" : _tag.toLowerCase())

/** Why a request asks for what cannot be meant, whatever the master says. */
export const contradictionIn = (request: PassRequest): string | undefined =>
  request._tag === "Software" && request.collectsGarbage && request.only.length > 0
    ? "a garbage collection is about all software releases: leave out --only-sr or --garbage-collect"
    : undefined

export interface Selection {
  readonly software: ReadonlyArray<DesiredSoftware>
  readonly partitions: ReadonlyArray<DesiredPartition>
  readonly problems: ReadonlyArray<string>
}

/** The subject of a garbage collection. */
export const garbage = "garbage collection"

const listed = (names: ReadonlyArray<string>): string => (names.length === 0 ? "none" : names.toSorted().join(", "))

const select = <A>(
  all: ReadonlyArray<A>,
  only: ReadonlyArray<string>,
  namesOf: (one: A) => readonly [string, ...ReadonlyArray<string>],
  kind: string,
): { readonly selected: ReadonlyArray<A>; readonly problems: ReadonlyArray<string> } => {
  if (only.length === 0) return { selected: all, problems: [] }
  const known = listed(all.map((one) => namesOf(one)[0]))
  const unknown = [...new Set(only)].filter((name) => !all.some((one) => namesOf(one).includes(name)))
  return {
    selected: all.filter((one) => namesOf(one).some((name) => only.includes(name))),
    problems: unknown.map((name) => `the master names no ${kind} ${name} for this computer; it names: ${known}`),
  }
}

/** What of the master's wishes a pass is about; `keyOf` gives the name of a release's directory. */
export const selectSubjects = (
  request: WorkRequest,
  state: DesiredState,
  keyOf: (one: DesiredSoftware) => string,
): Selection => {
  if (request._tag !== "Software") {
    const { problems, selected } = select(state.partitions, request.only, ({ id }) => [id], "partition")
    return { software: [], partitions: selected, problems }
  }
  const names = (one: DesiredSoftware) => [one.url, keyOf(one)] as const
  const { problems, selected } = select(state.software, request.only, names, "software release")
  return { software: selected, partitions: [], problems }
}

/** What a release's actor knows when it has nothing more to do. */
export interface SoftwareRest {
  /** What the master wanted; undefined when it no longer names the release. */
  readonly requested: SoftwareRequestedState | undefined
  /** Why the release is not as it is wanted; undefined when it is. */
  readonly error: string | undefined
}

export const softwareOutcome = (subject: string, { error, requested }: SoftwareRest): PassOutcome =>
  error === undefined
    ? { subject, result: "Done", state: requested ?? "no longer named by the master", problem: undefined }
    : { subject, result: "Failed", state: "failed", problem: error }

/** `removed` are directories; `problems` why others that should be are not. */
export const garbageOutcome = (removed: ReadonlyArray<string>, problems: ReadonlyArray<string>): PassOutcome => {
  const count = `${removed.length} ${removed.length === 1 ? "release" : "releases"} removed`
  const state = removed.length === 0 ? count : `${count}: ${removed.join(", ")}`
  return problems.length === 0
    ? { subject: garbage, result: "Done", state, problem: undefined }
    : { subject: garbage, result: "Failed", state, problem: problems.join("\n") }
}

/** What a partition's actor knows when it has nothing more to do. */
export interface PartitionRest {
  readonly requested: DesiredPartition["requested"]
  readonly state: PartitionActualState
  readonly error: string | undefined
  /** The error is a promise's: all else is done. */
  readonly isByPromises: boolean
  readonly waitingFor: string | undefined
}

/** One that is to be removed may be kept for a while; one that is to be there and waits is not as it should be. */
export const partitionOutcome = (subject: string, rest: PartitionRest): PassOutcome => {
  const { error, isByPromises, requested, state, waitingFor } = rest
  const problem = error ?? (requested === "destroyed" ? undefined : waitingFor)
  if (problem !== undefined) {
    return { subject, result: isByPromises ? "PromisesFailed" : "Failed", state, problem }
  }
  return {
    subject,
    result: "Done",
    state: waitingFor === undefined ? state : `${state}, ${waitingFor}`,
    problem: undefined,
  }
}

/** Records that nobody can work on are failures of a pass that means all of their kind. */
export const unusableOutcomes = (
  request: WorkRequest,
  rejected: DesiredState["rejected"],
): ReadonlyArray<PassOutcome> => {
  if (request.only.length > 0) return []
  const others = request._tag === "Software" ? "partition" : "software"
  return rejected
    .filter(({ subject }) => subject !== others && !subject.startsWith(`${others} `))
    .map(({ reason, subject }) => ({ subject, result: "Failed", state: "unusable", problem: reason }))
}

/** What came of the promises of a partition. */
export interface PromisesRest {
  /** Why they were not checked. */
  readonly skipped: string | undefined
  /** The first promise that fails, and what it said; or why they could not be checked. */
  readonly failure: string | undefined
  /** Whether there is a promise. */
  readonly hasSome: boolean
}

export const promisesOutcome = (subject: string, { failure, hasSome, skipped }: PromisesRest): PassOutcome => {
  if (skipped !== undefined) return { subject, result: "Failed", state: "promises not checked", problem: skipped }
  return failure === undefined
    ? { subject, result: "Done", state: hasSome ? "promises kept" : "has no promises", problem: undefined }
    : { subject, result: "PromisesFailed", state: "promises failing", problem: failure }
}

/** The end of a pass over subjects that were all worked on. */
export const passEnd = (outcomes: ReadonlyArray<PassOutcome>): Extract<PassEvent, { readonly _tag: "Ended" }> => {
  const count = (result: PassOutcome["result"]) => outcomes.filter((one) => one.result === result).length
  const failed = count("Failed")
  if (failed > 0) {
    const message = `${failed} of ${outcomes.length} failed`
    return { _tag: "Ended", status: passStatus.failed, message }
  }
  const unhealthy = count("PromisesFailed")
  if (unhealthy === 0) return { _tag: "Ended", status: passStatus.done, message: undefined }
  const message = `promises of ${unhealthy} of ${outcomes.length} failed`
  return { _tag: "Ended", status: passStatus.promisesFailed, message }
}
