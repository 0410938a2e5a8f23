// What the partition itself tells of its last processing: `.timestamp`, which is removed before a processing and written
// after it, and what the first good installation left.
import * as Effect from "effect/Effect"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import type { Processed } from "./decide.ts"
import { retentionDelayFile } from "./retention.ts"

export const timestampFile = ".timestamp"

/** Installed once, and the last processing did not come to its end. */
export const unfinished: Processed = { timestamp: undefined, at: 0, wish: undefined }

/** Undefined when it was never installed, as far as anybody can tell. */
export const readProcessed = (path: string): Effect.Effect<Processed | undefined> =>
  Effect.gen(function* () {
    const directory = yield* OwnedDirectory.open(path)
    const timestamp = yield* directory.readIfPresent(timestampFile, 10_000)
    const at = yield* directory.modifiedAt(timestampFile)
    if (timestamp !== undefined && at !== undefined) return { timestamp, at, wish: undefined }
    const wasInstalled = yield* directory.exists(retentionDelayFile)
    return wasInstalled ? unfinished : undefined
  }).pipe(Effect.orElseSucceed(() => undefined))
