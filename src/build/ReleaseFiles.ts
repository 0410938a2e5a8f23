// The files that a release's directory gets around its buildout: node-behaviour.md (Software releases).
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { NodeConfigShape } from "../config/NodeConfig.ts"
import type { SoftwareUrl } from "../domain/ids.ts"
import { OwnedDirectory } from "../files/OwnedDirectory.ts"
import { releaseProfile, revisionNote } from "./profile.ts"

export const logFile = ".slapgrid-build.log"
export const completedFile = ".completed"
export const skippedMarker = "bin/buildout-bootstrap-skipped"

/**
 * Bootstrap is skipped when an earlier run left `bin/buildout`. A marker tells that a skipped try has not succeeded:
 * then bootstrap runs again, so that tries alternate.
 */
export const skipsBootstrap = Effect.fnUntraced(function* (directory: OwnedDirectory) {
  if (yield* directory.exists(skippedMarker)) {
    yield* directory.remove(skippedMarker)
    return false
  }
  if (!(yield* directory.exists("bin/buildout"))) return false
  yield* directory.write(skippedMarker, "", { mode: 0o644, owner: directory.owner })
  return true
})

export const copyNetrc = Effect.fnUntraced(function* (directory: OwnedDirectory, home: string) {
  if (home === directory.path) return
  const netrc = yield* OwnedDirectory.open(home).pipe(
    Effect.flatMap((from) => from.readIfPresent(".netrc")),
    // No home, or one that cannot be trusted: built without credentials, as if there were none.
    Effect.orElseSucceed(() => undefined),
  )
  if (netrc === undefined) yield* directory.remove(".netrc")
  else yield* directory.write(".netrc", netrc, { mode: 0o600, owner: directory.owner })
})

export const writeProfile = Effect.fnUntraced(function* (
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
