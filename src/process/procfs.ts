// What /proc tells about processes: proc(5). A pid alone names nobody for long; with its start time, the boot and the
// pid namespace it does.
import * as fs from "node:fs"

export interface ProcessFacts {
  readonly pid: number
  readonly parent: number
  readonly group: number
  readonly session: number
  /** `Z` is a zombie: it runs no more, and only waits to be reaped. */
  readonly state: string
  /** Clock ticks since boot, as text. */
  readonly startTime: string
  readonly uid: number
}

/** The facts of `/proc/<pid>/stat`; the command's name can hold spaces and parentheses, so it is cut at the last one. */
export const parseStat = (stat: string, uid: number): ProcessFacts | undefined => {
  const open = stat.indexOf(" (")
  const close = stat.lastIndexOf(") ")
  if (open < 0 || close < open) return undefined
  const fields = stat.slice(close + 2).split(" ")
  const [state, parent, group, session] = fields
  const startTime = fields[19]
  if (state === undefined || startTime === undefined) return undefined
  return {
    pid: Number(stat.slice(0, open)),
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    state,
    startTime,
    uid,
  }
}

/** Undefined when there is no such process. */
export const processFacts = (pid: number): ProcessFacts | undefined => {
  try {
    const path = `/proc/${pid}/stat`
    return parseStat(fs.readFileSync(path, "utf8"), fs.statSync(`/proc/${pid}`).uid)
  } catch {
    return undefined
  }
}

/**
 * Whether the pid names another process than the one that started then. While it does not, a session of that number is
 * the one that this process led, dead or alive: the kernel gives no number away that a session still has.
 */
export const isRecycled = (pid: number, startTime: string): boolean => {
  const facts = processFacts(pid)
  return facts !== undefined && facts.startTime !== startTime
}

/** What a process was started with, `NAME=value` each; nothing when it is gone, or nobody may know. */
export const environmentOf = (pid: number): ReadonlySet<string> => {
  try {
    return new Set(fs.readFileSync(`/proc/${pid}/environ`, "utf8").split("\0"))
  } catch {
    return new Set()
  }
}

/** Every process that this pid namespace shows. */
export const allProcesses = (): ReadonlyArray<ProcessFacts> =>
  fs.readdirSync("/proc").flatMap((name) => {
    const facts = /^\d+$/.test(name) ? processFacts(Number(name)) : undefined
    return facts === undefined ? [] : [facts]
  })

/** Which boot of which pid namespace this is: pids of another one mean nothing here. */
export const worldId = (): string =>
  `${fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${fs.readlinkSync("/proc/self/ns/pid")}`
