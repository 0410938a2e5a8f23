import { assert, describe, it } from "@effect/vitest"
import { lastLines, logNameOf, programsWithLog } from "../../../src/process/logs/reading.ts"

const names = [
  ".slappart0_web.log",
  ".slappart0_web.log.1",
  ".slappart0_a_b.c.log",
  ".slappart0_.log",
  ".slappart1_db.log",
  ".slapgrid-build.log",
  "etc",
]

describe("programsWithLog", () => {
  it.each([
    ["slappart0", ["web", "a_b.c"]],
    ["slappart1", ["db"]],
    ["slappart", []],
  ])("%s", (partition, programs) => {
    assert.deepStrictEqual(programsWithLog(partition, names), programs)
  })
})

describe("logNameOf", () => {
  it.each([
    ["a program", "web", ".slappart0_web.log"],
    ["a watched one", "web-on-watch", ".slappart0_web.log"],
    ["none", "nothing", undefined],
    ["a path", "../slappart1/x", undefined],
    ["a backup", "web.log.1", undefined],
  ])("%s", (_, program, log) => {
    assert.strictEqual(logNameOf("slappart0", program, names), log)
  })
})

describe("lastLines", () => {
  it.each([
    ["the last two", "a\nb\nc\n", 2, "b\nc\n"],
    ["one without an end", "a\nb\nc", 2, "b\nc"],
    ["as many as there are", "a\nb\n", 2, "a\nb\n"],
    ["more than there are", "a\nb\n", 9, "a\nb\n"],
    ["empty lines are lines", "a\n\n\n", 2, "\n\n"],
    ["none", "a\nb\n", 0, ""],
    ["of nothing", "", 3, ""],
    ["of one empty line", "\n", 1, "\n"],
    ["of two empty lines", "\n\n", 1, "\n"],
  ])("%s", (_, text, count, expected) => {
    assert.strictEqual(Buffer.from(lastLines(Buffer.from(text), count)).toString(), expected)
  })
})
