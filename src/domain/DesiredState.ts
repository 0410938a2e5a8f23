// What the master wants of this computer, after validation and without a trace of the wire format.
// A record that could not be used stands in `rejected`, so that its neighbours are served all the same.
import type { ComputerId, PartitionId, SoftwareUrl } from "./ids.ts"

export type SoftwareRequestedState = "available" | "destroyed"
export type PartitionRequestedState = "started" | "stopped" | "destroyed"

export interface DesiredSoftware {
  readonly url: SoftwareUrl
  readonly requested: SoftwareRequestedState
}

export interface DesiredPartition {
  readonly id: PartitionId
  readonly requested: PartitionRequestedState
  /** Undefined for a free partition. */
  readonly software: SoftwareUrl | undefined
  /** Changes whenever the partition must be processed again; compared as text. Undefined: always processed. */
  readonly timestamp: string | undefined
  /** The SLA (`_filter_dict`): `retention_delay`, `fw_…`. */
  readonly filter: Readonly<Record<string, string>>
  /** The last message the master has for this partition; starts with `#error` when failing. */
  readonly accessStatus: string | undefined
}

/** A record of the master's answer that cannot be used, and why. */
export interface RejectedRecord {
  readonly subject: string
  readonly reason: string
  /** The partition of this computer that it is about, when that can be told. */
  readonly partition?: PartitionId
}

export interface DesiredState {
  readonly computer: ComputerId
  readonly software: ReadonlyArray<DesiredSoftware>
  readonly partitions: ReadonlyArray<DesiredPartition>
  readonly rejected: ReadonlyArray<RejectedRecord>
}

/** Releases that the master names, be it for a partition only: those that garbage collection spares. */
export const namedSoftware = ({ partitions, software }: DesiredState): ReadonlyArray<SoftwareUrl> => [
  ...software.map(({ url }) => url),
  ...partitions.flatMap(({ software }) => software ?? []),
]

/** A partition that serves nobody: its leftovers are cleaned up, nothing is reported. */
export const isFree = (partition: DesiredPartition): boolean =>
  partition.requested === "destroyed" && partition.software === undefined
