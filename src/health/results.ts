// The result of a promise as monitoring software and the reference read it: `.slapgrid/promise/result/<title>.status.json`.
// node-behaviour.md (Promises).
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { PromiseFile } from "./catalogue.ts"

/** A check after an installation, or one between two, which is milder. */
export type CheckMode = "Test" | "Anomaly"

export interface PromiseResult {
  readonly type: "Test Result" | "Anomaly Result"
  readonly hasFailed: boolean
  /** Milliseconds since 1970. */
  readonly date: number
  readonly message: string
  /** Seconds. */
  readonly executionTime: number
}

const File = Schema.Struct({
  "execution-time": Schema.Finite,
  result: Schema.Struct({
    type: Schema.Literals(["Test Result", "Anomaly Result"]),
    failed: Schema.Boolean,
    date: Schema.String,
    message: Schema.NullOr(Schema.String),
  }),
})

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(File))

/** Undefined for a text that is no result: the partition's user can write anything there. */
export const decodeResult = (text: string): PromiseResult | undefined => {
  const file = decode(text)
  if (Result.isFailure(file)) return undefined
  const { "execution-time": executionTime, result } = file.success
  const date = Option.map(DateTime.make(result.date.replace("+0000", "Z")), DateTime.toEpochMillis)
  return {
    type: result.type,
    hasFailed: result.failed,
    date: Option.getOrElse(date, () => 0),
    message: boundMessage(result.message ?? ""),
    executionTime,
  }
}

export const encodeResult = ({ name, path, title }: PromiseFile, result: PromiseResult): string =>
  JSON.stringify({
    title,
    name,
    path,
    "execution-time": result.executionTime,
    result: {
      type: result.type,
      failed: result.hasFailed,
      date: `${DateTime.formatIso(DateTime.makeUnsafe(result.date)).slice(0, 19)}+0000`,
      message: result.message,
    },
  })

const messageLimit = 5000

/** What of a promise's words is kept: the end of them. */
export const boundMessage = (message: string): string =>
  message.length > messageLimit ? `...${message.slice(-messageLimit)}` : message

/** What an executable printed, as a message: binary becomes visible as what it is. */
export const printedMessage = (printed: Uint8Array): string =>
  boundMessage(
    new TextDecoder()
      .decode(printed)
      .replaceAll(/(?![\n\t])\p{Cc}/gu, "\uFFFD")
      .trim(),
  )
