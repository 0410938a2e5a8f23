import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { LogTail } from "../../src/demo/LogTail.ts"
import { start } from "./facts.ts"

const record = (message: string) => ({ at: start, message, text: `INFO ${message}` })

const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(`${tmpdir()}/slapgrid-test-`)),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true })),
)

describe("LogTail", () => {
  it("keeps the newest lines, a message's own lines apart", () => {
    const tail = new LogTail()
    tail.push(record("one\ntwo\n"))
    for (let index = 0; index < 199; index++) tail.push(record(`line ${index}`))
    expect(tail.lines).toHaveLength(200)
    expect(tail.lines.map(({ text }) => text).slice(0, 2)).toStrictEqual(["two", "line 0"])
  })

  it.effect("writes to its file what came before there was one, and nothing after the end", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const tail = new LogTail()
      tail.push(record("early"))
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* tail.writeTo(`${directory}/log`)
          tail.push(record("later"))
        }),
      )
      tail.push(record("too late"))
      expect(readFileSync(`${directory}/log`, "utf8")).toBe("INFO early\nINFO later\n")
    }),
  )
})
