// What a plan says, as tables.
import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { initialMemory, type PartitionWish, remember, wishKey } from "../../src/actors/partition/decide.ts"
import { planPartition, planService, planSoftware } from "../../src/actors/plan.ts"
import type { ServiceStatus } from "../../src/domain/NodeStatus.ts"
import { desiredPartition, desiredSoftware, release } from "../support/facts.ts"

const now = 1_000_000
const periods = { maximum: 100_000, sync: 60_000 }

const service = (changes: Partial<ServiceStatus> = {}): ServiceStatus => ({
  name: "web-on-watch",
  kind: "service",
  log: ".slappart0_web.log",
  state: "running",
  pid: 7,
  since: 1,
  restarts: 0,
  lastExit: undefined,
  error: undefined,
  isHeld: false,
  ...changes,
})

const wish = (
  changes: Parameters<typeof desiredPartition>[0] = {},
  rest: Partial<PartitionWish> = {},
): PartitionWish => ({
  partition: desiredPartition(changes),
  isSoftwareReady: true,
  standing: "Answers",
  nudge: 0,
  order: undefined,
  ...rest,
})

describe("a release", () => {
  const gone = desiredSoftware({ requested: "destroyed" })
  it.each([
    ["that is new", desiredSoftware(), undefined, false, "build", "it is not built yet"],
    ["that an earlier agent built", desiredSoftware(), undefined, true, "none", "it is built"],
    ["that is built", desiredSoftware(), { state: "available", error: undefined }, true, "none", "it is built"],
    [
      "that is being built",
      desiredSoftware(),
      { state: "building", error: undefined },
      false,
      "build",
      "it is being built",
    ],
    [
      "that failed",
      desiredSoftware(),
      { state: "failed", error: "a\nno recipe\n" },
      false,
      "build",
      "it failed and is tried again: no recipe",
    ],
    ["that is to go", gone, { state: "available", error: undefined }, true, "remove", "the master wants it destroyed"],
    ["that has gone", gone, { state: "destroyed", error: undefined }, false, "none", "it is removed"],
  ] as const)("%s", (_, desired, status, isCompleted, action, reason) => {
    expect(planSoftware(desired, status, isCompleted)).toMatchObject({ url: release, action, reason })
  })
})

describe("a partition", () => {
  const failed = {
    ...initialMemory(undefined),
    hold: {
      wish: wishKey(wish()),
      during: "Process",
      nudge: 0,
      failures: 3,
      until: now + 5,
      reason: "it failed and is tried again",
    },
    enforced: "started",
  } as const
  it.each([
    ["never processed", wish(), initialMemory(undefined), "process", "it has not been processed yet", undefined],
    [
      "never processed, without its release",
      wish({}, { isSoftwareReady: false }),
      initialMemory(undefined),
      "wait",
      `waits for its software release ${release}`,
      undefined,
    ],
    ["up to date", wish(), remember(wish(), now), "none", "it is up to date until it is due by age", now + 100_000],
    ["failing", wish(), failed, "wait", "it failed and is tried again", now + 5],
    [
      "to be destroyed",
      wish({ requested: "destroyed" }),
      remember(wish(), now),
      "remove",
      "the master wants it destroyed",
      undefined,
    ],
    [
      "free",
      wish({ requested: "destroyed", software: undefined }),
      initialMemory(undefined),
      "clean",
      "it serves nobody",
      undefined,
    ],
    [
      "installed, right after a start",
      wish(),
      initialMemory({ timestamp: "1", at: now, wish: undefined }),
      "start",
      "what is installed is to be started",
      undefined,
    ],
    [
      "to be stopped, right after a start",
      wish({ requested: "stopped" }),
      initialMemory({ timestamp: "1", at: now, wish: undefined }),
      "stop",
      "what is installed is to be stopped",
      undefined,
    ],
    [
      "changed, while the master is away",
      wish({ timestamp: "2" }, { standing: "Away" }),
      remember(wish(), now),
      "wait",
      "waits for the master, which does not answer",
      undefined,
    ],
  ] as const)("%s", (_, of, memory, action, reason, at) => {
    expect(planPartition(of, { memory, periods, services: [] }, now)).toMatchObject({ action, reason, at })
  })

  it("tells its last processing, and failed tries", () => {
    const memory = { ...remember(wish(), 5), hold: failed.hold }
    expect(planPartition(wish({ timestamp: "2" }), { memory, periods, services: [] }, now)).toMatchObject({
      processed: { timestamp: "1", at: 5 },
      failures: 3,
    })
    const unfinished = initialMemory({ timestamp: undefined, at: 0, wish: undefined })
    const plan = planPartition(wish(), { memory: unfinished, periods, services: [] }, now)
    expect([plan.processed, plan.reason]).toStrictEqual([undefined, "its last processing did not come to its end"])
  })

  it("says what is under way", () => {
    const known = { memory: initialMemory(undefined), periods, services: [], underWay: "under way: it is new" }
    expect(planPartition(wish(), known, now).reason).toBe("under way: it is new")
  })
})

describe("a service", () => {
  it.each([
    ["none", "started", service(), "keep", "it runs"],
    ["wait", "started", service(), "keep", "it runs"],
    ["start", "started", service({ state: "stopped" }), "start", "its partition is to run"],
    ["none", "started", service({ state: "backoff" }), "start", "it ended by itself and is tried again"],
    ["none", "started", service({ state: "stopped", isHeld: true }), "keep", "it was stopped by hand"],
    ["start", "started", service({ state: "exited", kind: "run" }), "keep", "it has done its work"],
    ["process", "started", service(), "install", "it runs on unless the installation changes or removes it"],
    [
      "process",
      "started",
      service({ state: "stopped" }),
      "install",
      "it is started unless the installation removes it",
    ],
    ["process", "stopped", service(), "stop", "its partition is to stop"],
    ["stop", "stopped", service(), "stop", "its partition is to stop"],
    ["remove", "destroyed", service(), "stop", "its partition is to stop"],
    ["clean", "destroyed", service({ state: "exited" }), "keep", "it does not run"],
    ["none", "stopped", service({ state: "stopped" }), "keep", "it does not run"],
  ] as const)("%s %s: %#", (action, requested, of, what, reason) => {
    expect(planService(action, requested, of)).toStrictEqual({
      name: "web-on-watch",
      log: ".slappart0_web.log",
      action: what,
      reason,
    })
  })
})
