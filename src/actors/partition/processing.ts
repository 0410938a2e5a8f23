// A processing: the instance is installed, its services follow, and the master hears of it.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import type { Aside } from "../../build/Buildout.ts"
import type { PartitionReport } from "../../domain/Report.ts"
import type { Delivery } from "../../report/Outbox.ts"
import { orderOf, type PartitionDecision, type PartitionMemory, type PartitionWish, remember } from "./decide.ts"
import type { PromisesFailed } from "./Health.ts"
import type { PartitionParts } from "./PartitionParts.ts"
import type { PartitionError } from "./PartitionPlace.ts"
import type { PartitionWork } from "./PartitionWork.ts"

interface Processing extends Extract<PartitionDecision, { readonly _tag: "Process" }> {
  /** Called when it has its turn. */
  readonly onTurn: () => void
  /** Called when its services are started, and only its promises are still to be checked. */
  readonly onStarted: () => void
}

/** Waits for a turn and installs; gives which instances it requested, if its recipes say so. */
const install = ({ turnstile, view, work }: PartitionParts, wish: PartitionWish, processing: Processing) => {
  const installing = Effect.fnUntraced(function* (aside: Aside) {
    const { onTurn, reason } = processing
    onTurn()
    yield* view.show("installing")
    yield* Effect.logInfo(`processing ${work.id}: ${reason}`)
    return yield* work.install(wish.partition, { reason, isDebug: wish.order?.isDebug === true, aside })
  })
  const inTurn = turnstile.inTurn({ rank: processing.rank, release: wish.partition.software }, installing)
  return Effect.scoped(Effect.andThen(work.expectInstall(wish.partition), inTurn))
}

export const process = Effect.fnUntraced(function* (
  parts: PartitionParts,
  wish: PartitionWish,
  processing: Processing,
): Effect.fn.Return<PartitionMemory, PartitionError | PromisesFailed> {
  const { completion, group, health, view, work } = parts
  const { id, requested, software, timestamp } = wish.partition
  yield* view.waitsFor("waits for its turn")
  yield* FiberHandle.clear(completion)
  // Stopped in any case and at once, whatever becomes of the installation and of the wait for it.
  if (requested === "stopped") yield* work.stop(group)
  // What is stopped by hand from now on stays so until the next one.
  const held = new Set(group.status().flatMap(({ isHeld, name }) => (isHeld ? [name] : [])))
  const references = yield* install(parts, wish, processing)
  if (requested === "started") {
    yield* work.start(group, timestamp, (name) => held.has(name))
    processing.onStarted()
    yield* view.waitsFor("its promises are checked")
    yield* health.processed(software)
  }
  yield* Effect.logInfo(`${id} is ${requested}`)
  yield* view.show(requested)
  yield* FiberHandle.run(completion, complete(parts, wish, references))
  return remember(wish, yield* Clock.currentTimeMillis)
})

/** Marked as processed only once the master knows all of it: a crash in between repeats work and reports. */
const complete = Effect.fnUntraced(function* (
  { outbox, work }: PartitionParts,
  { partition: { id, requested, timestamp } }: PartitionWish,
  references: ReadonlyArray<string> | undefined,
) {
  const state: PartitionReport = { _tag: "Partition", id, state: requested }
  if (isReplaced(yield* outbox.deliver(state))) return
  if (references !== undefined && isReplaced(yield* outbox.deliver({ _tag: "Related", id, references }))) return
  if (timestamp !== undefined) yield* markProcessed(work, timestamp)
})

const isReplaced = (delivery: Delivery): boolean => delivery === "Replaced"

const markProcessed = (work: PartitionWork, timestamp: string): Effect.Effect<void> =>
  Effect.catch(work.complete(timestamp), (error) =>
    Effect.logWarning(`${work.id} will be processed again: ${error.message}`),
  )

/**
 * For an operator who wants nothing of it to run: the master is told nothing, and the next processing, which starts
 * it, comes when it would have come anyway.
 */
export const processAndStop = Effect.fnUntraced(function* (
  parts: PartitionParts,
  wish: PartitionWish,
  { processed }: PartitionMemory,
  processing: Processing,
): Effect.fn.Return<PartitionMemory, PartitionError> {
  const { completion, group, view, work } = parts
  yield* view.waitsFor("waits for its turn")
  yield* FiberHandle.clear(completion)
  yield* work.hold(group)
  yield* install(parts, wish, processing)
  yield* work.hold(group)
  if (processed?.timestamp !== undefined) yield* markProcessed(work, processed.timestamp)
  yield* Effect.logInfo(`${work.id} is stopped until its next processing`)
  yield* view.show("stopped")
  const order = orderOf(wish)
  const enforced = wish.partition.requested
  return { processed, enforced, hold: undefined, removal: undefined, tried: order, done: order }
})
