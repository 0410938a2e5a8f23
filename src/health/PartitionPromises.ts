// The promises of one partition: what is known of each from one check to the next, and a check of all that are due.
// What the agent has seen itself counts more than what lies in the partition: that may be unwritable, or anybody's.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { NodeConfigShape } from "../config/NodeConfig.ts"
import type { PartitionId } from "../domain/ids.ts"
import type { PromiseStatus } from "../domain/NodeStatus.ts"
import type { FileError } from "../files/FileError.ts"
import type { OwnedDirectory } from "../files/OwnedDirectory.ts"
import type { Enclosure } from "../process/containment/Containment.ts"
import type { Launcher } from "../process/launcher/Launcher.ts"
import type { Command, Spawner } from "../process/Spawner.ts"
import { dueNow, isUpToDate, ordinaryTraits, type PromiseSchedule } from "./cache.ts"
import { runExecutable } from "./executables.ts"
import type { Places } from "./Places.ts"
import { PluginHost, type PluginRun } from "./PluginHost.ts"
import { PromiseFiles } from "./PromiseFiles.ts"
import { type PromiseFile, promiseFolders, sharedTitles } from "./catalogue.ts"
import type { CheckMode, PromiseResult } from "./results.ts"
import { type Failure, failureText, firstFailure, isTrouble, type PromiseOutcome, verdictOf } from "./verdict.ts"

export interface CheckRequest {
  readonly mode: CheckMode
  /** Also what is not due. */
  readonly isForced: boolean
}

export interface Check {
  /** All that were ever checked. */
  readonly promises: ReadonlyArray<PromiseStatus>
  /** What the master is told when one fails: the first of them. */
  readonly failure: string | undefined
  /** A plea to the master for a failure of a plugin that asks for one: one for all of them. */
  readonly bang: string | undefined
  /** When to look again, in milliseconds since 1970. */
  readonly nextAt: number
}

export interface PromiseTools {
  readonly launcher: Launcher["Service"]
  readonly spawner: Spawner["Service"]
  readonly places: Places
}

/** As whom, where and with what the promises run now. */
export interface Surroundings {
  readonly directory: OwnedDirectory
  readonly command: Omit<Command, "argv" | "enclosure" | "output" | "timeout">
  readonly enclosure: (member: string) => Enclosure
  readonly interpreter: string | undefined
  readonly arguments: Readonly<Record<string, string | number | boolean | null>>
}

interface Known {
  readonly schedule: PromiseSchedule | undefined
  readonly result: PromiseResult | undefined
}

/** Milliseconds after which a partition is looked at for new promises at the latest. */
const lookInterval = 120_000
/** Of a message in the status. */
const shownLength = 1000

const keyOf = ({ kind, name }: Pick<PromiseFile, "kind" | "name">): string => `${kind} ${name}`

export class PartitionPromises {
  readonly #id: PartitionId
  readonly #tools: PromiseTools
  readonly #config: NodeConfigShape
  #known = new Map<string, Known>()
  /** What was warned about. */
  #told = ""

  constructor(id: PartitionId, tools: PromiseTools, config: NodeConfigShape) {
    this.#id = id
    this.#tools = tools
    this.#config = config
  }

  readonly wereFailing = (directory: OwnedDirectory): Effect.Effect<boolean, FileError> =>
    Effect.gen(function* () {
      const files = new PromiseFiles(directory)
      const { promises } = yield* files.list
      const results = yield* Effect.forEach(promises, (promise) => files.result(promise))
      return results.some((result) => result?.hasFailed === true)
    })

  /** `surroundings` is run when there is something to check: most partitions of a node can have nothing. */
  check<E>(
    directory: OwnedDirectory,
    surroundings: Effect.Effect<Surroundings, E>,
    request: CheckRequest,
  ): Effect.Effect<Check, E | FileError> {
    return Effect.gen({ self: this }, function* () {
      const files = new PromiseFiles(directory)
      const { others, promises } = yield* files.list
      const now = yield* Clock.currentTimeMillis
      if (promises.length === 0) {
        this.#known.clear()
        yield* this.#warn(others, promises, undefined)
        return summary([], request.mode, now)
      }
      const place = yield* surroundings
      yield* files.prepare
      const scope = yield* Effect.scope
      const run = new CheckRun({
        tools: this.#tools,
        config: this.#config,
        place,
        files,
        promises,
        request,
        now,
        scope,
      })
      const entries = yield* Effect.forEach(
        promises,
        (promise) => run.check(promise, this.#known.get(keyOf(promise))),
        { concurrency: this.#config.promiseConcurrency },
      )
      this.#known = new Map(entries.map(({ known, promise }) => [keyOf(promise), known]))
      yield* this.#warn(others, promises, run.unwritten)
      return summary(entries, request.mode, now)
    }).pipe(Effect.scoped)
  }

  /** Tells what is wrong with the files, once. */
  #warn(
    others: ReadonlyArray<string>,
    promises: ReadonlyArray<PromiseFile>,
    unwritten: string | undefined,
  ): Effect.Effect<void> {
    const titles = sharedTitles(promises)
    const words = [
      ...(others.length === 0 ? [] : [`not executable and left out: ${others.slice(0, 5).join(", ")}`]),
      ...(titles.length === 0 ? [] : [`several have the title ${titles.slice(0, 5).join(", ")} and share one result`]),
      ...(unwritten === undefined ? [] : [`results cannot be kept: ${unwritten}`]),
    ].join("; ")
    const isNews = words !== this.#told
    this.#told = words
    return isNews && words !== "" ? Effect.logWarning(`promises of ${this.#id}: ${words}`) : Effect.void
  }
}

interface Entry {
  readonly promise: PromiseFile
  readonly known: Known
  /** Whether it counts in this check. */
  readonly counts: boolean
  readonly bangs: boolean
}

const summary = (entries: ReadonlyArray<Entry>, mode: CheckMode, now: number): Check => {
  const failures = entries.flatMap(({ counts, known, promise }): ReadonlyArray<Failure> =>
    counts && known.result?.hasFailed === true
      ? [{ kind: promise.kind, name: promise.name, message: known.result.message }]
      : [],
  )
  const first = firstFailure(failures)
  const banging = entries.find(({ bangs }) => bangs)
  const due = entries.flatMap(({ known: { schedule } }) =>
    schedule === undefined || !(mode === "Test" ? schedule.isTested : schedule.isAnomalyDetected)
      ? []
      : [schedule.checkedAt + schedule.period],
  )
  return {
    promises: entries.flatMap(({ known: { result, schedule }, promise: { kind, name } }) =>
      result === undefined
        ? []
        : [
            {
              kind,
              name,
              hasFailed: result.hasFailed,
              checkedAt: schedule?.checkedAt ?? result.date,
              message: result.hasFailed ? result.message.slice(-shownLength) : undefined,
            },
          ],
    ),
    failure: first === undefined ? undefined : failureText(first),
    bang: banging === undefined ? undefined : `Promise ${banging.promise.title} is failing`,
    nextAt: Math.min(now + lookInterval, ...due),
  }
}

interface RunParts {
  readonly tools: PromiseTools
  readonly config: NodeConfigShape
  readonly place: Surroundings
  readonly files: PromiseFiles
  readonly promises: ReadonlyArray<PromiseFile>
  readonly request: CheckRequest
  /** When the check began: what was checked together is due together. */
  readonly now: number
  readonly scope: Scope.Scope
}

/** One check of a partition. */
class CheckRun {
  readonly #parts: RunParts
  /** Places of executables that nothing else runs in now. */
  readonly #lanes: Array<number>
  readonly #host: PluginHost | undefined
  /** Why a result could not be written. */
  unwritten: string | undefined

  constructor(parts: RunParts) {
    this.#parts = parts
    const { config, place, promises, scope, tools } = parts
    this.#lanes = Array.from({ length: config.promiseConcurrency }, (_, index) => index + 1)
    if (place.interpreter !== undefined) {
      this.#host = new PluginHost(
        {
          ...tools,
          command: { ...place.command, enclosure: place.enclosure("plugins") },
          interpreter: place.interpreter,
          folder: `${place.directory.path}/${promiseFolders.plugin}`,
          plugins: promises.flatMap(({ kind, name }) => (kind === "plugin" ? [name] : [])),
          arguments: place.arguments,
          timeout: config.promiseTimeout,
        },
        scope,
      )
    }
  }

  check(promise: PromiseFile, remembered: Known | undefined): Effect.Effect<Entry> {
    const { files, request, now } = this.#parts
    return Effect.gen({ self: this }, function* () {
      const schedule = remembered?.schedule ?? (yield* files.schedule(promise))
      const result = remembered?.result ?? (yield* files.result(promise))
      const known: Known = { schedule, result }
      const due = dueNow(promise, schedule, { ...request, now })
      if (due !== "Run") return { promise, known, counts: due === "Stored", bangs: false }
      return yield* this.#run(promise, { ...known, schedule: isUpToDate(schedule, promise) ? schedule : undefined })
    })
  }

  #run(promise: PromiseFile, { result: previous }: Known): Effect.Effect<Entry> {
    const { files, now, request, tools } = this.#parts
    return Effect.gen({ self: this }, function* () {
      const isExecutable = promise.kind === "executable"
      const { outcome, seconds, traits } = yield* tools.places.within(
        isExecutable ? this.#runExecutable(promise) : this.#runPlugin(promise),
      )
      const runs = isExecutable ? yield* files.runs(promise) : []
      const verdict = verdictOf(promise.kind, request.mode, outcome, { previous, runs })
      const schedule = { ...traits, checkedAt: now, modified: promise.modified }
      const at = yield* Clock.currentTimeMillis
      const executionTime = seconds ?? (at - now) / 1000
      const result = verdict === undefined ? previous : { ...verdict, date: at, executionTime }
      const { message = "" } = verdict ?? {}
      if (isExecutable) yield* files.log(promise, { at, hasFailed: isTrouble(outcome), message })
      else yield* files.boundLog(promise)
      yield* this.#keep(promise, schedule, verdict === undefined ? undefined : result)
      return {
        promise,
        known: { schedule, result },
        counts: verdict !== undefined,
        bangs: verdict?.bangs ?? false,
      }
    })
  }

  #keep(promise: PromiseFile, schedule: PromiseSchedule, result: PromiseResult | undefined): Effect.Effect<void> {
    const { files } = this.#parts
    return Effect.andThen(
      files.writeSchedule(promise, schedule),
      result === undefined ? Effect.void : files.writeResult(promise, result),
    ).pipe(Effect.catch(({ message }) => Effect.sync(() => void (this.unwritten = message))))
  }

  #runExecutable(promise: PromiseFile): Effect.Effect<PluginRun> {
    const { config, place, tools } = this.#parts
    return Effect.acquireUseRelease(
      Effect.sync(() => this.#lanes.pop() ?? 0),
      (lane) =>
        runExecutable(tools, {
          ...place.command,
          argv: [promise.path],
          enclosure: place.enclosure(`promise ${lane}`),
          timeout: config.promiseTimeout,
        }),
      (lane) => Effect.sync(() => this.#lanes.push(lane)),
    ).pipe(Effect.map((run) => ({ ...run, traits: ordinaryTraits })))
  }

  #runPlugin({ name }: PromiseFile): Effect.Effect<PluginRun> {
    const { directory } = this.#parts.place
    return this.#host?.run(name, this.#parts.request.mode) ?? Effect.succeed(unknownPython(directory.path))
  }
}

const unknownPython = (path: string): PluginRun => {
  const problem = `which Python runs it is not known: neither ${path}/software_release/bin/buildout nor sbin/buildout is there`
  const outcome: PromiseOutcome = { _tag: "Broken", problem }
  return { outcome, traits: ordinaryTraits, seconds: undefined }
}
