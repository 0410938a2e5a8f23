// Limits per partition: what the configuration asks for, which of it the kernel can hold here, and the files of a
// cgroup that say so. Kernel Documentation/admin-guide/cgroup-v2.rst.
import * as fs from "node:fs"
import type { NodeConfigShape } from "../../config/NodeConfig.ts"
import type { LimitStatus } from "../../domain/NodeStatus.ts"
import { errnoOf } from "../../files/FileError.ts"
import { processFacts } from "../procfs.ts"

type PartitionLimits = NodeConfigShape["partitionLimits"]

export type Controller = "memory" | "pids" | "cpu"

interface Limit {
  readonly controller: Controller
  readonly option: LimitStatus["option"]
  readonly value: number | undefined
  readonly file: string
  readonly text: (value: number) => string
}

/** Microseconds over which processor time is shared out: the kernel's default. */
const cpuPeriod = 100_000

const limitsOf = ({ memory, pids, processors }: PartitionLimits): ReadonlyArray<Limit> => [
  { controller: "memory", option: "partition_memory_max", value: memory, file: "memory.max", text: String },
  { controller: "pids", option: "partition_pids_max", value: pids, file: "pids.max", text: String },
  {
    controller: "cpu",
    option: "partition_cpu_max",
    value: processors,
    file: "cpu.max",
    text: (value) => `${Math.round(value * cpuPeriod)} ${cpuPeriod}`,
  },
]

/** How the limits of partitions are held here. */
export interface LimitPlan {
  /** Of every limit that is asked for. */
  readonly status: ReadonlyArray<LimitStatus>
  /** Files of a partition's cgroup and what they shall say; `max` takes a limit away that is no longer asked for. */
  readonly files: ReadonlyArray<readonly [name: string, text: string]>
  /** Whether each service's memory is to be counted as the partition's is. */
  readonly countsMemory: boolean
  /** Limit on the processes of a partition's user, where no cgroup can hold that of the partition. */
  readonly maxProcesses: number | undefined
}

export const controllersFor = (limits: PartitionLimits): ReadonlyArray<Controller> =>
  limitsOf(limits).flatMap(({ controller, value }) => (value === undefined ? [] : [controller]))

/**
 * `problems`: why a controller cannot be used. An agent that is no root shares its user with all partitions: a limit on
 * that user's processes would be one on everything.
 */
export const planLimits = (
  limits: PartitionLimits,
  problems: ReadonlyMap<Controller, string>,
  isRoot: boolean,
): LimitPlan => {
  const status = limitsOf(limits).flatMap(({ controller, option, value }): ReadonlyArray<LimitStatus> => {
    if (value === undefined) return []
    const problem = problems.get(controller)
    const heldBy = problem === undefined ? "cgroup" : controller === "pids" && isRoot ? "rlimit" : undefined
    return [{ option, value, heldBy, problem }]
  })
  return {
    status,
    files: limitsOf(limits).flatMap(({ controller, file, text, value }) =>
      problems.has(controller) ? [] : [[file, value === undefined ? "max" : text(value)] as const],
    ),
    countsMemory: limits.memory !== undefined && !problems.has("memory"),
    maxProcesses: status.some(({ heldBy }) => heldBy === "rlimit") ? limits.pids : undefined,
  }
}

/** Where groups are made, and where the agent itself is: directories. */
export interface Place {
  readonly base: string
  readonly own: string
}

/** Writes a control file; replaced where a plain directory stands for the kernel's. */
export type WriteFile = (path: string, text: string) => void

const wordsOf = (path: string): ReadonlyArray<string> => fs.readFileSync(path, "utf8").split(/\s+/).filter(Boolean)

/** Has groups below the base get these controllers; gives why one of them cannot be had. */
export const enableControllers = (
  place: Place,
  wanted: ReadonlyArray<Controller>,
  write: WriteFile = fs.writeFileSync,
): ReadonlyMap<Controller, string> => {
  const problems = new Map<Controller, string>()
  for (const controller of wanted) {
    const problem = enable(place, controller, write)
    if (problem !== undefined) problems.set(controller, problem)
  }
  return problems
}

const enable = (place: Place, controller: Controller, write: WriteFile): string | undefined => {
  const { base } = place
  const turnOn = () => write(`${base}/cgroup.subtree_control`, `+${controller}`)
  try {
    if (!wordsOf(`${base}/cgroup.controllers`).includes(controller)) {
      return `the cgroup ${base} has no controller ${controller}`
    }
    if (wordsOf(`${base}/cgroup.subtree_control`).includes(controller)) return undefined
    turnOn()
    return undefined
  } catch (cause) {
    if (errnoOf(cause) !== "EBUSY") return cannotUse(controller, base, cause)
  }
  // A group that has processes itself passes nothing on.
  const problem = leaveBase(place, write)
  if (problem !== undefined) return problem
  try {
    turnOn()
    return undefined
  } catch (cause) {
    return cannotUse(controller, base, cause)
  }
}

const cannotUse = (controller: Controller, base: string, cause: unknown): string =>
  `the controller ${controller} of the cgroup ${base} cannot be used (${errnoOf(cause) ?? String(cause)})`

/** The agent's own group below the base; systemd's `DelegateSubgroup=` of our unit names the same. */
export const agentGroup = "agent"

/** Whether it is this process, or one that it has started. */
const isOurs = (pid: number): boolean => {
  if (pid === process.pid) return true
  const parent = pid > 1 ? processFacts(pid)?.parent : undefined
  return parent !== undefined && isOurs(parent)
}

/** Moves the agent, when it is alone there, out of the base; gives why it must not. */
const leaveBase = ({ base, own }: Place, write: WriteFile): string | undefined => {
  if (own === base && base.endsWith(".service")) {
    return `systemd could not start ${base.slice(base.lastIndexOf("/") + 1)} again if its processes were moved: it takes systemd 254 or newer, and DelegateSubgroup=${agentGroup} in the unit`
  }
  try {
    const here = wordsOf(`${base}/cgroup.procs`).map(Number)
    if (!here.every(isOurs)) {
      return `other processes are in the cgroup ${base}: start slapgrid in one of its own`
    }
    fs.mkdirSync(`${base}/${agentGroup}`, { recursive: true })
    for (const pid of here) write(`${base}/${agentGroup}/cgroup.procs`, String(pid))
    return undefined
  } catch (cause) {
    return `the agent cannot be moved out of the cgroup ${base} (${errnoOf(cause) ?? String(cause)})`
  }
}
