// Passes with a master, a board and a supervisor in the test's hands.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { NodeConfig } from "../../src/config/NodeConfig.ts"
import { MasterSync, type Update } from "../../src/desired/MasterSync.ts"
import { Passes } from "../../src/desired/Passes.ts"
import type { DesiredState } from "../../src/domain/DesiredState.ts"
import type { PartitionActualState } from "../../src/domain/NodeStatus.ts"
import type { InstanceRequest, PassEvent, PassRequest } from "../../src/domain/Pass.ts"
import { MasterError, type MasterErrorReason } from "../../src/master/MasterError.ts"
import { type ReportOptions, type UsageOutcome, UsageReports } from "../../src/report/usage/UsageReports.ts"
import { StatusBoard } from "../../src/report/StatusBoard.ts"
import { Calls, settle } from "../support/Calls.ts"
import {
  desiredPartition,
  desiredSoftware,
  desiredState,
  nodeConfig,
  partitionId,
  release,
  slappart0,
  slappart1,
} from "../support/facts.ts"

const request = (changes: Partial<InstanceRequest> = {}): InstanceRequest => ({
  _tag: "Instance",
  only: [],
  isForced: false,
  stops: false,
  isDebug: false,
  ...changes,
})

const state = desiredState({ partitions: [desiredPartition(), desiredPartition({ id: slappart1 })] })

const failure = (reason: MasterErrorReason) =>
  new MasterError({ method: "m", reason, status: undefined, message: "why" })

const making = (remembered?: DesiredState) =>
  Effect.gen(function* () {
    const questions = new Calls<undefined, DesiredState, MasterError>()
    const question = questions.call
    let syncs = 0
    const reports = new Calls<ReportOptions, UsageOutcome>()
    const updates = yield* Queue.sliding<Update>(1)
    const sync = MasterSync.of({
      updates,
      syncNow: Effect.sync(() => void syncs++),
      ask: Effect.suspend(() => question(undefined)),
      remembered,
    })
    const context = yield* Layer.build(
      Passes.layer.pipe(
        Layer.provide(Layer.succeed(MasterSync, sync)),
        Layer.provide(Layer.succeed(UsageReports, UsageReports.of({ run: reports.call, seal: () => Effect.never }))),
        Layer.provideMerge(StatusBoard.layer),
        Layer.provide(Layer.succeed(NodeConfig, nodeConfig())),
      ),
    )
    const { begin, orders } = Context.get(context, Passes)
    const board = Context.get(context, StatusBoard)
    /** Begins a pass; gives what it has told so far. */
    const start = Effect.fnUntraced(function* (wanted: PassRequest = request()) {
      const told: Array<PassEvent> = []
      const stream = yield* begin(wanted)
      const reading = yield* Effect.forkScoped(
        Stream.runForEach(stream, (event) => Effect.sync(() => void told.push(event))),
      )
      yield* settle
      return {
        told,
        reading,
        end: Effect.andThen(
          Fiber.join(reading),
          Effect.sync(() => told.at(-1)),
        ),
      }
    })
    const answer = (how: Effect.Effect<DesiredState, MasterError>) =>
      questions.next.pipe(
        Effect.flatMap((question) => question.answer(how)),
        Effect.andThen(settle),
      )
    const show = (id: typeof slappart0, shown: PartitionActualState) =>
      board
        .setPartition(id, {
          id,
          requested: "started",
          software: undefined,
          state: shown,
          since: 0,
          waitingFor: undefined,
          error: undefined,
          services: [],
          promises: [],
        })
        .pipe(Effect.andThen(settle))
    return { board, reports, questions, orders, start, answer, show, syncs: () => syncs }
  })

const done = (subject: string, result: "Done" | "Failed" | "PromisesFailed" = "Done") => ({
  subject,
  result,
  state: "started",
  problem: undefined,
})

describe("a pass", () => {
  it.effect("asks the master, gives an order, and tells what becomes of each partition", () =>
    Effect.gen(function* () {
      const { answer, orders, show, start } = yield* making()
      const { end, told } = yield* start()
      yield* show(slappart0, "started")
      expect(told).toStrictEqual([])
      yield* answer(Effect.succeed(state))
      const order = yield* Queue.take(orders)
      expect(order).toMatchObject({ id: 1, partitions: [{ id: slappart0 }, { id: slappart1 }] })
      yield* show(slappart0, "installing")
      yield* show(slappart0, "installing")
      yield* order.settle(done("slappart0"))
      yield* show(slappart0, "failed")
      yield* order.settle(done("slappart0", "Failed"))
      yield* order.settle(done("slappart1"))
      expect(yield* end).toStrictEqual({ _tag: "Ended", status: 0, message: undefined })
      expect(
        told.map((event) => ("subject" in event ? `${event._tag} ${event.subject} ${event.state}` : event._tag)),
      ).toStrictEqual([
        "Began",
        "Progress slappart0 started",
        "Progress slappart0 installing",
        "Settled slappart0 started",
        "Settled slappart1 started",
        "Ended",
      ])
    }),
  )

  it.effect.each([
    [["Done", "Failed"], 1],
    [["Done", "PromisesFailed"], 2],
  ] as const)("that ends with %j has status %d", ([results, status]) =>
    Effect.gen(function* () {
      const { answer, orders, start } = yield* making()
      const { end } = yield* start()
      yield* answer(Effect.succeed(state))
      const { settle } = yield* Queue.take(orders)
      yield* settle(done("slappart0", results[0]))
      yield* settle(done("slappart1", results[1]))
      expect(yield* end).toMatchObject({ status })
    }),
  )

  it.effect("tells records that nobody can use as failed, unless others are meant", () =>
    Effect.gen(function* () {
      const { answer, orders, start } = yield* making()
      const rejected = [
        { subject: "partition ../x", reason: "not a name" },
        { subject: "software", reason: "no URL" },
      ]
      for (const [only, status, told] of [
        [[], 1, ["partition ../x: not a name", "slappart0"]],
        [["slappart0"], 0, ["slappart0"]],
      ] as const) {
        const { end, told: events } = yield* start(request({ only }))
        yield* answer(Effect.succeed(desiredState({ partitions: [desiredPartition()], rejected })))
        yield* (yield* Queue.take(orders)).settle(done("slappart0"))
        expect(yield* end).toMatchObject({ status })
        expect(
          events.flatMap((event) =>
            event._tag === "Settled" ? [[event.subject, event.problem].filter(Boolean).join(": ")] : [],
          ),
        ).toStrictEqual(told)
      }
    }),
  )

  it.effect("about something unknown is refused before anything is ordered", () =>
    Effect.gen(function* () {
      const { answer, orders, start } = yield* making()
      const { end, told } = yield* start(request({ only: ["slappart0", "slappart9"] }))
      yield* answer(Effect.succeed(state))
      expect(yield* end).toMatchObject({ status: 1, message: expect.stringContaining("no partition slappart9") })
      expect([told.length, yield* Queue.size(orders)]).toStrictEqual([1, 0])
    }),
  )

  it.effect("about nothing is over at once", () =>
    Effect.gen(function* () {
      const { answer, start } = yield* making()
      const { end } = yield* start()
      yield* answer(Effect.succeed(desiredState()))
      expect(yield* end).toMatchObject({ status: 0 })
    }),
  )
})

describe("a master that", () => {
  it.effect.each([
    ["Unreachable", 3, "the master is away"],
    ["NotReady", 3, "the master is away"],
    ["Unauthorised", 3, "the master refuses this computer"],
    ["InvalidAnswer", 1, "no usable answer"],
    ["NotFound", 1, "no usable answer"],
  ] as const)("is %s: status %d", ([reason, status, words]) =>
    Effect.gen(function* () {
      const { answer, orders, start } = yield* making()
      const { end } = yield* start()
      yield* answer(Effect.fail(failure(reason)))
      expect(yield* end).toMatchObject({ status, message: expect.stringContaining(words) })
      expect(yield* Queue.size(orders)).toBe(0)
    }),
  )

  it.effect("has a cold cache is asked again, four times in all", () =>
    Effect.gen(function* () {
      const { answer, questions, start } = yield* making()
      const { end } = yield* start()
      for (let left = 3; left > 0; left--) {
        yield* answer(Effect.fail(failure("Unavailable")))
        yield* TestClock.adjust("2 seconds")
        yield* settle
      }
      yield* answer(Effect.fail(failure("Unavailable")))
      expect([(yield* end)?._tag, questions.inputs.length]).toStrictEqual(["Ended", 4])
      const second = yield* start()
      yield* answer(Effect.fail(failure("Unavailable")))
      yield* TestClock.adjust("2 seconds")
      yield* answer(Effect.succeed(desiredState()))
      expect(yield* second.end).toMatchObject({ status: 0 })
    }),
  )
})

it.effect("a master that is away: what is remembered is made to run, and that is told", () =>
  Effect.gen(function* () {
    for (const [reason, standing] of [
      ["Unreachable", "Away"],
      ["Unauthorised", "Refuses"],
    ] as const) {
      const { answer, orders, start } = yield* making(desiredState({ partitions: [desiredPartition()] }))
      const { end, told } = yield* start()
      yield* answer(Effect.fail(failure(reason)))
      const order = yield* Queue.take(orders)
      expect(order).toMatchObject({ standing, partitions: [{ id: slappart0 }] })
      yield* order.settle(done("slappart0", "Failed"))
      expect(yield* end).toMatchObject({ status: 3 })
      expect(told.map(({ _tag }) => _tag)).toStrictEqual(["Began", "Settled", "Ended"])
    }
  }),
)

describe("a sync", () => {
  it.effect("asks the master as an operator does, once, also beside a pass", () =>
    Effect.gen(function* () {
      const { answer, questions, start, syncs } = yield* making()
      yield* start()
      const { end, told } = yield* start({ _tag: "Sync" })
      yield* answer(Effect.succeed(state))
      expect([syncs(), told.length]).toStrictEqual([1, 0])
      yield* answer(Effect.succeed(state))
      expect(yield* end).toMatchObject({ status: 0 })
      const away = yield* start({ _tag: "Sync" })
      yield* answer(Effect.fail(failure("Unavailable")))
      expect([yield* away.end, questions.inputs.length]).toMatchObject([{ status: 3 }, 3])
    }),
  )
})

describe("a software pass", () => {
  const wanted = { _tag: "Software", only: [], isForced: false, collectsGarbage: true, isDebug: false } as const
  const offered = desiredState({ software: [desiredSoftware()], partitions: [desiredPartition()] })

  it.effect("is about the releases and their garbage; what a build is at is told", () =>
    Effect.gen(function* () {
      const { answer, board, orders, start } = yield* making()
      const { end, told } = yield* start(wanted)
      yield* answer(Effect.succeed(offered))
      const order = yield* Queue.take(orders)
      expect(order).toMatchObject({ software: [{ url: release }], partitions: [] })
      for (const part of [undefined, "hello", "hello"]) {
        yield* board.setSoftware(release, {
          url: release,
          requested: "available",
          state: "building",
          since: 0,
          part,
          lastLines: [],
          error: undefined,
        })
        yield* settle
      }
      yield* order.settle({ ...done(release), state: "available" })
      yield* settle
      expect(told.at(-1)?._tag).toBe("Settled")
      yield* order.settle(done("garbage collection"))
      expect(yield* end).toMatchObject({ status: 0 })
      expect(
        told.map((event) => ("subject" in event ? `${event._tag} ${event.subject} ${event.state}` : event._tag)),
      ).toStrictEqual([
        "Began",
        `Progress ${release} building`,
        `Progress ${release} building: hello`,
        `Settled ${release} available`,
        "Settled garbage collection started",
        "Ended",
      ])
    }),
  )

  it.effect("names a release by the MD5 of its URL, too", () =>
    Effect.gen(function* () {
      const { answer, orders, start } = yield* making()
      const only = [createHash("md5").update(release).digest("hex")]
      yield* start({ ...wanted, only, collectsGarbage: false })
      yield* answer(Effect.succeed(offered))
      expect(yield* Queue.take(orders)).toMatchObject({ software: [{ url: release }] })
    }),
  )

  it.effect("does nothing without the master, and nothing that contradicts itself", () =>
    Effect.gen(function* () {
      const { answer, orders, questions, start } = yield* making(offered)
      const { end } = yield* start(wanted)
      yield* answer(Effect.fail(failure("Unreachable")))
      expect(yield* end).toMatchObject({ status: 3 })
      const refused = yield* start({ ...wanted, only: [release] })
      expect(yield* refused.end).toMatchObject({ status: 1, message: expect.stringContaining("leave out --only-sr") })
      expect([yield* Queue.size(orders), questions.inputs.length]).toStrictEqual([0, 1])
    }),
  )

  it.effect("runs beside an instance pass", () =>
    Effect.gen(function* () {
      const { answer, orders, start } = yield* making()
      yield* start()
      yield* answer(Effect.succeed(offered))
      const second = yield* start({ ...wanted, collectsGarbage: false })
      yield* answer(Effect.succeed(offered))
      yield* Queue.take(orders)
      yield* (yield* Queue.take(orders)).settle(done(release))
      expect(yield* second.end).toMatchObject({ status: 0 })
    }),
  )
})

describe("a report pass", () => {
  const outcome: UsageOutcome = {
    scripts: 1,
    failed: [],
    reports: 1,
    invalid: [],
    sent: 1,
    pending: [],
    isMasterAway: false,
    error: undefined,
  }
  const gone = desiredPartition({ id: slappart1, requested: "destroyed" })

  it.effect("is about the partitions that the master names and those on the board, but for destroyed ones", () =>
    Effect.gen(function* () {
      const { answer, orders, reports, show, start } = yield* making()
      yield* show(partitionId("slappart2"), "started")
      const { end, told } = yield* start({ _tag: "Report" })
      yield* answer(Effect.succeed(desiredState({ partitions: [desiredPartition(), gone] })))
      const { answer: reply, input } = yield* reports.next
      expect(input.partitions).toStrictEqual([slappart0])
      yield* input.watch(slappart0, { scripts: 1, failed: [] })
      yield* reply(Effect.succeed({ ...outcome, invalid: [{ path: "/odd", reason: "why" }] }))
      expect(yield* end).toMatchObject({ status: 1, message: expect.stringContaining("1 file is no usage report") })
      expect(told.slice(0, -1)).toMatchObject([
        { _tag: "Began", subjects: ["slappart2", "slappart0"] },
        { subject: "slappart0", result: "Done", state: "1 report script ran" },
        { subject: "/odd", result: "Failed", problem: "why" },
      ])
      expect(yield* Queue.size(orders)).toBe(0)
    }),
  )

  it.effect("is made without the master, too, as far as anybody knows whose it is", () =>
    Effect.gen(function* () {
      const known = yield* making(desiredState({ partitions: [desiredPartition()] }))
      const first = yield* known.start({ _tag: "Report" })
      yield* known.answer(Effect.fail(failure("Unreachable")))
      const { answer, input } = yield* known.reports.next
      expect(input.partitions).toStrictEqual([slappart0])
      expect(yield* (yield* known.start({ _tag: "Report" })).end).toMatchObject({ status: 10 })
      yield* answer(Effect.succeed(outcome))
      expect(yield* first.end).toMatchObject({ status: 3, message: expect.stringContaining("the master is away: why") })
      const unknown = yield* making()
      const second = yield* unknown.start({ _tag: "Report" })
      yield* unknown.answer(Effect.fail(failure("Unauthorised")))
      expect(yield* second.end).toMatchObject({ status: 3, message: expect.stringContaining("refuses this computer") })
      expect(unknown.reports.inputs).toStrictEqual([])
    }),
  )
})

it.effect("promises are checked under the same turn as instances, with what is remembered too", () =>
  Effect.gen(function* () {
    const { answer, orders, start } = yield* making(desiredState({ partitions: [desiredPartition()] }))
    const { end } = yield* start({ _tag: "Promise", only: [] })
    yield* answer(Effect.fail(failure("Unreachable")))
    expect(yield* (yield* start()).end).toMatchObject({ status: 10 })
    const order = yield* Queue.take(orders)
    expect(order).toMatchObject({ request: { _tag: "Promise" }, partitions: [{ id: slappart0 }] })
    yield* order.settle(done("slappart0"))
    expect(yield* end).toMatchObject({ status: 3 })
  }),
)

describe("two passes at once", () => {
  it.effect("the second is told so; the first goes on without a reader, and then there is room", () =>
    Effect.gen(function* () {
      const { answer, orders, start } = yield* making()
      const first = yield* start()
      yield* answer(Effect.succeed(state))
      const order = yield* Queue.take(orders)
      const second = yield* start()
      expect(yield* second.end).toMatchObject({ status: 10, message: expect.stringContaining("under way") })
      yield* Fiber.interrupt(first.reading)
      expect(yield* (yield* start()).end).toMatchObject({ status: 10 })
      yield* order.settle(done("slappart0"))
      yield* order.settle(done("slappart1"))
      yield* settle
      const third = yield* start()
      yield* answer(Effect.succeed(desiredState()))
      expect(yield* third.end).toMatchObject({ status: 0 })
    }),
  )

  it.effect("a defect ends a pass in words, and the next one begins", () =>
    Effect.gen(function* () {
      const { answer, start } = yield* making()
      const { end } = yield* start()
      yield* answer(Effect.die(new Error("a bug")))
      expect(yield* end).toMatchObject({ status: 1, message: expect.stringContaining("see its log") })
      const second = yield* start()
      yield* answer(Effect.succeed(desiredState()))
      expect(yield* second.end).toMatchObject({ status: 0 })
    }),
  )
})
