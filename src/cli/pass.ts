// `slapgrid software`, `instance`, `promise`, `report` and `sync`: one-shot passes, in the running agent when there is one.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { followPass } from "../control/ControlClient.ts"
import { contradictionIn, type PassEvent, type PassRequest, passStatus } from "../domain/Pass.ts"
import { escapeControls, printableJson } from "../domain/text.ts"
import { configFrom } from "./configuration.ts"
import { checkRoot, CommandFailure, exitStatus, toFailure } from "./exit.ts"
import type { ConfigFlagValues } from "./options.ts"
import { show } from "./output.ts"

export interface PassValues extends ConfigFlagValues {
  readonly json: boolean
}

/** Names that are shown where there can be thousands. */
const shownNames = 5

const indented = (text: string): string => text.trimEnd().replaceAll("\n", "\n    ")

/** What people get to read of an event; nothing of the end, whose message is the command's. */
export const renderEvent = (event: PassEvent): string => {
  switch (event._tag) {
    case "Began": {
      const { subjects } = event
      const more = subjects.length > shownNames ? ` and ${subjects.length - shownNames} more` : ""
      return subjects.length === 0
        ? "the master names nothing to work on\n"
        : escapeControls(`working on ${subjects.slice(0, shownNames).join(", ")}${more}\n`)
    }
    case "Progress":
      return escapeControls(`${event.subject}: ${event.state}\n`)
    case "Settled":
      return escapeControls(
        `${event.subject}: ${event.state}${event.problem === undefined ? "" : `: ${indented(event.problem)}`}\n`,
      )
    case "Ended":
      return ""
  }
}

/** What is printed of an event: lines of JSON for programs, which have its end, too. */
export const printedEvent = (event: PassEvent, json: boolean): string =>
  json ? `${printableJson(event)}\n` : renderEvent(event)

const goesOn = Effect.sync(() => {
  process.stderr.write("slapgrid: the agent goes on with it; slapgrid status shows how it is\n")
})

/** Shows the events of a pass; fails when it ends with another status than 0. */
const present = <E>(events: Stream.Stream<PassEvent, E>, json: boolean) =>
  Effect.gen(function* () {
    let end: PassEvent | undefined
    /** By subject: what people have read last. */
    const read = new Map<string, string>()
    yield* Stream.runForEach(events, (event) => {
      end = event
      const text = printedEvent(event, json)
      if (json) return show(text)
      const subject = "subject" in event ? event.subject : ""
      const isNews = read.get(subject) !== text
      read.set(subject, text)
      return isNews ? show(text) : Effect.void
    })
    if (end?._tag !== "Ended") return
    const { message = "done", status } = end
    if (status !== passStatus.done) return yield* new CommandFailure({ status, message })
    if (!json) yield* show(`${message}\n`)
  })

/** The names in the value of `--only-…`; refuses one without any, which would mean everything. */
export const namesIn = (
  flag: string,
  value: Option.Option<string>,
): Effect.Effect<ReadonlyArray<string>, CommandFailure> => {
  if (Option.isNone(value)) return Effect.succeed([])
  const names = value.value.split(",").flatMap((name) => (name.trim() === "" ? [] : [name.trim()]))
  return names.length > 0
    ? Effect.succeed(names)
    : new CommandFailure({ status: exitStatus.failed, message: `${flag} names nothing: leave it out to mean all` })
}

const pass = Effect.fnUntraced(function* (values: PassValues, request: PassRequest) {
  const contradiction = contradictionIn(request)
  if (contradiction !== undefined) {
    return yield* new CommandFailure({ status: exitStatus.failed, message: contradiction })
  }
  const config = yield* configFrom(values)
  yield* checkRoot(config)
  const shown = <E>(events: Stream.Stream<PassEvent, E>) => present(events, values.json)
  const inAgent = Effect.onInterrupt(shown(followPass(config.instanceRoot, request)), () => goesOn)
  if (request._tag === "Sync") return yield* inAgent
  const alone = Effect.flatMap(
    Effect.promise(() => import("./singlePass.ts")),
    ({ runSinglePass }) => runSinglePass(config, request, shown),
  )
  yield* Effect.catchIf(
    inAgent,
    (error) => error._tag === "ControlError" && error.isAbsent,
    () => alone,
  )
}, Effect.mapError(toFailure))

export interface SoftwareValues extends PassValues {
  readonly onlySr: Option.Option<string>
  readonly force: boolean
  readonly garbageCollect: boolean
  readonly buildoutDebug: boolean
}

export const software = Effect.fnUntraced(function* (values: SoftwareValues) {
  yield* pass(values, {
    _tag: "Software",
    only: yield* namesIn("--only-sr", values.onlySr),
    isForced: values.force,
    collectsGarbage: values.garbageCollect,
    isDebug: values.buildoutDebug,
  })
})

export interface InstanceValues extends PassValues {
  readonly onlyCp: Option.Option<string>
  readonly force: boolean
  readonly forceStop: boolean
  readonly buildoutDebug: boolean
}

export const instance = Effect.fnUntraced(function* (values: InstanceValues) {
  yield* pass(values, {
    _tag: "Instance",
    only: yield* namesIn("--only-cp", values.onlyCp),
    isForced: values.force,
    stops: values.forceStop,
    isDebug: values.buildoutDebug,
  })
})

export interface PromiseValues extends PassValues {
  readonly onlyCp: Option.Option<string>
}

export const promise = Effect.fnUntraced(function* (values: PromiseValues) {
  yield* pass(values, {
    _tag: "Promise",
    only: yield* namesIn("--only-cp", values.onlyCp),
  })
})

export const report = (values: PassValues) => pass(values, { _tag: "Report" })

export const sync = (values: PassValues) => pass(values, { _tag: "Sync" })
