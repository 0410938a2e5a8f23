// How the agent's log looks: one line an event with time, level and actor; continuation lines are indented, so that
// nothing a child wrote can pass for a line of ours. JSON for machines.
import * as Cause from "effect/Cause"
import type * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import type * as LogLevel from "effect/LogLevel"
import { escapeControls, oneLine, printableJson } from "../domain/text.ts"

export type LogFormat = "text" | "json"

export interface LogEvent {
  readonly date: Date
  readonly level: LogLevel.LogLevel
  readonly actor: string
  readonly message: string
}

const colours: Readonly<Partial<Record<LogLevel.LogLevel, string>>> = {
  Debug: "\u001b[2m",
  Warn: "\u001b[33m",
  Error: "\u001b[31m",
  Fatal: "\u001b[31;1m",
}

export const formatText = ({ actor, date, level, message }: LogEvent, isColoured: boolean): string => {
  const [first = "", ...others] = escapeControls(message).split("\n")
  const colour = isColoured ? (colours[level] ?? "") : ""
  const label = level.toUpperCase().padEnd(5)
  const head = `${date.toISOString()} ${colour}${label}${colour === "" ? "" : "\u001b[0m"} ${oneLine(actor)}: ${first}`
  return [head, ...others.map((line) => `    ${line}`)].join("\n")
}

export const formatJson = ({ actor, date, level, message }: LogEvent): string =>
  printableJson({ time: date.toISOString(), level: level.toLowerCase(), actor, message })

const text = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value))

const messageOf = (message: unknown, cause: Cause.Cause<unknown>): string => {
  const words = Array.isArray(message) ? message.map(text).join(" ") : text(message)
  return cause.reasons.length === 0 ? words : `${words}\n${Cause.pretty(cause)}`
}

/** Gives each event of the log to `sink`. */
export const loggingTo = (sink: (event: LogEvent) => void): Layer.Layer<never> =>
  Logger.layer([
    Logger.make<unknown, void>(({ cause, date, fiber, logLevel, message }) => {
      const { actor } = fiber.getRef(References.CurrentLogAnnotations)
      sink({
        date,
        level: logLevel,
        actor: typeof actor === "string" ? actor : "node",
        message: messageOf(message, cause),
      })
    }),
  ])

/** Whether a stream gets colours: a terminal whose user did not say no (https://no-color.org). */
export const isColoured = (stream: { readonly isTTY?: boolean }): boolean =>
  stream.isTTY === true && process.env["NO_COLOR"] === undefined

/** Writes to stderr; stdout belongs to what a command prints. */
export const loggingLayer = (format: LogFormat): Layer.Layer<never> => {
  const coloured = isColoured(process.stderr)
  return loggingTo((event) => {
    process.stderr.write(`${format === "json" ? formatJson(event) : formatText(event, coloured)}\n`)
  })
}
