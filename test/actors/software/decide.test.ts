import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { decide, initialMemory, type SoftwareMemory } from "../../../src/actors/software/decide.ts"
import { desiredSoftware } from "../../support/facts.ts"

const now = 10_000
const failed = (of: "available" | "destroyed", retryAt = now + 1): SoftwareMemory => ({
  ...initialMemory,
  failures: 2,
  retryAt,
  nudge: 3,
  failed: of,
})
const settled = (on: "available" | "destroyed"): SoftwareMemory => ({ ...initialMemory, settled: on })

describe("decide", () => {
  it.each([
    ["new", "available", 0, initialMemory, { _tag: "Build" }],
    ["new", "destroyed", 0, initialMemory, { _tag: "Destroy" }],
    ["built", "available", 0, settled("available"), { _tag: "Wait", until: undefined }],
    ["built, and somebody asks", "available", 9, settled("available"), { _tag: "Wait", until: undefined }],
    ["built", "destroyed", 0, settled("available"), { _tag: "Destroy" }],
    ["removed", "destroyed", 0, settled("destroyed"), { _tag: "Wait", until: undefined }],
    ["removed", "available", 0, settled("destroyed"), { _tag: "Build" }],
    ["failed", "available", 3, failed("available"), { _tag: "Wait", until: now + 1 }],
    ["failed, and it is time", "available", 3, failed("available", now), { _tag: "Build" }],
    ["failed, and somebody asks", "available", 4, failed("available"), { _tag: "Build" }],
    ["failed to build", "destroyed", 3, failed("available"), { _tag: "Destroy" }],
    ["failed to be removed", "destroyed", 3, failed("destroyed"), { _tag: "Wait", until: now + 1 }],
    ["failed to be removed", "available", 3, failed("destroyed"), { _tag: "Build" }],
  ] as const)("%s, wanted %s with nudge %d", (_, requested, nudge, memory, decision) => {
    expect(decide({ software: desiredSoftware({ requested }), nudge }, memory, now)).toStrictEqual(decision)
  })
})
