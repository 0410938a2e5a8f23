// When usage is due.
import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { firstReport, isPlausible, reportAfter, sendAfter } from "../../../src/actors/usage/decide.ts"

const now = 1_700_000_000_000
const day = 86_400_000

describe("the first report of an agent", () => {
  it.each([
    ["never planned: somewhere in the interval", null, 0.5, now + day / 2],
    ["planned by an earlier agent", now + 5000, 0.5, now + 5000],
    ["overdue: soon, and not all nodes at once", now - day, 0.5, now + 150_000],
    ["planned for a longer interval", now + 2 * day, 0.25, now + day / 4],
    ["planned by a clock that was wrong", now * 2, 0, now],
  ])("%s", (_, planned, random, time) => expect(firstReport(planned, now, day, random)).toBe(time))

  it("is not put off for longer than the interval allows", () => {
    expect(firstReport(now - 1, now, 1000, 1)).toBe(now + 100)
  })
})

describe("the next report", () => {
  it.each([
    [0, 0.95 * day],
    [0.5, day],
    [1, 1.05 * day],
  ])("comes after the interval, more or less: %d", (random, after) => {
    expect(reportAfter(now, day, random)).toBe(now + after)
    expect(isPlausible(now + after, now, day)).toBe(true)
  })
})

describe("what is sealed", () => {
  it("is tried less and less often, and every five minutes for ever", () => {
    const delays = [1, 2, 3, 8, 9, 10, 50].map((failures) => sendAfter(failures, 0.5))
    expect(delays).toStrictEqual([1000, 2000, 4000, 128_000, 256_000, 300_000, 300_000])
    expect([sendAfter(2, 0), sendAfter(2, 1)]).toStrictEqual([1500, 2500])
  })
})
