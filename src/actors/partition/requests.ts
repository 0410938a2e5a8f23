// Which instances a partition's processing has requested: the client library in its recipes notes them in a file, and
// the master is told all of them at the end, so that it knows which ones are no longer wanted. node-behaviour.md
// (`.slapos-request-transaction-<id>`).
import * as Effect from "effect/Effect"
import type { PartitionId } from "../../domain/ids.ts"
import type { FileError } from "../../files/FileError.ts"
import type { OwnedDirectory } from "../../files/OwnedDirectory.ts"

const requestFile = (id: PartitionId): string => `.slapos-request-transaction-${id}`

/** More requests than any instance makes take less. */
const maxSize = 1024 * 1024

/** What an earlier processing noted is over. */
export const beginRequests = (id: PartitionId, directory: OwnedDirectory): Effect.Effect<void, FileError> =>
  directory.remove(requestFile(id))

/** The references that the processing requested; undefined when its recipes note none, not even that. */
export const requestsOf = (
  id: PartitionId,
  directory: OwnedDirectory,
): Effect.Effect<ReadonlyArray<string> | undefined> =>
  directory.readIfPresent(requestFile(id), maxSize).pipe(
    Effect.map((text) => text?.split("\n").filter((line) => line !== "")),
    Effect.catch(({ message }) =>
      Effect.as(Effect.logWarning(`the master is not told what ${id} has requested: ${message}`), undefined),
    ),
  )
