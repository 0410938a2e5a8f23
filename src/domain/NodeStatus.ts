// The facts about a running node that status, the demo's screen and library users read. Times are milliseconds
// since 1970, as Clock gives them.
import type { ExitStatus } from "./ExitStatus.ts"
import type { ComputerId, PartitionId, SoftwareUrl } from "./ids.ts"
import type { PartitionRequestedState, SoftwareRequestedState } from "./DesiredState.ts"
import type { ServiceKind } from "./ServiceSpec.ts"

export type ServiceState = "stopped" | "starting" | "running" | "backoff" | "stopping" | "exited"

export interface ServiceStatus {
  readonly name: string
  readonly kind: ServiceKind
  /** Name of its log in the partition. */
  readonly log: string
  readonly state: ServiceState
  readonly pid: number | undefined
  /** When the running process was started. */
  readonly since: number | undefined
  /** How often it was started again after it ended by itself. */
  readonly restarts: number
  readonly lastExit: ExitStatus | undefined
  readonly error: string | undefined
  /** Stopped by hand: until the next processing, or a start by hand. */
  readonly isHeld: boolean
}

export type SoftwareActualState = "waiting" | "building" | "available" | "failed" | "destroying" | "destroyed"

export interface SoftwareStatus {
  readonly url: SoftwareUrl
  readonly requested: SoftwareRequestedState
  readonly state: SoftwareActualState
  /** When this state began. */
  readonly since: number
  /** What a running build installs. */
  readonly part: string | undefined
  /** The newest lines of a running build. */
  readonly lastLines: ReadonlyArray<string>
  readonly error: string | undefined
}

export type PartitionActualState =
  | "waiting"
  | "installing"
  | "started"
  | "stopping"
  | "stopped"
  | "destroying"
  | "destroyed"
  | "free"
  | "failed"

export type PromiseKind = "plugin" | "executable"

/** A promise of a partition, as it was checked last. */
export interface PromiseStatus {
  readonly kind: PromiseKind
  /** Of its file. */
  readonly name: string
  readonly hasFailed: boolean
  readonly checkedAt: number
  /** What it said, the end of it, when it failed. */
  readonly message: string | undefined
}

export interface PartitionStatus {
  readonly id: PartitionId
  readonly requested: PartitionRequestedState
  readonly software: SoftwareUrl | undefined
  readonly state: PartitionActualState
  readonly since: number
  /** What it waits for, in words. */
  readonly waitingFor: string | undefined
  readonly error: string | undefined
  readonly services: ReadonlyArray<ServiceStatus>
  readonly promises: ReadonlyArray<PromiseStatus>
}

/**
 * How the master stands to what is followed: it said so at the last question; or what an earlier agent heard is
 * followed, and it was not asked yet; or it gives no usable answer; or it refuses this computer (its certificate).
 */
export type MasterStanding = "Answers" | "NotAsked" | "Away" | "Refuses"

export interface SyncStatus {
  /** When the master last gave a usable answer. */
  readonly lastSuccess: number | undefined
  readonly standing: MasterStanding
  readonly error: string | undefined
}

/** A certificate that somebody has to renew or put in its place. */
export interface CertificateWarning {
  readonly path: string
  /** When it expires; undefined when it cannot be read. */
  readonly expires: number | undefined
  /** To be read after the path. */
  readonly problem: string
}

/** What the connection to the master rests on. */
export interface TrustStatus {
  /** `master_verify = off`: whoever is between this node and its master can be its master. */
  readonly isMasterUnverified: boolean
  readonly certificates: ReadonlyArray<CertificateWarning>
}

export type ContainmentKind = "cgroup" | "session"

/** A limit that the configuration sets for each partition. */
export interface LimitStatus {
  readonly option: "partition_memory_max" | "partition_pids_max" | "partition_cpu_max"
  /** Bytes, processes, processors. */
  readonly value: number
  /** By the partition's cgroup, by a resource limit of its user (setrlimit(2)), or not at all. */
  readonly heldBy: "cgroup" | "rlimit" | undefined
  /** Why no cgroup holds it. */
  readonly problem: string | undefined
}

/** Reports of states, bangs and requests on their way to the master. */
export interface ReportsStatus {
  /** How many were tried and are still to be taken. */
  readonly waiting: number
  /** Why the one that has waited longest was not taken. */
  readonly error: string | undefined
}

/** A journal that the master may have counted twice: it got it again after an answer was lost. */
export interface DoubledJournal {
  readonly journal: string
  /** SHA-256 of what was sent, both times. */
  readonly hash: string
  readonly at: number
}

/** A journal that the master has not taken, or whose sources are still there. */
export interface PendingJournal {
  readonly journal: string
  readonly state: "sealed" | "in flight" | "acknowledged"
  readonly sealedAt: number
  readonly movements: number
  readonly error: string | undefined
}

export interface UsageStatus {
  /** When reports were made and collected last, and when they are again. */
  readonly lastReport: number | undefined
  readonly nextReport: number | undefined
  readonly pending: ReadonlyArray<PendingJournal>
  /** The last of them. */
  readonly possiblyDoubled: ReadonlyArray<DoubledJournal>
  /** Files that are no reports, as they were found last. */
  readonly invalid: ReadonlyArray<InvalidReport>
  readonly error: string | undefined
}

/** Before anything is known. */
export const noUsage: UsageStatus = {
  lastReport: undefined,
  nextReport: undefined,
  pending: [],
  possiblyDoubled: [],
  invalid: [],
  error: undefined,
}

export interface InvalidReport {
  readonly path: string
  readonly reason: string
}

/** A process that has a release's buildout imported, for its instances. */
export interface HelperStatus {
  /** The release's directory. */
  readonly release: string
  readonly pid: number
  /** Bytes that it has in memory. */
  readonly memory: number
}

export interface NodeStatus {
  readonly computer: ComputerId
  readonly pid: number
  readonly startedAt: number
  /** How services are kept together; by session, a daemon that leaves it can escape an ordinary user's agent. */
  readonly containment: ContainmentKind
  readonly limits: ReadonlyArray<LimitStatus>
  readonly sync: SyncStatus
  readonly trust: TrustStatus
  readonly reports: ReportsStatus
  readonly usage: UsageStatus
  readonly helpers: ReadonlyArray<HelperStatus>
  readonly software: ReadonlyArray<SoftwareStatus>
  readonly partitions: ReadonlyArray<PartitionStatus>
}
