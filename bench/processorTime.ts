// Processor time of a program and of all that it has started, the ended ones too, as /proc/PID/stat tells: what counts
// on a machine that others use as well.
import { readdirSync, readFileSync } from "node:fs"

interface Times {
  readonly pid: number
  readonly parent: number
  /** Seconds, of its own and of the children that it waited for. */
  readonly own: number
  readonly children: number
  /** Page faults of those children: grows with each, however short it was. */
  readonly childFaults: number
}

const timesOf = (pid: number): Times | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat
      .slice(stat.lastIndexOf(") ") + 2)
      .split(" ")
      .map(Number)
    // Counted from the state, which is field 3 of proc(5); the kernel counts hundredths of a second.
    const field = (number: number): number => fields[number - 3] ?? Number.NaN
    return {
      pid,
      parent: field(4),
      own: (field(14) + field(15)) / 100,
      children: (field(16) + field(17)) / 100,
      childFaults: field(11),
    }
  } catch {
    return undefined
  }
}

/** Living descendants of a process. */
export const descendants = (pid: number): ReadonlyArray<number> => {
  const all = readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? (timesOf(Number(name)) ?? []) : []))
  const byParent = Map.groupBy(all, ({ parent }) => parent)
  const below = (one: number): ReadonlyArray<number> =>
    (byParent.get(one) ?? []).flatMap((child) => [child.pid, ...below(child.pid)])
  return below(pid)
}

/** Seconds that a program and everything it has started took so far. */
export const treeTime = (root: number): number =>
  [root, ...descendants(root)].reduce((sum, pid) => {
    const times = timesOf(pid)
    return sum + (times?.own ?? 0) + (times?.children ?? 0)
  }, 0)

/** Seconds of the children that this program waited for. */
export const ownChildrenTime = (): number => timesOf(process.pid)?.children ?? Number.NaN

export const childFaults = (pid: number): number => timesOf(pid)?.childFaults ?? Number.NaN

/** Seconds of a process' own threads so far, exactly. */
export const threadsTime = (pid: number): number =>
  readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => {
    const [nanoseconds = "0"] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")
    return sum + Number(nanoseconds) / 1e9
  }, 0)
