// Every session this agent has started or adopted and not yet seen end, with its cgroup. Kept outside the runtime,
// because the last resort (a second signal, a crash of the runtime itself) has to reach it without any fiber.
import { killGroupNow } from "./containment/cgroup.ts"

const groups = new Map<number, string | undefined>()

export const registerGroup = (pgid: number, cgroup: string | undefined): void => void groups.set(pgid, cgroup)
export const forgetGroup = (pgid: number): void => void groups.delete(pgid)

export const isRegistered = (pgid: number): boolean => groups.has(pgid)

/** Sends a signal to a process group; false when nothing of it is left. */
export const signalGroup = (pgid: number, signal: NodeJS.Signals): boolean => {
  try {
    process.kill(-pgid, signal)
    return true
  } catch {
    return false
  }
}

/** Whether a process group has members, zombies included. */
export const groupExists = (pgid: number): boolean => {
  try {
    process.kill(-pgid, 0)
    return true
  } catch {
    return false
  }
}

/** Kills everything at once, without waiting; what cannot be killed keeps no other from it. */
export const killAllGroups = (): void => {
  for (const [pgid, cgroup] of groups) {
    signalGroup(pgid, "SIGKILL")
    try {
      if (cgroup !== undefined) killGroupNow(cgroup)
    } catch {
      // The group of processes is killed: there is nobody left who could be told.
    }
  }
}
