// What a service manager hears in a node's life, under a clock that the test turns.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { TestClock } from "effect/testing"
import { expect } from "vitest"
import { ServiceManager } from "../../src/control/ServiceManager.ts"
import { noUsage, type NodeStatus } from "../../src/domain/NodeStatus.ts"
import { Inbox, settle } from "../support/Calls.ts"
import { computerId } from "../support/facts.ts"

const status = (lastSuccess: number): NodeStatus => ({
  computer: computerId,
  pid: 1,
  startedAt: 0,
  containment: "cgroup",
  limits: [],
  sync: { lastSuccess, standing: "Answers", error: undefined },
  trust: { isMasterUnverified: false, certificates: [] },
  reports: { waiting: 0, error: undefined },
  usage: noUsage,
  helpers: [],
  software: [],
  partitions: [],
})

const line = (minute: number) => `STATUS=0 partitions started, 0 services running, last sync 00:0${minute} UTC`
const minute = 60_000

/** A manager that hears everything at once, a node that is not yet ready, and both their ends. */
const told = Effect.fnUntraced(function* (watchdog?: number) {
  const heard = new Inbox<ReadonlyArray<string>>()
  /** Open, unless a test makes the manager take its time. */
  const reading = yield* Latch.make(true)
  const send = (words: ReadonlyArray<string>) =>
    Effect.andThen(
      reading.await,
      Effect.sync(() => heard.push(words)),
    )
  const context = yield* Layer.build(ServiceManager.layerWith({ watchdog, send }))
  const state = yield* SubscriptionRef.make(status(0))
  const node = yield* Scope.make()
  const health = { isWell: true }
  const ready = Context.get(context, ServiceManager).ready({
    changes: SubscriptionRef.changes(state),
    isHealthy: Effect.sync(() => health.isWell),
    stopLimit: 80_000,
    describeEnd: () => "stopping",
  })
  return {
    heard,
    reading,
    health,
    change: (lastSuccess: number) => Effect.andThen(SubscriptionRef.set(state, status(lastSuccess)), settle),
    ready: Effect.andThen(Scope.provide(ready, node), settle),
    end: Effect.andThen(Scope.close(node, Exit.void), settle),
    /** Everything that was heard since the last call. */
    words: Effect.gen(function* () {
      yield* settle
      const words: Array<string> = []
      while (heard.size > 0) words.push(...(yield* heard.take))
      return words
    }),
  }
})

describe("a service manager hears", () => {
  it.effect("that the start goes on, for as long as it does", () =>
    Effect.gen(function* () {
      const { words } = yield* told()
      expect(yield* words).toStrictEqual(["EXTEND_TIMEOUT_USEC=60000000"])
      yield* TestClock.adjust(19_999)
      expect(yield* words).toStrictEqual([])
      yield* TestClock.adjust(1)
      expect(yield* words).toStrictEqual(["EXTEND_TIMEOUT_USEC=60000000"])
    }),
  )

  it.effect("readiness once, then only news, at most every five seconds and the newest last", () =>
    Effect.gen(function* () {
      const { change, ready, words } = yield* told()
      yield* words
      yield* ready
      expect(yield* words).toStrictEqual(["READY=1", line(0)])
      yield* change(1)
      yield* TestClock.adjust(10 * minute)
      expect(yield* words).toStrictEqual([])
      yield* change(minute)
      expect(yield* words).toStrictEqual([line(1)])
      yield* change(2 * minute)
      expect(yield* words).toStrictEqual([])
      yield* TestClock.adjust(5000)
      expect(yield* words).toStrictEqual([line(2)])
    }),
  )

  it.effect("signs of life three times as often as it wants them, while the supervision is healthy", () =>
    Effect.gen(function* () {
      const { health, ready, words } = yield* told(30_000)
      yield* ready
      yield* words
      for (let count = 0; count < 3; count++) {
        yield* TestClock.adjust(10_000)
        expect(yield* words).toStrictEqual(["WATCHDOG=1"])
      }
      health.isWell = false
      yield* TestClock.adjust(60_000)
      expect(yield* words).toStrictEqual([])
      health.isWell = true
      yield* TestClock.adjust(10_000)
      expect(yield* words).toStrictEqual(["WATCHDOG=1"])
    }),
  )

  it.effect(
    "how long the end may take, and signs of life until it is over, whatever has become of the supervision",
    () =>
      Effect.gen(function* () {
        const { change, end, health, ready, words } = yield* told(30_000)
        yield* ready
        yield* words
        yield* end
        expect(yield* words).toStrictEqual(["STOPPING=1", "EXTEND_TIMEOUT_USEC=80000000", "STATUS=stopping"])
        health.isWell = false
        yield* change(minute)
        yield* TestClock.adjust(10_000)
        expect(yield* words).toStrictEqual(["WATCHDOG=1"])
      }),
  )

  it.effect("what has gathered while it read, in one piece", () =>
    Effect.gen(function* () {
      const { end, heard, reading, ready } = yield* told()
      yield* settle
      expect(yield* heard.take).toHaveLength(1)
      yield* reading.close
      yield* ready
      yield* end
      yield* reading.open
      expect(yield* heard.take).toStrictEqual(["READY=1"])
      expect(yield* heard.take).toStrictEqual([
        line(0),
        "STOPPING=1",
        "EXTEND_TIMEOUT_USEC=80000000",
        "STATUS=stopping",
      ])
    }),
  )
})

it.effect("where nobody wants to know, a node is ready without anything else", () =>
  Effect.gen(function* () {
    const context = yield* Layer.build(ServiceManager.layerWith(undefined))
    const never = Effect.die("nobody asks")
    yield* Context.get(context, ServiceManager).ready({
      changes: Stream.fromEffect(never),
      isHealthy: never,
      stopLimit: 1,
      describeEnd: () => "",
    })
    yield* TestClock.adjust("1 hour")
  }),
)
