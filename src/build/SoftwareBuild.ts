// Builds and removes software releases in `software_root/<md5 of the URL>`, as the owner of `software_root`. The order
// of steps and the files are the reference's: node-behaviour.md (Software releases).
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import { NodeConfig, type NodeConfigShape } from "../config/NodeConfig.ts"
import type { SoftwareUrl } from "../domain/ids.ts"
import {
  agentDirectory,
  makeOwnedDirectory,
  ownerOf,
  readEnd,
  readTrusted,
  releaseDirectory,
  sizeOf,
} from "../files/machine.ts"
import { OwnedDirectory } from "../files/OwnedDirectory.ts"
import { removeRemains, removeWhole } from "../files/removeTree.ts"
import { Accounts } from "../process/Accounts.ts"
import { Containment } from "../process/containment/Containment.ts"
import { gitRevision } from "../process/gitRevision.ts"
import { Spawner } from "../process/Spawner.ts"
import { type BuildError, checkFreeSpace, toBuildError } from "./BuildError.ts"
import { Buildout } from "./Buildout.ts"
import { type BuildMode, buildoutArguments, releaseProfile, revisionNote } from "./profile.ts"

/** A log that can be looked at while it is written. */
export interface BuildProgress {
  /** The last line of output so far. */
  readonly lastLine: Effect.Effect<string>
}

/** What a garbage collection did. */
export interface Collection {
  /** Directories that are gone. */
  readonly removed: ReadonlyArray<string>
  /** Why others that should be are not. */
  readonly failures: ReadonlyArray<BuildError>
}

const logFile = ".slapgrid-build.log"
const logLimit = 20 * 1024 * 1024
const completedFile = ".completed"
const marker = "bin/buildout-bootstrap-skipped"

export class SoftwareBuild extends Context.Service<
  SoftwareBuild,
  {
    /** Whether an earlier build of this release was finished and reported. */
    readonly isCompleted: (url: SoftwareUrl) => Effect.Effect<boolean, BuildError>
    /** Runs buildout, and `watch` beside it as long as it runs. */
    readonly build: (
      url: SoftwareUrl,
      mode: BuildMode,
      watch: (progress: BuildProgress) => Effect.Effect<never>,
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
      const containment = yield* Containment
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
      const endBuilds = (path: string) => containment.endOwner(path, { except: new Set(), ownUid: () => undefined })

      const isCompleted = (url: SoftwareUrl) =>
        open(url).pipe(
          Effect.flatMap((directory) => directory.exists(completedFile)),
          Effect.catchIf(
            (error) => error.reason === "NotFound",
            () => Effect.succeed(false),
          ),
          Effect.mapError(toBuildError),
        )

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

      const build = Effect.fn("SoftwareBuild.build")(
        function* (url: SoftwareUrl, mode: BuildMode, watch: (progress: BuildProgress) => Effect.Effect<never>) {
          const path = pathOf(url)
          yield* Effect.acquireRelease(endBuilds(path), () => endBuilds(path))
          yield* removeRemains(path)
          yield* checkFreeSpace(config.softwareRoot, config.softwareMinFreeSpace, "software_min_free_space")
          const { credentials, directory, home } = yield* prepare(url)
          const log = yield* directory.openLog(logFile, logLimit)
          const start = yield* sizeOf(log)
          yield* Effect.forkScoped(watch({ lastLine: Effect.map(readEnd(log, start, 4000), lastLineOf) }))
          const common = {
            directory: directory.path,
            credentials,
            instanceRoot: undefined,
            log,
            timeout: undefined,
            enclosure: containment.enclosure(directory.path, "build"),
          }
          const options = buildoutArguments(path, config.buildoutNetworkCache, mode)
          if (!(yield* skipsBootstrap(directory))) {
            const text = yield* readTrusted(config.buildout)
            yield* buildout.run({
              ...common,
              script: config.buildout,
              text,
              arguments: [...options, "bootstrap"],
              home,
            })
          }
          yield* buildout.run({
            ...common,
            script: `${directory.path}/bin/buildout`,
            text: yield* directory.read("bin/buildout"),
            arguments: ["-U", ...options],
            home: directory.path,
          })
          yield* directory.remove(marker)
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

const lastLineOf = (text: string): string =>
  text
    .trimEnd()
    .split(/[\r\n]/)
    .at(-1) ?? ""

/**
 * Bootstrap is skipped when an earlier run left `bin/buildout`. A marker tells that a skipped try has not succeeded:
 * then bootstrap runs again, so that tries alternate.
 */
const skipsBootstrap = Effect.fnUntraced(function* (directory: OwnedDirectory) {
  if (yield* directory.exists(marker)) {
    yield* directory.remove(marker)
    return false
  }
  if (!(yield* directory.exists("bin/buildout"))) return false
  yield* directory.write(marker, "", { mode: 0o644, owner: directory.owner })
  return true
})

const copyNetrc = Effect.fnUntraced(function* (directory: OwnedDirectory, home: string) {
  if (home === directory.path) return
  const netrc = yield* OwnedDirectory.open(home).pipe(
    Effect.flatMap((from) => from.readIfPresent(".netrc")),
    // No home, or one that cannot be trusted: built without credentials, as if there were none.
    Effect.orElseSucceed(() => undefined),
  )
  if (netrc === undefined) yield* directory.remove(".netrc")
  else yield* directory.write(".netrc", netrc, { mode: 0o600, owner: directory.owner })
})

const writeProfile = Effect.fnUntraced(function* (
  config: NodeConfigShape,
  directory: OwnedDirectory,
  url: SoftwareUrl,
  revisionOf: Effect.Effect<string | undefined>,
) {
  const options = { mode: 0o644, owner: directory.owner }
  const present = yield* directory.readIfPresent("buildout.cfg")
  const profile = present ?? releaseProfile(url, config.sharedPartList, config.buildTimePartList)
  if (present === undefined) yield* directory.write("buildout.cfg", profile, options)
  const revision = yield* revisionOf
  if (revision === undefined) return
  const note = revisionNote(profile, revision, DateTime.formatIso(yield* DateTime.now))
  if (note !== undefined) yield* directory.write("buildout.cfg", profile + note, options)
})
