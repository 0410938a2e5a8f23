// What the agent asks of the kernel for itself: to be the last one that is killed when memory runs out, and room for the
// logs of thousands of programs. What it starts gets neither (launcher.py).
import * as Effect from "effect/Effect"
import { execa } from "execa"
import * as fs from "node:fs"

/** As good as never, but not never: nobody else's machine is to die of a leak in the agent. proc(5), oom_score_adj. */
const badness = "-900"
const openFiles = 1_048_576

/** Does what this user may; nothing of it is worth an error. */
export const protectAgent: Effect.Effect<void> = Effect.promise(async () => {
  if (process.geteuid?.() !== 0) return
  try {
    fs.writeFileSync("/proc/self/oom_score_adj", badness)
  } catch {
    // A container that may not.
  }
  await execa("prlimit", ["--pid", String(process.pid), `--nofile=${openFiles}:${openFiles}`], { reject: false })
})
