// When a destroyed partition may be removed: the SLA's delay is frozen at the first good installation, and the first
// destroy turns it into a date. node-behaviour.md (Retention).
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { FileError } from "../../files/FileError.ts"
import type { OwnedDirectory } from "../../files/OwnedDirectory.ts"

/** Written at the first good installation, and there as long as the instance is. */
export const retentionDelayFile = ".slapos-retention-lock-delay"
const dateFile = ".slapos-retention-lock-date"
const dayInSeconds = 24 * 3600

/** A decimal that is not negative (days, or seconds since 1970), or undefined when the text is none. */
export const parseDecimal = (text: string): number | undefined => {
  if (!/^\s*\+?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?\s*$/i.test(text)) return undefined
  const value = Number(text)
  return Number.isFinite(value) ? value : undefined
}

/** Milliseconds since 1970 of the last moment that has a date: what a partition wrote can be any number. */
const endOfTime = 8.64e15

/** Python's `str()` of a float: what the reference writes and reads. */
const floatText = (value: number): string => (Number.isInteger(value) ? `${value}.0` : String(value))

/** Freezes the delay (days) of the SLA, unless one is frozen already. */
export const freezeDelay = Effect.fnUntraced(function* (directory: OwnedDirectory, sla: string | undefined) {
  if (yield* directory.exists(retentionDelayFile)) return
  const days = sla === undefined ? 0 : parseDecimal(sla)
  if (days === undefined) {
    yield* Effect.logWarning(`retention_delay '${sla}' is not a number of days: taken as 0`)
  }
  yield* directory.write(retentionDelayFile, floatText(days ?? 0), { mode: 0o644, owner: directory.owner })
})

/** The number in one of the files. What no file of ours can be (a link, say) counts as none, as what is no number does. */
const readNumber = (directory: OwnedDirectory, name: string): Effect.Effect<number | undefined, FileError> =>
  directory.readIfPresent(name, 100).pipe(
    Effect.map((text) => parseDecimal(text ?? "")),
    Effect.catchIf(
      ({ reason }) => reason === "Unsafe" || reason === "TooLarge",
      ({ message }) => Effect.as(Effect.logWarning(`it retains nothing: ${message}`), undefined),
    ),
  )

/** Milliseconds since 1970 before which nothing may be removed; undefined when it may be removed now. */
export const retainedUntil = Effect.fnUntraced(function* (
  directory: OwnedDirectory,
): Effect.fn.Return<number | undefined, FileError> {
  const now = yield* Clock.currentTimeMillis
  const date = yield* readNumber(directory, dateFile)
  if (date !== undefined) return now < date * 1000 ? Math.min(endOfTime, date * 1000) : undefined
  const days = (yield* readNumber(directory, retentionDelayFile)) ?? 0
  if (days <= 0) return undefined
  const until = Math.min(endOfTime / 1000, Math.floor(now / 1000) + days * dayInSeconds)
  yield* directory.write(dateFile, floatText(until), { mode: 0o644, owner: directory.owner })
  return until * 1000
})
