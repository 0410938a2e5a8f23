// Questions about users: how many are asked, who gets which answer, and that one in the way is in nobody else's.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { expect } from "vitest"
import { Accounting } from "../../../src/process/launcher/Accounting.ts"
import { LaunchError } from "../../../src/process/launcher/Connection.ts"
import type { Account } from "../../../src/process/launcher/protocol.ts"
import { Calls, settle } from "../../support/Calls.ts"

const account = (uid: number): Account => ({ name: `user${uid}`, home: `/home/${uid}`, groups: [uid] })
const trouble = new LaunchError({ errno: 5, message: "no answer" })

const asking = () => {
  const questions = new Calls<ReadonlyArray<number>, ReadonlyArray<Account | null>, LaunchError>()
  const accounting = new Accounting(questions.call)
  const wanted = (uids: ReadonlyArray<number>) =>
    Effect.tap(Effect.forkChild(Effect.forEach(uids, accounting.of, { concurrency: "unbounded" })), () => settle)
  return { questions, accounting, wanted }
}

describe("accounts", () => {
  it.effect("are asked for together, and at most 64 at a time", () =>
    Effect.gen(function* () {
      const { questions, wanted } = asking()
      const uids = Array.from({ length: 70 }, (_, index) => index)
      const all = yield* wanted([...uids, 0, 5])
      for (let count = 0; count < 2; count++) {
        const { answer, input } = yield* questions.next
        yield* answer(Effect.succeed(input.map(account)))
        yield* settle
      }
      expect(questions.inputs).toStrictEqual([uids.slice(0, 64), uids.slice(64)])
      expect(yield* Fiber.join(all)).toStrictEqual([...uids, 0, 5].map(account))
      yield* wanted([0])
      expect(questions.inputs).toHaveLength(3)
    }),
  )

  it.effect("are asked for together while another question is out", () =>
    Effect.gen(function* () {
      const { questions, wanted } = asking()
      yield* wanted([0])
      yield* wanted([1])
      yield* wanted([2, 3])
      yield* (yield* questions.next).answer(Effect.succeed([account(0)]))
      yield* settle
      expect(questions.inputs).toStrictEqual([[0], [1, 2, 3]])
    }),
  )

  it.effect("are asked for again where the answer stops before them", () =>
    Effect.gen(function* () {
      const { questions, wanted } = asking()
      const all = yield* wanted([1, 2, 3])
      yield* (yield* questions.next).answer(Effect.succeed([account(1)]))
      yield* settle
      yield* (yield* questions.next).answer(Effect.succeed([account(2), null]))
      expect(yield* Fiber.join(all)).toStrictEqual([account(1), account(2), undefined])
      expect(questions.inputs).toStrictEqual([
        [1, 2, 3],
        [2, 3],
      ])
    }),
  )

  it.effect("are undefined where there is no entry", () =>
    Effect.gen(function* () {
      const { questions, wanted } = asking()
      const one = yield* wanted([7])
      yield* (yield* questions.next).answer(Effect.succeed([null]))
      expect(yield* Fiber.join(one)).toStrictEqual([undefined])
    }),
  )

  it.effect("are asked for one by one when nobody knows which of them is in the way", () =>
    Effect.gen(function* () {
      const { accounting, questions, wanted } = asking()
      yield* wanted([0])
      const good = yield* wanted([1, 3])
      const bad = yield* Effect.forkChild(accounting.of(2))
      yield* settle
      questions.reply = (uids) =>
        uids.includes(2) ? Effect.fail(trouble) : Effect.succeed(uids.map((uid) => (uid === 3 ? null : account(uid))))
      yield* (yield* questions.next).answer(Effect.succeed([account(0)]))
      expect(yield* Fiber.join(good)).toStrictEqual([account(1), undefined])
      expect(yield* Effect.exit(Fiber.join(bad))).toStrictEqual(Exit.fail(trouble))
      expect(questions.inputs).toStrictEqual([[0], [1, 3, 2], [1], [3], [2]])
      expect(yield* accounting.of(1)).toStrictEqual(account(1))
    }),
  )

  it.effect("come also when the one that asked has gone", () =>
    Effect.gen(function* () {
      const { accounting, questions, wanted } = asking()
      const first = yield* wanted([1])
      const second = yield* Effect.forkChild(accounting.of(2))
      yield* settle
      yield* Fiber.interrupt(first)
      yield* settle
      expect(questions.inputs).toStrictEqual([[1], [2, 1]])
      yield* questions.next
      yield* (yield* questions.next).answer(Effect.succeed([account(2), account(1)]))
      expect(yield* Fiber.join(second)).toStrictEqual(account(2))
    }),
  )
})
