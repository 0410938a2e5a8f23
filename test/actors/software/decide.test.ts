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

const order = (id: number, isForced: boolean) => ({ id, isForced, isDebug: isForced })
const after = (id: number, memory: SoftwareMemory): SoftwareMemory => ({ ...memory, tried: id, done: id })
const build = (isForced: boolean) => ({ _tag: "Build", mode: { isForced, isDebug: isForced } })
const waiting = (until?: number) => ({ _tag: "Wait", until })

describe("decide under an order", () => {
  it.each([
    ["built", "available", order(1, false), settled("available"), waiting()],
    ["built, and forced", "available", order(1, true), settled("available"), build(true)],
    ["built, and forced before", "available", order(1, true), after(1, settled("available")), waiting()],
    ["failed", "available", order(1, false), failed("available"), build(false)],
    ["failed under it", "available", order(1, false), { ...failed("available"), tried: 1 }, waiting(now + 1)],
    [
      "failed under it, and it is time",
      "available",
      order(1, true),
      { ...failed("available", now), tried: 1 },
      build(true),
    ],
    ["removed", "destroyed", order(1, true), settled("destroyed"), waiting()],
    ["removed under it, and wanted again", "available", order(1, true), after(1, settled("destroyed")), build(false)],
    ["not removed", "destroyed", order(1, false), failed("destroyed"), { _tag: "Destroy" }],
  ] as const)("%s, wanted %s", (_, requested, order, memory, decision) => {
    expect(decide({ software: desiredSoftware({ requested }), nudge: 3, order }, memory, now)).toStrictEqual(decision)
  })
})

describe("decide", () => {
  it.each([
    ["new", "available", 0, initialMemory, build(false)],
    ["new", "destroyed", 0, initialMemory, { _tag: "Destroy" }],
    ["built", "available", 0, settled("available"), { _tag: "Wait", until: undefined }],
    ["built, and somebody asks", "available", 9, settled("available"), { _tag: "Wait", until: undefined }],
    ["built", "destroyed", 0, settled("available"), { _tag: "Destroy" }],
    ["removed", "destroyed", 0, settled("destroyed"), { _tag: "Wait", until: undefined }],
    ["removed", "available", 0, settled("destroyed"), build(false)],
    ["failed", "available", 3, failed("available"), { _tag: "Wait", until: now + 1 }],
    ["failed, and it is time", "available", 3, failed("available", now), build(false)],
    ["failed, and somebody asks", "available", 4, failed("available"), build(false)],
    ["failed to build", "destroyed", 3, failed("available"), { _tag: "Destroy" }],
    ["failed to be removed", "destroyed", 3, failed("destroyed"), { _tag: "Wait", until: now + 1 }],
    ["failed to be removed", "available", 3, failed("destroyed"), build(false)],
  ] as const)("%s, wanted %s with nudge %d", (_, requested, nudge, memory, decision) => {
    expect(decide({ software: desiredSoftware({ requested }), nudge, order: undefined }, memory, now)).toStrictEqual(
      decision,
    )
  })
})
