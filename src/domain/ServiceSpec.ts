// One program of a partition, as node-behaviour.md (Services) names and places it.
import type { PartitionId } from "./ids.ts"

/** `run`: started once, not watched. `service`: kept running, and its death is told to the master. */
export type ServiceKind = "run" | "service"

export interface ServiceSpec {
  readonly partition: PartitionId
  readonly kind: ServiceKind
  /** Program name within the partition's group: the file name, with `-on-watch` for a service. */
  readonly name: string
  /** Absolute path of the wrapper in `etc/run` or `etc/service`. */
  readonly path: string
  /** Hash of the wrapper's content, or of a link's text: another one is another program. */
  readonly hash: string
  /** `uid:gid` as which it runs. */
  readonly user: string
}

/** The full name that bang messages and `.slapos-report-wait-service-list` use. */
export const fullName = (spec: ServiceSpec): string => `${spec.partition}:${spec.name}`

/** Two specs with the same key are the same running program: nothing has to be restarted. */
export const specKey = (spec: ServiceSpec): string => `${spec.kind}\n${spec.path}\n${spec.hash}\n${spec.user}`
