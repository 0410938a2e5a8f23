import * as Effect from "effect/Effect"
import { makeMachine, planServices } from "./machine.ts"
import { slapgrid } from "./supervisors.ts"
import { readFileSync } from "node:fs"
const flags = process.argv.slice(3)
const n = Number(process.argv[2])
const prog = Effect.gen(function* () {
  const machine = yield* makeMachine(planServices(n))
  const { start } = yield* slapgrid(["--import", "/tmp/memprobe.mjs", ...flags]).prepare(machine)
  const s = yield* start
  yield* machine.arrivals.awaitAll(n)
  yield* Effect.sleep(4000)
  const rss = () => readFileSync(`/proc/${s.pid}/smaps_rollup`, "utf8").match(/(Rss|Private_Dirty|Anonymous):.*/g)!.map(x=>x.replace(/\s+/g,' ')).join(" ")
  console.log(n, rss())
  process.kill(s.pid, "SIGWINCH")
  yield* Effect.sleep(3000)
  console.log(readFileSync("/tmp/mem.json", "utf8"), rss())
})
await Effect.runPromise(Effect.scoped(prog))
process.exit(0)
