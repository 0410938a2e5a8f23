// Programs that write numbered lines to a log as services do: through a descriptor that appends, in a process (and,
// where the machine can, a cgroup) of their own. What they write is known, so that a test can tell what of it is left.
import { spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { makeGroup, removeGroup, writableBase } from "../../../src/process/containment/cgroup.ts"
import { Launcher } from "../../../src/process/launcher/Launcher.ts"
import { LogKeepers } from "../../../src/process/logs/LogKeeper.ts"

/** Line number `index`: no blanks, all lengths up to 200. */
const line = (index: number): string => `${index}-${"x".repeat((index * 31) % 190)}\n`

/** The first `count` lines. */
export const linesOf = (count: number): string => Array.from({ length: count }, (_, index) => line(index)).join("")

export interface Pace {
  /** How many lines in all, how many at a time, and the milliseconds between; 0: none. */
  readonly count: number
  readonly atOnce: number
  readonly pause: number
}

const source = (pace: Pace): string => `
  const line = ${line.toString()}
  const { count, atOnce, pause } = ${JSON.stringify(pace)}
  let index = 0
  const write = () => {
    let text = ""
    for (const end = Math.min(count, index + atOnce); index < end; index++) text += line(index)
    for (let bytes = Buffer.from(text); bytes.length > 0;) bytes = bytes.subarray(require("fs").writeSync(1, bytes))
    if (index < count) pause === 0 ? setImmediate(write) : setTimeout(write, pause)
  }
  write()`

/** Runs a writer to its end. */
export const write = (path: string, pace: Pace, cgroup?: string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const output = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_APPEND | fs.constants.O_CREAT)
    const join = cgroup === undefined ? "" : `echo $$ > "${cgroup}/cgroup.procs" && `
    const child = spawn("/bin/sh", ["-c", `${join}exec "$0" -e "$1"`, process.execPath, source(pace)], {
      stdio: ["ignore", output, "inherit"],
    })
    fs.closeSync(output)
    child.once("close", (code) => resume(code === 0 ? Effect.void : Effect.die(new Error(`writer: status ${code}`))))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const base = writableBase()
export const hasCgroups = base !== undefined

/** Whether the file system of the tests' directories collapses; tmpfs does not. */
export const canCollapse = ((): boolean => {
  const directory = fs.mkdtempSync(`${os.tmpdir()}/slapgrid-test-`)
  try {
    const path = `${directory}/file`
    const block = fs.statSync(directory).blksize
    fs.writeFileSync(path, Buffer.alloc(2 * block))
    return spawnSync("fallocate", ["--collapse-range", "--length", `${block}`, path]).status === 0
  } finally {
    fs.rmSync(directory, { recursive: true })
  }
})()

let groups = 0

/** A new cgroup for the life of the Scope. */
export const scratchCgroup = Effect.acquireRelease(
  Effect.sync(() => {
    const path = `${base ?? ""}/slapgrid-test-${process.pid}-${groups++}`
    makeGroup(path)
    return path
  }),
  (path) => Effect.sync(() => removeGroup(path)),
)

/** What keeps logs, with a launcher of its own, for the life of the Scope. */
export const makeKeepers = (logging: Layer.Layer<never> = Layer.empty) =>
  LogKeepers.layer.pipe(Layer.provide([Launcher.layer, logging]), Layer.build, Effect.map(Context.get(LogKeepers)))
