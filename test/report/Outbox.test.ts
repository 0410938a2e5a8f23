// Reports on their way to a master that takes, refuses or loses them as the test says. Retries are jittered by a quarter.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { NodeConfig } from "../../src/config/NodeConfig.ts"
import { type Report, subjectOf } from "../../src/domain/Report.ts"
import { MasterClient } from "../../src/master/MasterClient.ts"
import { MasterError } from "../../src/master/MasterError.ts"
import { Outbox } from "../../src/report/Outbox.ts"
import { StatusBoard } from "../../src/report/StatusBoard.ts"
import { Calls, settle } from "../support/Calls.ts"
import { nodeConfig, release, slappart0, slappart1 } from "../support/facts.ts"

const started: Report = { _tag: "Partition", id: slappart0, state: "started" }
const stopped: Report = { _tag: "Partition", id: slappart0, state: "stopped" }
const destroyed: Report = { _tag: "Partition", id: slappart0, state: "destroyed" }
const neighbour: Report = { _tag: "Partition", id: slappart1, state: "started" }
const building: Report = { _tag: "Software", url: release, state: "building" }
const bang: Report = { _tag: "Bang", id: slappart0, message: "x" }

const later: Report = { ...bang, message: "y" }

const failure = (reason: MasterError["reason"]) =>
  Effect.fail(new MasterError({ method: "m", reason, status: undefined, message: reason }))

const outboxOf = (client: MasterClient["Service"]) =>
  Layer.build(
    Outbox.layer.pipe(
      Layer.provideMerge(StatusBoard.layer),
      Layer.provide(Layer.succeed(MasterClient, client)),
      Layer.provide(Layer.succeed(NodeConfig, nodeConfig())),
    ),
  )

const sending = Effect.gen(function* () {
  const reports = new Calls<Report, void, MasterError>()
  const client = MasterClient.of({
    desiredState: Effect.never,
    report: reports.call,
    useComputer: () => Effect.never,
    partitionCertificate: () => Effect.never,
  })
  const context = yield* outboxOf(client)
  const board = Context.get(context, StatusBoard)
  const status = Effect.map(board.get, (status) => status.reports)
  return { reports, outbox: Context.get(context, Outbox), status }
})

describe("offer", () => {
  it.effect("sends at once and waits for nothing", () =>
    Effect.gen(function* () {
      const { outbox, reports } = yield* sending
      expect(yield* outbox.pending).toBe(0)
      yield* outbox.offer(started)
      expect(yield* outbox.pending).toBe(1)
      const call = yield* reports.next
      expect(call.input).toBe(started)
      yield* call.answer(Effect.void)
      yield* settle
      expect(yield* outbox.pending).toBe(0)
    }),
  )

  it.effect("subjects do not wait for each other", () =>
    Effect.gen(function* () {
      const { outbox, reports } = yield* sending
      for (const report of [started, neighbour, building, bang]) yield* outbox.offer(report)
      yield* settle
      expect(reports.inputs).toStrictEqual([started, neighbour, building, bang])
    }),
  )

  it.effect("one subject has one report in flight, and the newest of those that came meanwhile follows", () =>
    Effect.gen(function* () {
      const { outbox, reports } = yield* sending
      yield* outbox.offer(started)
      const first = yield* reports.next
      yield* outbox.offer(stopped)
      yield* outbox.offer(started)
      yield* outbox.offer(destroyed)
      yield* settle
      expect(reports.inputs).toStrictEqual([started])
      yield* first.answer(Effect.void)
      const second = yield* reports.next
      expect(second.input).toBe(destroyed)
      yield* second.answer(Effect.void)
      yield* settle
      expect([reports.inputs.length, yield* outbox.pending]).toStrictEqual([2, 0])
    }),
  )

  it.effect("a report that comes just after the last was taken is sent too", () =>
    Effect.gen(function* () {
      const { outbox, reports } = yield* sending
      for (let round = 0; round < 20; round++) {
        yield* outbox.offer(started)
        const call = yield* reports.next
        yield* call.answer(Effect.void)
        // The further a round, the later in the sender's last steps it comes.
        for (let step = 0; step < round; step++) yield* Effect.yieldNow
        yield* outbox.offer(stopped)
        yield* (yield* reports.next).answer(Effect.void)
        yield* settle
      }
      expect(yield* outbox.pending).toBe(0)
    }),
  )
})

describe("deliver", () => {
  it.effect("waits until the master has taken the report", () =>
    Effect.gen(function* () {
      const { outbox, reports } = yield* sending
      const delivery = yield* Effect.forkChild(outbox.deliver(started))
      const call = yield* reports.next
      expect(delivery.pollUnsafe()).toBeUndefined()
      yield* call.answer(Effect.void)
      expect(yield* Fiber.join(delivery)).toBe("Taken")
    }),
  )

  it.effect.each(["Refused", "NotFound"] as const)("a report met by %s is dropped", (reason) =>
    Effect.gen(function* () {
      const { outbox, reports } = yield* sending
      const delivery = yield* Effect.forkChild(outbox.deliver(started))
      yield* (yield* reports.next).answer(failure(reason))
      expect(yield* Fiber.join(delivery)).toBe("Refused")
      yield* TestClock.adjust(3600_000)
      expect([reports.inputs.length, yield* outbox.pending]).toStrictEqual([1, 0])
    }),
  )

  it.effect("a defect of the client drops the report, and the subject's next is sent", () =>
    Effect.gen(function* () {
      const { outbox, reports } = yield* sending
      const delivery = yield* Effect.forkChild(outbox.deliver(started))
      yield* (yield* reports.next).answer(Effect.die("a bug"))
      expect(yield* Fiber.join(delivery)).toBe("Refused")
      yield* outbox.offer(stopped)
      expect((yield* reports.next).input).toBe(stopped)
    }),
  )

  it.effect("tells when a newer report took the place of a waiting one", () =>
    Effect.gen(function* () {
      const { outbox, reports } = yield* sending
      yield* outbox.offer(started)
      const first = yield* reports.next
      const delivery = yield* Effect.forkChild(outbox.deliver(stopped))
      yield* settle
      yield* outbox.offer(destroyed)
      expect(yield* Fiber.join(delivery)).toBe("Replaced")
      yield* first.answer(Effect.void)
      expect((yield* reports.next).input).toBe(destroyed)
    }),
  )
})

describe("a master that cannot answer now", () => {
  it.effect.each(["Unreachable", "Unavailable", "NotReady", "InvalidAnswer"] as const)("%s: sent again", (reason) =>
    Effect.gen(function* () {
      const { outbox, reports } = yield* sending
      const delivery = yield* Effect.forkChild(outbox.deliver(started))
      yield* (yield* reports.next).answer(failure(reason))
      yield* settle
      yield* TestClock.adjust(1250)
      yield* (yield* reports.next).answer(Effect.void)
      expect(yield* Fiber.join(delivery)).toBe("Taken")
    }),
  )

  it.effect("is asked ever more rarely, once a minute at last, and without end", () =>
    Effect.gen(function* () {
      const { outbox, reports } = yield* sending
      yield* outbox.offer(started)
      for (const delay of [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]) {
        yield* (yield* reports.next).answer(failure("Unreachable"))
        yield* settle
        const before = reports.inputs.length
        yield* TestClock.adjust(delay * 0.74)
        expect(reports.inputs).toHaveLength(before)
        yield* TestClock.adjust(delay * 0.52)
        yield* settle
        expect(reports.inputs).toHaveLength(before + 1)
      }
    }),
  )

  it.effect("gets the newest report when it is back; the older ones are told to be replaced", () =>
    Effect.gen(function* () {
      const { outbox, reports } = yield* sending
      const first = yield* Effect.forkChild(outbox.deliver(started))
      yield* (yield* reports.next).answer(failure("Unreachable"))
      yield* settle
      const second = yield* Effect.forkChild(outbox.deliver(stopped))
      yield* settle
      yield* outbox.offer(destroyed)
      expect(yield* Fiber.join(second)).toBe("Replaced")
      yield* TestClock.adjust(1250)
      expect(yield* Fiber.join(first)).toBe("Replaced")
      expect((yield* reports.next).input).toBe(destroyed)
    }),
  )
})

describe("a master that refuses this computer", () => {
  const told = Effect.gen(function* () {
    const messages: Array<string> = []
    const logger = Logger.make(({ message }) => void messages.push(String(message)))
    return { messages, ...(yield* Effect.provide(sending, Logger.layer([logger]))) }
  })

  it.effect("loses no report: kept, told once, shown, tried ever more slowly, and taken in the end", () =>
    Effect.gen(function* () {
      const { messages, outbox, reports, status } = yield* told
      const delivery = yield* Effect.forkChild(outbox.deliver(started))
      for (const minutes of [1, 2, 4, 8, 10, 10]) {
        yield* (yield* reports.next).answer(failure("Unauthorised"))
        yield* settle
        expect(yield* status).toStrictEqual({ waiting: 1, error: "Unauthorised" })
        const before = reports.inputs.length
        yield* TestClock.adjust(minutes * 60_000 * 0.74)
        expect(reports.inputs).toHaveLength(before)
        yield* TestClock.adjust(minutes * 60_000 * 0.52)
        yield* settle
        expect(reports.inputs).toHaveLength(before + 1)
      }
      expect(messages).toStrictEqual([
        expect.stringContaining("is kept until the master accepts this computer: Unauthorised"),
      ])
      yield* (yield* reports.next).answer(Effect.void)
      expect(yield* Fiber.join(delivery)).toBe("Taken")
      yield* settle
      expect([yield* status, yield* outbox.pending]).toStrictEqual([{ waiting: 0, error: undefined }, 0])
    }),
  )

  it.effect("is told apart from one that is away, also when it was that before", () =>
    Effect.gen(function* () {
      const { messages, outbox, reports, status } = yield* told
      yield* outbox.offer(started)
      yield* outbox.offer(neighbour)
      const own = yield* reports.next
      const other = yield* reports.next
      yield* own.answer(failure("Unreachable"))
      yield* other.answer(failure("Unauthorised"))
      yield* settle
      expect(yield* status).toStrictEqual({ waiting: 2, error: "Unreachable" })
      yield* TestClock.adjust(1250)
      yield* (yield* reports.next).answer(failure("Unauthorised"))
      yield* settle
      expect(yield* status).toStrictEqual({ waiting: 2, error: "Unauthorised" })
      expect(messages.map((text) => /(sent again|accepts this computer)/.exec(text)?.[0])).toStrictEqual([
        "sent again",
        "accepts this computer",
        "accepts this computer",
      ])
      yield* outbox.withdraw(subjectOf(started))
      yield* outbox.withdraw(subjectOf(neighbour))
      yield* settle
      expect([yield* status, yield* outbox.pending]).toStrictEqual([{ waiting: 0, error: undefined }, 0])
    }),
  )
})

describe("withdraw", () => {
  it.effect("what waits for its next try is not sent again, and later reports are sent at once", () =>
    Effect.gen(function* () {
      const { outbox, reports } = yield* sending
      const delivery = yield* Effect.forkChild(outbox.deliver(bang))
      yield* (yield* reports.next).answer(failure("Unreachable"))
      yield* settle
      yield* outbox.withdraw(subjectOf(bang))
      expect(yield* Fiber.join(delivery)).toBe("Withdrawn")
      yield* settle
      expect(yield* outbox.pending).toBe(0)
      yield* outbox.offer(later)
      yield* (yield* reports.next).answer(Effect.void)
      yield* settle
      yield* TestClock.adjust("1 hour")
      expect([reports.inputs, yield* outbox.pending]).toStrictEqual([[bang, later], 0])
    }),
  )

  it.effect("what is under way is not repeated; nothing that waits behind it is sent, but what comes after", () =>
    Effect.gen(function* () {
      const { outbox, reports } = yield* sending
      yield* outbox.offer(bang)
      const first = yield* reports.next
      const waiting = yield* Effect.forkChild(outbox.deliver(bang))
      yield* settle
      yield* outbox.withdraw(subjectOf(bang))
      expect(yield* Fiber.join(waiting)).toBe("Withdrawn")
      yield* outbox.offer(later)
      yield* first.answer(failure("Unreachable"))
      expect((yield* reports.next).input).toBe(later)
      expect(reports.inputs).toStrictEqual([bang, later])
    }),
  )

  it.effect("touches no other subject, and nothing when there is nothing", () =>
    Effect.gen(function* () {
      const { outbox, reports } = yield* sending
      yield* outbox.withdraw(subjectOf(bang))
      const delivery = yield* Effect.forkChild(outbox.deliver(started))
      const call = yield* reports.next
      yield* outbox.withdraw(subjectOf(bang))
      yield* call.answer(Effect.void)
      expect(yield* Fiber.join(delivery)).toBe("Taken")
    }),
  )
})

it.effect("the end of the scope ends what is in flight", () =>
  Effect.gen(function* () {
    const reports = new Calls<Report, void, MasterError>()
    const client = MasterClient.of({
      desiredState: Effect.never,
      report: reports.call,
      useComputer: () => Effect.never,
      partitionCertificate: () => Effect.never,
    })
    const call = yield* Effect.scoped(
      Effect.gen(function* () {
        yield* Context.get(yield* outboxOf(client), Outbox).offer(started)
        return yield* reports.next
      }),
    )
    yield* call.interrupted
  }),
)
