// Whose turn it is: the rule as a table, then turns taken, given up and waited for.
import { describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { admitted, type Rank, type Turn, Turnstile } from "../../../src/actors/partition/Turnstile.ts"
import { settle } from "../../support/Calls.ts"

const letters: Readonly<Record<string, Rank>> = { c: "Changed", r: "Retried", a: "Aged" }
/** A letter each, of one release; with a digit after it, of that one. */
const turns = (word: string): ReadonlyArray<Turn> =>
  [...word.matchAll(/(\w)(\d)?/g)].map(([, letter = "", release]) => ({ rank: letters[letter]!, release }))

describe("who is let in", () => {
  it.each([
    ["nobody waits", 2, "", "", undefined],
    ["the first", 2, "", "ccc", 0],
    ["what changed before what failed and what is due", 2, "", "arc", 2],
    ["what failed before what is due", 2, "", "aar", 2],
    ["the first of the most urgent", 2, "c", "arrc", 3],
    ["nobody beyond the limit", 2, "cc", "c", undefined],
    ["nobody failed beyond the limit", 2, "rr", "ra", undefined],
    ["nobody due beyond the limit", 1, "c", "ra", undefined],
    ["one that changed beyond the limit when only others are inside", 2, "rr", "rrc", 2],
    ["with one place, too", 1, "a", "c", 0],
    ["but one alone", 1, "ac", "c", undefined],
    ["and nobody less urgent past it", 1, "ac", "cr", undefined],
  ] as const)("%s", (_, limit, inside, waiting, index) => {
    const queue = turns(waiting)
    expect(admitted(limit, turns(inside), queue, [])).toBe(index === undefined ? undefined : queue[index])
  })

  it.each([
    ["a release of which nobody is inside goes before one of which somebody is", 2, "c1", "c1c1c2", [], 2],
    ["whatever the ones inside are there for", 3, "a1a1", "c1c2", [], 1],
    ["but not past what is more urgent", 2, "c1", "c1r2", [], 0],
    ["of two, the one that had no turn for longer", 1, "", "c1c2", ["2", "1"], 1],
    ["or never had one", 1, "", "c1c1c3c2", ["2", "1"], 2],
    ["else the one that came first", 2, "", "c2c1", [], 0],
  ] as const)("%s", (_, limit, inside, waiting, served, index) => {
    const queue = turns(waiting)
    expect(admitted(limit, turns(inside), queue, served)).toBe(queue[index])
  })
})

const visits = (limit: number) => {
  const turnstile = new Turnstile(limit)
  const inside: Array<string> = []
  const visit = Effect.fnUntraced(function* (name: string, rank: Rank, release?: string) {
    const isOver = yield* Deferred.make<void>()
    const work = Effect.gen(function* () {
      inside.push(name)
      yield* Deferred.await(isOver)
    }).pipe(Effect.ensuring(Effect.sync(() => void inside.splice(inside.indexOf(name), 1))))
    const fiber = yield* Effect.forkChild(turnstile.inTurn({ rank, release }, () => work))
    yield* settle
    return { fiber, end: Effect.andThen(Deferred.succeed(isOver, undefined), settle) }
  })
  return { inside, visit, turnstile }
}

describe("turns", () => {
  it.effect("twenty that fail never delay one that changed", () =>
    Effect.gen(function* () {
      const { inside, visit } = visits(2)
      for (let index = 0; index < 20; index++) yield* visit(`failing ${index}`, "Retried")
      expect(inside).toStrictEqual(["failing 0", "failing 1"])
      const changed = yield* visit("changed", "Changed")
      expect(inside).toContain("changed")
      yield* visit("changed next", "Changed")
      expect(inside).not.toContain("changed next")
      yield* changed.end
      expect(inside).toStrictEqual(["failing 0", "failing 1", "changed next"])
    }),
  )

  it.effect("a hundred instances of one release keep that of another waiting for one turn", () =>
    Effect.gen(function* () {
      const { inside, visit } = visits(2)
      const first = yield* visit("many 0", "Changed", "many")
      for (let index = 1; index < 100; index++) yield* visit(`many ${index}`, "Changed", "many")
      const other = yield* visit("other 0", "Changed", "other")
      yield* visit("other 1", "Changed", "other")
      expect(inside).toStrictEqual(["many 0", "many 1"])
      yield* first.end
      expect(inside).toStrictEqual(["many 1", "other 0"])
      yield* other.end
      expect(inside).toStrictEqual(["many 1", "other 1"])
    }),
  )

  it.effect("an end lets the most urgent in", () =>
    Effect.gen(function* () {
      const { inside, visit } = visits(1)
      const first = yield* visit("first", "Changed")
      yield* visit("due", "Aged")
      const failed = yield* visit("failed", "Retried")
      yield* first.end
      expect(inside).toStrictEqual(["failed"])
      yield* failed.end
      expect(inside).toStrictEqual(["due"])
    }),
  )

  it.effect("one that hangs gives its turn to others after a while, and its end gives no second one back", () =>
    Effect.gen(function* () {
      const { inside, visit } = visits(1)
      const hanging = yield* visit("hanging", "Changed")
      yield* visit("next", "Changed")
      yield* visit("last", "Changed")
      yield* TestClock.adjust("119 seconds")
      expect(inside).toStrictEqual(["hanging"])
      yield* TestClock.adjust("1 second")
      yield* settle
      expect(inside).toStrictEqual(["hanging", "next"])
      yield* Fiber.interrupt(hanging.fiber)
      yield* settle
      expect(inside).toStrictEqual(["next"])
    }),
  )

  it.effect("whoever steps aside leaves his turn to others, and waits for the next one", () =>
    Effect.gen(function* () {
      const { inside, turnstile, visit } = visits(1)
      const [awaited, told] = [Deferred.makeUnsafe<string, string>(), Deferred.makeUnsafe<string>()]
      const stepping = yield* Effect.forkChild(
        turnstile.inTurn({ rank: "Changed", release: undefined }, (aside) =>
          Effect.ensuring(
            Effect.catch(aside(Deferred.await(awaited)), (error) => Effect.succeed(`no ${error}`)),
            Deferred.succeed(told, "it goes on"),
          ),
        ),
      )
      yield* settle
      const second = yield* visit("second", "Changed")
      expect(inside).toStrictEqual(["second"])
      yield* Deferred.fail(awaited, "news")
      yield* settle
      expect(Deferred.isDoneUnsafe(told)).toBe(false)
      yield* second.end
      expect(yield* Fiber.join(stepping)).toBe("no news")
      yield* visit("third", "Changed")
      expect(inside).toStrictEqual(["third"])
    }),
  )

  it.effect("whoever is aside can be interrupted, and keeps nobody waiting", () =>
    Effect.gen(function* () {
      const { inside, turnstile, visit } = visits(1)
      const stepping = yield* Effect.forkChild(
        turnstile.inTurn({ rank: "Changed", release: undefined }, (aside) => aside(Effect.never)),
      )
      yield* settle
      yield* Fiber.interrupt(stepping)
      yield* visit("next", "Changed")
      yield* visit("one more", "Changed")
      expect(inside).toStrictEqual(["next"])
    }),
  )

  it.effect("whoever waits for one can be interrupted, and is not let in later", () =>
    Effect.gen(function* () {
      const { inside, visit } = visits(1)
      const first = yield* visit("first", "Changed")
      const second = yield* visit("second", "Changed")
      yield* visit("third", "Changed")
      yield* Fiber.interrupt(second.fiber)
      yield* first.end
      expect(inside).toStrictEqual(["third"])
    }),
  )

  it.effect("a failure gives the turn back, too", () =>
    Effect.gen(function* () {
      const { inside, turnstile, visit } = visits(1)
      yield* Effect.flip(turnstile.inTurn({ rank: "Changed", release: undefined }, () => Effect.fail("broken")))
      yield* visit("next", "Changed")
      expect(inside).toStrictEqual(["next"])
    }),
  )
})
