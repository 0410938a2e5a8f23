// How many promises run at once: under TestClock.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { Places } from "../../src/health/Places.ts"
import { settle } from "../support/Calls.ts"

describe("places", () => {
  it.effect("are four a processor; one that hangs gives its place up, and gives it back once", () =>
    Effect.gen(function* () {
      const places = new Places(1)
      const begun: Array<number> = []
      const work = (number: number) =>
        Effect.forkScoped(
          places.within(
            Effect.andThen(
              Effect.sync(() => void begun.push(number)),
              Effect.never,
            ),
          ),
        )
      const fibers = yield* Effect.forEach([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], work)
      yield* settle
      expect(begun).toStrictEqual([1, 2, 3, 4])
      yield* TestClock.adjust("1999 millis")
      expect(begun).toHaveLength(4)
      yield* TestClock.adjust("1 millis")
      yield* settle
      expect(begun).toHaveLength(8)
      // They end: their places are given back already.
      for (const fiber of fibers.slice(0, 4)) yield* Fiber.interrupt(fiber)
      yield* settle
      expect(begun).toHaveLength(8)
      yield* Fiber.interrupt(fibers[5] ?? (yield* Effect.die("no fiber")))
      yield* settle
      expect(begun).toHaveLength(9)
    }),
  )

  it.effect("are not lost when somebody who waits for one gives up", () =>
    Effect.gen(function* () {
      const places = new Places(1)
      const hanging = yield* Effect.forEach([1, 2, 3, 4], () => Effect.forkScoped(places.within(Effect.never)))
      yield* settle
      const waiting = yield* Effect.forkScoped(places.within(Effect.void))
      yield* settle
      yield* Fiber.interrupt(waiting)
      for (const fiber of hanging) yield* Fiber.interrupt(fiber)
      const done = yield* Effect.forEach([1, 2, 3, 4], () => places.within(Effect.succeed(true)), {
        concurrency: "unbounded",
      })
      expect(done).toStrictEqual([true, true, true, true])
    }),
  )
})
