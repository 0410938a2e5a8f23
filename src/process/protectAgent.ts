// The agent is the last that the kernel kills for want of memory. Only root can have that; for anybody else the machine's
// own words stand.
import * as Effect from "effect/Effect"
import * as fs from "node:fs"

/** As systemd/slapgrid.service asks for it: below everything else, above what must never be killed (-1000). */
const oomScore = -900

/** Before its node runs. Never fails: a node runs without, too. */
export const protectAgent: Effect.Effect<void> = Effect.sync(() => {
  const file = "/proc/self/oom_score_adj"
  try {
    // Whoever started it can have asked for less.
    if (process.geteuid?.() !== 0 || Number(fs.readFileSync(file, "utf8")) <= oomScore) return
    fs.writeFileSync(file, `${oomScore}\n`)
  } catch {
    // A container can forbid it: the agent then is as good as any other program.
  }
})
