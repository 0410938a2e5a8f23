// A demo at different moments: what a test does not name is as in the middle of a run.
import * as Schema from "effect/Schema"
import type { DemoStatus, InstanceStatus } from "../../src/demo/DemoStatus.ts"
import type { Size } from "../../src/demo/layout.ts"
import { ComputerId, PartitionId, SoftwareUrl } from "../../src/domain/ids.ts"
import {
  noUsage,
  type NodeStatus,
  type PartitionStatus,
  type ServiceStatus,
  type SoftwareStatus,
} from "../../src/domain/NodeStatus.ts"

export const start = 1_700_000_000_000
export const url = Schema.decodeSync(SoftwareUrl)("/tmp/demo/release/software.cfg")
const partitionId = Schema.decodeSync(PartitionId)

export const software = (changes: Partial<SoftwareStatus> = {}): SoftwareStatus => ({
  url,
  requested: "available",
  state: "available",
  since: start,
  part: undefined,
  lastLines: [],
  error: undefined,
  ...changes,
})

export const service = (changes: Partial<ServiceStatus> = {}): ServiceStatus => ({
  name: "http-on-watch",
  kind: "service",
  log: ".slappart0_http.log",
  state: "running",
  pid: 100,
  since: start + 3000,
  restarts: 0,
  lastExit: undefined,
  isHeld: false,
  error: undefined,
  ...changes,
})

export const partition = (index: number, changes: Partial<PartitionStatus> = {}): PartitionStatus => ({
  id: partitionId(`slappart${index}`),
  requested: "started",
  software: url,
  state: "started",
  since: start + 3000,
  waitingFor: undefined,
  error: undefined,
  services: [service()],
  promises: [],
  ...changes,
})

export const node = (changes: Partial<NodeStatus> = {}): NodeStatus => ({
  computer: Schema.decodeSync(ComputerId)("COMP-DEMO"),
  pid: 1,
  startedAt: start,
  containment: "cgroup",
  limits: [],
  sync: { lastSuccess: start, standing: "Answers", error: undefined },
  trust: { isMasterUnverified: false, certificates: [] },
  reports: { waiting: 0, error: undefined },
  usage: noUsage,
  helpers: [],
  software: [software()],
  partitions: [],
  ...changes,
})

export const instance = (changes: Partial<InstanceStatus> = {}): InstanceStatus => ({
  title: "english",
  partition: partitionId("slappart0"),
  url: undefined,
  answer: undefined,
  problem: undefined,
  answeredAt: undefined,
  ...changes,
})

export const answering = (changes: Partial<InstanceStatus> = {}): InstanceStatus =>
  instance({ url: "http://127.0.0.1:20000/", answer: "Hello", answeredAt: start + 3500, ...changes })

export const demo = (changes: Partial<DemoStatus> = {}): DemoStatus => ({
  startedAt: start,
  directory: "/tmp/demo",
  masterUrl: "http://127.0.0.1:5000/",
  configurationFile: "/tmp/demo/slapos.cfg",
  program: "slapgrid",
  node: node(),
  instances: [],
  ...changes,
})

export const size = (columns: number, rows: number): Size => ({ columns, rows, isColoured: false })
