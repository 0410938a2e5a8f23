// The work on one partition: install, start or stop, free. Each piece can be interrupted and run again. What the
// agent has to remember about it is the actor's; what other programs read lies in the partition.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Aside } from "../../build/Buildout.ts"
import type { DesiredPartition } from "../../domain/DesiredState.ts"
import type { PartitionId, SoftwareUrl } from "../../domain/ids.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import { removeTree } from "../../files/removeTree.ts"
import type { ServiceGroup } from "../../process/service/ServiceGroup.ts"
import { updateCertificate } from "./certificate.ts"
import type { Processed } from "./decide.ts"
import { note, PartitionError, PartitionPlace, toPartitionError } from "./PartitionPlace.ts"
import { PartitionRemoval, type RemovalDependencies } from "./PartitionRemoval.ts"
import { beginRequests, requestsOf } from "./requests.ts"
import { readProcessed, timestampFile } from "./processed.ts"
import { freezeDelay } from "./retention.ts"

export type WorkDependencies = RemovalDependencies

const bangFile = ".slapos_latest_bang_timestamp"
/** What the node itself keeps in a free partition. */
const expectedLeftovers = new Set([".slapos-resource"])

export class PartitionWork {
  readonly id: PartitionId
  readonly #dependencies: WorkDependencies

  /** The end of the instance. */
  readonly removal: PartitionRemoval
  readonly #place: PartitionPlace

  constructor(id: PartitionId, dependencies: WorkDependencies) {
    this.id = id
    this.#dependencies = dependencies
    this.#place = new PartitionPlace(id, dependencies.config.instanceRoot, dependencies.builder.credentials)
    this.removal = new PartitionRemoval(this.#place, dependencies)
  }

  get #errorLog(): string {
    return `.slapgrid-${this.id}-error.log`
  }

  /** The last successful processing that the partition itself tells of. */
  get processed(): Effect.Effect<Processed | undefined> {
    return readProcessed(this.#place.path)
  }

  /** Milliseconds after which this release wants its instances processed again; undefined when it says nothing. */
  periodicity(software: SoftwareUrl | undefined): Effect.Effect<number | undefined> {
    return software === undefined ? Effect.undefined : this.#dependencies.builder.periodicity(software)
  }

  /** Tells that the instance waits for its turn to be installed, as long as the Scope is open. */
  expectInstall({ software }: DesiredPartition): Effect.Effect<void, never, Scope.Scope> {
    return software === undefined ? Effect.void : this.#dependencies.builder.expect(this.id, software)
  }

  /** Installs the instance, whose services are not touched; gives which instances it requested, if it says so. */
  install(
    partition: DesiredPartition,
    { aside, isDebug, reason }: { readonly reason: string; readonly isDebug: boolean; readonly aside: Aside },
  ): Effect.Effect<ReadonlyArray<string> | undefined, PartitionError> {
    const { builder, client, config } = this.#dependencies
    return Effect.gen({ self: this }, function* () {
      const { directory, log } = yield* this.#place.openLog
      yield* note(log, `processing: ${reason}`)
      yield* directory.remove(this.#errorLog)
      yield* beginRequests(this.id, directory)
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
      yield* builder.install({ id: this.id, software, requested, directory, log, isDebug, aside })
      yield* freezeDelay(directory, partition.filter["retention_delay"])
      yield* note(log, "processed")
      return yield* requestsOf(this.id, directory)
    }).pipe(Effect.scoped, Effect.mapError(toPartitionError))
  }

  /**
   * Makes the group run what the partition has now, for the deployment with this timestamp. Of those that were stopped
   * by hand, the ones that `releases` names are started.
   */
  start(
    group: ServiceGroup,
    deployment: string | undefined,
    releases: (name: string) => boolean,
  ): Effect.Effect<void, PartitionError> {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* this.#place.open
      // Last of all before ours start: until then the reference's serve.
      yield* this.#dependencies.takeover.release(this.id)
      yield* group.apply(yield* this.#dependencies.services.programsOf(this.id, directory), deployment, releases)
    }).pipe(Effect.mapError(toPartitionError))
  }

  /** Makes the group's programs those that the partition has now, all of them stopped by hand. */
  hold(group: ServiceGroup): Effect.Effect<void, PartitionError> {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* this.#place.open
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
      const directory = yield* this.#place.open
      yield* directory.write(timestampFile, timestamp, { mode: 0o644, owner: directory.owner })
    }).pipe(Effect.mapError(toPartitionError))
  }

  /** Leaves a failure where the partition's user finds it. */
  writeErrorLog(message: string): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* this.#place.open
      yield* directory.write(this.#errorLog, `${message}\n`, { mode: 0o644, owner: directory.owner })
    }).pipe(Effect.ignore)
  }

  /** Cleans a partition that serves nobody. */
  get free(): Effect.Effect<void, PartitionError> {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* OwnedDirectory.open(this.#place.path)
      yield* removeTree(`${this.#place.path}/.slapgrid`)
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
      const directory = yield* this.#place.open
      yield* directory.write(bangFile, deployment, { mode: 0o644, owner: directory.owner })
    }).pipe(Effect.ignore)
  }
}
