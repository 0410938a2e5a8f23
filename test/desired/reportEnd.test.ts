// What a report pass tells, as tables.
import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { invalidOutcomes, reportEnd, scriptsOutcome } from "../../src/desired/reportEnd.ts"
import type { PendingJournal } from "../../src/domain/NodeStatus.ts"
import type { UsageOutcome } from "../../src/report/usage/UsageReports.ts"
import { slappart0 } from "../support/facts.ts"

const nothing: UsageOutcome = {
  scripts: 0,
  failed: [],
  reports: 0,
  invalid: [],
  sent: 0,
  pending: [],
  isMasterAway: false,
  error: undefined,
}
const failed = { partition: slappart0, script: "usage", message: "exit status 3" }
const journal = (changes: Partial<PendingJournal> = {}): PendingJournal => ({
  journal: "1",
  state: "sealed",
  sealedAt: 0,
  movements: 1,
  error: undefined,
  ...changes,
})

describe("the end of a report", () => {
  it.each([
    ["with nothing to report", {}, undefined, 0, ["0 reports collected, 0 journals sent"]],
    ["all is sent", { reports: 3, sent: 1 }, undefined, 0, ["3 reports collected, 1 journal sent"]],
    ["a script failed", { failed: [failed] }, undefined, 1, ["1 report script failed"]],
    ["a file is invalid", { invalid: [{ path: "/x", reason: "why" }] }, undefined, 1, ["1 file is no usage report"]],
    ["the disk is full", { error: "no space" }, undefined, 1, ["reports cannot be kept: no space"]],
    [
      "the master refused one",
      { pending: [journal({ error: "no such computer" })] },
      undefined,
      1,
      ["1 journal kept: no such computer"],
    ],
    [
      "the master does not answer",
      { isMasterAway: true, pending: [journal({ state: "in flight" }), journal()] },
      undefined,
      3,
      ["the master is away or refuses this computer: 2 journals kept and sent later"],
    ],
    [
      "the master has it, and its sources stay",
      { isMasterAway: true, pending: [journal({ state: "acknowledged", error: "read-only" })] },
      undefined,
      1,
      ["1 journal kept: read-only"],
    ],
    ["it is not known who is there", {}, "the master is away: why", 3, ["the master is away: why"]],
    ["that and a failure", { failed: [failed] }, "the master is away: why", 1, ["the master is away: why"]],
  ] as const)("%s", (_, changes, away, status, words) => {
    const end = reportEnd({ ...nothing, ...changes }, away)
    expect(end.status).toBe(status)
    for (const word of words) expect(end.message).toContain(word)
  })
})

it.each([
  [{ scripts: 0, failed: [] }, "Done", "nothing to run", undefined],
  [{ scripts: 1, failed: [] }, "Done", "1 report script ran", undefined],
  [{ scripts: 2, failed: [] }, "Done", "2 report scripts ran", undefined],
  [{ scripts: 2, failed: [failed] }, "Failed", "1 of 2 report scripts failed", "usage: exit status 3"],
  [{ scripts: 0, failed: [{ ...failed, script: "*" }] }, "Failed", "report scripts could not run", "exit status 3"],
] as const)("scripts: %j", (run, result, state, problem) => {
  expect(scriptsOutcome(slappart0, run)).toStrictEqual({ subject: slappart0, result, state, problem })
})

it("files that are no reports are named", () => {
  const outcome = { ...nothing, invalid: [{ path: "/x", reason: "why" }] }
  expect(invalidOutcomes(outcome)).toMatchObject([{ subject: "/x", result: "Failed", problem: "why" }])
})
