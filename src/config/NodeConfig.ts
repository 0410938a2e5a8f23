// The settings of one node after file, flags and defaults are merged and checked. Paths are absolute, sizes are
// bytes, durations are milliseconds.
import * as Context from "effect/Context"
import type { Redacted } from "effect/Redacted"
import type { ComputerId } from "../domain/ids.ts"
import type { NetworkCacheConfig } from "./networkCache.ts"

export interface NodeConfigShape {
  readonly computerId: ComputerId
  readonly instanceRoot: string
  readonly softwareRoot: string
  /** With the user and password that may stand in it. */
  readonly masterUrl: Redacted
  /** The computer's own pair, and where partitions' pairs are kept: all three or none. */
  readonly certificates:
    | { readonly keyFile: string; readonly certFile: string; readonly repositoryPath: string }
    | undefined
  /** CAs that may have signed the master's certificate; undefined: the system's. */
  readonly masterCaFile: string | undefined
  /** False: nobody checks who the master is. */
  readonly masterVerify: boolean
  /** Command that bootstraps a software release. */
  readonly buildout: string
  readonly sharedPartList: ReadonlyArray<string>
  readonly buildTimePartList: ReadonlyArray<string>
  /** Options that buildouts of software releases get as `networkcache:<key>=<value>`, in the reference's order. */
  readonly buildoutNetworkCache: ReadonlyArray<readonly [key: string, value: string]>
  /** Where binaries of software releases come from and go to. */
  readonly networkCache: NetworkCacheConfig
  /** Where partitions have directories on other volumes; empty: nowhere. */
  readonly instanceStorageHome: string
  readonly ipv4GlobalNetwork: string
  readonly syncInterval: number
  /** The first question after a start that knows what to run comes at a random moment within this, or the interval. */
  readonly maximalDelay: number
  /** How often usage is reported. */
  readonly reportInterval: number
  /** How long a service may take to end after SIGTERM before it is killed. */
  readonly stopTimeout: number
  /** Age after which an unchanged partition is processed again; 0 always, negative never. */
  readonly maximumPeriodicity: number
  /** How long a promise may take. */
  readonly promiseTimeout: number
  /** How many promises of a partition run at once. */
  readonly promiseConcurrency: number
  /** Undefined: no limit. */
  readonly partitionTimeout: number | undefined
  /** How many software releases are built at a time. */
  readonly softwareConcurrency: number
  /** How long the build of a software release may take. Undefined: no limit. */
  readonly softwareTimeout: number | undefined
  /** How many partitions are processed at once; undefined: one for each processor. */
  readonly instanceConcurrency: number | undefined
  /** Whether `etc/prerm` of a partition is run before it is removed. */
  readonly runsPrerm: boolean
  readonly softwareMinFreeSpace: number
  readonly instanceMinFreeSpace: number
  /** Bytes that the log of a program may have; its backup may have as many. */
  readonly serviceLogMaxSize: number
  /** What each partition may take of the machine: bytes, processes, processors. Undefined: no limit. */
  readonly partitionLimits: {
    readonly memory: number | undefined
    readonly pids: number | undefined
    readonly processors: number | undefined
  }
  /** Whether instances of a release share an interpreter that has imported its buildout. */
  readonly warmBuildout: boolean
  /** How long such an interpreter is kept when it has nothing to do. */
  readonly warmIdle: number
  /** Where the reference's passes leave their pids while they run. */
  readonly referencePidFiles: ReadonlyArray<string>
  readonly rootCheck: boolean
}

export class NodeConfig extends Context.Service<NodeConfig, NodeConfigShape>()("slapgrid/config/NodeConfig") {}
