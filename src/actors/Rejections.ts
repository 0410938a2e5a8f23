// Partitions whose record in the master's answer cannot be used, such as one with an unknown requested state: the master
// hears of it once for each, and what was wanted before stays in force.
import * as Effect from "effect/Effect"
import type { DesiredState } from "../domain/DesiredState.ts"
import type { PartitionId } from "../domain/ids.ts"
import type { Outbox } from "../report/Outbox.ts"

export class Rejections {
  readonly #outbox: Outbox["Service"]
  #told: ReadonlyMap<PartitionId, string> = new Map()

  constructor(outbox: Outbox["Service"]) {
    this.#outbox = outbox
  }

  /** Whether the master names the partition, only not in words that can be used. */
  has(id: PartitionId): boolean {
    return this.#told.has(id)
  }

  /** Gives those whose record is usable again: what the master knows of them is no longer true. */
  follow({ partitions, rejected }: DesiredState): Effect.Effect<ReadonlyArray<PartitionId>> {
    return Effect.suspend(() => {
      // Of two records about one partition the usable one counts.
      const usable = new Set(partitions.map(({ id }) => id))
      const before = this.#told
      this.#told = new Map(
        rejected.flatMap(({ partition, reason }) =>
          partition === undefined || usable.has(partition) ? [] : [[partition, reason] as const],
        ),
      )
      const news = [...this.#told].filter(([id, reason]) => before.get(id) !== reason)
      const mended = [...before.keys()].filter((id) => usable.has(id))
      const tell = Effect.forEach(
        news,
        ([id, reason]) =>
          // The cause last: masters keep only the end.
          this.#outbox.offer({
            _tag: "Partition",
            id,
            state: "error",
            log: `what is wanted of ${id} cannot be followed: ${reason}`,
          }),
        { discard: true },
      )
      return Effect.as(tell, mended)
    })
  }
}
