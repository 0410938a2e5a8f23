import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { backoff, countFailure, restartPolicy } from "../../../src/process/service/restartPolicy.ts"

const policy = { base: 100, cap: 1000, stableAfter: 5000 }

describe("backoff", () => {
  it.each([
    [0, 0],
    [1, 0],
    [2, 100],
    [3, 200],
    [4, 400],
    [5, 800],
    [6, 1000],
    [60, 1000],
    [10_000, 1000],
    [Number.MAX_SAFE_INTEGER, 1000],
  ])("after %d failures in a row: %d ms", (failures, delay) => {
    expect(backoff(policy, failures)).toBe(delay)
  })
})

describe("countFailure", () => {
  it.each([
    [0, 0, 1],
    [3, 4999, 4],
    [3, 5000, 1],
    [3, 1e9, 1],
    [0, -1, 1],
  ])("%d before, ran for %d ms: %d", (before, ranFor, count) => {
    expect(countFailure(policy, before, ranFor)).toBe(count)
  })
})

it("the policy in force restarts at once, and waits half a minute at most", () => {
  expect([backoff(restartPolicy, 1), backoff(restartPolicy, 1000)]).toStrictEqual([0, 30_000])
})
