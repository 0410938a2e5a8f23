// What a slow reader of a pass gets to see.
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { PassLog } from "../../src/desired/PassLog.ts"
import type { PassEvent } from "../../src/domain/Pass.ts"
import { settle } from "../support/Calls.ts"

const progress = (subject: string, state: string): PassEvent => ({ _tag: "Progress", subject, state })
const settled = (subject: string): PassEvent => ({
  _tag: "Settled",
  subject,
  result: "Done",
  state: "started",
  problem: undefined,
})
const ended: PassEvent = { _tag: "Ended", status: 0, message: undefined }

it.effect("the newest event about each subject, in order, and the end", () =>
  Effect.gen(function* () {
    const log = new PassLog()
    for (const event of [
      progress("a", "installing"),
      progress("b", "installing"),
      progress("a", "waiting"),
      settled("a"),
      ended,
    ]) {
      yield* log.put(event)
    }
    expect(yield* Stream.runCollect(log.events)).toStrictEqual([progress("b", "installing"), settled("a"), ended])
  }),
)

it.effect("a reader that keeps up sees all", () =>
  Effect.gen(function* () {
    const log = new PassLog()
    const seen: Array<PassEvent> = []
    const reading = yield* Effect.forkScoped(
      Stream.runForEach(log.events, (event) => Effect.sync(() => void seen.push(event))),
    )
    const events = [progress("a", "installing"), progress("a", "waiting"), settled("a"), ended]
    for (const event of events) yield* Effect.andThen(log.put(event), settle)
    yield* Fiber.join(reading)
    expect(seen).toStrictEqual(events)
  }),
)
