import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import {
  describeNode,
  extendTimeout,
  type NotifyEnvironment,
  notifyEnvironment,
} from "../../src/control/notification.ts"
import {
  noUsage,
  type NodeStatus,
  type PartitionStatus,
  type ServiceState,
  type ServiceStatus,
  type SoftwareStatus,
} from "../../src/domain/NodeStatus.ts"
import { computerId, release, slappart0 } from "../support/facts.ts"

describe("notifyEnvironment", () => {
  const asked = (watchdog?: number): NotifyEnvironment => ({ socket: "/run/systemd/notify", watchdog })
  const env = (changes: Readonly<Record<string, string>> = {}) => ({ NOTIFY_SOCKET: "/run/systemd/notify", ...changes })
  it.each([
    ["nobody", {}, undefined],
    ["nobody, although a watchdog is set", { WATCHDOG_USEC: "1000000" }, undefined],
    ["an empty address", { NOTIFY_SOCKET: "" }, undefined],
    ["an address of another kind", { NOTIFY_SOCKET: "vsock:2:1234" }, undefined],
    ["a manager without watchdog", env(), asked()],
    ["an abstract address", { NOTIFY_SOCKET: "@a" }, { socket: "@a", watchdog: undefined }],
    ["a watchdog for every process", env({ WATCHDOG_USEC: "3000000" }), asked(3000)],
    ["a watchdog for this one", env({ WATCHDOG_USEC: "3000000", WATCHDOG_PID: "42" }), asked(3000)],
    ["a watchdog for another one", env({ WATCHDOG_USEC: "3000000", WATCHDOG_PID: "43" }), asked()],
    ["a watchdog that is none", env({ WATCHDOG_USEC: "0" }), asked()],
    ["a watchdog that is no number", env({ WATCHDOG_USEC: "soon" }), asked()],
    ["an empty watchdog", env({ WATCHDOG_USEC: "" }), asked()],
  ])("%s", (_, variables, expected) => {
    expect(notifyEnvironment(variables, 42)).toStrictEqual(expected)
  })
})

describe("extendTimeout", () => {
  it.each([
    [1500, "EXTEND_TIMEOUT_USEC=1500000"],
    [0.6, "EXTEND_TIMEOUT_USEC=600"],
    [Number.MAX_VALUE, `EXTEND_TIMEOUT_USEC=${Number.MAX_SAFE_INTEGER}`],
  ])("%d ms", (milliseconds, expected) => {
    expect(extendTimeout(milliseconds)).toBe(expected)
  })
})

describe("describeNode", () => {
  const service = (state: ServiceState) =>
    ({ name: "web-on-watch", kind: "service", state, restarts: 0 }) as ServiceStatus
  const partition = (state: PartitionStatus["state"], ...states: ReadonlyArray<ServiceState>): PartitionStatus => ({
    id: slappart0,
    requested: "started",
    software: release,
    state,
    since: 0,
    waitingFor: undefined,
    error: undefined,
    services: states.map(service),
    promises: [],
  })
  const software = (state: SoftwareStatus["state"]): SoftwareStatus => ({
    url: release,
    requested: "available",
    state,
    since: 0,
    part: undefined,
    lastLines: [],
    error: undefined,
  })
  const node = (changes: Partial<NodeStatus>): NodeStatus => ({
    computer: computerId,
    pid: 1,
    startedAt: 0,
    containment: "cgroup",
    limits: [],
    sync: { lastSuccess: undefined, standing: "NotAsked", error: undefined },
    trust: { isMasterUnverified: false, certificates: [] },
    reports: { waiting: 0, error: undefined },
    usage: noUsage,
    helpers: [],
    software: [],
    partitions: [],
    ...changes,
  })
  const at = Date.UTC(2026, 0, 2, 3, 4, 59)

  it.each([
    ["nothing yet", {}, "0 partitions started, 0 services running, no sync yet"],
    [
      "a master that never answered",
      { sync: { lastSuccess: undefined, standing: "Refuses", error: "refused\nand more" } },
      "0 partitions started, 0 services running, no sync yet: trouble with the master",
    ],
    [
      "everything well",
      {
        partitions: [partition("started", "running"), partition("started", "running", "exited"), partition("stopped")],
        software: [software("available")],
        sync: { lastSuccess: at, standing: "Answers", error: undefined },
      },
      "2 partitions started, 2 services running, last sync 03:04 UTC",
    ],
    [
      "everything else",
      {
        partitions: [partition("started", "backoff"), partition("failed", "running"), partition("installing")],
        software: [software("building"), software("failed")],
        sync: { lastSuccess: at, standing: "Away", error: "status 503" },
      },
      "1 partition started, 1 under way, 1 failed, 1 service running, 1 crashed and tried again, 1 release building, 1 release failed, last sync 03:04 UTC, then trouble with the master",
    ],
  ] as const)("%s", (_, changes, expected) => {
    expect(describeNode(node(changes))).toBe(expected)
  })
})
