import { describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { Mailbox, makeActor, nextWish } from "../../src/actors/Actor.ts"
import { retryDelay } from "../../src/actors/retry.ts"
import { Inbox, settle } from "../support/Calls.ts"

describe("Mailbox", () => {
  it.effect("gives the newest wish, once", () =>
    Effect.gen(function* () {
      const mailbox = new Mailbox<number>()
      yield* mailbox.put(1)
      yield* mailbox.put(2)
      expect(yield* mailbox.take).toBe(2)
      const next = yield* Effect.forkChild(mailbox.take)
      yield* settle
      expect(next.pollUnsafe()).toBeUndefined()
      yield* mailbox.put(3)
      expect(yield* Fiber.join(next)).toBe(3)
    }),
  )

  it.effect("undefined is a wish like another", () =>
    Effect.gen(function* () {
      const mailbox = new Mailbox<undefined>()
      yield* mailbox.put(undefined)
      expect(yield* mailbox.take).toBeUndefined()
    }),
  )

  it.effect("waitFor sees what lies there and what comes, and takes nothing", () =>
    Effect.gen(function* () {
      const mailbox = new Mailbox<number>()
      yield* mailbox.put(1)
      const even = yield* Effect.forkChild(mailbox.waitFor((wish) => wish % 2 === 0))
      yield* mailbox.waitFor((wish) => wish === 1)
      yield* mailbox.put(3)
      yield* settle
      expect(even.pollUnsafe()).toBeUndefined()
      yield* mailbox.put(4)
      yield* Fiber.join(even)
      expect(yield* mailbox.take).toBe(4)
    }),
  )

  it.effect("waitFor does not see what has been taken", () =>
    Effect.gen(function* () {
      const mailbox = new Mailbox<number>()
      yield* mailbox.put(1)
      yield* mailbox.take
      const waiting = yield* Effect.forkChild(mailbox.waitFor(() => true))
      yield* settle
      expect(waiting.pollUnsafe()).toBeUndefined()
      yield* Fiber.interrupt(waiting)
    }),
  )

  it.effect("restore gives the last wish to a successor, unless a newer lies there", () =>
    Effect.gen(function* () {
      const mailbox = new Mailbox<number>()
      yield* mailbox.restore
      yield* mailbox.put(1)
      yield* mailbox.take
      yield* mailbox.restore
      expect(yield* mailbox.take).toBe(1)
      yield* mailbox.put(2)
      yield* mailbox.restore
      expect(yield* mailbox.take).toBe(2)
    }),
  )
})

describe("makeActor", () => {
  it.effect("starts a crashed body again with backoff and its last wish", () =>
    Effect.gen(function* () {
      const taken = new Inbox<string>()
      const actor = yield* makeActor<string, never>("one", (mailbox) =>
        Effect.gen(function* () {
          const wish = yield* mailbox.take
          taken.push(wish)
          return yield* Effect.die(`crash at ${wish}`)
        }),
      )
      yield* actor.tell("a")
      expect(yield* taken.take).toBe("a")
      for (const delay of [1, 2, 4, 8, 16, 32, 60, 60]) {
        yield* settle
        yield* TestClock.adjust(delay * 1000 - 1)
        yield* settle
        expect(taken.size).toBe(0)
        yield* TestClock.adjust(1)
        expect(yield* taken.take).toBe("a")
      }
      yield* settle
      yield* actor.tell("b")
      yield* TestClock.adjust(60_000)
      expect(yield* taken.take).toBe("b")
    }),
  )

  it.effect("also when something inside was interrupted", () =>
    Effect.gen(function* () {
      const taken = new Inbox<string>()
      const actor = yield* makeActor<string, never>("one", (mailbox) =>
        Effect.gen(function* () {
          taken.push(yield* mailbox.take)
          return yield* Effect.interrupt
        }),
      )
      yield* actor.tell("a")
      yield* taken.take
      yield* settle
      yield* TestClock.adjust(1000)
      expect(yield* taken.take).toBe("a")
    }),
  )

  it.effect("a crash of one is nothing to its siblings", () =>
    Effect.gen(function* () {
      const taken = new Inbox<string>()
      const body = (isBad: boolean) => (mailbox: Mailbox<string>) =>
        Effect.forever(
          Effect.flatMap(mailbox.take, (wish) => (isBad ? Effect.die("crash") : Effect.sync(() => taken.push(wish)))),
        )
      const bad = yield* makeActor<string, never>("bad", body(true))
      const good = yield* makeActor<string, never>("good", body(false))
      yield* bad.tell("x")
      yield* good.tell("y")
      expect(yield* taken.take).toBe("y")
    }),
  )

  it.effect("ends with its scope, and waits for its body's cleanup", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const cleaned = yield* Deferred.make<void>()
      const mayEnd = yield* Deferred.make<void>()
      const actor = yield* makeActor<string, never>("one", (mailbox) =>
        Effect.andThen(mailbox.take, Effect.never).pipe(
          Effect.onInterrupt(() => Effect.andThen(Deferred.succeed(cleaned, undefined), Deferred.await(mayEnd))),
        ),
      ).pipe(Scope.provide(scope))
      yield* actor.tell("x")
      yield* settle
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* Deferred.await(cleaned)
      expect(closing.pollUnsafe()).toBeUndefined()
      yield* Deferred.succeed(mayEnd, undefined)
      yield* Fiber.join(closing)
    }),
  )
})

describe("nextWish", () => {
  it.effect("is the next, or the current one when it is time", () =>
    Effect.gen(function* () {
      const mailbox = new Mailbox<string>()
      yield* TestClock.setTime(1000)
      const byTime = yield* Effect.forkChild(nextWish(mailbox, "old", 4000))
      yield* settle
      yield* TestClock.adjust(2999)
      expect(byTime.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust(1)
      expect(yield* Fiber.join(byTime)).toBe("old")
      const byWish = yield* Effect.forkChild(nextWish(mailbox, "old", 10_000))
      yield* settle
      yield* mailbox.put("new")
      expect(yield* Fiber.join(byWish)).toBe("new")
    }),
  )

  it.effect.each([0, 1, 2, 3, 4, 5, 6, 7, 8])("a wish that comes at that very moment (%d) is not lost", (steps) =>
    Effect.gen(function* () {
      const mailbox = new Mailbox<string>()
      const waiting = yield* Effect.forkChild(nextWish(mailbox, "old", 1000))
      yield* settle
      const putting = Effect.gen(function* () {
        yield* Effect.sleep(1000)
        for (let step = 0; step < steps; step++) yield* Effect.yieldNow
        yield* mailbox.put("new")
      })
      yield* Effect.forkChild(putting)
      yield* settle
      yield* TestClock.adjust(1000)
      const got = yield* Fiber.join(waiting)
      yield* settle
      expect(got === "new" ? got : yield* nextWish(mailbox, "lost", 1000)).toBe("new")
    }),
  )

  it.effect("a time that has passed waits for nothing", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1000)
      expect(yield* nextWish(new Mailbox<string>(), "old", 500)).toBe("old")
    }),
  )

  it.effect("without a time it waits for ever; one years away is looked at once a day", () =>
    Effect.gen(function* () {
      const mailbox = new Mailbox<string>()
      const forEver = yield* Effect.forkChild(nextWish(mailbox, "old", undefined))
      const daily = yield* Effect.forkChild(nextWish(new Mailbox<string>(), "daily", 1e15))
      yield* settle
      yield* TestClock.adjust("24 hours")
      expect(yield* Fiber.join(daily)).toBe("daily")
      yield* TestClock.adjust("300 days")
      expect(forEver.pollUnsafe()).toBeUndefined()
      yield* Fiber.interrupt(forEver)
    }),
  )
})

describe("retryDelay", () => {
  it.each([
    [-1, 0],
    [0, 0],
    [1, 5000],
    [2, 10_000],
    [3, 20_000],
    [8, 640_000],
    [9, 900_000],
    [100_000, 900_000],
  ])("after %d failures: %d ms", (failures, delay) => {
    expect(retryDelay(failures)).toBe(delay)
  })
})
