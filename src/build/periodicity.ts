// How often a release wants its instances processed: its file `periodicity`. node-behaviour.md (Software releases).
import * as Effect from "effect/Effect"
import type { SoftwareUrl } from "../domain/ids.ts"
import { releaseDirectory } from "../files/machine.ts"
import { OwnedDirectory } from "../files/OwnedDirectory.ts"

/** Milliseconds; undefined when the release says nothing or is not there. Fails with what is wrong with the file. */
export const readPeriodicity = Effect.fnUntraced(function* (
  softwareRoot: string,
  software: SoftwareUrl,
): Effect.fn.Return<number | undefined, { readonly problem: string }> {
  const path = releaseDirectory(softwareRoot, software)
  const text = yield* OwnedDirectory.open(path).pipe(
    Effect.flatMap((release) => release.readIfPresent("periodicity", 1000)),
    Effect.catchIf(
      ({ reason }) => reason === "NotFound",
      () => Effect.undefined,
    ),
    Effect.mapError(({ message }) => ({ problem: message })),
  )
  if (text === undefined) return undefined
  // As Python's int() reads it.
  if (/^\s*[+-]?\d+\s*$/.test(text)) return Number(text) * 1000
  return yield* Effect.fail({ problem: `${path}/periodicity is no whole number of seconds` })
})
