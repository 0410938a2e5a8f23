// The end of a process that runs one pass: what it waits for, and its last words.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { NodeSupervisor } from "../../src/actors/NodeSupervisor.ts"
import { conclude, SinglePass } from "../../src/actors/SinglePass.ts"
import { Passes, type PassOrder } from "../../src/desired/Passes.ts"
import type { ServiceState, ServiceStatus } from "../../src/domain/NodeStatus.ts"
import type { PassEvent, PassStatus } from "../../src/domain/Pass.ts"
import { Departure } from "../../src/process/Departure.ts"
import { PartitionServices } from "../../src/process/PartitionServices.ts"
import type { ServiceGroup } from "../../src/process/service/ServiceGroup.ts"
import { Outbox } from "../../src/report/Outbox.ts"
import { settle } from "../support/Calls.ts"
import { slappart0 } from "../support/facts.ts"

const ended = (status: PassStatus, message?: string) => ({ _tag: "Ended", status, message }) as const

describe("its last words", () => {
  const untold = "the master has not taken all reports: what they are about is done again by the next pass"
  const alone = "services run, and nobody supervises them until slapgrid is started"
  it.each([
    ["nothing is left", ended(0), true, false, ended(0)],
    ["services are", ended(0), true, true, ended(0, alone)],
    ["services are left after a failure", ended(1, "1 of 2 failed"), true, true, ended(1, `1 of 2 failed\n${alone}`)],
    ["reports are", ended(0), false, false, ended(3, untold)],
    ["reports are left, and promises failed", ended(2, "why"), false, false, ended(3, `why\n${untold}`)],
    ["reports are left after a failure", ended(1, "why"), false, true, ended(1, `why\n${untold}\n${alone}`)],
  ] as const)("when %s", (_, end, isTold, isRunning, expected) => {
    expect(conclude(end, isTold, isRunning)).toStrictEqual(expected)
  })
})

const single = Effect.fnUntraced(function* (events: ReadonlyArray<PassEvent>) {
  const facts = { pending: 0, isUnmarked: false, state: "running" as ServiceState }
  const service = () => ({ state: facts.state, pid: facts.state === "running" ? 1 : undefined }) as ServiceStatus
  const group = { status: () => [service()] } as unknown as ServiceGroup
  const orders = yield* Queue.unbounded<PassOrder>()
  const scope = yield* Scope.make()
  const context = yield* Layer.build(
    SinglePass.layer.pipe(
      Layer.provide(
        Layer.succeed(
          NodeSupervisor,
          NodeSupervisor.of({ isHealthy: Effect.succeed(true), isUnmarked: () => facts.isUnmarked }),
        ),
      ),
      Layer.provide(
        Layer.succeed(Passes, Passes.of({ orders, begin: () => Effect.succeed(Stream.fromIterable(events)) })),
      ),
      Layer.provide(
        Layer.succeed(
          Outbox,
          Outbox.of({
            offer: () => Effect.void,
            deliver: () => Effect.never,
            withdraw: () => Effect.void,
            pending: Effect.sync(() => facts.pending),
          }),
        ),
      ),
      Layer.provide(
        Layer.succeed(
          PartitionServices,
          PartitionServices.of({
            groups: new Map([[slappart0, group]]),
            group: () => Effect.never,
            programsOf: () => Effect.never,
            prermOf: () => Effect.never,
            endUser: () => Effect.never,
          }),
        ),
      ),
      Layer.provideMerge(Departure.layer),
    ),
  ).pipe(Scope.provide(scope))
  const start = Effect.gen(function* () {
    const told: Array<PassEvent> = []
    const { run } = Context.get(context, SinglePass)
    const running = yield* Effect.forkScoped(
      Stream.runForEach(run({ _tag: "Sync" }), (event) => Effect.sync(() => void told.push(event))),
    )
    yield* settle
    return { told, running }
  })
  const { isLeaving } = Context.get(context, Departure)
  return { facts, start, isLeaving, close: Scope.close(scope, Exit.void) }
})

const settled: PassEvent = {
  _tag: "Settled",
  subject: "slappart0",
  result: "Done",
  state: "started",
  problem: undefined,
}

describe("its end", () => {
  it.effect("comes when everything is told and every program runs or has failed, and leaves services", () =>
    Effect.gen(function* () {
      const { close, facts, isLeaving, start } = yield* single([settled, ended(0)])
      facts.state = "starting"
      facts.pending = 1
      const { running, told } = yield* start
      yield* TestClock.adjust("1 second")
      expect(told).toStrictEqual([settled])
      facts.state = "running"
      yield* TestClock.adjust("1 second")
      expect(told).toStrictEqual([settled])
      facts.pending = 0
      facts.isUnmarked = true
      yield* TestClock.adjust("1 second")
      expect(told).toStrictEqual([settled])
      facts.isUnmarked = false
      yield* TestClock.adjust("50 millis")
      yield* Fiber.join(running)
      expect(told.at(-1)).toMatchObject({ status: 0, message: expect.stringContaining("nobody supervises them") })
      expect(isLeaving()).toBe(false)
      yield* close
      expect(isLeaving()).toBe(true)
    }),
  )

  it.effect("waits neither for a program that ends again and again nor for a master that takes no report", () =>
    Effect.gen(function* () {
      const { facts, start } = yield* single([ended(0)])
      facts.state = "backoff"
      facts.pending = 1
      const { running, told } = yield* start
      yield* TestClock.adjust("61 seconds")
      expect(told).toStrictEqual([])
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(running)
      expect(told).toMatchObject([{ status: 3, message: expect.stringContaining("has not taken all reports") }])
    }),
  )

  it.effect("does not wait for a master that is known to be away", () =>
    Effect.gen(function* () {
      const { facts, start } = yield* single([ended(3, "away")])
      facts.pending = 1
      facts.state = "stopped"
      const { running, told } = yield* start
      yield* Fiber.join(running)
      expect(told).toStrictEqual([ended(3, "away")])
    }),
  )
})
