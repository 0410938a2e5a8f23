// What a partition keeps on other volumes: `DATA/<volume>` in it is a link to `instance_storage_home/<volume>/<id>`.
// Only names are taken from the partition; where they lead is the operator's.
import * as Effect from "effect/Effect"
import type { PartitionId } from "../../domain/ids.ts"
import type { FileError } from "../../files/FileError.ts"
import type { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import { removeContents } from "../../files/removeTree.ts"

const folder = "DATA"

const unlessAbsent = <A, B>(effect: Effect.Effect<A, FileError>, otherwise: B): Effect.Effect<A | B, FileError> =>
  Effect.catchIf(
    effect,
    ({ reason }) => reason === "NotFound",
    () => Effect.succeed(otherwise),
  )

/** Empties the partition's directory on each volume that `DATA` names; the directories stay, as format made them. */
export const emptyStorage = Effect.fnUntraced(function* (
  storageHome: string,
  id: PartitionId,
  directory: OwnedDirectory,
): Effect.fn.Return<void, FileError> {
  if (storageHome === "") return
  const volumes = yield* Effect.catchIf(
    directory.names(folder),
    // Absent, or no directory: then it names none.
    ({ reason }) => reason === "NotFound" || reason === "Unsafe",
    () => Effect.succeed<ReadonlyArray<string>>([]),
  )
  yield* Effect.forEach(volumes, (volume) => unlessAbsent(removeContents(`${storageHome}/${volume}/${id}`), undefined))
})
