// The following of a master that answers when and what the test says. Waits are jittered by a tenth.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { NodeConfig } from "../../src/config/NodeConfig.ts"
import { DesiredCache } from "../../src/desired/DesiredCache.ts"
import { MasterSync } from "../../src/desired/MasterSync.ts"
import type { DesiredState } from "../../src/domain/DesiredState.ts"
import { StatusBoard } from "../../src/report/StatusBoard.ts"
import { MasterClient } from "../../src/master/MasterClient.ts"
import { MasterError } from "../../src/master/MasterError.ts"
import { Calls, settle } from "../support/Calls.ts"
import { desiredPartition, desiredState, nodeConfig } from "../support/facts.ts"

const unreachable = new MasterError({
  method: "getFullComputerInformation",
  reason: "Unreachable",
  status: undefined,
  message: "the master is away",
})

const follow = Effect.fnUntraced(function* (last?: DesiredState) {
  const kept: Array<DesiredState> = []
  const cache = DesiredCache.of({ last, keep: (state) => Effect.sync(() => void kept.push(state)) })
  const questions = new Calls<undefined, DesiredState, MasterError>()
  const ask = questions.call
  const client = MasterClient.of({
    desiredState: Effect.suspend(() => ask(undefined)),
    report: () => Effect.void,
    useComputer: () => Effect.never,
    partitionCertificate: () => Effect.die("not asked here"),
  })
  const context = yield* Layer.build(
    MasterSync.layer.pipe(
      Layer.provideMerge(StatusBoard.layer),
      Layer.provide([Layer.succeed(MasterClient, client), Layer.succeed(DesiredCache, cache)]),
      Layer.provide(Layer.succeed(NodeConfig, nodeConfig({ syncInterval: 60_000 }))),
    ),
  )
  const sync = Context.get(context, MasterSync)
  const board = Context.get(context, StatusBoard)
  const answer = (how: Effect.Effect<DesiredState, MasterError>) =>
    Effect.gen(function* () {
      const question = yield* questions.next
      yield* question.answer(how)
      yield* settle
    })
  const told = Effect.map(board.get, (status) => status.sync)
  return { sync, questions, answer, told, kept }
})

const following = follow()
const answers = "Answers" as const

describe("the interval", () => {
  it.effect("asks at start, and again after the interval", () =>
    Effect.gen(function* () {
      const { answer, questions, sync, told } = yield* following
      const state = desiredState()
      yield* answer(Effect.succeed(state))
      expect(yield* Queue.take(sync.updates)).toStrictEqual({ state, standing: answers, nudge: 0 })
      expect(yield* told).toStrictEqual({ lastSuccess: 0, standing: answers, error: undefined })
      yield* TestClock.adjust(53_999)
      expect(questions.inputs).toHaveLength(1)
      yield* TestClock.adjust(12_001)
      yield* settle
      expect(questions.inputs).toHaveLength(2)
    }),
  )

  it.effect("one question at a time, however long the answer takes", () =>
    Effect.gen(function* () {
      const { questions, sync } = yield* following
      yield* questions.next
      yield* sync.syncNow
      yield* TestClock.adjust(3600_000)
      yield* settle
      expect(questions.inputs).toHaveLength(1)
    }),
  )
})

describe("a master that does not answer", () => {
  it.effect("is asked again soon, then as often as always, and the last good answer stays in force", () =>
    Effect.gen(function* () {
      const { answer, questions, sync, told } = yield* following
      yield* answer(Effect.succeed(desiredState()))
      yield* Queue.take(sync.updates)
      yield* TestClock.adjust(66_000)
      for (const [least, most] of [
        [2000, 4000],
        [54_000, 66_000],
        [54_000, 66_000],
      ] as const) {
        yield* answer(Effect.fail(unreachable))
        const before = questions.inputs.length
        yield* TestClock.adjust(least - 1)
        expect(questions.inputs).toHaveLength(before)
        yield* TestClock.adjust(most - least + 1)
        yield* settle
        expect(questions.inputs).toHaveLength(before + 1)
      }
      expect(yield* told).toStrictEqual({ lastSuccess: 0, standing: "Away", error: "the master is away" })
      expect(yield* Queue.take(sync.updates)).toStrictEqual({ state: desiredState(), standing: "Away", nudge: 0 })
      expect(yield* Queue.size(sync.updates)).toBe(0)
      yield* answer(Effect.succeed(desiredState()))
      expect((yield* told).error).toBeUndefined()
      expect((yield* Queue.take(sync.updates)).standing).toBe("Answers")
    }),
  )

  it.effect("gets the time that it asks for, unless somebody wants to know now", () =>
    Effect.gen(function* () {
      const { answer, questions, sync } = yield* following
      const { message, method } = unreachable
      const busy = new MasterError({ method, message, reason: "Unavailable", status: 429, retryAfter: 300_000 })
      yield* answer(Effect.fail(busy))
      yield* TestClock.adjust(299_999)
      yield* settle
      expect(questions.inputs).toHaveLength(1)
      yield* TestClock.adjust(1)
      yield* settle
      expect(questions.inputs).toHaveLength(2)
      yield* answer(Effect.fail(busy))
      yield* sync.syncNow
      yield* settle
      expect(questions.inputs).toHaveLength(3)
    }),
  )

  it.effect("a defect of the client is a failure like another", () =>
    Effect.gen(function* () {
      const { answer, told } = yield* following
      yield* answer(Effect.die(new Error("a bug")))
      expect((yield* told).error).toContain("a bug")
      yield* TestClock.adjust(4000)
      yield* answer(Effect.succeed(desiredState()))
      expect((yield* told).error).toBeUndefined()
    }),
  )
})

describe("syncNow", () => {
  it.effect("asks at once, and its update says so", () =>
    Effect.gen(function* () {
      const { answer, sync } = yield* following
      yield* answer(Effect.succeed(desiredState()))
      yield* Queue.take(sync.updates)
      yield* sync.syncNow
      yield* answer(Effect.succeed(desiredState()))
      expect((yield* Queue.take(sync.updates)).nudge).toBe(1)
    }),
  )

  it.effect("asked during a question, asks once more", () =>
    Effect.gen(function* () {
      const { answer, questions, sync } = yield* following
      const question = yield* questions.next
      yield* sync.syncNow
      yield* sync.syncNow
      yield* question.answer(Effect.succeed(desiredState()))
      yield* answer(Effect.succeed(desiredState()))
      expect((yield* Queue.take(sync.updates)).nudge).toBe(1)
      expect(questions.untaken).toBe(0)
    }),
  )

  it.effect("is not forgotten when the master fails just then", () =>
    Effect.gen(function* () {
      const { answer, sync } = yield* following
      yield* answer(Effect.succeed(desiredState()))
      yield* sync.syncNow
      yield* answer(Effect.fail(unreachable))
      yield* TestClock.adjust(4000)
      yield* answer(Effect.succeed(desiredState()))
      expect((yield* Queue.take(sync.updates)).nudge).toBe(1)
    }),
  )

  it.effect("is not lost for a reader that missed the update", () =>
    Effect.gen(function* () {
      const { answer, sync } = yield* following
      yield* answer(Effect.succeed(desiredState()))
      yield* sync.syncNow
      yield* answer(Effect.succeed(desiredState()))
      yield* TestClock.adjust(66_000)
      yield* answer(Effect.succeed(desiredState()))
      expect((yield* Queue.take(sync.updates)).nudge).toBe(1)
      expect(yield* Queue.size(sync.updates)).toBe(0)
    }),
  )
})

describe("what an earlier agent heard", () => {
  const last = desiredState({ partitions: [desiredPartition()] })

  it.effect("is followed at once, and the master is asked at a moment within the interval", () =>
    Effect.gen(function* () {
      const { answer, questions, sync, told } = yield* follow(last)
      expect(yield* Queue.take(sync.updates)).toStrictEqual({ state: last, standing: "NotAsked", nudge: 0 })
      expect(yield* told).toStrictEqual({ lastSuccess: undefined, standing: "NotAsked", error: undefined })
      expect(questions.inputs).toHaveLength(0)
      yield* TestClock.adjust(60_000)
      yield* answer(Effect.succeed(desiredState()))
      expect(yield* Queue.take(sync.updates)).toStrictEqual({ state: desiredState(), standing: answers, nudge: 0 })
    }),
  )

  it.effect("does not keep anybody from asking at once", () =>
    Effect.gen(function* () {
      const { questions, sync } = yield* follow(last)
      yield* sync.syncNow
      yield* settle
      expect(questions.inputs).toHaveLength(1)
    }),
  )

  it.effect.each([
    ["Unreachable", "Away"],
    ["Unavailable", "Away"],
    ["InvalidAnswer", "Away"],
    ["NotFound", "Away"],
    ["Unauthorised", "Refuses"],
  ] as const)("%s: the master %s, and it stays in force", ([reason, standing]) =>
    Effect.gen(function* () {
      const { answer, sync, told } = yield* follow(last)
      yield* sync.syncNow
      yield* answer(Effect.fail(new MasterError({ method: "m", reason, status: undefined, message: "no" })))
      expect(yield* Queue.take(sync.updates)).toStrictEqual({ state: last, standing, nudge: 0 })
      expect((yield* told).standing).toBe(standing)
    }),
  )

  it.effect("is replaced by every good answer", () =>
    Effect.gen(function* () {
      const { answer, kept } = yield* following
      yield* answer(Effect.succeed(last))
      expect(kept).toStrictEqual([last])
    }),
  )
})

it.effect("unusable records are told", () =>
  Effect.gen(function* () {
    const { answer, told } = yield* following
    yield* answer(Effect.succeed(desiredState({ rejected: [{ subject: "partition ../x", reason: "not a name" }] })))
    expect(yield* told).toStrictEqual({ lastSuccess: 0, standing: answers, error: "partition ../x: not a name" })
  }),
)
