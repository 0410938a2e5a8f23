// Turns a release into an instance in a partition's directory, as the partition's user. The order of steps and the
// files are the reference's: node-behaviour.md (Computer partitions).
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { NodeConfig, type NodeConfigShape } from "../config/NodeConfig.ts"
import type { DesiredPartition, PartitionRequestedState } from "../domain/DesiredState.ts"
import type { PartitionId, SoftwareUrl } from "../domain/ids.ts"
import { agentUid, inheritedEnvironment, ownerOf, readTrusted, releaseDirectory } from "../files/machine.ts"
import { OwnedDirectory } from "../files/OwnedDirectory.ts"
import { Accounts } from "../process/Accounts.ts"
import { Containment } from "../process/containment/Containment.ts"
import type { Credentials } from "../process/privileges.ts"
import { Spawner } from "../process/Spawner.ts"
import { BuildError, checkFreeSpace, toBuildError } from "./BuildError.ts"
import { type Aside, Buildout, type BuildoutScript } from "./Buildout.ts"
import { buildEnvironment } from "./environment.ts"
import { invocation } from "./launcher.ts"
import { readPeriodicity } from "./periodicity.ts"
import { completedFile } from "./ReleaseFiles.ts"
import { publicUrl } from "../domain/text.ts"
import { instanceProfile } from "./profile.ts"

export interface InstanceRequest {
  readonly id: PartitionId
  readonly software: SoftwareUrl
  readonly requested: PartitionRequestedState
  readonly directory: OwnedDirectory
  /** Open log that gets the output. */
  readonly log: number
  /** buildout stops to be looked at where it fails. */
  readonly isDebug: boolean
  readonly aside?: Aside
}

const requiredMode = 0o750

const scriptsOf = (release: OwnedDirectory): Effect.Effect<ReadonlyArray<string>> =>
  Effect.orElseSucceed(release.names("bin"), () => [])

const isBootstrap = (name: string): boolean => name.startsWith("bootstrap")

export class InstanceBuild extends Context.Service<
  InstanceBuild,
  {
    /** As whom everything in a partition runs; undefined when the agent is no root. Fails for root's directories. */
    readonly credentials: (directory: OwnedDirectory) => Effect.Effect<Credentials | undefined, BuildError>
    /** Milliseconds after which the release wants its instances processed again; undefined when it says nothing. */
    readonly periodicity: (software: SoftwareUrl) => Effect.Effect<number | undefined>
    /** Tells of which releases the master wants instances, and where. */
    readonly assign: (partitions: ReadonlyArray<DesiredPartition>) => Effect.Effect<void>
    /** Tells that this instance of the release waits for its turn to be installed, as long as the Scope is open. */
    readonly expect: (id: PartitionId, software: SoftwareUrl) => Effect.Effect<void, never, Scope.Scope>
    /** Gets ready for several instances of the release, which will be installed soon. */
    readonly prepare: (software: SoftwareUrl, ids: ReadonlyArray<PartitionId>) => Effect.Effect<void>
    readonly install: (request: InstanceRequest) => Effect.Effect<void, BuildError>
    /** Runs `sbin/destroy` when there is one. */
    readonly runDestroyScript: (
      id: PartitionId,
      directory: OwnedDirectory,
      log: number,
    ) => Effect.Effect<void, BuildError>
  }
>()("slapgrid/build/InstanceBuild") {
  static readonly layer = Layer.effect(
    InstanceBuild,
    Effect.gen(function* () {
      const config = yield* NodeConfig
      const accounts = yield* Accounts
      const buildout = yield* Buildout
      const spawner = yield* Spawner
      const containment = yield* Containment
      const enclosure = (id: PartitionId) => containment.enclosure(id, "build")
      const inherited = inheritedEnvironment()

      const credentials = Effect.fnUntraced(function* (directory: OwnedDirectory) {
        const software = yield* ownerOf(config.softwareRoot)
        return yield* accounts.credentialsFor(directory.owner, directory.path, [software.gid])
      }, Effect.mapError(toBuildError))

      let assigned: ReadonlyArray<DesiredPartition> = []
      const assign = (partitions: ReadonlyArray<DesiredPartition>) => Effect.sync(() => void (assigned = partitions))

      /** Who has no directory that can be used needs none of its release. */
      const userOf = ({ id }: DesiredPartition) =>
        OwnedDirectory.open(`${config.instanceRoot}/${id}`).pipe(
          Effect.flatMap(credentials),
          Effect.map((user) => (user === undefined ? [] : [user])),
          Effect.orElseSucceed((): ReadonlyArray<Credentials> => []),
        )

      const instancesOf = (software: SoftwareUrl) =>
        assigned.filter((one) => one.software === software && one.requested !== "destroyed")

      const usersOf = (software: SoftwareUrl) =>
        Effect.suspend(() => Effect.forEach(instancesOf(software), userOf, { concurrency: "unbounded" })).pipe(
          Effect.map((users) => users.flat()),
        )

      const told = new Map<SoftwareUrl, string>()
      const periodicity = (software: SoftwareUrl) =>
        Effect.catch(readPeriodicity(config.softwareRoot, software), ({ problem }) => {
          if (told.get(software) === problem) return Effect.undefined
          told.set(software, problem)
          return Effect.as(Effect.logWarning(`${problem}: maximum_periodicity is used`), undefined)
        })

      /** Runs a script of the release or the partition, with the user's home as HOME. */
      const runScript = Effect.fnUntraced(function* (
        argv: readonly [string, ...ReadonlyArray<string>],
        id: PartitionId,
        directory: OwnedDirectory,
        log: number,
      ) {
        const user = yield* credentials(directory)
        const { home = directory.path } = yield* accounts.describe(directory.owner)
        yield* spawner.run({
          argv,
          cwd: directory.path,
          env: buildEnvironment(inherited, home, config.instanceRoot),
          credentials: user,
          umask: 0o022,
          output: log,
          timeout: config.partitionTimeout,
          enclosure: enclosure(id),
        })
      })

      /** The release's own buildout, as all its instances have it. */
      const ownBuildout = Effect.fnUntraced(function* (software: SoftwareUrl, release: OwnedDirectory) {
        const instances = instancesOf(software)
        const found: BuildoutScript = {
          script: `${release.path}/bin/buildout`,
          text: yield* release.read("bin/buildout"),
          release: {
            directory: release.path,
            owner: release.owner,
            users: usersOf(software),
            hasOthers: instances.length > 1,
          },
        }
        return found
      })

      /** The buildout script that installs this instance, its text, and the release when it is the release's own. */
      const findBuildout = Effect.fnUntraced(function* (
        request: InstanceRequest,
        release: OwnedDirectory,
      ): Effect.fn.Return<BuildoutScript, Parameters<typeof toBuildError>[0]> {
        const { directory } = request
        const bin = yield* scriptsOf(release)
        const [candidate, ...others] = bin.filter(isBootstrap)
        if (others.length > 0) {
          const names = [candidate, ...others].join(", ")
          const message = `${release.path}/bin has more than one bootstrap script: ${names}`
          return yield* new BuildError({ reason: "Failed", message })
        }
        const own = `${directory.path}/sbin/buildout`
        if (candidate !== undefined) {
          const path = `${release.path}/bin/${candidate}`
          yield* runScript(
            invocation(path, yield* release.read(`bin/${candidate}`)),
            request.id,
            directory,
            request.log,
          )
          const text = yield* directory.readIfPresent("sbin/buildout")
          if (text !== undefined) return { script: own, text }
        } else if (bin.includes("buildout")) {
          return yield* ownBuildout(request.software, release)
        }
        const { home = directory.path } = yield* accounts.describe(directory.owner)
        yield* buildout.run({
          script: config.buildout,
          text: yield* readTrusted(config.buildout),
          arguments: [`buildout:bin-directory=${directory.path}/sbin`, "bootstrap"],
          directory: directory.path,
          home,
          credentials: yield* credentials(directory),
          instanceRoot: config.instanceRoot,
          log: request.log,
          timeout: config.partitionTimeout,
          enclosure: enclosure(request.id),
        })
        return { script: own, text: yield* directory.read("sbin/buildout") }
      })

      const install = Effect.fn("InstanceBuild.install")(function* (request: InstanceRequest) {
        const { directory } = request
        yield* checkFreeSpace(directory.path, config.instanceMinFreeSpace, "instance_min_free_space")
        const releasePath = releaseDirectory(config.softwareRoot, request.software)
        yield* directory.link("software_release", releasePath)
        yield* checkMode(directory)
        const release = yield* OwnedDirectory.open(releasePath).pipe(
          Effect.mapError(() => {
            const message = `software release ${request.software} is not on this machine (${releasePath})`
            return new BuildError({ reason: "NotReady", message })
          }),
        )
        yield* writeInstanceProfile(config, request, release)
        yield* buildout.run({
          ...(yield* findBuildout(request, release)),
          arguments: ["-U", ...(request.isDebug ? ["-D"] : [])],
          directory: directory.path,
          home: directory.path,
          credentials: yield* credentials(directory),
          instanceRoot: config.instanceRoot,
          log: request.log,
          timeout: config.partitionTimeout,
          enclosure: enclosure(request.id),
          ...(request.aside && { aside: request.aside }),
        })
      }, Effect.mapError(toBuildError))

      const instanceAt = Effect.fnUntraced(function* (id: PartitionId) {
        const directory = yield* OwnedDirectory.open(`${config.instanceRoot}/${id}`)
        return { directory: directory.path, credentials: yield* credentials(directory), enclosure: enclosure(id) }
      })

      const expect = (id: PartitionId, software: SoftwareUrl) =>
        instanceAt(id).pipe(
          Effect.flatMap((instance) =>
            buildout.expect({ ...instance, release: releaseDirectory(config.softwareRoot, software) }),
          ),
          // What is wrong with it is told when it is installed.
          Effect.ignore,
        )

      const prepare = Effect.fnUntraced(
        function* (software: SoftwareUrl, ids: ReadonlyArray<PartitionId>) {
          const release = yield* OwnedDirectory.open(releaseDirectory(config.softwareRoot, software))
          const bin = yield* scriptsOf(release)
          if (bin.some(isBootstrap) || !(yield* release.exists(completedFile))) return
          const script = yield* ownBuildout(software, release)
          const instances = Effect.forEach(ids, instanceAt, { concurrency: "unbounded" })
          yield* buildout.prepare(script, yield* instances)
        },
        // As above.
        (told) => Effect.ignore(told),
      )

      const runDestroyScript = Effect.fnUntraced(function* (id: PartitionId, directory: OwnedDirectory, log: number) {
        if (!(yield* directory.exists("sbin/destroy"))) return
        yield* runScript([`${directory.path}/sbin/destroy`], id, directory, log)
      }, Effect.mapError(toBuildError))

      return InstanceBuild.of({ credentials, periodicity, assign, expect, prepare, install, runDestroyScript })
    }),
  )
}

const checkMode = (directory: OwnedDirectory): Effect.Effect<void, BuildError> => {
  if (directory.mode === requiredMode) return Effect.void
  const actual = directory.mode.toString(8).padStart(4, "0")
  const message = `${directory.path} has mode ${actual}, but a partition must have 0750: chmod 0750 ${directory.path}`
  return new BuildError({ reason: "Directory", message })
}

const writeInstanceProfile = Effect.fnUntraced(function* (
  config: NodeConfigShape,
  request: InstanceRequest,
  release: OwnedDirectory,
) {
  const template = (yield* release.readIfPresent("instance.cfg")) ?? (yield* release.readIfPresent("template.cfg"))
  if (template === undefined) {
    const message = `software release ${request.software} is not correctly installed: no ${release.path}/instance.cfg`
    return yield* new BuildError({ reason: "Failed", message })
  }
  const pair = config.certificates === undefined ? undefined : `${config.certificates.repositoryPath}/${request.id}`
  const profile = instanceProfile(template, {
    computerId: config.computerId,
    partitionId: request.id,
    serverUrl: publicUrl(config.masterUrl),
    softwareReleaseUrl: request.software,
    keyFile: pair === undefined ? "" : `${pair}.key`,
    certFile: pair === undefined ? "" : `${pair}.crt`,
    sharedPartList: config.sharedPartList,
    buildTimePartList: config.buildTimePartList,
    requestedState: request.requested,
    storageHome: config.instanceStorageHome,
    globalIpv4Network: config.ipv4GlobalNetwork,
  })
  yield* request.directory.write("buildout.cfg", profile, {
    mode: 0o640,
    // The agent's own user: the partition reads its profile, but cannot change it.
    owner: { uid: agentUid(), gid: request.directory.owner.gid },
  })
})
