// What the outcome of a promise means, and what the master is told of a partition's: pure rules. node-behaviour.md
// (Promises).
import type { PromiseKind } from "../domain/NodeStatus.ts"
import type { CheckMode, PromiseResult } from "./results.ts"

/** How a promise ended. */
export type PromiseOutcome =
  /** It said whether it is kept. */
  | {
      readonly _tag: "Told"
      readonly type: PromiseResult["type"]
      readonly hasFailed: boolean
      readonly message: string
      /** Whether a failure is to bang. */
      readonly bangs: boolean
    }
  /** It has nothing to say in such a check. */
  | { readonly _tag: "Silent" }
  | { readonly _tag: "TimedOut"; readonly limit: number }
  /** It ended, or was ended, without having said anything that could be used. */
  | { readonly _tag: "Broken"; readonly problem: string }

export interface Verdict {
  readonly type: PromiseResult["type"]
  readonly hasFailed: boolean
  readonly message: string
  /** Whether the master is to move the timestamps of the instance tree. */
  readonly bangs: boolean
}

/** Failures in a row that an executable may have between two installations before it counts as failing. */
const patience = 3

const errorText = (outcome: Extract<PromiseOutcome, { readonly _tag: "TimedOut" | "Broken" }>): string =>
  outcome._tag === "TimedOut"
    ? `Error: Promise timed out after ${outcome.limit / 1000} seconds`
    : `Error: No output returned by the promise: ${outcome.problem}`

export interface History {
  /** What was said of it last. */
  readonly previous: PromiseResult | undefined
  /** Whether each of the runs before this one failed, the newest first. */
  readonly runs: ReadonlyArray<boolean>
}

const wasBad = ({ previous }: History): boolean =>
  previous !== undefined && (previous.hasFailed || /error:/i.test(previous.message))

/** Undefined when nothing is to be kept of it. */
export const verdictOf = (
  kind: PromiseKind,
  mode: CheckMode,
  outcome: PromiseOutcome,
  history: History,
): Verdict | undefined => {
  switch (outcome._tag) {
    case "Silent":
      return undefined
    case "Told": {
      const { hasFailed, message, type } = outcome
      if (kind === "plugin") {
        const bangs = outcome.bangs && mode === "Anomaly" && hasFailed && type === "Anomaly Result"
        return { type, hasFailed, message, bangs }
      }
      const runs = [hasFailed, ...history.runs].slice(0, patience)
      const isLasting = runs.length === patience && runs.every((failed) => failed)
      return { type, hasFailed: mode === "Test" ? hasFailed : isLasting, message, bangs: false }
    }
    case "TimedOut":
    case "Broken":
      return mode === "Test"
        ? { type: "Test Result", hasFailed: true, message: errorText(outcome), bangs: false }
        : { type: "Anomaly Result", hasFailed: wasBad(history), message: errorText(outcome), bangs: false }
  }
}

/** Whether the run itself went wrong, whatever that means for the partition: what the log of an executable says. */
export const isTrouble = (outcome: PromiseOutcome): boolean =>
  outcome._tag !== "Silent" && (outcome._tag !== "Told" || outcome.hasFailed)

export interface Failure {
  readonly kind: PromiseKind
  readonly name: string
  readonly message: string
}

/** The first failing one, plugins before executables: the one that the master hears of. */
export const firstFailure = (failures: ReadonlyArray<Failure>): Failure | undefined =>
  failures.find(({ kind }) => kind === "plugin") ?? failures[0]

/** As the reference tells it: slap-protocol.md (softwareInstanceError). */
export const failureText = ({ message, name }: Failure): string => `Promise '${name}' failed with output: ${message}`

/** What the master has heard of a partition's promises. */
export type Told = "Kept" | "Failing"

/** What the master says that it knows; undefined when it says nothing. */
export const toldBy = (accessStatus: string | undefined): Told | undefined =>
  accessStatus === undefined ? undefined : accessStatus.startsWith("#error") ? "Failing" : "Kept"

/** What the master is to be told: only what it does not know. */
export const newsFor = (told: Told, isFailing: boolean): Told | undefined => {
  const now = isFailing ? "Failing" : "Kept"
  return now === told ? undefined : now
}
