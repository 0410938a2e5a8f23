// Everything that the demo shows, whatever shows it. Times are milliseconds since 1970, as Clock gives them.
import type { PartitionId } from "../domain/ids.ts"
import type { NodeStatus } from "../domain/NodeStatus.ts"

/** One instance as its requester sees it: asked of the master, then called over HTTP. */
export interface InstanceStatus {
  readonly title: string
  readonly partition: PartitionId | undefined
  /** The connection parameter that the instance has published. */
  readonly url: string | undefined
  /** First line of the newest answer. */
  readonly answer: string | undefined
  /** Why the newest call was in vain. */
  readonly problem: string | undefined
  /** When it answered for the first time. */
  readonly answeredAt: number | undefined
}

export interface LogLine {
  readonly at: number
  readonly text: string
}

export interface DemoStatus {
  readonly startedAt: number
  readonly directory: string
  readonly masterUrl: string
  readonly configurationFile: string
  /** How this program is started from a shell. */
  readonly program: string
  readonly node: NodeStatus
  readonly instances: ReadonlyArray<InstanceStatus>
}

/** Milliseconds from the start until the first instance answered, and until all had. */
export const answerTimes = (
  status: DemoStatus,
): { readonly first: number | undefined; readonly all: number | undefined } => {
  const times = status.instances.flatMap(({ answeredAt }) => (answeredAt === undefined ? [] : [answeredAt]))
  const since = (time: number) => time - status.startedAt
  return {
    first: times.length === 0 ? undefined : since(Math.min(...times)),
    all: times.length < status.instances.length ? undefined : since(Math.max(...times)),
  }
}

/** What will not mend itself in a demo, in words; undefined while there is hope. */
export const failureOf = ({ node }: DemoStatus): string | undefined => {
  for (const { error, state, url } of node.software) {
    if (state === "failed") return `software release ${url} cannot be built: ${error ?? "no reason is known"}`
  }
  for (const { error, id, services, state } of node.partitions) {
    if (state === "failed") return `${id} cannot be installed: ${error ?? "no reason is known"}`
    const broken = services.find((service) => service.restarts >= hopelessRestarts)
    if (broken !== undefined) return `${broken.name} of ${id} keeps ending: see its log in the partition`
  }
  return undefined
}

const hopelessRestarts = 5
