// Checks the promises of partitions as their users: runs what is due, keeps the results where monitoring software reads
// them, and gives what they mean together. Two of a partition run at once, and a limited number on the node.
// node-behaviour.md (Promises).
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { buildEnvironment } from "../build/environment.ts"
import { InstanceBuild } from "../build/InstanceBuild.ts"
import { interpreterOf } from "../build/launcher.ts"
import { NodeConfig, type NodeConfigShape } from "../config/NodeConfig.ts"
import type { PartitionId, SoftwareUrl } from "../domain/ids.ts"
import { inheritedEnvironment, processors, releaseDirectory } from "../files/machine.ts"
import { OwnedDirectory } from "../files/OwnedDirectory.ts"
import { Accounts } from "../process/Accounts.ts"
import { Containment } from "../process/containment/Containment.ts"
import { Launcher } from "../process/launcher/Launcher.ts"
import { type Command, Spawner } from "../process/Spawner.ts"
import { version } from "../version.ts"
import { type Check, type CheckRequest, PartitionPromises, type Surroundings } from "./PartitionPromises.ts"
import { Places } from "./Places.ts"
import { publicUrl } from "../domain/text.ts"
import { logFolder } from "./PromiseFiles.ts"

/** Why the promises of a partition cannot be checked at all. */
export class PromiseError extends Schema.TaggedError<PromiseError>()("PromiseError", { message: Schema.String }) {}

export interface PromisesOfPartition {
  /** Not for concurrent callers. */
  readonly check: (software: SoftwareUrl | undefined, request: CheckRequest) => Effect.Effect<Check, PromiseError>
  /** Whether the results that are kept say that one fails. */
  readonly wereFailing: Effect.Effect<boolean>
}

export class Promises extends Context.Service<Promises, { readonly of: (id: PartitionId) => PromisesOfPartition }>()(
  "slapgrid/health/Promises",
) {
  static readonly layer = Layer.effect(
    Promises,
    Effect.gen(function* () {
      const config = yield* NodeConfig
      const accounts = yield* Accounts
      const builder = yield* InstanceBuild
      const containment = yield* Containment
      const tools = { launcher: yield* Launcher, spawner: yield* Spawner, places: new Places(processors()) }

      /** As whom and where the promises of a partition run. */
      const surroundings = Effect.fnUntraced(function* (
        id: PartitionId,
        directory: OwnedDirectory,
        software: SoftwareUrl | undefined,
      ) {
        const { home = directory.path } = yield* accounts.describe(directory.owner)
        const command: Omit<Command, "argv" | "enclosure" | "output" | "timeout"> = {
          cwd: directory.path,
          env: buildEnvironment(inheritedEnvironment(), home, config.instanceRoot),
          credentials: yield* builder.credentials(directory),
          umask: 0o022,
        }
        return {
          directory,
          command,
          enclosure: (member) => containment.enclosure(id, member),
          interpreter: yield* interpreterFor(config, directory, software),
          arguments: pluginArguments(config, id, directory.path),
        } satisfies Surroundings
      })

      return Promises.of({
        of: (id) => {
          const promises = new PartitionPromises(id, tools, config)
          const opened = OwnedDirectory.open(`${config.instanceRoot}/${id}`)
          return {
            check: (software, request) =>
              opened.pipe(
                Effect.flatMap((directory) =>
                  promises.check(directory, surroundings(id, directory, software), request),
                ),
                Effect.mapError(
                  ({ message }) => new PromiseError({ message: `the promises of ${id} cannot be checked: ${message}` }),
                ),
              ),
            wereFailing: opened.pipe(
              Effect.flatMap(promises.wereFailing),
              Effect.orElseSucceed(() => false),
            ),
          }
        },
      })
    }),
  )
}

/** The Python that the release was built with; undefined when nothing tells it. */
const interpreterFor = Effect.fnUntraced(function* (
  config: NodeConfigShape,
  directory: OwnedDirectory,
  software: SoftwareUrl | undefined,
) {
  const ofRelease =
    software === undefined
      ? Effect.undefined
      : Effect.flatMap(OwnedDirectory.open(releaseDirectory(config.softwareRoot, software)), (release) =>
          release.readIfPresent("bin/buildout"),
        )
  const text =
    (yield* Effect.orElseSucceed(ofRelease, () => undefined)) ?? (yield* directory.readIfPresent("sbin/buildout"))
  return text === undefined ? undefined : interpreterOf(text)
})

/** What plugins are constructed with, but for what is each one's own. */
const pluginArguments = (config: NodeConfigShape, id: PartitionId, path: string) => {
  const pair = config.certificates === undefined ? undefined : `${config.certificates.repositoryPath}/${id}`
  return {
    "master-url": publicUrl(config.masterUrl),
    "partition-cert": pair === undefined ? null : `${pair}.crt`,
    "partition-key": pair === undefined ? null : `${pair}.key`,
    "partition-id": id,
    "computer-id": config.computerId,
    "promise-timeout": config.promiseTimeout / 1000,
    "partition-folder": path,
    "log-folder": `${path}/${logFolder}`,
    debug: false,
    "slapgrid-version": version,
  }
}
