import { assert, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { nextStart, type Start, StartTurns } from "../../../src/process/service/StartTurns.ts"

const times = (count: number, partition: string, since: number): ReadonlyArray<Start> =>
  Array.from({ length: count }, () => ({ partition, since }))

describe("who starts next", () => {
  it.each<[string, ReadonlyArray<Start>, ReadonlyArray<string>, string | undefined]>([
    ["the first, when nobody starts", [], ["a", "b"], "a"],
    ["nobody, when nobody waits", times(1, "a", 5000), [], undefined],
    ["the first beside seven", [...times(3, "a", 5000), ...times(4, "b", 5000)], ["c", "a"], "c"],
    ["nobody beside eight", [...times(4, "a", 5000), ...times(4, "b", 5000)], ["c"], undefined],
    ["nobody of a partition that has four", times(4, "a", 5000), ["a"], undefined],
    ["somebody else, when the first's partition has four", times(4, "a", 5000), ["a", "b"], "b"],
    ["somebody beside eight that hang", [...times(4, "a", 4000), ...times(4, "b", 4000)], ["c"], "c"],
    ["nobody beside eight that do not hang yet", [...times(4, "a", 4001), ...times(4, "b", 4001)], ["c"], undefined],
    ["nobody of a partition whose four hang", times(4, "a", 0), ["a"], undefined],
  ])("%s", (_, underWay, waiting, expected) => {
    const chosen = nextStart(
      underWay,
      waiting.map((partition) => ({ partition })),
      5000,
    )
    expect(chosen?.partition).toBe(expected)
  })
})

describe("turns", () => {
  const make = Effect.gen(function* () {
    const turns = new StartTurns(Effect.runForkWith(yield* Effect.context()))
    const begun: Array<string> = []
    /** A start that goes on until it is told to end. */
    const start = Effect.fnUntraced(function* (partition: string) {
      const scope = yield* Scope.make()
      const fiber = yield* turns
        .take(partition)
        .pipe(Effect.andThen(Effect.sync(() => void begun.push(partition))), Scope.provide(scope), Effect.forkScoped)
      // Whoever can begin has begun when this returns.
      for (let turn = 0; turn < 10; turn++) yield* Effect.yieldNow
      return { fiber, end: Scope.close(scope, Exit.void) }
    })
    return { begun, start }
  })

  it.effect("come with each end, first come, first served", () =>
    Effect.gen(function* () {
      const { begun, start } = yield* make
      const starts = yield* Effect.forEach(["a", "a", "a", "a", "b", "b", "b", "b", "c", "d"], start)
      assert.strictEqual(begun.length, 8)
      yield* starts[0]?.end ?? Effect.die("none")
      yield* Fiber.join(starts[8]?.fiber ?? (yield* Effect.die("none")))
      assert.deepStrictEqual(begun.slice(8), ["c"])
    }),
  )

  it.effect("come all the same when others hang, and to nobody more of their partitions", () =>
    Effect.gen(function* () {
      const { begun, start } = yield* make
      const hanging = yield* Effect.forEach(["a", "a", "a", "a", "a", "b", "b", "b", "b"], start)
      const other = yield* start("c")
      yield* TestClock.adjust(999)
      assert.strictEqual(begun.length, 8)
      yield* TestClock.adjust(1)
      yield* Fiber.join(other.fiber)
      assert.deepStrictEqual(begun.slice(8), ["c"])
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(begun.length, 9)
      yield* hanging[0]?.end ?? Effect.die("none")
      yield* Fiber.join(hanging[4]?.fiber ?? (yield* Effect.die("none")))
      assert.deepStrictEqual(begun.slice(9), ["a"])
    }),
  )

  it.effect("that are given up make room and are not waited for", () =>
    Effect.gen(function* () {
      const { begun, start } = yield* make
      yield* Effect.forEach(["a", "a", "a", "a"], start)
      const givenUp = yield* start("a")
      yield* Fiber.interrupt(givenUp.fiber)
      yield* givenUp.end
      yield* start("b")
      assert.deepStrictEqual(begun, ["a", "a", "a", "a", "b"])
    }),
  )
})
