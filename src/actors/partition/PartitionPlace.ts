// Where a partition lives: its directory and its log, opened anew for each piece of work, because everything there
// belongs to the partition's user, who may have put something else in the place since.
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { InstanceBuild } from "../../build/InstanceBuild.ts"
import type { PartitionId } from "../../domain/ids.ts"
import { appendLine } from "../../files/machine.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"

/** Why a piece of work on a partition failed, in words that end with the cause. */
export class PartitionError extends Schema.TaggedError<PartitionError>()("PartitionError", {
  message: Schema.String,
}) {}

export const toPartitionError = (error: { readonly message: string }): PartitionError =>
  error instanceof PartitionError ? error : new PartitionError({ message: error.message })

export const logFolder = ".slapgrid"
const logFile = `${logFolder}/log/instance.log`
const logLimit = 20 * 1024 * 1024

/** A line of the partition's log. */
export const note = (log: number, text: string): Effect.Effect<void> =>
  Effect.flatMap(DateTime.now, (now) => appendLine(log, `${DateTime.formatIso(now)} ${text}`))

export class PartitionPlace {
  readonly id: PartitionId
  readonly path: string
  readonly #credentials: InstanceBuild["Service"]["credentials"]

  constructor(id: PartitionId, instanceRoot: string, credentials: InstanceBuild["Service"]["credentials"]) {
    this.id = id
    this.path = `${instanceRoot}/${id}`
    this.#credentials = credentials
  }

  /** The partition's directory; never one of root's. */
  get open(): Effect.Effect<OwnedDirectory, PartitionError> {
    return OwnedDirectory.open(this.path).pipe(
      Effect.tap((directory) => this.#credentials(directory)),
      Effect.mapError((error) =>
        error._tag === "FileError" && error.reason === "NotFound"
          ? new PartitionError({ message: `${this.path} does not exist: the computer has to be formatted first` })
          : toPartitionError(error),
      ),
    )
  }

  /** With the log of its processings, which is moved aside when it has become too long. */
  get openLog() {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* this.open
      yield* directory.makeDirectory(logFolder, 0o700)
      yield* directory.makeDirectory(`${logFolder}/log`, 0o700)
      const log = yield* directory.openLog(logFile, logLimit)
      return { directory, log }
    })
  }
}
