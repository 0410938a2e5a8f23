import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as fs from "node:fs"
import { expect } from "vitest"
import { freezeDelay, parseDecimal, retainedUntil } from "../../../src/actors/partition/retention.ts"
import { OwnedDirectory } from "../../../src/files/OwnedDirectory.ts"
import { scratchDirectory } from "../../support/scratch.ts"

describe("parseDecimal", () => {
  it.each([
    ["0", 0],
    ["7", 7],
    ["7.5", 7.5],
    [".5", 0.5],
    ["7.", 7],
    ["+7", 7],
    [" 7.0\n", 7],
    ["1e3", 1000],
    ["1.5E+9", 1.5e9],
    ["", undefined],
    [" ", undefined],
    ["-1", undefined],
    ["0x10", undefined],
    ["1,5", undefined],
    ["7 days", undefined],
    ["Infinity", undefined],
    ["inf", undefined],
    ["nan", undefined],
    ["1e999", undefined],
    ["0b1", undefined],
  ])("%j: %s", (text, value) => {
    expect(parseDecimal(text)).toBe(value)
  })
})

const delayFile = ".slapos-retention-lock-delay"
const dateFile = ".slapos-retention-lock-date"

const partition = Effect.gen(function* () {
  const path = yield* scratchDirectory
  const directory = yield* OwnedDirectory.open(path)
  const read = (name: string) =>
    fs.existsSync(`${path}/${name}`) ? fs.readFileSync(`${path}/${name}`, "utf8") : undefined
  return { path, directory, read }
})

describe("freezeDelay", () => {
  it.effect.each([
    [undefined, "0.0"],
    ["3", "3.0"],
    ["0.25", "0.25"],
    ["soon", "0.0"],
    ["-3", "0.0"],
  ] as const)("%s", ([sla, text]) =>
    Effect.gen(function* () {
      const { directory, read } = yield* partition
      yield* freezeDelay(directory, sla)
      expect(read(delayFile)).toBe(text)
      yield* freezeDelay(directory, "99")
      expect(read(delayFile)).toBe(text)
    }),
  )
})

describe("retainedUntil", () => {
  it.effect.each([undefined, "0", "0.0", "-1", "soon", ""])(
    "a delay of %s retains nothing and leaves no date",
    (delay) =>
      Effect.gen(function* () {
        const { directory, path, read } = yield* partition
        if (delay !== undefined) fs.writeFileSync(`${path}/${delayFile}`, delay)
        expect([yield* retainedUntil(directory), read(dateFile)]).toStrictEqual([undefined, undefined])
      }),
  )

  it.effect("the first destroy sets the date, later ones keep it", () =>
    Effect.gen(function* () {
      const { directory, path, read } = yield* partition
      fs.writeFileSync(`${path}/${delayFile}`, "2.0")
      yield* TestClock.setTime(1_000_999)
      const date = 1000 + 2 * 86_400
      expect([yield* retainedUntil(directory), read(dateFile)]).toStrictEqual([date * 1000, `${date}.0`])
      yield* TestClock.setTime(date * 1000 - 1)
      expect(yield* retainedUntil(directory)).toBe(date * 1000)
      yield* TestClock.setTime(date * 1000)
      expect([yield* retainedUntil(directory), read(dateFile)]).toStrictEqual([undefined, `${date}.0`])
    }),
  )

  it.effect.each(["1e300", "1e15"])("a date of %s is the last one that there is", (date) =>
    Effect.gen(function* () {
      const { directory, path } = yield* partition
      fs.writeFileSync(`${path}/${dateFile}`, date)
      expect(yield* retainedUntil(directory)).toBe(8.64e15)
      fs.rmSync(`${path}/${dateFile}`)
      fs.writeFileSync(`${path}/${delayFile}`, date)
      expect(yield* retainedUntil(directory)).toBe(8.64e15)
    }),
  )

  it.effect("files that cannot be ours hold nothing up", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* partition
      fs.writeFileSync(`${path}/other`, "9.0")
      fs.symlinkSync("other", `${path}/${delayFile}`)
      fs.writeFileSync(`${path}/${dateFile}`, "9".repeat(101))
      expect(yield* retainedUntil(directory)).toBeUndefined()
    }),
  )

  it.effect("a date that the reference wrote counts", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* partition
      fs.writeFileSync(`${path}/${dateFile}`, "1700000000.25")
      expect(yield* retainedUntil(directory)).toBe(1_700_000_000_250)
    }),
  )
})
