// Signals of this very process: a listener that is gone too early would end the test runner, so listeners are counted.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { expect } from "vitest"
import { onSignal } from "../../src/cli/signals.ts"

describe("onSignal", () => {
  it.effect("runs the effect at every signal, and ignores the signal once its Scope is closed", () =>
    Effect.gen(function* () {
      const seen = yield* Queue.unbounded<string>()
      const before = process.listeners("SIGUSR2")
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          for (const one of process.listeners("SIGUSR2")) if (!before.includes(one)) process.off("SIGUSR2", one)
        }),
      )
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* onSignal("SIGUSR2", Effect.asVoid(Queue.offer(seen, "told")))
          for (let count = 0; count < 2; count++) {
            process.emit("SIGUSR2")
            expect(yield* Queue.take(seen)).toBe("told")
          }
        }),
      )
      // Without any listener the default action of the signal is the end of the process.
      expect(process.listenerCount("SIGUSR2")).toBeGreaterThan(before.length)
      process.emit("SIGUSR2")
      yield* Effect.yieldNow
      expect(yield* Queue.size(seen)).toBe(0)
    }),
  )
})
