// What is done to a partition that the master wants destroyed, and to one that serves nobody.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import {
  initialMemory,
  orderOf,
  type PartitionMemory,
  type PartitionWish,
  remember,
  rememberDestroyed,
  wishKey,
} from "./decide.ts"
import type { PartitionParts } from "./PartitionParts.ts"
import type { PartitionError } from "./PartitionPlace.ts"

/** `onBegin` is called when there is no way back any more. */
export const destroy = Effect.fnUntraced(function* (
  parts: PartitionParts,
  wish: PartitionWish,
  memory: PartitionMemory,
  onBegin: () => void,
): Effect.fn.Return<PartitionMemory, PartitionError> {
  const { bangs, completion, group, view, work } = parts
  const { id } = work
  yield* FiberHandle.clear(completion)
  if (memory.removal !== "Prepared") yield* view.show("destroying")
  if (memory.removal !== "Begun") {
    const waiting = yield* prepare(parts, wish, memory)
    if (waiting !== undefined) return waiting
  }
  onBegin()
  yield* view.show("destroying")
  // Scripts that have run, and whatever an earlier agent left.
  if (memory.removal === "Begun" || group.status().length > 0) yield* work.stop(group)
  yield* work.removal.remove
  yield* bangs.forget(id)
  yield* Effect.logInfo(`${id} is destroyed`)
  yield* view.show("destroyed")
  // Begun for an earlier wish, it is nothing that the master wants to hear of now.
  if (wish.partition.requested !== "destroyed") return initialMemory(undefined)
  return yield* tellDestroyed(parts, wish)
})

export const tellDestroyed = Effect.fnUntraced(function* ({ outbox, work }: PartitionParts, wish: PartitionWish) {
  yield* outbox.offer({ _tag: "Partition", id: work.id, state: "destroyed" })
  return rememberDestroyed(wish, yield* Clock.currentTimeMillis)
})

/** All that comes before anything is removed; gives what to remember when that has to wait. */
const prepare = Effect.fnUntraced(function* (
  { group, outbox, view, work }: PartitionParts,
  wish: PartitionWish,
  memory: PartitionMemory,
): Effect.fn.Return<PartitionMemory | undefined, PartitionError> {
  const { id, removal } = work
  if (memory.removal === undefined) {
    yield* removal.stop(group)
    yield* outbox.offer({ _tag: "Partition", id, state: "stopped" })
    yield* removal.updateCertificate
  }
  const obstacle = yield* removal.obstacle(group)
  if (obstacle === undefined) {
    yield* removal.sealUsage
    yield* removal.runDestroyScript
    return undefined
  }
  yield* view.show("stopped")
  const { nudge } = wish
  const hold = { wish: wishKey(wish), during: "Destroy" as const, nudge, failures: 0, ...obstacle }
  const order = orderOf(wish)
  return { ...memory, enforced: "destroyed", removal: "Prepared", hold, tried: order, done: order }
})

export const free = Effect.fnUntraced(function* (
  { bangs, completion, group, view, work }: PartitionParts,
  wish: PartitionWish,
): Effect.fn.Return<PartitionMemory, PartitionError> {
  yield* FiberHandle.clear(completion)
  yield* work.stop(group)
  yield* bangs.forget(work.id)
  yield* Effect.catch(work.free, (error) => Effect.logWarning(error.message))
  yield* view.show("free")
  return remember(wish, yield* Clock.currentTimeMillis)
})
