// One reading of the kernel's counters: of a cgroup with everything below it, or of a session where there are none.
// Files are read when they are needed and once a reading. cgroups(7), proc(5).
import * as fs from "node:fs"
import type { Usage } from "../../domain/NodeUsage.ts"
import { childGroups } from "../containment/cgroup.ts"

/** What names a process, and where it runs. */
export interface MeteredProcess {
  readonly pid: number
  /** Clock ticks since boot, as text. */
  readonly startTime: string
  readonly cgroup: string | undefined
}

export interface ProcessTimes {
  readonly session: number
  readonly state: string
  readonly startTime: string
  /** Milliseconds, those of the children that it has waited for included. */
  readonly cpu: number
}

/** A clock tick in milliseconds: USER_HZ is 100 for programs, whatever the kernel's own is. */
const tick = 10

/** From `/proc/<pid>/stat`. */
export const parseTimes = (stat: string): ProcessTimes | undefined => {
  const close = stat.lastIndexOf(") ")
  if (close < 0) return undefined
  const fields = stat.slice(close + 2).split(" ")
  const [state, , , session] = fields
  const startTime = fields[19]
  if (state === undefined || startTime === undefined) return undefined
  const cpu = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) * tick
  return { session: Number(session), state, startTime, cpu }
}

/** Bytes, from `/proc/<pid>/status`. */
export const parseResident = (status: string): number => Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024

/** Milliseconds, from `cpu.stat`. */
export const parseGroupTime = (stat: string): number => Number(/^usage_usec (\d+)$/m.exec(stat)?.[1] ?? 0) / 1000

export const noUsage: Usage = { cpu: 0, memory: 0, processes: 0 }

export const addUsage = (a: Usage, b: Usage): Usage => ({
  cpu: a.cpu + b.cpu,
  memory: a.memory + b.memory,
  processes: a.processes + b.processes,
})

const textOf = (path: string): string => {
  try {
    return fs.readFileSync(path, "utf8")
  } catch {
    // It ended meanwhile.
    return ""
  }
}

export class Counters {
  readonly #resident = new Map<number, number>()
  #sessions: Map<number, ReadonlyArray<ProcessTimes & { readonly pid: number }>> | undefined

  /** Of a cgroup and everything below it. */
  ofGroup(group: string): Usage {
    const pids = pidsIn(group)
    const counted = textOf(`${group}/memory.current`)
    return {
      cpu: parseGroupTime(textOf(`${group}/cpu.stat`)),
      memory: counted === "" ? this.#residentOf(pids) : Number(counted),
      processes: pids.length,
    }
  }

  /** Of the session that the process leads or led. */
  ofSession({ pid, startTime }: MeteredProcess): Usage {
    this.#sessions ??= readSessions()
    const members = this.#sessions.get(pid) ?? []
    // While the pid is another process's, no session of that number is the one meant.
    if (members.some((one) => one.pid === pid && one.startTime !== startTime)) return noUsage
    return {
      cpu: members.reduce((sum, { cpu }) => sum + cpu, 0),
      memory: this.#residentOf(members.map((one) => one.pid)),
      processes: members.length,
    }
  }

  of(process: MeteredProcess): Usage {
    return process.cgroup === undefined ? this.ofSession(process) : this.ofGroup(process.cgroup)
  }

  #residentOf(pids: ReadonlyArray<number>): number {
    return pids.reduce((sum, pid) => {
      const known = this.#resident.get(pid) ?? parseResident(textOf(`/proc/${pid}/status`))
      this.#resident.set(pid, known)
      return sum + known
    }, 0)
  }
}

const pidsIn = (group: string): ReadonlyArray<number> => [
  ...textOf(`${group}/cgroup.procs`).split("\n").filter(Boolean).map(Number),
  ...childGroups(group).flatMap(pidsIn),
]

/** Every process that lives, by its session. */
const readSessions = () =>
  Map.groupBy(
    fs.readdirSync("/proc").flatMap((name) => {
      const times = /^\d+$/.test(name) ? parseTimes(textOf(`/proc/${name}/stat`)) : undefined
      return times === undefined || times.state === "Z" ? [] : [{ ...times, pid: Number(name) }]
    }),
    ({ session }) => session,
  )
