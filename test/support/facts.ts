// Valid values of the domain for tests: ids, a configuration, programs.
import * as Schema from "effect/Schema"
import * as Redacted from "effect/Redacted"
import type { NetworkCacheConfig } from "../../src/config/networkCache.ts"
import type { NodeConfigShape } from "../../src/config/NodeConfig.ts"
import type { DesiredPartition, DesiredSoftware, DesiredState } from "../../src/domain/DesiredState.ts"
import { ComputerId, PartitionId, SoftwareUrl } from "../../src/domain/ids.ts"
import type { ServiceSpec } from "../../src/domain/ServiceSpec.ts"

export const partitionId = Schema.decodeSync(PartitionId)
export const softwareUrl = Schema.decodeSync(SoftwareUrl)
export const computerId = Schema.decodeSync(ComputerId)("COMP-1")
export const slappart0 = partitionId("slappart0")
export const slappart1 = partitionId("slappart1")
export const release = softwareUrl("https://example.com/software.cfg")

const noTls = { caFile: undefined, certFile: undefined, keyFile: undefined }
export const noNetworkCache: NetworkCacheConfig = {
  download: undefined,
  upload: undefined,
  trusted: [],
  signatureKeyFile: undefined,
  shacache: noTls,
  shadir: noTls,
  neverDownloaded: [],
  neverUploaded: [],
  onlyDownloaded: [],
}

export const nodeConfig = (changes: Partial<NodeConfigShape> = {}): NodeConfigShape => ({
  computerId,
  instanceRoot: "/nowhere/instances",
  softwareRoot: "/nowhere/software",
  masterUrl: Redacted.make("http://127.0.0.1:1/"),
  certificates: undefined,
  masterCaFile: undefined,
  masterVerify: true,
  buildout: "/usr/bin/buildout",
  sharedPartList: [],
  buildTimePartList: [],
  buildoutNetworkCache: [],
  networkCache: noNetworkCache,
  instanceStorageHome: "",
  ipv4GlobalNetwork: "",
  syncInterval: 60_000,
  maximalDelay: 0,
  reportInterval: 86_400_000,
  stopTimeout: 10_000,
  maximumPeriodicity: 86_400_000,
  promiseTimeout: 20_000,
  promiseConcurrency: 2,
  partitionTimeout: undefined,
  softwareConcurrency: 1,
  softwareTimeout: undefined,
  instanceConcurrency: undefined,
  runsPrerm: false,
  softwareMinFreeSpace: 0,
  instanceMinFreeSpace: 0,
  serviceLogMaxSize: 100 * 1024,
  partitionLimits: { memory: undefined, pids: undefined, processors: undefined },
  warmBuildout: true,
  warmIdle: 60_000,
  referencePidFiles: [],
  rootCheck: false,
  ...changes,
})

export const desiredSoftware = (changes: Partial<DesiredSoftware> = {}): DesiredSoftware => ({
  url: release,
  requested: "available",
  ...changes,
})

export const desiredPartition = (changes: Partial<DesiredPartition> = {}): DesiredPartition => ({
  id: slappart0,
  requested: "started",
  software: release,
  timestamp: "1",
  filter: {},
  accessStatus: undefined,
  ...changes,
})

export const desiredState = (changes: Partial<DesiredState> = {}): DesiredState => ({
  computer: computerId,
  software: [],
  partitions: [],
  rejected: [],
  ...changes,
})

/** A program of `slappart0`; another `hash` is another program. */
export const program = (name: string, changes: Partial<ServiceSpec> = {}): ServiceSpec => {
  const kind = changes.kind ?? "service"
  return {
    partition: slappart0,
    kind,
    name,
    path: `/nowhere/instances/slappart0/etc/${kind}/${name.replace(/-on-watch$/, "")}`,
    hash: "1",
    user: "1000:1000",
    ...changes,
  }
}
