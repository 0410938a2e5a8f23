// Supervises the programs of partitions: gives each program its user, environment, log and standard input, and keeps
// one ServiceGroup a partition. What a program needs is opened for the moment of its start only.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { NodeConfig } from "../config/NodeConfig.ts"
import type { PartitionId } from "../domain/ids.ts"
import { fullName, type ServiceKind, type ServiceSpec } from "../domain/ServiceSpec.ts"
import type { FileError } from "../files/FileError.ts"
import { ownerOf, ownUid, realPath } from "../files/machine.ts"
import { OwnedDirectory } from "../files/OwnedDirectory.ts"
import { Accounts } from "./Accounts.ts"
import { Containment, endUser, programMember } from "./containment/Containment.ts"
import { Departure } from "./Departure.ts"
import { Inheritances } from "./Inheritances.ts"
import { Launcher } from "./launcher/Launcher.ts"
import { LogKeepers } from "./logs/LogKeeper.ts"
import { StartTurns } from "./service/StartTurns.ts"
import { makeServiceGroup, type ServiceGroup } from "./service/ServiceGroup.ts"
import type { ServiceDependencies } from "./service/Service.ts"
import {
  isProgramOf,
  prermFolder,
  prermPrograms,
  programEnvironment,
  programFolders,
  programLog,
  programs,
} from "./service/programs.ts"
import type { ServiceProcess } from "./ServiceProcess.ts"
import { Spawner } from "./Spawner.ts"
import { TakeoverError } from "./takeover/Succession.ts"
import { Takeover } from "./takeover/Takeover.ts"

export interface GroupOptions {
  readonly id: PartitionId
  readonly onChange: Effect.Effect<void>
  /** A watched program ended by itself. */
  readonly onAlarm: ServiceDependencies["onAlarm"]
}

/**
 * Gives work with files its turn, one piece at a time and each in a task of the event loop of its own: a thousand
 * programs that begin at once must not keep everything else waiting.
 */
const makePace = Effect.map(
  Semaphore.make(1),
  (turn) =>
    <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      turn.withPermits(1)(Effect.andThen(Effect.yieldNow, work)),
)

const stillForeign = (spec: ServiceSpec) =>
  new TakeoverError({
    group: spec.partition,
    message: `${fullName(spec)} is not started: the reference still has ${spec.partition}`,
  })

export class PartitionServices extends Context.Service<
  PartitionServices,
  {
    /** The partition's group, with what an earlier agent left of it; the end of the Scope stops its programs. */
    readonly group: (options: GroupOptions) => Effect.Effect<ServiceGroup, FileError, Scope.Scope>
    /** The groups that there are, by partition. */
    readonly groups: ReadonlyMap<PartitionId, ServiceGroup>
    /** The programs that a partition has now. */
    readonly programsOf: (
      id: PartitionId,
      directory: OwnedDirectory,
    ) => Effect.Effect<ReadonlyArray<ServiceSpec>, FileError>
    /** The scripts that it wants run before its removal. */
    readonly prermOf: (
      id: PartitionId,
      directory: OwnedDirectory,
    ) => Effect.Effect<ReadonlyArray<ServiceSpec>, FileError>
    /**
     * Ends whatever the partition's user runs elsewhere, through ssh or a timer, say: the next instance will be the same
     * user. Not when somebody else is, too.
     */
    readonly endUser: (id: PartitionId, directory: OwnedDirectory) => Effect.Effect<void>
  }
>()("slapgrid/process/PartitionServices") {
  static readonly layer = Layer.effect(
    PartitionServices,
    Effect.gen(function* () {
      const config = yield* NodeConfig
      const accounts = yield* Accounts
      const spawner = yield* Spawner
      const launcher = yield* Launcher
      const containment = yield* Containment
      const logKeepers = yield* LogKeepers
      const { isLeaving } = yield* Departure
      const inheritances = yield* Inheritances
      const { isForeign } = yield* Takeover
      const groups = new Map<PartitionId, ServiceGroup>()
      const turns = new StartTurns(Effect.runForkWith(yield* Effect.context()))
      const paced = yield* makePace

      /** The user whose processes are all this partition's and ours. */
      const uidOf = (id: PartitionId) => (isForeign(id) ? undefined : ownUid(config.instanceRoot, id))

      const endUserOf = (id: PartitionId) => {
        const uid = uidOf(id)
        return uid === undefined ? undefined : endUser(uid, launcher)
      }

      /** Whether an environment says that a process is of this partition and of ours, and of none of the programs named. */
      const isStrayOf = (id: PartitionId, except: ReadonlyArray<string>) => (environment: ReadonlySet<string>) =>
        !isForeign(id) && isProgramOf(id, config.instanceRoot, except)(environment)

      /** The place of a program: its log, and a cgroup that nobody else is in. */
      const prepare = Effect.fnUntraced(function* (spec: ServiceSpec, directory: OwnedDirectory) {
        const output = yield* directory.openLog(programLog(spec))
        const enclosure = containment.enclosure(spec.partition, programMember(spec.name))
        // A crash of an agent can fall between a spawn and its record.
        if (enclosure.isNew !== true) yield* enclosure.end(undefined)
        return { output, enclosure }
      }, paced)

      const spawn = Effect.fnUntraced(function* (spec: ServiceSpec) {
        // Whatever asks for it: an earlier agent's record, say, of a partition that the reference has got back.
        if (isForeign(spec.partition)) return yield* stillForeign(spec)
        yield* turns.take(spec.partition)
        const directory = yield* OwnedDirectory.open(`${config.instanceRoot}/${spec.partition}`)
        const software = yield* ownerOf(config.softwareRoot)
        const credentials = yield* accounts.credentialsFor(directory.owner, directory.path, [software.gid])
        const user = yield* accounts.describe(directory.owner)
        return yield* spawner.spawn({
          path: spec.path,
          cwd: directory.path,
          env: programEnvironment(spec, user, directory.path, config.instanceRoot),
          credentials,
          ...(yield* prepare(spec, directory)),
        })
      }, Effect.scoped)

      const keepLog = (spec: ServiceSpec, { cgroup }: ServiceProcess) =>
        logKeepers.keep({
          directory: `${config.instanceRoot}/${spec.partition}`,
          name: programLog(spec),
          limit: config.serviceLogMaxSize,
          cgroup,
          subject: fullName(spec),
        })

      const group = Effect.fnUntraced(function* ({ id, onAlarm, onChange }: GroupOptions) {
        const inherited = inheritances.take(id)
        yield* containment.limit(id)
        const except = new Set(inherited.map(({ spec }) => programMember(spec.name)))
        // Without cgroups the user tells, but not of which of several programs a process is: then its environment.
        const runs = inherited.some(({ inheritance }) => "process" in inheritance)
        yield* containment.endOwner(id, {
          except,
          endUser: () => (runs ? undefined : endUserOf(id)),
          isStray: isStrayOf(
            id,
            inherited.map(({ spec }) => spec.name),
          ),
        })
        const made = yield* makeServiceGroup({
          inherited,
          endRest: containment.endOwner(id, {
            except: new Set(),
            endUser: () => endUserOf(id),
            isStray: isStrayOf(id, []),
          }),
          dependencies: {
            spawn,
            stopTimeout: config.stopTimeout,
            onChange,
            onAlarm,
            remember: inheritances.remember,
            keepLog,
            isLeaving,
          },
        })
        groups.set(id, made)
        yield* Effect.addFinalizer(() => Effect.sync(() => groups.delete(id)))
        return made
      }, paced)

      const programsOf = Effect.fnUntraced(function* (id: PartitionId, directory: OwnedDirectory) {
        const entries = (kind: ServiceKind) => directory.programs(programFolders[kind])
        return programs(id, directory, { run: yield* entries("run"), service: yield* entries("service") })
      }, paced)

      const prermOf = (id: PartitionId, directory: OwnedDirectory) =>
        paced(Effect.map(directory.programs(prermFolder), (entries) => prermPrograms(id, directory, entries)))

      const endResident = Effect.fnUntraced(function* (id: PartitionId, directory: OwnedDirectory) {
        const uid = uidOf(id)
        const { home = directory.path } = yield* accounts.describe(directory.owner)
        // Somebody who lives elsewhere does other things, too.
        if (uid === directory.owner.uid && realPath(home) === realPath(directory.path)) yield* endUser(uid, launcher)
      })

      return PartitionServices.of({ group, groups, programsOf, prermOf, endUser: endResident })
    }),
  )
}
