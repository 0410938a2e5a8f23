// Builds and removes software releases in `software_root/<md5 of the URL>`, as the owner of `software_root`. The order
// of steps and the files are the reference's: node-behaviour.md (Software releases).
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
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
import { removeTree } from "../files/removeTree.ts"
import { Accounts } from "../process/Accounts.ts"
import { Containment } from "../process/containment/Containment.ts"
import { gitRevision } from "../process/gitRevision.ts"
import { Spawner } from "../process/Spawner.ts"
import { type BuildError, checkFreeSpace, toBuildError } from "./BuildError.ts"
import { Buildout } from "./Buildout.ts"
import { buildoutArguments, releaseProfile, revisionNote } from "./profile.ts"

/** A log that can be looked at while it is written. */
export interface BuildProgress {
  /** The last line of output so far. */
  readonly lastLine: Effect.Effect<string>
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
      watch: (progress: BuildProgress) => Effect.Effect<never>,
    ) => Effect.Effect<void, BuildError>
    /** Marks the release as finished: it is not built again. */
    readonly complete: (url: SoftwareUrl) => Effect.Effect<void, BuildError>
    readonly destroy: (url: SoftwareUrl) => Effect.Effect<void, BuildError>
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

      const open = (url: SoftwareUrl) => OwnedDirectory.open(releaseDirectory(config.softwareRoot, url))

      /** Ends what a build, a dead agent's too, has left running, and removes its cgroup. */
      const endBuilds = (url: SoftwareUrl) =>
        containment.endOwner(releaseDirectory(config.softwareRoot, url), {
          except: new Set(),
          ownUid: () => undefined,
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
        function* (url: SoftwareUrl, watch: (progress: BuildProgress) => Effect.Effect<never>) {
          yield* Effect.acquireRelease(endBuilds(url), () => endBuilds(url))
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
          const options = buildoutArguments(directory.path, config.buildoutNetworkCache)
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
      )

      const complete = Effect.fnUntraced(function* (url: SoftwareUrl) {
        const directory = yield* open(url)
        const now = DateTime.formatIso(yield* DateTime.now)
        yield* directory.write(completedFile, now, { mode: 0o644, owner: directory.owner })
      }, Effect.mapError(toBuildError))

      const destroy = (url: SoftwareUrl) =>
        Effect.andThen(
          endBuilds(url),
          Effect.mapError(removeTree(releaseDirectory(config.softwareRoot, url)), toBuildError),
        )

      return SoftwareBuild.of({ isCompleted, build, complete, destroy })
    }),
  )
}

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
