// What is mounted where, as this process sees it: proc_pid_mountinfo(5).
import * as fs from "node:fs"

/** Blanks, tabs, newlines and backslashes of a path are octal there. */
const unescaped = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** Mount points at or below `path`, which has no links in it. Pure. */
export const mountPointsIn = (path: string, mountInfo: string): ReadonlyArray<string> =>
  mountInfo.split("\n").flatMap((line) => {
    const point = unescaped(line.split(" ")[4] ?? "")
    return point === path || point.startsWith(`${path}/`) ? [point] : []
  })

/** Mount points at or below a directory. */
export const mountsIn = (path: string): ReadonlyArray<string> =>
  mountPointsIn(fs.realpathSync(path), fs.readFileSync("/proc/self/mountinfo", "utf8"))
