// The end of a partition, in the reference's order (node-behaviour.md, Removal): its retention, the scripts that run
// before and those whom it waits for, its last report of usage, `sbin/destroy`, then certificate, storage and content.
// From the first thing that is removed on there is no way back: a note in the agent's own directory says so to a
// successor.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { InstanceBuild } from "../../build/InstanceBuild.ts"
import type { NodeConfigShape } from "../../config/NodeConfig.ts"
import { agentDirectory } from "../../files/machine.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import { removeTree } from "../../files/removeTree.ts"
import type { MasterClient } from "../../master/MasterClient.ts"
import type { PartitionServices } from "../../process/PartitionServices.ts"
import type { ServiceGroup } from "../../process/service/ServiceGroup.ts"
import type { Takeover } from "../../process/takeover/Takeover.ts"
import type { UsageReports } from "../../report/usage/UsageReports.ts"
import { removeCertificate, updateCertificate } from "./certificate.ts"
import { logFolder, type PartitionError, type PartitionPlace, toPartitionError } from "./PartitionPlace.ts"
import { retainedUntil } from "./retention.ts"
import { emptyStorage } from "./storage.ts"
import { awaitedPrograms } from "./waitList.ts"

export interface RemovalDependencies {
  readonly config: NodeConfigShape
  readonly client: MasterClient["Service"]
  readonly builder: InstanceBuild["Service"]
  readonly services: PartitionServices["Service"]
  readonly takeover: Takeover["Service"]
  readonly usage: UsageReports["Service"]
}

/** Why the partition is not removed yet. */
export interface Obstacle {
  /** When to look again, in milliseconds since 1970. */
  readonly until: number
  readonly reason: string
}

/** Milliseconds between two looks at programs that removal waits for. */
const lookInterval = 2_000
/** For which deployment scripts are run: each once, whatever the master's timestamp does meanwhile. */
const deployment = "removal"
const notes = "removing"

export class PartitionRemoval {
  readonly #place: PartitionPlace
  readonly #dependencies: RemovalDependencies

  constructor(place: PartitionPlace, dependencies: RemovalDependencies) {
    this.#place = place
    this.#dependencies = dependencies
  }

  /** Ends what runs, but for scripts that an earlier agent began to run before the removal. */
  stop(group: ServiceGroup): Effect.Effect<void, PartitionError> {
    const { takeover } = this.#dependencies
    return Effect.gen({ self: this }, function* () {
      // Whatever becomes of that.
      const scripts = yield* Effect.orElseSucceed(this.#scripts, () => [])
      const begun = scripts.filter(({ name }) => group.program(name) !== undefined)
      yield* Effect.ensuring(
        takeover.release(this.#place.id),
        begun.length === 0 ? group.stopAll : group.apply(begun, deployment, false),
      )
    }).pipe(Effect.mapError(toPartitionError))
  }

  get updateCertificate(): Effect.Effect<void, PartitionError> {
    const { client, config } = this.#dependencies
    return Effect.gen({ self: this }, function* () {
      const { owner } = yield* this.#place.open
      if (config.certificates === undefined) return
      yield* updateCertificate(client, config.certificates.repositoryPath, this.#place.id, owner)
    }).pipe(Effect.mapError(toPartitionError))
  }

  /** What keeps it from being removed now; runs the scripts that come before. */
  obstacle(group: ServiceGroup): Effect.Effect<Obstacle | undefined, PartitionError> {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* this.#place.open
      const retained = yield* retainedUntil(directory)
      if (retained !== undefined) return { until: retained, reason: "its retention delay is not over" }
      const scripts = yield* this.#scripts
      if (scripts.length > 0) yield* group.apply(scripts, deployment, false)
      const awaited = new Set([
        ...scripts.map(({ name }) => name),
        ...(yield* awaitedPrograms(this.#place.id, directory)),
      ])
      const busy = group.status().filter(({ name, state }) => awaited.has(name) && runs.has(state))
      if (busy.length === 0) return undefined
      const names = busy.map(({ name }) => name).join(", ")
      return { until: (yield* Clock.currentTimeMillis) + lookInterval, reason: `its removal waits for ${names}` }
    }).pipe(Effect.mapError(toPartitionError))
  }

  /** Has it make its last report, and keeps that where the removal does not reach. */
  get sealUsage(): Effect.Effect<void, PartitionError> {
    return Effect.mapError(this.#dependencies.usage.seal(this.#place.id), toPartitionError)
  }

  /** What the instance itself does at its end. */
  get runDestroyScript(): Effect.Effect<void, PartitionError> {
    return Effect.flatMap(this.#openLog, ({ directory, log }) =>
      this.#dependencies.builder.runDestroyScript(this.#place.id, directory, log),
    ).pipe(Effect.scoped, Effect.mapError(toPartitionError))
  }

  /** What a partition has put in the place of its log holds nothing up: it goes a little earlier than the rest. */
  get #openLog() {
    const clear = Effect.gen({ self: this }, function* () {
      const directory = yield* this.#place.open
      yield* Effect.ignore(directory.remove(logFolder))
      yield* removeTree(`${directory.path}/${logFolder}`)
    })
    return Effect.catch(this.#place.openLog, () => Effect.andThen(clear, this.#place.openLog))
  }

  /** Whether an earlier removal did not come to its end. */
  get hasBegun(): Effect.Effect<boolean> {
    return Effect.flatMap(this.#ownDirectory, (own) => own.exists(this.#note)).pipe(Effect.orElseSucceed(() => false))
  }

  /** Removes everything but the directory itself. */
  get remove(): Effect.Effect<void, PartitionError> {
    const { config, services } = this.#dependencies
    const { id } = this.#place
    return Effect.gen({ self: this }, function* () {
      const directory = yield* this.#place.open
      yield* services.endUser(id, directory)
      const own = yield* this.#ownDirectory
      yield* own.makeDirectory(notes, 0o700)
      yield* own.write(this.#note, "", { mode: 0o600 })
      if (config.certificates !== undefined) yield* removeCertificate(config.certificates.repositoryPath, id)
      yield* emptyStorage(config.instanceStorageHome, id, directory)
      yield* directory.removeContents
      // Nobody could come in any more, but somebody may have meanwhile.
      yield* services.endUser(id, directory)
      yield* own.remove(this.#note)
    }).pipe(Effect.mapError(toPartitionError))
  }

  get #note(): string {
    return `${notes}/${this.#place.id}`
  }

  get #ownDirectory() {
    return OwnedDirectory.open(agentDirectory(this.#dependencies.config.instanceRoot))
  }

  /** The programs of `etc/prerm`, where the operator has them run. */
  get #scripts() {
    const { config, services } = this.#dependencies
    return Effect.gen({ self: this }, function* () {
      const directory = yield* this.#place.open
      return config.runsPrerm ? yield* services.prermOf(this.#place.id, directory) : []
    })
  }
}

const runs = new Set<string>(["starting", "running", "stopping"])
