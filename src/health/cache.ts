// When a promise is due, as `.slapgrid/promise/cache/<title>` tells it from one agent to the next and to the reference.
// node-behaviour.md (Promises).
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { PromiseFile } from "./catalogue.ts"
import type { CheckMode } from "./results.ts"

/** What a promise says about itself. */
export interface PromiseTraits {
  /** Whether it has something to say after an installation, and between two. */
  readonly isTested: boolean
  readonly isAnomalyDetected: boolean
  /** Milliseconds between two checks. */
  readonly period: number
}

export interface PromiseSchedule extends PromiseTraits {
  /** When it was checked last, in milliseconds since 1970. */
  readonly checkedAt: number
  /** Of the file then. */
  readonly modified: number
}

const minute = 60_000

/** What executables are, and what is assumed of a plugin that could not say. */
export const ordinaryTraits: PromiseTraits = { isTested: true, isAnomalyDetected: true, period: 2 * minute }

/** A plugin's own period, in minutes: one that is no number or would keep the node busy is not followed. */
export const periodOf = (minutes: number): number => (minutes >= 0.1 && minutes < 1e6 ? minutes * minute : 2 * minute)

const File = Schema.Struct({
  is_tested: Schema.Boolean,
  is_anomaly_detected: Schema.Boolean,
  periodicity: Schema.Finite,
  timestamp: Schema.Finite,
  module_file: Schema.String,
  module_file_mtime: Schema.Finite,
})

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(File))

/** Undefined for a text that is none, or about another file: the reference notes its own for executables. */
export const decodeSchedule = (text: string, { path }: Pick<PromiseFile, "path">): PromiseSchedule | undefined => {
  const file = decode(text)
  if (Result.isFailure(file) || file.success.module_file !== path) return undefined
  const { is_anomaly_detected, is_tested, module_file_mtime, periodicity, timestamp } = file.success
  return {
    isTested: is_tested,
    isAnomalyDetected: is_anomaly_detected,
    period: periodOf(periodicity),
    checkedAt: timestamp * 1000,
    modified: module_file_mtime * 1000,
  }
}

export const encodeSchedule = ({ path }: Pick<PromiseFile, "path">, schedule: PromiseSchedule): string =>
  JSON.stringify({
    is_tested: schedule.isTested,
    is_anomaly_detected: schedule.isAnomalyDetected,
    periodicity: schedule.period / minute,
    next_run_after: (schedule.checkedAt + schedule.period) / 1000,
    timestamp: schedule.checkedAt / 1000,
    module_file: path,
    module_file_mtime: schedule.modified / 1000,
  })

/** Run it now; take what it said last; or it has nothing to say in such a check. */
export type Due = "Run" | "Stored" | "Silent"

/** Times in files have microseconds at best. */
const isSameTime = (a: number, b: number): boolean => Math.abs(a - b) < 1

export const isUpToDate = (schedule: PromiseSchedule | undefined, { modified }: Pick<PromiseFile, "modified">) =>
  schedule !== undefined && isSameTime(schedule.modified, modified)

/** What a check does about a promise. One whose file has changed is another one. */
export const dueNow = (
  promise: Pick<PromiseFile, "modified">,
  schedule: PromiseSchedule | undefined,
  check: { readonly mode: CheckMode; readonly isForced: boolean; readonly now: number },
): Due => {
  if (schedule === undefined || !isUpToDate(schedule, promise)) return "Run"
  if (!(check.mode === "Test" ? schedule.isTested : schedule.isAnomalyDetected)) return "Silent"
  if (check.isForced) return "Run"
  // Checked in the future: the clock was set.
  const isDue = check.now >= schedule.checkedAt + schedule.period || schedule.checkedAt > check.now
  return isDue ? "Run" : "Stored"
}
