// Where a log is cut, as tables: blocks of 10 bytes where the size of a block does not matter.
import { assert, describe, it } from "@effect/vitest"
import {
  backupRange,
  blanks,
  cutOf,
  floodSize,
  lookDelay,
  restOfLine,
  withoutBlanks,
} from "../../../src/process/logs/trim.ts"

const bytes = (text: string) => Buffer.from(text)
const text = (array: Uint8Array) => Buffer.from(array).toString()

describe("cutOf", () => {
  it.each([
    ["an empty log", 0, 100, 10, 0],
    ["up to the limit", 100, 100, 10, 0],
    ["one byte more", 101, 100, 10, 90],
    ["far above it", 1009, 100, 10, 990],
    ["whole blocks: one stays whole", 200, 100, 10, 190],
    ["a limit below a block", 15, 5, 10, 0],
    ["a limit below two blocks", 19, 15, 10, 0],
    ["two blocks above such a limit", 20, 15, 10, 10],
    ["the default", 100 * 1024 + 1, 100 * 1024, 4096, 24 * 4096],
  ])("%s", (_, size, limit, block, cut) => {
    assert.strictEqual(cutOf(size, limit, block), cut)
    // The kernel wants whole blocks, and something to stay.
    assert.strictEqual(cut % block, 0)
    assert.isTrue(cut === 0 || cut < size)
  })
})

describe("restOfLine", () => {
  it.each([
    ["within a line", "abc\ndef", 2],
    ["the cut is where a line begins", "\nabc\n", 0],
    ["only the newline is left", "a\nb", 0],
    ["no end in sight", "abcdef", 0],
    ["nothing", "", 0],
  ])("%s", (_, window, rest) => {
    assert.strictEqual(restOfLine(bytes(window)), rest)
  })
})

describe("backupRange", () => {
  it.each([
    ["all that is cut", 90, 5, 100, [0, 95]],
    ["never more than the limit", 990, 5, 100, [895, 995]],
    ["no rest", 990, 0, 100, [890, 990]],
  ])("%s", (_, cut, rest, limit, range) => {
    assert.deepStrictEqual([...backupRange(cut, rest, limit)], range)
  })
})

describe("withoutBlanks", () => {
  it.each([
    ["the rest of a line", `${text(blanks(3))}\nnext`, "\nnext"],
    ["nothing to do", "first\nnext", "first\nnext"],
    ["a program's own indentation", "   first\n", "   first\n"],
    ["a line without an end", "   ", "   "],
    ["an empty line", "\nnext", "\nnext"],
    ["nothing", "", ""],
  ])("%s", (_, log, expected) => {
    assert.strictEqual(text(withoutBlanks(bytes(log))), expected)
  })
})

describe("lookDelay", () => {
  it.each([
    ["soon after a quiet time", undefined, 50],
    ["twice a second while it changes", 100, 500],
    ["no more change", 0, 500],
    ["emptied by its owner", -5, 500],
    ["a flood", floodSize, 50],
  ])("%s", (_, growth, delay) => {
    assert.strictEqual(lookDelay(growth), delay)
  })
})

describe("backup and log after any number of cuts", () => {
  it("are one contiguous end of what was written", () => {
    const block = 16
    const limit = 100
    let written = ""
    let backup = ""
    let log = ""
    for (let index = 0; index < 400; index++) {
      const line = `${index}-${"x".repeat((index * 7) % 41)}\n`
      written += line
      log += line
      const cut = cutOf(log.length, limit, block)
      if (cut === 0) continue
      const rest = restOfLine(bytes(log.slice(cut - 1, cut + block)))
      backup = log.slice(...backupRange(cut, rest, limit))
      log = text(blanks(rest)) + log.slice(cut + rest)
      const both = (backup + log).replaceAll(" ", "")
      assert.strictEqual(both, written.slice(-both.length))
      assert.isAtLeast(both.length, 60)
      assert.isAtMost(backup.length, limit)
    }
  })
})
