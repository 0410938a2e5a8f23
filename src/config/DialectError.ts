// What is wrong with the text of a slapos.cfg. The kinds are those that Python's configparser tells apart, because the
// reference reads the same file with it: a file that we refuse is a file that it refuses.
import * as Schema from "effect/Schema"

export const DialectMistakeKind = Schema.Literals([
  /** An option before the first section. */
  "MissingSectionHeader",
  "DuplicateSection",
  "DuplicateOption",
  /** A line that is no section, no continuation, and has no `=` or `:`. */
  "NoSeparator",
  /** A line that begins with `=` or `:`. */
  "NoName",
  /** A `%` that begins neither `%%` nor `%(name)s`. */
  "InterpolationSyntax",
  /** `%(name)s` where neither the section nor `[DEFAULT]` has that name. */
  "InterpolationMissingOption",
  /** References nested more than ten deep, or in a circle. */
  "InterpolationDepth",
])
export type DialectMistakeKind = typeof DialectMistakeKind.Type

export const DialectMistake = Schema.Struct({
  kind: DialectMistakeKind,
  /** Counted from 1. */
  line: Schema.Int,
  /** The line as it stands in the file, or for interpolation the option's value as it stands there. */
  text: Schema.String,
  /** What is wrong and what to do, without the place. */
  explanation: Schema.String,
})
export type DialectMistake = typeof DialectMistake.Type

/** One read reports all its mistakes, in the order of the lines. */
export class DialectError extends Schema.TaggedError<DialectError>()("DialectError", {
  mistakes: Schema.NonEmptyArray(DialectMistake),
}) {
  override get message(): string {
    return this.mistakes.map((mistake) => `line ${mistake.line}: ${mistake.explanation}`).join("\n")
  }
}

/** Text of a file on one line of a message: quoted, without control characters, not longer than a screen is wide. */
export const quote = (text: string): string => JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
