// The program as a process, from its sources.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { expect } from "vitest"

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))

describe("main", () => {
  it.effect("goes on when nobody reads its log any more, and ends in order", () =>
    Effect.gen(function* () {
      const child = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(process.execPath, [main, "master", "--database", ":memory:", "--port", "0"], {
            stdio: ["ignore", "pipe", "pipe"],
          }),
        ),
        (child) => Effect.sync(() => child.kill("SIGKILL")),
      )
      const ended = once(child, "exit")
      child.stderr.destroy()
      const [url] = yield* Effect.promise(() => Promise.race([once(child.stdout, "data"), ended]))
      // It answers after it has logged its first line, which nobody could read.
      const answer = yield* Effect.promise(() => fetch(`${String(url).trim()}status.json`))
      expect(answer.status).toBe(200)
      child.kill("SIGTERM")
      expect(yield* Effect.promise(() => ended)).toStrictEqual([0, null])
    }),
  )
})
