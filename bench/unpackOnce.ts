// One unpacking as the agent does it, in a process of its own so that its memory is nobody else's: prints what it took as
// JSON. Words: archive, directory that becomes the release, name of the archive's folder.
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import { unpack } from "../src/files/archive/unpack.ts"
import { isRoot, ownerOf } from "./machine.ts"

export interface Unpacking {
  readonly seconds: number
  /** Seconds of processor time, all threads. */
  readonly processor: number
  /** By how many MB the process was larger at its peak than before. */
  readonly growth: number
}

const memory = (field: "VmRSS" | "VmHWM"): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync("/proc/self/status", "utf8"))?.[1]) / 1024

const [path = "", target = "", folder = ""] = process.argv.slice(2)
const [archive, directory] = [openSync(path, "r"), openSync(target, "r")]
const job = {
  archive,
  directory,
  folder,
  homes: [`/opt/slapgrid/${folder}`],
  owner: isRoot ? ownerOf(0) : undefined,
  minFreeSpace: 0,
  leftOut: [],
}
// From here on the kernel remembers the peak anew.
writeFileSync("/proc/self/clear_refs", "5")
const [before, used, from] = [memory("VmRSS"), process.cpuUsage(), performance.now()]
await Effect.runPromise(unpack(job))
const seconds = (performance.now() - from) / 1000
const { system, user } = process.cpuUsage(used)
const found: Unpacking = { seconds, processor: (system + user) / 1e6, growth: memory("VmHWM") - before }
process.stdout.write(JSON.stringify(found))
closeSync(archive)
closeSync(directory)
