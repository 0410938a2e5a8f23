// One place where actors put what they know and everybody else looks. Readers that are slow see the newest state,
// never a backlog: a change only says that there is something new, the snapshot is made when it is read.
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import { NodeConfig } from "../config/NodeConfig.ts"
import type { PartitionId, SoftwareUrl } from "../domain/ids.ts"
import {
  type ContainmentKind,
  type HelperStatus,
  type LimitStatus,
  type NodeStatus,
  noUsage,
  type PartitionStatus,
  type ReportsStatus,
  type SoftwareStatus,
  type SyncStatus,
  type TrustStatus,
  type UsageStatus,
} from "../domain/NodeStatus.ts"
import { agentPid } from "../files/machine.ts"

export class StatusBoard extends Context.Service<
  StatusBoard,
  {
    readonly get: Effect.Effect<NodeStatus>
    /** The state now, and the newest one after each change. */
    readonly changes: Stream.Stream<NodeStatus>
    readonly setContainment: (kind: ContainmentKind, limits: ReadonlyArray<LimitStatus>) => Effect.Effect<void>
    readonly setSync: (status: SyncStatus) => Effect.Effect<void>
    readonly setTrust: (status: TrustStatus) => Effect.Effect<void>
    readonly setReports: (status: ReportsStatus) => Effect.Effect<void>
    /** Where to ask for the helpers of buildouts: what they take changes by itself. */
    readonly showHelpers: (helpers: Effect.Effect<ReadonlyArray<HelperStatus>>) => Effect.Effect<void>
    readonly setUsage: (status: UsageStatus) => Effect.Effect<void>
    /** Undefined takes the record off the board. */
    readonly setSoftware: (url: SoftwareUrl, status: SoftwareStatus | undefined) => Effect.Effect<void>
    readonly setPartition: (id: PartitionId, status: PartitionStatus | undefined) => Effect.Effect<void>
  }
>()("slapgrid/report/StatusBoard") {
  static readonly layer = Layer.effect(
    StatusBoard,
    Effect.gen(function* () {
      const config = yield* NodeConfig
      const startedAt = yield* Clock.currentTimeMillis
      const ticks = yield* PubSub.sliding<void>({ capacity: 1, replay: 1 })
      yield* PubSub.publish(ticks, undefined)
      const software = new Map<SoftwareUrl, SoftwareStatus>()
      const partitions = new Map<PartitionId, PartitionStatus>()
      let containment: ContainmentKind = "session"
      let limits: ReadonlyArray<LimitStatus> = []
      let sync: SyncStatus = { lastSuccess: undefined, standing: "NotAsked", error: undefined }
      let trust: TrustStatus = { isMasterUnverified: false, certificates: [] }
      let reports: ReportsStatus = { waiting: 0, error: undefined }
      let usage: UsageStatus = noUsage
      let currentHelpers: Effect.Effect<ReadonlyArray<HelperStatus>> = Effect.succeed([])

      const snapshot = (helpers: ReadonlyArray<HelperStatus>): NodeStatus => ({
        computer: config.computerId,
        pid: agentPid(),
        startedAt,
        containment,
        limits,
        sync,
        trust,
        reports,
        usage,
        helpers,
        software: sorted(software),
        partitions: sorted(partitions),
      })
      const get = Effect.map(
        Effect.suspend(() => currentHelpers),
        snapshot,
      )
      const changed = Effect.asVoid(PubSub.publish(ticks, undefined))
      const put =
        <K, V>(records: Map<K, V>) =>
        (key: K, value: V | undefined) =>
          Effect.suspend(() => {
            if (value === undefined) records.delete(key)
            else records.set(key, value)
            return changed
          })
      return StatusBoard.of({
        get,
        changes: Stream.mapEffect(Stream.fromPubSub(ticks), () => get),
        setContainment: (kind, ofPartitions) =>
          Effect.suspend(() => {
            containment = kind
            limits = ofPartitions
            return changed
          }),
        setSync: (status) =>
          Effect.suspend(() => {
            sync = status
            return changed
          }),
        setTrust: (status) =>
          Effect.suspend(() => {
            trust = status
            return changed
          }),
        setReports: (status) =>
          Effect.suspend(() => {
            reports = status
            return changed
          }),
        showHelpers: (helpers) =>
          Effect.suspend(() => {
            currentHelpers = helpers
            return changed
          }),
        setUsage: (status) =>
          Effect.suspend(() => {
            usage = status
            return changed
          }),
        setSoftware: put(software),
        setPartition: put(partitions),
      })
    }),
  )
}

const sorted = <V>(records: ReadonlyMap<string, V>): ReadonlyArray<V> =>
  [...records].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value)
