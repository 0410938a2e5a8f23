// Keeps the agent small: it runs for months beside what it serves. V8 gives memory back only when the machine runs out
// of it; after a burst of work most of the heap, and all of its young generation, is empty.
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { performance } from "node:perf_hooks"
import * as v8 from "node:v8"
import * as vm from "node:vm"
import { keepForNextStart } from "./compiled.ts"

/** Milliseconds between two looks, and how busy the event loop may be between them. */
const lookInterval = 2_000
const idleUtilization = 0.1
/** How much larger than after the last compaction the heap is worth another one, which takes a tenth of a second. */
const worthwhileGrowth = 1.25

/** The collection that also gives memory back to the machine; V8 itself does that only when memory runs out. */
const compact = (): void => {
  // The flag is a part of what the program was compiled under.
  v8.setFlagsFromString("--expose-gc")
  const collect: (options: object) => void = vm.runInNewContext("gc")
  v8.setFlagsFromString("--no-expose-gc")
  collect({ type: "major", flavor: "last-resort", execution: "sync" })
}

/** V8's own attempts at an idle heap come after ours, find nothing left and take as long; it makes 2. */
const setOwnAttempts = (count: number): void => v8.setFlagsFromString(`--memory-reducer-gc-count=${count}`)

/** Compacts the heap whenever it has grown and there is nothing else to do; runs until it is interrupted. */
export const keepHeapSmall: Effect.Effect<void> = Effect.suspend(() => {
  let compacted = 0
  let last = performance.eventLoopUtilization()
  return Effect.sync(() => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, last)
    last = now
    if (utilization > idleUtilization || process.memoryUsage().heapTotal < compacted * worthwhileGrowth) return
    // With the flags of the start.
    setOwnAttempts(2)
    // What it took until now to do what there was is compiled.
    keepForNextStart()
    compact()
    setOwnAttempts(0)
    compacted = process.memoryUsage().heapTotal
  }).pipe(Effect.schedule(Schedule.spaced(lookInterval)), Effect.asVoid)
})
