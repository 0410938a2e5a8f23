import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { frame, plainDisplay } from "../../src/demo/display.ts"
import { answering, demo, instance, node, start } from "./facts.ts"

it("a frame replaces the screen line by line and clears what is below", () => {
  expect(frame(["a", "b"])).toBe("\u001b[Ha\u001b[K\r\nb\u001b[K\u001b[J")
})

const quiet = node({ software: [] })

describe("plain output", () => {
  const lines = (once: boolean) =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const display = plainDisplay((line) => said.push(line), { once })
      yield* TestClock.setTime(start + 500)
      yield* display.show(demo({ node: quiet, instances: [instance()] }))
      yield* TestClock.setTime(start + 12_000)
      yield* display.show(demo({ node: quiet, instances: [answering()] }))
      yield* display.show(demo({ node: quiet, instances: [answering()] }))
      return said
    })

  const told = [
    "  0.5 s  the master listens on http://127.0.0.1:5000/, files are in /tmp/demo",
    "   12 s  instance english has published http://127.0.0.1:20000/",
    "   12 s  instance english answers: Hello",
    "all 1 instances answer: the first after 3.5 s, all after 3.5 s",
    "english: http://127.0.0.1:20000/",
  ]

  it.effect("tells each event once with its time, then the addresses and how to go on", () =>
    Effect.gen(function* () {
      const [last, ...others] = (yield* lines(false)).toReversed()
      expect(others.toReversed()).toStrictEqual(told)
      expect(last).toContain("slapgrid status --configuration-file /tmp/demo/slapos.cfg")
    }),
  )

  it.effect("does not tell how to go on when it ends by itself", () =>
    Effect.gen(function* () {
      expect(yield* lines(true)).toStrictEqual(told)
    }),
  )
})
