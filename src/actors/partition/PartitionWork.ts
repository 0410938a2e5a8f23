// The work on one partition: install, start or stop, remove. Each piece can be interrupted and run again. What the
// agent has to remember about it is the actor's; what other programs read lies in the partition.
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { InstanceBuild } from "../../build/InstanceBuild.ts"
import type { NodeConfigShape } from "../../config/NodeConfig.ts"
import type { DesiredPartition } from "../../domain/DesiredState.ts"
import type { PartitionId } from "../../domain/ids.ts"
import { appendLine } from "../../files/machine.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import { removeTree } from "../../files/removeTree.ts"
import type { MasterClient } from "../../master/MasterClient.ts"
import type { PartitionServices } from "../../process/PartitionServices.ts"
import type { ServiceGroup } from "../../process/service/ServiceGroup.ts"
import type { Takeover } from "../../process/takeover/Takeover.ts"
import { removeCertificate, updateCertificate } from "./certificate.ts"
import type { Processed } from "./decide.ts"
import { freezeDelay, retainedUntil, retentionDelayFile } from "./retention.ts"

/** Why a piece of work on a partition failed, in words that end with the cause. */
export class PartitionError extends Schema.TaggedError<PartitionError>()("PartitionError", {
  message: Schema.String,
}) {}

export interface WorkDependencies {
  readonly config: NodeConfigShape
  readonly client: MasterClient["Service"]
  readonly builder: InstanceBuild["Service"]
  readonly services: PartitionServices["Service"]
  readonly takeover: Takeover["Service"]
}

const timestampFile = ".timestamp"
const bangFile = ".slapos_latest_bang_timestamp"
const logFile = ".slapgrid/log/instance.log"
const logLimit = 20 * 1024 * 1024
/** What the node itself keeps in a free partition. */
const expectedLeftovers = new Set([".slapos-resource"])

const toPartitionError = (error: { readonly message: string }) => new PartitionError({ message: error.message })

const now = Effect.map(DateTime.now, DateTime.formatIso)

export class PartitionWork {
  readonly id: PartitionId
  readonly #dependencies: WorkDependencies

  constructor(id: PartitionId, dependencies: WorkDependencies) {
    this.id = id
    this.#dependencies = dependencies
  }

  get #path(): string {
    return `${this.#dependencies.config.instanceRoot}/${this.id}`
  }

  get #errorLog(): string {
    return `.slapgrid-${this.id}-error.log`
  }

  /** The partition's directory; never one of root's. */
  get #open() {
    return OwnedDirectory.open(this.#path).pipe(
      Effect.tap((directory) => this.#dependencies.builder.credentials(directory)),
      Effect.mapError((error) =>
        error._tag === "FileError" && error.reason === "NotFound"
          ? new PartitionError({ message: `${this.#path} does not exist: the computer has to be formatted first` })
          : toPartitionError(error),
      ),
    )
  }

  get #openLog() {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* this.#open
      yield* directory.makeDirectory(".slapgrid", 0o700)
      yield* directory.makeDirectory(".slapgrid/log", 0o700)
      const log = yield* directory.openLog(logFile, logLimit)
      return { directory, log }
    })
  }

  /** The last successful processing that `.timestamp` tells of. */
  get processed(): Effect.Effect<Processed | undefined> {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* OwnedDirectory.open(this.#path)
      const timestamp = yield* directory.readIfPresent(timestampFile, 10_000)
      const at = yield* directory.modifiedAt(timestampFile)
      if (timestamp !== undefined && at !== undefined) return { timestamp, at, wish: undefined }
      // Installed once, and the last processing did not come to its end.
      const wasInstalled = yield* directory.exists(retentionDelayFile)
      return wasInstalled ? { timestamp: undefined, at: 0, wish: undefined } : undefined
    }).pipe(Effect.orElseSucceed(() => undefined))
  }

  /** Installs the instance; its services are not touched. */
  install(
    partition: DesiredPartition,
    { isDebug, reason }: { readonly reason: string; readonly isDebug: boolean },
  ): Effect.Effect<void, PartitionError> {
    const { builder, client, config } = this.#dependencies
    return Effect.gen({ self: this }, function* () {
      const { directory, log } = yield* this.#openLog
      yield* appendLine(log, `\n${yield* now} processing: ${reason}`)
      yield* directory.remove(this.#errorLog)
      if (config.certificates !== undefined) {
        yield* updateCertificate(client, config.certificates.repositoryPath, this.id, directory.owner)
      }
      // Without it, a crash from here on means another processing.
      yield* directory.remove(timestampFile)
      const { requested, software } = partition
      if (software === undefined) {
        return yield* new PartitionError({
          message: `the master wants ${this.id} ${requested} but names no software release`,
        })
      }
      yield* builder.install({ id: this.id, software, requested, directory, log, isDebug })
      yield* freezeDelay(directory, partition.filter["retention_delay"])
      yield* appendLine(log, `${yield* now} processed`)
    }).pipe(Effect.scoped, Effect.mapError(toPartitionError))
  }

  /**
   * Makes the group run what the partition has now, for the deployment with this timestamp; `isProcessing`: it has just
   * been installed.
   */
  start(
    group: ServiceGroup,
    deployment: string | undefined,
    isProcessing: boolean,
  ): Effect.Effect<void, PartitionError> {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* this.#open
      // Last of all before ours start: until then the reference's serve.
      yield* this.#dependencies.takeover.release(this.id)
      yield* group.apply(yield* this.#dependencies.services.programsOf(this.id, directory), deployment, isProcessing)
    }).pipe(Effect.mapError(toPartitionError))
  }

  /** Makes the group's programs those that the partition has now, all of them stopped by hand. */
  hold(group: ServiceGroup): Effect.Effect<void, PartitionError> {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* this.#open
      yield* this.#dependencies.takeover.release(this.id)
      yield* group.hold(yield* this.#dependencies.services.programsOf(this.id, directory))
    }).pipe(Effect.mapError(toPartitionError))
  }

  /** Stops everything of the partition, the reference's programs too. Ours stop in any case. */
  stop(group: ServiceGroup): Effect.Effect<void, PartitionError> {
    return this.#dependencies.takeover
      .release(this.id)
      .pipe(Effect.mapError(toPartitionError), Effect.ensuring(group.stopAll))
  }

  /** Marks the processing as done: the master knows of it. */
  complete(timestamp: string): Effect.Effect<void, PartitionError> {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* this.#open
      yield* directory.write(timestampFile, timestamp, { mode: 0o644, owner: directory.owner })
    }).pipe(Effect.mapError(toPartitionError))
  }

  /** Leaves a failure where the partition's user finds it. */
  writeErrorLog(message: string): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* this.#open
      yield* directory.write(this.#errorLog, `${message}\n`, { mode: 0o644, owner: directory.owner })
    }).pipe(Effect.ignore)
  }

  /** Removes everything of a stopped, destroyed partition; gives the date before which it must stay, if any. */
  get destroy(): Effect.Effect<number | undefined, PartitionError> {
    const { builder, client, config } = this.#dependencies
    return Effect.gen({ self: this }, function* () {
      const directory = yield* this.#open
      if (config.certificates !== undefined) {
        yield* updateCertificate(client, config.certificates.repositoryPath, this.id, directory.owner)
      }
      const until = yield* retainedUntil(directory)
      if (until !== undefined) return until
      yield* Effect.scoped(
        Effect.flatMap(this.#openLog, ({ log }) => builder.runDestroyScript(this.id, directory, log)),
      )
      if (config.certificates !== undefined) yield* removeCertificate(config.certificates.repositoryPath, this.id)
      yield* directory.removeContents
      return undefined
    }).pipe(Effect.mapError(toPartitionError))
  }

  /** Cleans a partition that serves nobody. */
  get free(): Effect.Effect<void, PartitionError> {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* OwnedDirectory.open(this.#path)
      yield* removeTree(`${this.#path}/.slapgrid`)
      yield* directory.remove(timestampFile)
      const leftovers = (yield* directory.names()).filter((name) => !expectedLeftovers.has(name))
      if (leftovers.length > 0) {
        yield* Effect.logWarning(
          `free partition ${this.id} still has ${leftovers.length} entries: ${leftovers.slice(0, 5).join(", ")}`,
        )
      }
    }).pipe(Effect.mapError(toPartitionError))
  }

  /** Leaves for which deployment a bang was sent where the reference keeps it. Only for its sake: anybody can write it. */
  markBang(deployment: string): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* this.#open
      yield* directory.write(bangFile, deployment, { mode: 0o644, owner: directory.owner })
    }).pipe(Effect.ignore)
  }
}
