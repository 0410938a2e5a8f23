// A partition and its promises over time, with checks whose outcome the test says.
//
// | rule (node-behaviour.md, Promises)                           | test                                              |
// | ------------------------------------------------------------ | ------------------------------------------------- |
// | after an install, all; started is told when they are kept    | is started when its promises are kept             |
// | a failure after an install: told, no error log, tried again  | is told, has no error log, and is processed again |
// | after a failed processing they run all the same              | are checked after a failed processing, too        |
// | between installs; only transitions are told                  | tells a failure and a recovery once each          |
// | `_access_status`                                             | knows what the master knows                       |
// | a bang                                                       | bangs                                             |
// | `slapgrid promise`                                           | are checked when an operator says so              |
import { describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import type { Check } from "../../../src/health/PartitionPromises.ts"
import { PromiseError } from "../../../src/health/Promises.ts"
import { settle } from "../../support/Calls.ts"
import { slappart0 } from "../../support/facts.ts"
import { broken, nothingToCheck, running, statusOf } from "./running.ts"

const minute = 60_000
const failing = (message = "Promise 'a' failed with output: no"): Check => ({ ...nothingToCheck, failure: message })

/** Checks end as the test says, and the next one is due two minutes after. */
const scripted = Effect.fnUntraced(function* (options: Parameters<typeof running>[0] = {}) {
  const tools = yield* running(options)
  let next: Check | PromiseError = nothingToCheck
  tools.promises.checks.reply = () => {
    const answer = next
    return answer instanceof PromiseError
      ? answer
      : Effect.map(Clock.currentTimeMillis, (now) => ({ ...answer, nextAt: now + 2 * minute }))
  }
  return {
    ...tools,
    /** From now on. */
    answers: (check: Check | PromiseError) => void (next = check),
    pass: (time: number) => Effect.andThen(TestClock.adjust(time), settle),
    modes: () => tools.promises.checks.inputs.map(({ isForced, mode }) => (isForced ? `all ${mode}` : mode)),
  }
})

describe("the promises of a partition", () => {
  it.effect("is started when its promises are kept", () =>
    Effect.gen(function* () {
      const { client, file, installs, promises, status, wants } = yield* running()
      promises.checks.reply = undefined
      yield* wants()
      yield* installs(Effect.void)
      expect(yield* status).toMatchObject({ state: "installing", waitingFor: "its promises are checked" })
      expect([client.told, file(".timestamp")]).toStrictEqual([[], undefined])
      const { answer, input } = yield* promises.checks.next
      expect(input).toStrictEqual({ mode: "Test", isForced: true })
      yield* answer(Effect.succeed(nothingToCheck))
      yield* settle
      expect((yield* status)?.state).toBe("started")
      expect([client.told, file(".timestamp")]).toStrictEqual([["started"], "1"])
    }),
  )

  it.effect("a failure is told, has no error log, and it is processed again, at once when they are kept", () =>
    Effect.gen(function* () {
      const { answers, client, file, installs, instances, outcome, orders, pass, services, status, wants } =
        yield* scripted()
      answers(failing())
      yield* wants({}, { order: orders() })
      yield* installs(Effect.void)
      const error = "Promise 'a' failed with output: no"
      expect(yield* outcome(1)).toMatchObject({ state: "failed", error, isByPromises: true })
      expect([client.told, file(".timestamp"), file(".slapgrid-slappart0-error.log")]).toStrictEqual([
        ["error"],
        undefined,
        undefined,
      ])
      expect(services.told).toStrictEqual(["web-on-watch for 1"])
      yield* pass(7_000)
      yield* installs(Effect.void)
      expect([instances.installs.inputs.length, client.told.length]).toStrictEqual([2, 2])
      // The next try is ten seconds away, the next look at the promises two.
      answers(nothingToCheck)
      yield* pass(2_100)
      expect(instances.installs.inputs).toHaveLength(3)
      yield* installs(Effect.void)
      expect([client.told.at(-1), file(".timestamp"), (yield* status)?.error]).toStrictEqual([
        "started",
        "1",
        undefined,
      ])
    }),
  )

  it.effect("are checked after a failed processing, too, once, and nothing of it is told", () =>
    Effect.gen(function* () {
      const { answers, client, installs, modes, pass, wants } = yield* scripted()
      answers(failing())
      yield* wants()
      yield* installs(Effect.fail(broken))
      yield* pass(2_100)
      expect(modes()).toStrictEqual(["all Test"])
      expect(client.told).toStrictEqual(["error"])
    }),
  )

  it.effect("tells a failure and a recovery once each", () =>
    Effect.gen(function* () {
      const { answers, client, instances, modes, pass, retell, status, wants } = yield* scripted({ timestamp: "1" })
      yield* wants()
      yield* pass(2_100)
      expect([modes(), client.told]).toStrictEqual([["Anomaly"], []])
      answers(failing())
      yield* pass(3 * minute)
      yield* pass(3 * minute)
      expect(client.told).toStrictEqual(["error"])
      expect((yield* status)?.state).toBe("started")
      answers(new PromiseError({ message: "they cannot be checked" }))
      yield* pass(3 * minute)
      // Whoever has heard something else since is told again.
      yield* retell
      expect(client.told).toStrictEqual(["error", "error"])
      answers(nothingToCheck)
      yield* pass(3 * minute)
      yield* pass(3 * minute)
      expect(client.told).toStrictEqual(["error", "error", "started"])
      expect(instances.installs.inputs).toStrictEqual([])
    }),
  )

  for (const [name, accessStatus, wereFailing, isFailing, told] of [
    ["of a failure", "#error no", false, true, []],
    ["of a failure that is over", "#error no", false, false, ["started"]],
    ["of none", "#access fine", true, true, ["error"]],
    ["of none, and there is none", "#access fine", true, false, []],
    ["nothing, and an earlier agent saw a failure", undefined, true, true, []],
    ["nothing, and a failure that an earlier agent saw is over", undefined, true, false, ["started"]],
    ["nothing, and an earlier agent saw none", undefined, false, true, ["error"]],
  ] as const) {
    it.effect(`knows what the master knows: ${name}`, () =>
      Effect.gen(function* () {
        const { answers, client, pass, promises, wants } = yield* scripted({ timestamp: "1" })
        promises.wereFailing = wereFailing
        if (isFailing) answers(failing())
        yield* wants({ accessStatus })
        yield* pass(2_100)
        expect(client.told).toStrictEqual(told)
      }),
    )
  }

  it.effect("bangs whenever a check says so", () =>
    Effect.gen(function* () {
      const { answers, client, pass, wants } = yield* scripted({ timestamp: "1" })
      answers({ ...failing(), bang: "Promise a is failing" })
      yield* wants()
      yield* pass(2_100)
      yield* pass(3 * minute)
      const bangs = client.reports.inputs.filter(({ _tag }) => _tag === "Bang")
      const bang = { _tag: "Bang", id: slappart0, message: "Promise a is failing" }
      expect(bangs).toStrictEqual([bang, bang])
    }),
  )

  it.effect("are left alone while it is stopped, by the master or by hand", () =>
    Effect.gen(function* () {
      const { modes, pass, services, wants } = yield* scripted({ timestamp: "1" })
      services.status = [statusOf("web-on-watch", { isHeld: true })]
      yield* wants()
      yield* pass(5 * minute)
      expect(modes()).toStrictEqual([])
      services.status = [statusOf("web-on-watch")]
      yield* pass(5 * minute)
      const { length } = modes()
      expect(length).toBeGreaterThan(0)
      yield* wants({ requested: "stopped" }, { standing: "Away" })
      yield* pass(5 * minute)
      expect(modes()).toHaveLength(length)
    }),
  )

  it.effect("are no longer checked for a wish that is over", () =>
    Effect.gen(function* () {
      const { installs, instances, promises, wants } = yield* running()
      promises.checks.reply = undefined
      yield* wants()
      yield* installs(Effect.void)
      yield* wants({ timestamp: "2" })
      yield* (yield* promises.checks.next).interrupted
      expect(instances.installs.inputs).toHaveLength(2)
    }),
  )

  it.effect("are checked when an operator says so, and the master hears nothing of it", () =>
    Effect.gen(function* () {
      const { answers, checkPromises, client, pass, wants } = yield* scripted({ timestamp: "1" })
      expect((yield* checkPromises).skipped).toContain("not started")
      yield* wants()
      yield* pass(2_100)
      answers(failing())
      expect(yield* checkPromises).toMatchObject({ skipped: undefined, failure: failing().failure })
      expect(client.told).toStrictEqual([])
    }),
  )

  it.effect("go on to be checked after a check that crashed, which is told like any other failure", () =>
    Effect.gen(function* () {
      const { checkPromises, client, modes, pass, promises, wants } = yield* scripted({ timestamp: "1" })
      yield* wants()
      const reply = promises.checks.reply
      promises.checks.reply = () => Effect.die(new Error("a mistake of ours"))
      yield* pass(2_100)
      const problem = "the promises of slappart0 cannot be checked: the agent failed to, see its log"
      expect(client.reports.inputs).toMatchObject([{ _tag: "Partition", state: "error", log: problem }])
      expect(yield* checkPromises).toMatchObject({ skipped: undefined, failure: problem })
      promises.checks.reply = reply
      yield* pass(3 * minute)
      expect([client.told, modes().length]).toStrictEqual([["error", "started"], 3])
    }),
  )

  it.effect("an operator's check ends with what it is about", () =>
    Effect.gen(function* () {
      const { checkPromises, pass, promises, wants } = yield* scripted({ timestamp: "1" })
      yield* wants()
      yield* pass(2_100)
      promises.checks.reply = undefined
      const check = yield* Effect.forkScoped(checkPromises)
      yield* settle
      yield* wants({ requested: "stopped" }, { standing: "Away" })
      expect((yield* Fiber.join(check)).skipped).toContain("meanwhile")
    }),
  )
})
