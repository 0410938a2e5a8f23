// What a node uses of its machine: counters as the agent reads them, and what they become between two readings.
import type { PartitionId, SoftwareUrl } from "./ids.ts"

export interface Usage {
  /** Milliseconds of processor time so far; smaller than before when it was counted anew. */
  readonly cpu: number
  /** Bytes: the cgroup's memory where the kernel counts that, else what its processes have in memory, added up. */
  readonly memory: number
  readonly processes: number
}

export interface UsageRate extends Omit<Usage, "cpu"> {
  /** Percent of one processor; null when there is no earlier reading. */
  readonly cpuPercent: number | null
}

interface NodeShape<Each> {
  readonly agent: Each
  /** Releases that are being built; without cgroups nobody knows. */
  readonly software: ReadonlyArray<Each & { readonly url: SoftwareUrl }>
  /** With their builds and whatever else runs there. */
  readonly partitions: ReadonlyArray<
    Each & { readonly id: PartitionId; readonly services: ReadonlyArray<Each & { readonly name: string }> }
  >
}

export interface NodeUsage extends NodeShape<Usage> {
  /** Milliseconds of a clock that nobody sets. */
  readonly at: number
}

export type NodeRates = NodeShape<UsageRate>

const rateOf = (before: Usage | undefined, after: Usage, elapsed: number): UsageRate => ({
  cpuPercent:
    before === undefined || elapsed <= 0
      ? null
      : Math.max(0, Math.round(((after.cpu - before.cpu) / elapsed) * 1000) / 10),
  memory: after.memory,
  processes: after.processes,
})

/** The rates between two readings. */
export const ratesBetween = (before: NodeUsage, after: NodeUsage): NodeRates => {
  const elapsed = after.at - before.at
  const software = new Map(before.software.map((one) => [one.url, one]))
  const partitions = new Map(before.partitions.map((one) => [one.id, one]))
  return {
    agent: rateOf(before.agent, after.agent, elapsed),
    software: after.software.map((one) => ({ url: one.url, ...rateOf(software.get(one.url), one, elapsed) })),
    partitions: after.partitions.map((one) => {
      const known = partitions.get(one.id)
      const services = new Map(known?.services.map((service) => [service.name, service]))
      return {
        id: one.id,
        ...rateOf(known, one, elapsed),
        services: one.services.map((service) => ({
          name: service.name,
          ...rateOf(services.get(service.name), service, elapsed),
        })),
      }
    }),
  }
}
