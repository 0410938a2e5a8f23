// What the next sync would do to a node and why, and what was done last: facts for `slapgrid plan` and `slapgrid
// explain`. Times are milliseconds since 1970.
import type { PartitionRequestedState, RejectedRecord, SoftwareRequestedState } from "./DesiredState.ts"
import type { ComputerId, PartitionId, SoftwareUrl } from "./ids.ts"
import type { MasterStanding } from "./NodeStatus.ts"

export interface PlannedSoftware {
  readonly url: SoftwareUrl
  readonly requested: SoftwareRequestedState
  readonly action: "build" | "remove" | "none"
  readonly reason: string
}

export interface PlannedService {
  readonly name: string
  /** Name of its log in the partition. */
  readonly log: string
  /** `install`: the installation decides whether it is changed, and by that restarted, or removed. */
  readonly action: "keep" | "start" | "stop" | "install"
  readonly reason: string
}

export interface PlannedPartition {
  readonly id: PartitionId
  readonly requested: PartitionRequestedState
  readonly software: SoftwareUrl | undefined
  readonly action: "process" | "start" | "stop" | "remove" | "clean" | "wait" | "none"
  readonly reason: string
  /** When that is looked at again by itself. */
  readonly at: number | undefined
  /** The last processing that came to its end. */
  readonly processed: { readonly timestamp: string | undefined; readonly at: number } | undefined
  /** Failed tries in a row for what is wanted now. */
  readonly failures: number
  readonly services: ReadonlyArray<PlannedService>
}

export interface NodePlan {
  readonly computer: ComputerId
  readonly standing: MasterStanding
  /** Why the master gave no usable answer. */
  readonly error: string | undefined
  /** Whether an agent runs: else this is what one would do at its start. */
  readonly isSupervised: boolean
  readonly software: ReadonlyArray<PlannedSoftware>
  readonly partitions: ReadonlyArray<PlannedPartition>
  readonly rejected: ReadonlyArray<RejectedRecord>
}
