// What a node's processes take of the machine: counters and gauges at one moment. Memory in bytes, as the sum of what
// the processes hold resident, so that shared pages count for each; processor time in microseconds since their starts.
export interface ProcessUsage {
  readonly memory: number
  readonly processor: number
}

export interface ServiceUsage extends ProcessUsage {
  readonly name: string
  readonly processes: number
}

export interface PartitionUsage {
  readonly id: string
  /** Those that run. */
  readonly services: ReadonlyArray<ServiceUsage>
}

export interface NodeUsage {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly agent: ProcessUsage
  readonly partitions: ReadonlyArray<PartitionUsage>
}
