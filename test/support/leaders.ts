// Which programs run, by what leads a session: /proc tells, whatever the agent thinks.
import { readdirSync, readlinkSync } from "node:fs"
import { commandOf, isAlive, statusOf } from "./processes.ts"

/** The living leaders of sessions whose command line names something below `path`, by that name. */
export const leadersBelow = (path: string): ReadonlyMap<string, ReadonlyArray<number>> => {
  const found = new Map<string, Array<number>>()
  for (const name of readdirSync("/proc")) {
    const pid = Number(name)
    if (!(pid > 0)) continue
    const program = commandOf(pid)
      .split(" ")
      .find((word) => word.startsWith(path))
    if (program === undefined || statusOf(pid)?.["NSsid"]?.split(/\s+/)[0] !== name || !isAlive(pid)) continue
    found.set(program, [...(found.get(program) ?? []), pid])
  }
  return found
}

/** Empty when there is no such process, or nobody may know. */
export const workingDirectoryOf = (pid: number): string => {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ""
  }
}
