// The programs whose end the removal of a partition waits for: a list that the instance, or the reference's prerm
// manager, leaves in it. node-behaviour.md (`.slapos-report-wait-service-list`).
import * as Effect from "effect/Effect"
import type { PartitionId } from "../../domain/ids.ts"
import type { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import { prermName } from "../../process/service/programs.ts"

const listFile = ".slapos-report-wait-service-list"
const maxSize = 64 * 1024

/** Names within the partition's group of the full names in the list; others' programs are none of its business. */
export const parseWaitList = (id: PartitionId, text: string): ReadonlyArray<string> =>
  text
    .split("\n")
    .map((line) => line.trim())
    .flatMap((line) => {
      const colon = Math.max(0, line.indexOf(":"))
      const [group, name] = [line.slice(0, colon), line.slice(colon + 1)]
      if (group === id) return [name]
      // The reference has these in a group of their own.
      return group === `${id}-prerm` ? [prermName(name)] : []
    })

/** A list that cannot be read holds nothing up: the instance is to go. */
export const awaitedPrograms = (id: PartitionId, directory: OwnedDirectory): Effect.Effect<ReadonlyArray<string>> =>
  directory.readIfPresent(listFile, maxSize).pipe(
    Effect.map((text) => parseWaitList(id, text ?? "")),
    Effect.catch(({ message }) =>
      Effect.as(Effect.logWarning(`${id} is removed without waiting for programs: ${message}`), []),
    ),
  )
