// Builds and removes software releases in `software_root/<md5 of the URL>`, as the owner of `software_root`. The order
// of steps and the files are the reference's: node-behaviour.md (Software releases).
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import { NodeConfig } from "../config/NodeConfig.ts"
import type { SoftwareUrl } from "../domain/ids.ts"
import {
  agentDirectory,
  followText,
  makeOwnedDirectory,
  ownerOf,
  readTrusted,
  releaseDirectory,
  sizeOf,
} from "../files/machine.ts"
import { OwnedDirectory } from "../files/OwnedDirectory.ts"
import { removeRemains, removeWhole } from "../files/removeTree.ts"
import { Accounts } from "../process/Accounts.ts"
import { Containment } from "../process/containment/Containment.ts"
import { gitRevision } from "../process/gitRevision.ts"
import type { Credentials } from "../process/privileges.ts"
import { Spawner } from "../process/Spawner.ts"
import { LogKeepers } from "../process/logs/LogKeeper.ts"
import { type BuildError, toBuildError, withOutput } from "./BuildError.ts"
import { checkSpace, overLimits } from "./buildLimits.ts"
import { Buildout } from "./Buildout.ts"
import { NetworkCache } from "./networkcache/NetworkCache.ts"
import { type BuildMode, buildoutArguments } from "./profile.ts"
import { type BuildProgress, nothingRead, progressOf, readOn } from "./progress.ts"
import { completedFile, copyNetrc, logFile, skippedMarker, skipsBootstrap, writeProfile } from "./ReleaseFiles.ts"

/** What a garbage collection did. */
export interface Collection {
  /** Directories that are gone. */
  readonly removed: ReadonlyArray<string>
  /** Why others that should be are not. */
  readonly failures: ReadonlyArray<BuildError>
}

/** A release's directory, ready for buildout. */
interface Prepared {
  readonly directory: OwnedDirectory
  readonly credentials: Credentials | undefined
  /** Of the user who builds. */
  readonly home: string
}

/** A log of more bytes is put aside when the next build begins. */
const logLimit = 20 * 1024 * 1024
/** What a single build may write; of more, the end is kept. */
const buildLogLimit = 100 * 1024 * 1024

export class SoftwareBuild extends Context.Service<
  SoftwareBuild,
  {
    /** Whether an earlier build of this release was finished and reported. */
    readonly isCompleted: (url: SoftwareUrl) => Effect.Effect<boolean, BuildError>
    /** Takes the release from the network cache, or runs buildout, and `watch` beside it as long as it runs. */
    readonly build: (
      url: SoftwareUrl,
      mode: BuildMode,
      watch: (progress: Effect.Effect<BuildProgress>) => Effect.Effect<never>,
    ) => Effect.Effect<void, BuildError>
    /** Marks the release as finished: it is not built again. */
    readonly complete: (url: SoftwareUrl) => Effect.Effect<void, BuildError>
    /** Takes that mark away. */
    readonly reopen: (url: SoftwareUrl) => Effect.Effect<void, BuildError>
    readonly destroy: (url: SoftwareUrl) => Effect.Effect<void, BuildError>
    /** Removes the directories of releases that are not `wanted`, which is asked anew for each. */
    readonly collect: (wanted: () => ReadonlyArray<SoftwareUrl>) => Effect.Effect<Collection, BuildError>
  }
>()("slapgrid/build/SoftwareBuild") {
  static readonly layer = Layer.effect(
    SoftwareBuild,
    Effect.gen(function* () {
      const config = yield* NodeConfig
      const accounts = yield* Accounts
      const buildout = yield* Buildout
      const cache = yield* NetworkCache
      const containment = yield* Containment
      const logs = yield* LogKeepers
      const revisionOf = gitRevision(yield* Spawner, agentDirectory(config.instanceRoot))

      const pathOf = (url: SoftwareUrl) => releaseDirectory(config.softwareRoot, url)
      const open = (url: SoftwareUrl) => OwnedDirectory.open(pathOf(url))
      const turns = new Map<string, Semaphore.Semaphore>()

      /** A directory is built or removed by one at a time. */
      const alone = <A, E>(path: string, work: Effect.Effect<A, E>): Effect.Effect<A, E> =>
        Effect.suspend(() => {
          const turn = turns.get(path) ?? Semaphore.makeUnsafe(1)
          turns.set(path, turn)
          return turn.withPermit(work)
        })

      /** Ends what a build, a dead agent's too, has left running in a directory, and removes its cgroup. */
      const endBuilds = (path: string) =>
        containment.endOwner(path, {
          except: new Set(),
          // Where only the environment tells: what left a buildout's session still has its home.
          isStray: (environment) => environment.has(`HOME=${path}`),
        })

      const isCompleted = (url: SoftwareUrl) =>
        open(url).pipe(
          Effect.flatMap((directory) => directory.exists(completedFile)),
          Effect.catchIf(
            (error) => error.reason === "NotFound",
            () => Effect.succeed(false),
          ),
          Effect.mapError(toBuildError),
        )

      const keptLog = Effect.fnUntraced(function* (path: string) {
        const { cgroup } = containment.enclosure(path, "build")
        const subject = `the build in ${path}`
        const end = yield* logs.keep({ directory: path, name: logFile, limit: buildLogLimit, cgroup, subject })
        yield* Effect.addFinalizer(() => end)
      }, Effect.uninterruptible)

      const prepare = Effect.fnUntraced(function* (url: SoftwareUrl) {
        const owner = yield* ownerOf(config.softwareRoot)
        const credentials = yield* accounts.credentialsFor(owner, config.softwareRoot, [])
        const path = releaseDirectory(config.softwareRoot, url)
        yield* makeOwnedDirectory(path, 0o755, owner)
        const directory = yield* OwnedDirectory.open(path)
        const { home = path } = yield* accounts.describe(directory.owner)
        yield* copyNetrc(directory, home)
        yield* directory.makeDirectory("extends-cache", 0o755)
        yield* writeProfile(config, directory, url, revisionOf(url, credentials))
        return { directory, credentials, home }
      })

      /** Bootstraps where that is due, then builds. */
      const runBuildouts = Effect.fnUntraced(function* (release: Prepared, mode: BuildMode, log: number) {
        const { credentials, directory, home } = release
        const { path } = directory
        const options = buildoutArguments(path, config.buildoutNetworkCache, mode)
        const enclosure = containment.enclosure(path, "build")
        const common = { directory: path, credentials, instanceRoot: undefined, log, timeout: undefined, enclosure }
        if (!(yield* skipsBootstrap(directory))) {
          const text = yield* readTrusted(config.buildout)
          yield* buildout.run({ ...common, script: config.buildout, text, arguments: [...options, "bootstrap"], home })
        }
        const text = yield* directory.read("bin/buildout")
        const script = `${path}/bin/buildout`
        yield* buildout.run({ ...common, script, text, arguments: ["-U", ...options], home: path })
        yield* directory.remove(skippedMarker)
      })

      const build = Effect.fn("SoftwareBuild.build")(
        function* (
          url: SoftwareUrl,
          mode: BuildMode,
          watch: (progress: Effect.Effect<BuildProgress>) => Effect.Effect<never>,
        ) {
          const path = pathOf(url)
          yield* Effect.acquireRelease(endBuilds(path), () => endBuilds(path))
          yield* removeRemains(path)
          yield* checkSpace(config)
          yield* cache.endUpload(path)
          if ((yield* cache.fetch(url)) === "Installed") return
          const release = yield* prepare(url)
          const log = yield* release.directory.openLog(logFile, logLimit)
          yield* keptLog(path)
          const start = yield* sizeOf(log)
          yield* Effect.forkScoped(watch(progressIn(log, start)))
          yield* Effect.raceFirst(
            runBuildouts(release, mode, log),
            Effect.catch(overLimits(config), (error) => withOutput(error, log, start)),
          )
          yield* cache.upload(url)
        },
        Effect.scoped,
        Effect.mapError(toBuildError),
        (build, url) => alone(pathOf(url), build),
      )

      const complete = Effect.fnUntraced(function* (url: SoftwareUrl) {
        const directory = yield* open(url)
        const now = DateTime.formatIso(yield* DateTime.now)
        yield* directory.write(completedFile, now, { mode: 0o644, owner: directory.owner })
      }, Effect.mapError(toBuildError))

      const reopen = (url: SoftwareUrl) =>
        open(url).pipe(
          Effect.flatMap((directory) => directory.remove(completedFile)),
          Effect.catchIf(
            (error) => error.reason === "NotFound",
            () => Effect.void,
          ),
          Effect.mapError(toBuildError),
        )

      const remove = Effect.fnUntraced(function* (path: string) {
        yield* endBuilds(path)
        yield* cache.endUpload(path)
        yield* removeWhole(path)
      }, Effect.mapError(toBuildError))

      const collect = Effect.fnUntraced(function* (wanted: () => ReadonlyArray<SoftwareUrl>) {
        const root = yield* OwnedDirectory.open(config.softwareRoot)
        const removed: Array<string> = []
        const failures: Array<BuildError> = []
        for (const name of releasesAmong(yield* root.names())) {
          const path = `${root.path}/${name}`
          const collectOne = Effect.suspend(() =>
            wanted().some((url) => pathOf(url) === path) ? Effect.succeed(false) : removeGarbage(path),
          )
          const outcome = yield* Effect.result(alone(path, collectOne))
          if (outcome._tag === "Failure") failures.push(outcome.failure)
          else if (outcome.success) removed.push(path)
        }
        return { removed, failures }
      }, Effect.mapError(toBuildError))

      /** False when the directory is no release, nor the remains of one. */
      const removeGarbage = Effect.fnUntraced(function* (path: string) {
        const directory = yield* Effect.option(OwnedDirectory.open(path))
        const isRelease = Option.isSome(directory) && (yield* directory.value.exists("buildout.cfg"))
        if (isRelease) yield* remove(path)
        else yield* removeRemains(path)
        return isRelease
      }, Effect.mapError(toBuildError))

      return SoftwareBuild.of({
        isCompleted,
        build,
        complete,
        reopen,
        destroy: (url) => alone(pathOf(url), remove(pathOf(url))),
        collect,
      })
    }),
  )
}

/** Names that releases can have, also those of which only remains are there. Pure. */
export const releasesAmong = (names: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...new Set(names.flatMap((name) => /^([0-9a-f]{32})(?:\.removing)?$/.exec(name)?.[1] ?? [])),
]

/** What a build is at, whenever it is asked. */
const progressIn = (log: number, start: number): Effect.Effect<BuildProgress> => {
  let reading = nothingRead
  return Effect.map(followText(log, start), (piece) => {
    reading = readOn(reading, piece)
    return progressOf(reading)
  })
}
