// What /proc knows of the machine's processes: the only witness that does not depend on the program under test.
import { readdirSync, readFileSync, readlinkSync } from "node:fs"

const attempt = <A>(look: () => A): A | undefined => {
  try {
    return look()
  } catch {
    return undefined
  }
}

/** Fields of /proc/PID/status; undefined when there is no such process. */
export const statusOf = (pid: number): Readonly<Record<string, string>> | undefined => {
  const text = attempt(() => readFileSync(`/proc/${pid}/status`, "utf8"))
  if (text === undefined) return undefined
  return Object.fromEntries(
    text.split("\n").map((line) => [line.split(":")[0] ?? "", line.slice(line.indexOf(":") + 1).trim()]),
  )
}

/** Zombies do not count: they wait for nothing but their parent. */
export const isAlive = (pid: number): boolean => {
  const state = statusOf(pid)?.["State"]
  return state !== undefined && !/^[ZX]/.test(state)
}

export const commandOf = (pid: number): string =>
  attempt(() => readFileSync(`/proc/${pid}/cmdline`, "utf8"))
    ?.replaceAll("\0", " ")
    .trim() ?? ""

/** A living child. */
export const childOf = (parent: number): number | undefined =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => statusOf(pid)?.["PPid"] === String(parent) && isAlive(pid))

export interface Belonging {
  /** An absolute path; without one only users count. */
  readonly path?: string
  readonly hasUid: (uid: number) => boolean
}

/** The living processes that run as one of these users, or in or with this directory. */
export const belongingTo = ({ hasUid, path }: Belonging): ReadonlyArray<number> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      if (pid === process.pid || !isAlive(pid)) return false
      const uid = Number(statusOf(pid)?.["Uid"]?.split(/\s+/)[1])
      if (hasUid(uid)) return true
      if (path === undefined) return false
      const cwd = attempt(() => readlinkSync(`/proc/${pid}/cwd`)) ?? ""
      return cwd.startsWith(path) || commandOf(pid).includes(path)
    })

/** Unix sockets that are bound below a directory. */
export const socketsBelow = (path: string): ReadonlyArray<string> =>
  readFileSync("/proc/net/unix", "utf8")
    .split("\n")
    .map((line) => line.split(" ").at(-1) ?? "")
    .filter((name) => name.startsWith(path))
