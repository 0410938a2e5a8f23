// When the master is asked, by one node and by ten thousand of them.
import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { loadOf, scenarios } from "../../bench/fleet.ts"
import { firstDelay, nextDelay } from "../../src/desired/polling.ts"

describe("the first question", () => {
  it.each([
    ["at once without knowledge", 0, false, 0.5, 0],
    ["somewhere in the interval", 0, true, 0.5, 30_000],
    ["somewhere in a longer delay", 600_000, true, 0.5, 300_000],
    ["a shorter delay is none", 1000, true, 1, 60_000],
  ])("comes %s", (_, maximalDelay, knows, random, delay) => {
    expect(firstDelay({ syncInterval: 60_000, maximalDelay }, knows, random)).toBe(delay)
  })
})

describe("the next question", () => {
  it.each([
    ["the interval", 60_000, 0, 54_000, 66_000],
    ["seconds after a failure", 60_000, 1, 2000, 4000],
    ["then the interval", 60_000, 2, 54_000, 66_000],
    ["for ever", 60_000, 1e6, 54_000, 66_000],
    ["a short interval is never exceeded", 500, 1, 333, 667],
    ["… not later either", 500, 2, 450, 550],
    ["of a long interval: a minute", 3_600_000, 2, 54_000, 66_000],
    ["… two minutes", 3_600_000, 3, 108_000, 132_000],
    ["… the interval at last", 3_600_000, 9, 3_240_000, 3_960_000],
  ])("comes after %s", (_, interval, failures, least, most) => {
    const delays = [0, 0.5, 1].map((random) => Math.round(nextDelay(interval, failures, random)))
    expect([delays[0], delays[2]]).toStrictEqual([least, most])
    expect(delays[1]).toBe((least + most) / 2)
  })
})

describe("10,000 nodes with one master", () => {
  it.each(scenarios)("$name: no second has three times the mean", (scenario) => {
    const { calls, mean } = loadOf(scenario, 1)
    expect(mean).toBeGreaterThan(150)
    expect(Math.max(...calls) / mean).toBeLessThan(3)
  })
})
