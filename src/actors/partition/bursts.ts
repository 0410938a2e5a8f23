// Which releases will get several instances installed at once: what that takes can be made ready while the partitions
// themselves still get ready for it.
import * as Effect from "effect/Effect"
import { samePartition } from "../../desired/diff.ts"
import type { DesiredPartition } from "../../domain/DesiredState.ts"
import type { PartitionId, SoftwareUrl } from "../../domain/ids.ts"
import { readProcessed } from "./processed.ts"

/** Of one release: more are not looked at, because a release that is new here is new to all of them. */
const mostLooked = 16

export interface Burst {
  readonly software: SoftwareUrl
  /** Two of the partitions. */
  readonly ids: ReadonlyArray<PartitionId>
}

/** Looks at what the master wants, each time it says so; gives those of which it said something new. */
export class BurstWatch {
  readonly #instanceRoot: string
  #known: ReadonlyMap<PartitionId, DesiredPartition> = new Map()

  constructor(instanceRoot: string) {
    this.#instanceRoot = instanceRoot
  }

  look(partitions: ReadonlyArray<DesiredPartition>): Effect.Effect<ReadonlyArray<Burst>> {
    return Effect.gen({ self: this }, function* () {
      const before = this.#known
      this.#known = new Map(partitions.map((one) => [one.id, one]))
      const news = partitions.filter((one) => {
        const known = before.get(one.id)
        return one.requested !== "destroyed" && (known === undefined || !samePartition(known, one))
      })
      const bursts: Array<Burst> = []
      for (const [software, wanted] of Map.groupBy(news, (one) => one.software)) {
        if (software === undefined || wanted.length < 2) continue
        const ids = yield* this.#changed(wanted.slice(0, mostLooked))
        if (ids.length === 2) bursts.push({ software, ids })
      }
      return bursts
    })
  }

  /** The first two that were not processed as they are wanted. */
  #changed(wanted: ReadonlyArray<DesiredPartition>): Effect.Effect<ReadonlyArray<PartitionId>> {
    return Effect.gen({ self: this }, function* () {
      const ids: Array<PartitionId> = []
      for (const { id, timestamp } of wanted) {
        const processed = yield* readProcessed(`${this.#instanceRoot}/${id}`)
        if (processed === undefined || processed.timestamp !== timestamp) ids.push(id)
        if (ids.length === 2) break
      }
      return ids
    })
  }
}
