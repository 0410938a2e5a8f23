// The files of a partition's promises: what there is to check, and what other programs read of it. All of it belongs to
// the partition's user, who can put anything there: what cannot be used counts as absent, what cannot be written is told.
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { FileError } from "../files/FileError.ts"
import { appendLine, readEnd } from "../files/machine.ts"
import type { OwnedDirectory } from "../files/OwnedDirectory.ts"
import { decodeSchedule, encodeSchedule, type PromiseSchedule } from "./cache.ts"
import { lastRuns, logLine } from "./log.ts"
import { isPlugin, type PromiseFile, promiseFolders, titleOf } from "./catalogue.ts"
import { decodeResult, encodeResult, type PromiseResult } from "./results.ts"

const folder = ".slapgrid/promise"
/** Below a partition: where plugins are told to log. */
export const logFolder = `${folder}/log`
const maxFileSize = 256 * 1024
const logLimit = 5 * 1024 * 1024
/** Enough for three messages. */
const historySize = 64 * 1024

const ignoring = <A>(effect: Effect.Effect<A, FileError>): Effect.Effect<A | undefined> =>
  Effect.orElseSucceed(effect, () => undefined)

export class PromiseFiles {
  readonly #directory: OwnedDirectory

  constructor(directory: OwnedDirectory) {
    this.#directory = directory
  }

  /** Makes the folders of results, logs and caches. */
  get prepare(): Effect.Effect<void, FileError> {
    const folders = [folder, `${folder}/result`, logFolder, `${folder}/cache`]
    return Effect.andThen(
      this.#directory.makeDirectory(".slapgrid", 0o700),
      Effect.forEach(folders, (one) => this.#directory.makeDirectory(one, 0o755), { discard: true }),
    )
  }

  /** The partition's promises, plugins first; and files among the executables that are none. */
  get list(): Effect.Effect<
    { readonly promises: ReadonlyArray<PromiseFile>; readonly others: ReadonlyArray<string> },
    FileError
  > {
    return Effect.gen({ self: this }, function* () {
      const plugins = (yield* this.#directory.entries(promiseFolders.plugin)).filter(({ name }) => isPlugin(name))
      const entries = yield* this.#directory.entries(promiseFolders.executable)
      const promise =
        (kind: PromiseFile["kind"]) =>
        ({ modified, name }: { name: string; modified: number }) => ({
          kind,
          name,
          title: titleOf(name),
          path: `${this.#directory.path}/${promiseFolders[kind]}/${name}`,
          modified,
        })
      return {
        promises: [
          ...plugins.map(promise("plugin")),
          ...entries.filter(({ isExecutable }) => isExecutable).map(promise("executable")),
        ],
        others: entries.filter(({ isExecutable }) => !isExecutable).map(({ name }) => name),
      }
    })
  }

  result({ title }: PromiseFile): Effect.Effect<PromiseResult | undefined> {
    const text = ignoring(this.#directory.readIfPresent(`${folder}/result/${title}.status.json`, maxFileSize))
    return Effect.map(text, (text) => (text === undefined ? undefined : decodeResult(text)))
  }

  schedule(promise: PromiseFile): Effect.Effect<PromiseSchedule | undefined> {
    const text = ignoring(this.#directory.readIfPresent(`${folder}/cache/${promise.title}`, maxFileSize))
    return Effect.map(text, (text) => (text === undefined ? undefined : decodeSchedule(text, promise)))
  }

  writeResult(promise: PromiseFile, result: PromiseResult): Effect.Effect<void, FileError> {
    return this.#write(`${folder}/result/${promise.title}.status.json`, encodeResult(promise, result))
  }

  writeSchedule(promise: PromiseFile, schedule: PromiseSchedule): Effect.Effect<void, FileError> {
    return this.#write(`${folder}/cache/${promise.title}`, encodeSchedule(promise, schedule))
  }

  #write(path: string, text: string): Effect.Effect<void, FileError> {
    return this.#directory.write(path, text, { mode: 0o644, owner: this.#directory.owner })
  }

  /** Whether each of the last runs failed, the newest first. */
  runs({ title }: PromiseFile): Effect.Effect<ReadonlyArray<boolean>> {
    const of = (name: string) =>
      Effect.flatMap(this.#directory.openPresent(`${logFolder}/${name}`, "read"), (fd) =>
        readEnd(fd, 0, historySize),
      ).pipe(
        Effect.scoped,
        Effect.orElseSucceed(() => ""),
      )
    return Effect.gen(function* () {
      const runs = lastRuns(yield* of(`${title}.log`))
      // It was moved aside since.
      return runs.length >= 2 ? runs : [...runs, ...lastRuns(yield* of(`${title}.log.1`))]
    })
  }

  /** Moves a log that has become too long aside: plugins write theirs themselves. */
  boundLog({ title }: PromiseFile): Effect.Effect<void> {
    const name = `${logFolder}/${title}.log`
    return Effect.flatMap(this.#directory.exists(name), (isThere) =>
      // Made by the plugin itself, or not at all.
      isThere ? Effect.scoped(this.#directory.openLog(name, logLimit)) : Effect.void,
    ).pipe(Effect.ignore)
  }

  log(promise: PromiseFile, entry: { readonly at: number; readonly hasFailed: boolean; readonly message: string }) {
    return Effect.gen({ self: this }, function* () {
      const line = logLine(entry, DateTime.zoneMakeLocal(), yield* Random.next)
      const fd = yield* this.#directory.openLog(`${logFolder}/${promise.title}.log`, logLimit)
      yield* appendLine(fd, line)
    }).pipe(Effect.scoped, Effect.ignore)
  }
}
