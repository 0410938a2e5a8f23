// What the agent gives itself before its node runs: it is the last that the kernel kills for want of memory, and it may
// have as many open files as thousands of services need. Only root can; for anybody else the machine's own words stand.
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"

/** As systemd/slapgrid.service asks for it: below everything else, above what must never be killed (-1000). */
const oomScore = -900
/** Enough for ten thousand services. */
const openFiles = 524_288

/**
 * The limits on open files to ask prlimit(1) for, as `soft:hard`; undefined when there are enough. `limits` is
 * `/proc/<pid>/limits`, `most` what the kernel gives at all. No limit is ever lowered.
 */
export const openFilesWanted = (limits: string, most: number): string | undefined => {
  const [, soft = "", hard = ""] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(limits) ?? []
  const wanted = Math.min(openFiles, most)
  if (soft === "" || soft === "unlimited" || Number(soft) >= wanted) return undefined
  return `${wanted}:${hard === "unlimited" || Number(hard) > wanted ? hard : wanted}`
}

const lowerOomScore = Effect.sync(() => {
  const file = "/proc/self/oom_score_adj"
  try {
    // Whoever started it can have asked for less.
    if (Number(fs.readFileSync(file, "utf8")) > oomScore) fs.writeFileSync(file, `${oomScore}\n`)
  } catch {
    // A container can forbid it: the agent then is as good as any other program.
  }
})

const raiseOpenFiles = Effect.sync(() => {
  try {
    const most = Number(fs.readFileSync("/proc/sys/fs/nr_open", "utf8"))
    const wanted = openFilesWanted(fs.readFileSync("/proc/self/limits", "utf8"), most)
    if (wanted === undefined) return
    const words = [`--pid=${process.pid}`, `--nofile=${wanted}`]
    // Nothing runs yet that could wait for it.
    spawnSync("prlimit", words, { stdio: "ignore", timeout: 10_000 })
  } catch {
    // The limit stays as it is.
  }
})

/** Never fails: a node runs without, too. */
export const protectAgent: Effect.Effect<void> = Effect.suspend(() =>
  process.geteuid?.() === 0 ? Effect.andThen(lowerOomScore, raiseOpenFiles) : Effect.void,
)
