// What a partition may take of the machine, held by the controllers of cgroup v2 where they can be had: memory.max,
// pids.max and cpu.max of its group. Kernel: Documentation/admin-guide/cgroup-v2.rst.
import * as fs from "node:fs"
import type { NodeConfigShape } from "../../config/NodeConfig.ts"
import type { LimitStatus } from "../../domain/NodeStatus.ts"
import { errnoOf } from "../../files/FileError.ts"
import { makeGroup } from "./cgroup.ts"

export type PartitionLimits = NodeConfigShape["partitionLimits"]

/** One limit as its controller has it. */
export interface Limit {
  readonly option: string
  readonly controller: "memory" | "pids" | "cpu"
  /** File in the group, and what is written to it. */
  readonly file: string
  readonly text: string
}

/** Microseconds: the kernel's own default. */
const period = 100_000

export const limitsOf = ({ memory, pids, processors }: PartitionLimits): ReadonlyArray<Limit> => [
  ...(memory === undefined
    ? []
    : [{ option: "partition_memory_max", controller: "memory", file: "memory.max", text: `${memory}` } as const]),
  ...(pids === undefined
    ? []
    : [{ option: "partition_pids_max", controller: "pids", file: "pids.max", text: `${pids}` } as const]),
  ...(processors === undefined
    ? []
    : [
        {
          option: "partition_cpu_max",
          controller: "cpu",
          file: "cpu.max",
          // Less than a millisecond a period is refused.
          text: `${Math.max(1000, Math.round(processors * period))} ${period}`,
        } as const,
      ]),
]

const wordsOf = (file: string): ReadonlyArray<string> => {
  try {
    return fs.readFileSync(file, "utf8").split(/\s+/).filter(Boolean)
  } catch {
    return []
  }
}

/** A group of the base that holds the agent itself: one with members can have no controllers for its children. */
const ownGroupName = "slapgrid-agent"

/** Moves the agent and what it has started until now out of `base`. */
const stepAside = (base: string, pid: number): void => {
  const group = `${base}/${ownGroupName}`
  makeGroup(group)
  fs.writeFileSync(`${group}/cgroup.procs`, String(pid))
}

/** Why this controller cannot be used below `base`, or undefined when it is in use there now. */
const enable = (base: string, controller: string, pid: number): string | undefined => {
  if (wordsOf(`${base}/cgroup.subtree_control`).includes(controller)) return undefined
  if (!wordsOf(`${base}/cgroup.controllers`).includes(controller)) {
    return `the ${controller} controller of cgroup v2 is not available in ${base}`
  }
  const write = () => fs.writeFileSync(`${base}/cgroup.subtree_control`, `+${controller}`)
  try {
    write()
  } catch (cause) {
    if (errnoOf(cause) !== "EBUSY") return `the ${controller} controller cannot be used in ${base}: ${String(cause)}`
    // An older systemd puts a restarted unit's main process into a group that would refuse it (219/CGROUP).
    if (base.endsWith(".service")) {
      return `the ${controller} controller needs a unit with DelegateSubgroup (systemd 254 or newer)`
    }
    try {
      stepAside(base, pid)
      write()
    } catch (again) {
      return `the ${controller} controller cannot be used in ${base}: ${String(again)}`
    }
  }
  return undefined
}

/** Makes the limits possible below `base`, if that is one; tells which are. */
export const enableLimits = (
  base: string | undefined,
  limits: ReadonlyArray<Limit>,
  pid: number,
): ReadonlyArray<LimitStatus & { readonly limit: Limit }> =>
  limits.map((limit) => {
    const problem =
      base === undefined ? "there are no cgroups that this agent can make" : enable(base, limit.controller, pid)
    return { option: limit.option, value: limit.text, problem, limit }
  })

/** Sets the limits of a partition's group, and lifts those of an earlier agent; throws when the kernel refuses one. */
export const applyLimits = (group: string, limits: ReadonlyArray<Limit>): void => {
  for (const file of ["memory.max", "pids.max", "cpu.max"]) {
    const text = limits.find((limit) => limit.file === file)?.text
    if (text !== undefined || fs.existsSync(`${group}/${file}`)) fs.writeFileSync(`${group}/${file}`, text ?? "max")
  }
}
