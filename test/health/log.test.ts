// The log of a promise as the reference writes it, and as a stranger can.
import { expect, it } from "vitest"
import { lastRuns } from "../../src/health/log.ts"

it("is read in time, however long a stranger makes its lines", () => {
  const begun = performance.now()
  const [head, blanks] = ["2026-01-02 03:04:05", " ".repeat(64 * 1024)]
  expect(lastRuns([`${head}${blanks}!`, `${head} - ERROR${blanks}!`].join("\n"))).toStrictEqual([])
  expect(performance.now() - begun).toBeLessThan(2000)
})
