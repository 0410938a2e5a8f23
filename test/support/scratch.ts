// A directory for one test, and what the tests of files and processes have to know about the machine they run on.
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as Effect from "effect/Effect"

/** Continuous integration skips nothing: where something is missing there, its tests fail. */
export const inCi = process.env["CI"] === "true"

export const isRoot = process.geteuid?.() === 0

/** A user that is not the one who runs the tests, when that one is root; else nobody else can be used. */
export const stranger = isRoot ? { uid: 61_234, gid: 61_235 } : { uid: process.getuid!(), gid: process.getgid!() }

/** A new directory, gone with the test; every user may look into it. */
export const scratchDirectory = Effect.acquireRelease(
  Effect.sync(() => {
    const path = fs.realpathSync(fs.mkdtempSync(`${os.tmpdir()}/slapgrid-test-`))
    fs.chmodSync(path, 0o755)
    return path
  }),
  (path) =>
    Effect.sync(() => {
      // rm(1) knows depths and permissions that fs.rmSync does not.
      spawnSync("chmod", ["-R", "u+rwX", path])
      spawnSync("rm", ["-rf", "--one-file-system", path])
    }),
)

/** What this process has open below a path. */
export const openBelow = (path: string): ReadonlyArray<string> =>
  fs.readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = fs.readlinkSync(`/proc/self/fd/${fd}`)
      return target.startsWith(path) ? [target] : []
    } catch {
      return []
    }
  })
