// The log of a promise, `.slapgrid/promise/log/<title>.log`, in the form that the reference's plugins write and read
// back: `YYYY-MM-DD HH:MM:SS - LEVEL - <run> - text` in local time, where a run has a number of its own.
// node-behaviour.md (Promises).
import * as DateTime from "effect/DateTime"

const pad = (value: number, length = 2): string => String(value).padStart(length, "0")

/** A line of the log; `random` is from 0 to 1 and makes the run's number. */
export const logLine = (
  entry: { readonly at: number; readonly hasFailed: boolean; readonly message: string },
  zone: DateTime.TimeZone,
  random: number,
): string => {
  const { day, hour, minute, month, second, year } = DateTime.toParts(
    DateTime.setZone(DateTime.makeUnsafe(entry.at), zone),
  )
  const time = `${pad(year, 4)}-${pad(month)}-${pad(day)} ${pad(hour)}:${pad(minute)}:${pad(second)}`
  const run = `${Math.floor(entry.at / 1000)}-${100 + Math.floor(random * 900)}`
  return `${time} - ${entry.hasFailed ? "ERROR" : "INFO"} - ${run} - ${entry.message}`
}

const linePattern = /^\d{4}-\d{2}-\d{2}\s+\d{2}:\d{2}:\d{2}\s+-?\s*(\w+)\s+-?\s+(\d+-\d{3})\s+-?/

/** What tells a run stands in so many letters. A line is a stranger's: the pattern takes its time with a long one. */
const headLength = 200

/** Whether each of the last runs failed, the newest first. */
export const lastRuns = (text: string): ReadonlyArray<boolean> => {
  const runs = new Map<string, boolean>()
  for (const line of text.split("\n")) {
    const [, level = "", run] = linePattern.exec(line.slice(0, headLength)) ?? []
    if (run === undefined) continue
    runs.set(run, runs.get(run) === true || level === "ERROR" || level === "CRITICAL")
  }
  return [...runs.values()].toReversed()
}
