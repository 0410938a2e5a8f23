// Preloaded into the agent (`node --import`) for one measure: how long its event loop was kept from turning. Node's own
// timer in the agent knows what a caller outside can only guess. The first SIGWINCH begins, the second writes what was
// seen to the file that this module's URL names.
import { writeFileSync } from "node:fs"
import { monitorEventLoopDelay } from "node:perf_hooks"

const target = new URL(import.meta.url).searchParams.get("target")
if (target !== null) {
  const resolution = 1
  const histogram = monitorEventLoopDelay({ resolution })
  const milliseconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - resolution)
  process.once("SIGWINCH", () => {
    histogram.enable()
    process.once("SIGWINCH", () => {
      histogram.disable()
      const found = { p99: milliseconds(histogram.percentile(99)), max: milliseconds(histogram.max) }
      writeFileSync(target, JSON.stringify(found))
    })
  })
}
