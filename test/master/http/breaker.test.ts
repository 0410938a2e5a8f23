import { describe, expect, it } from "vitest"
import {
  admit,
  after,
  type Breaker,
  closed,
  longestRetryAfter,
  type Outcome,
} from "../../../src/master/http/breaker.ts"

const away: Outcome = { retryAfter: undefined }

const fail = (times: number, from: Breaker = closed, now = 0, jitter = 1): Breaker =>
  Array.from({ length: times }).reduce<Breaker>((breaker) => after(breaker, away, now, jitter), from)

describe("a master that is not there", () => {
  const pauses: ReadonlyArray<readonly [failures: number, milliseconds: number]> = [
    [1, 0],
    [4, 0],
    [5, 1000],
    [6, 2000],
    [8, 8000],
    [11, 60_000],
    [10_000, 60_000],
  ]

  it.each(pauses)("after %s failures is left alone for %s ms", (failures, milliseconds) => {
    const breaker = fail(failures, closed, 500)
    expect(breaker.heldUntil).toBe(500 + milliseconds)
    expect(admit(breaker, 499 + milliseconds).isAdmitted).toBe(false)
    expect(admit(breaker, 500 + milliseconds).isAdmitted).toBe(true)
  })

  it("gets one call at a time then, until one has its answer", () => {
    const breaker = fail(6)
    const first = admit(breaker, 2000)
    expect(first.isAdmitted).toBe(true)
    expect(admit(first.next, 2001).isAdmitted).toBe(false)
    expect(admit(after(first.next, away, 2001, 1), 4000).isAdmitted).toBe(false)
    expect(after(first.next, "Answered", 2001, 1)).toStrictEqual(closed)
    expect(admit(closed, 2001).isAdmitted).toBe(true)
  })

  it("is left alone by each node for a time of its own", () => {
    expect([0.75, 1.25].map((jitter) => after(fail(9), away, 0, jitter).heldUntil)).toStrictEqual([24_000, 40_000])
  })
})

describe("a master that asks for time", () => {
  it("gets it at the first call, but not for ever", () => {
    expect(after(closed, { retryAfter: 30_000 }, 1000, 1).heldUntil).toBe(31_000)
    expect(after(closed, { retryAfter: 1e12 }, 0, 1).heldUntil).toBe(longestRetryAfter)
  })

  it("is not asked sooner because another call failed meanwhile", () => {
    const breaker = after(closed, { retryAfter: 30_000 }, 0, 1)
    expect(after(breaker, away, 1000, 1).heldUntil).toBe(30_000)
  })
})
