// Which releases are still to be uploaded: a note for each in the agent's own directory, so that the next agent goes on
// with what this one did not come to.
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { SoftwareUrl } from "../../domain/ids.ts"
import { writeDurably } from "../../files/durable.ts"
import { agentDirectory } from "../../files/machine.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"

const folder = "uploads"
const isUrl = Schema.is(SoftwareUrl)

/** A note is called as the release's directory. */
const noteOf = (directory: string): string => `${folder}/${directory.slice(directory.lastIndexOf("/") + 1)}`

/** That a note cannot be written or removed keeps nobody from anything. */
export const makePending = (instanceRoot: string) => {
  const own = OwnedDirectory.open(agentDirectory(instanceRoot))

  const add = (directory: string, url: SoftwareUrl): Effect.Effect<void> =>
    own.pipe(
      Effect.tap((files) => files.makeDirectory(folder, 0o700)),
      Effect.flatMap(({ path }) => writeDurably(`${path}/${noteOf(directory)}`, url)),
      Effect.catch(({ message }) => Effect.logWarning(`no other agent will upload ${url}: ${message}`)),
    )

  const remove = (directory: string): Effect.Effect<void> =>
    Effect.flatMap(own, (files) => files.remove(noteOf(directory))).pipe(
      Effect.catch(({ message }) => Effect.logWarning(`a release may be uploaded again: ${message}`)),
    )

  /** Those of earlier agents. */
  const all: Effect.Effect<ReadonlyArray<SoftwareUrl>> = Effect.gen(function* () {
    const files = yield* own
    const names = yield* files.names(folder)
    const texts = yield* Effect.forEach(names, (name) =>
      Effect.orElseSucceed(files.readIfPresent(`${folder}/${name}`), () => undefined),
    )
    return texts.filter(isUrl)
  }).pipe(Effect.orElseSucceed((): ReadonlyArray<SoftwareUrl> => []))

  return { add, remove, all }
}
