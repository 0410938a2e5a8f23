// Promises in what `slapgrid status` and `slapgrid explain` print.
import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { renderExplanation } from "../../src/cli/explain.ts"
import { renderPromises } from "../../src/cli/status.ts"
import type { PartitionStatus } from "../../src/domain/NodeStatus.ts"
import { release, slappart0 } from "../support/facts.ts"

const now = 1_700_000_000_000
const error = "Promise 'listens.py' failed with output: first\nno port"
const partition: PartitionStatus = {
  id: slappart0,
  requested: "started",
  software: release,
  state: "failed",
  since: now - 3000,
  waitingFor: undefined,
  error,
  services: [],
  promises: [
    { kind: "plugin", name: "listens.py", hasFailed: true, checkedAt: now - 5000, message: "first\nno \u001bport" },
    { kind: "executable", name: "kept", hasFailed: false, checkedAt: now - 6000, message: undefined },
  ],
}

describe("promises", () => {
  it("that fail are named in the status, with the last line of what they said", () => {
    expect(renderPromises([partition], now).join("\n")).toBe(`FAILING PROMISE       CHECKED  LAST LINE
slappart0:listens.py  5 s      no \\x1bport
`)
    expect(renderPromises([{ ...partition, promises: partition.promises.slice(1) }], now)).toStrictEqual([])
  })

  it("are explained with where their logs are", () => {
    const planned = {
      id: slappart0,
      requested: "started",
      software: release,
      action: "wait",
      reason: "its promises fail",
      at: undefined,
      processed: undefined,
      failures: 1,
      services: [],
    } as const
    const text = renderExplanation({ planned, status: partition, path: "/srv/slappart0" }, now)
    expect(text.slice(text.indexOf("promises:"))).toBe(`promises:
  listens.py: fails, checked 5 s ago: first
      no \\x1bport
    /srv/slappart0/.slapgrid/promise/log/listens.log
  kept: kept, checked 6 s ago
    /srv/slappart0/.slapgrid/promise/log/kept.log`)
    // There is none for promises.
    expect(text).not.toContain("error.log")
  })
})
