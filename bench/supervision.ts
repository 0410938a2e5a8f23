// `npm run bench [-- supervision]`: measures the built agent's supervision beside Debian's supervisord and prints a
// table. Numbers are told, never asserted; only what is wrong whatever the machine (a lost or a left process) fails it.
import { parseArgs } from "node:util"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import {
  type Crashes,
  measureCrashes,
  measureIdle,
  measureLoop,
  measureStart,
  measureStop,
  measureSurvival,
  none,
  percentiles,
  samples,
} from "./measures.ts"
import { slapgrid, type Subject, supervisord, whyNoSupervisord } from "./supervisors.ts"
import { type Comparison, formatTable, type Row, type Samples } from "./table.ts"

const usage = `npm run bench -- [supervision] [options]
  --services N    services of the first measures; the later ones take 2N and 6N (500)
  --rounds N      starts and stops of each supervisor (3)
  --kills N       services killed one after the other (200)
  --idle SECONDS  how long to look at an idle supervisor (30)
  --only NAMES    some of start,crash,stop,idle,loop,survive
  --alone         without supervisord
  --cpu-prof DIR  the agent's processor profiles, written where it ends by itself (stop, survive)
`

const { values: flags } = parseArgs({
  options: {
    services: { type: "string", default: "500" },
    rounds: { type: "string", default: "3" },
    kills: { type: "string", default: "200" },
    idle: { type: "string", default: "30" },
    only: { type: "string", default: "start,crash,stop,idle,loop,survive" },
    alone: { type: "boolean", default: false },
    "cpu-prof": { type: "string" },
    help: { type: "boolean", default: false },
  },
})

const count = (name: "services" | "rounds" | "kills" | "idle", maximum: number): number => {
  const value = Number(flags[name])
  if (Number.isInteger(value) && value >= 1 && value <= maximum) return value
  throw new Error(`--${name} takes a whole number from 1 to ${maximum}\n${usage}`)
}

const profile = flags["cpu-prof"]
const agent = (nodeFlags: ReadonlyArray<string>): Subject =>
  slapgrid([...nodeFlags, ...(profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`])])

interface Plan {
  readonly services: number
  readonly rounds: number
  readonly kills: number
  readonly idle: number
  /** Why supervisord is not there. */
  readonly missing: string | undefined
}

/** Rounds take turns, so that a busy minute of the machine meets both. */
const inTurns = <A>(
  { missing, rounds }: Plan,
  measure: (subject: Subject) => Effect.Effect<A>,
): Effect.Effect<readonly [slapgrid: ReadonlyArray<A>, supervisord: ReadonlyArray<A>]> =>
  Effect.gen(function* () {
    const ours: Array<A> = []
    const theirs: Array<A> = []
    for (let round = 0; round < rounds; round++) {
      ours.push(yield* measure(agent([])))
      if (missing === undefined) theirs.push(yield* measure(supervisord))
    }
    return [ours, theirs] as const
  })

const theirsOr = ({ missing }: Plan, found: () => Samples): Samples => (missing === undefined ? found() : none("-"))

const start = (plan: Plan) =>
  Effect.gen(function* () {
    const [ours, theirs] = yield* inTurns(plan, (subject) => measureStart(subject, plan.services))
    const row: Row = {
      measure: `start ${plan.services} services`,
      unit: "s",
      aim: "≤ 2.5 s, faster than supervisord",
      slapgrid: samples(ours, "not in time"),
      peer: theirsOr(plan, () => samples(theirs, "not in time")),
    }
    return [row]
  })

const crash = (plan: Plan) =>
  Effect.gen(function* () {
    const once = { ...plan, rounds: 1 }
    const [[ours], [theirs]] = yield* inTurns(once, (subject) => measureCrashes(subject, plan.services, plan.kills))
    const kills = Math.min(plan.kills, plan.services)
    const of = (crashes: Crashes | undefined, value: "p50" | "p99"): Samples =>
      crashes === undefined || !crashes.isComplete
        ? none(`only ${crashes?.latencies.length ?? 0} in time`)
        : { values: [percentiles(crashes.latencies)[value]] }
    const row = (value: "p50" | "p99", aim: string): Row => ({
      measure: `crash to running again, ${kills} kills, ${value}`,
      unit: "ms",
      aim,
      slapgrid: of(ours, value),
      peer: theirsOr(plan, () => of(theirs, value)),
    })
    return [row("p50", "≤ 15 ms, 50× faster"), row("p99", "≤ 40 ms")]
  })

const stopLimit = 120

const stop = (plan: Plan) =>
  Effect.gen(function* () {
    const [ours, theirs] = yield* inTurns(plan, (subject) => measureStop(subject, plan.services, stopLimit))
    const told = (stops: typeof ours): Samples =>
      samples(
        stops.map(({ seconds }) => seconds),
        `> ${stopLimit} s, ${Math.max(...stops.map(({ left }) => left))} left`,
      )
    const row: Row = {
      measure: `stop ${plan.services}, half ignore TERM, 2 s grace`,
      unit: "s",
      aim: "≤ 3.5 s",
      slapgrid: told(ours),
      peer: theirsOr(plan, () => told(theirs)),
    }
    return [row]
  })

const idle = (plan: Plan) =>
  Effect.gen(function* () {
    const size = plan.services * 2
    const once = { ...plan, rounds: 1 }
    const [ours, theirs] = yield* inTurns(once, (subject) => measureIdle(subject, size, plan.idle))
    const row = (field: "resident" | "peak" | "processor", measure: string, unit: string, aim: string): Row => ({
      measure: `${size} services: ${measure}`,
      unit,
      aim,
      slapgrid: { values: ours.map((one) => one[field]) },
      peer: theirsOr(plan, () => ({ values: theirs.map((one) => one[field]) })),
    })
    return [
      row("resident", "RSS", "MB", "≤ 110 MB"),
      row("peak", "peak RSS", "MB", ""),
      row("processor", `idle CPU over ${plan.idle} s`, "% of a core", "≤ 0.5 % of a core"),
    ]
  })

const loop = (plan: Plan) =>
  Effect.gen(function* () {
    const size = plan.services * 2
    const found = yield* measureLoop(agent, size)
    const row = (field: "p99" | "max", aim: string): Row => ({
      measure: `event loop blocked while ${size} start, ${field}`,
      unit: "ms",
      aim,
      slapgrid: found === undefined ? none("no answer") : { values: [found[field]] },
      peer: none("-"),
    })
    return [row("p99", ""), row("max", "≤ 30 ms")]
  })

const survive = (plan: Plan) =>
  Effect.gen(function* () {
    const size = plan.services * 6
    const { problems, ...times } = yield* measureSurvival(agent([]), size)
    const row = (field: keyof typeof times, what: string): Row => ({
      measure: `${size} services: ${what}`,
      unit: "s",
      aim: "",
      slapgrid: samples([times[field]], "not in time"),
      peer: none("-"),
    })
    if (problems.length > 0) process.exitCode = 1
    const verdict: Row = {
      measure: `${size} services: kill -9, same pids, nothing left`,
      unit: "",
      aim: "yes",
      slapgrid: none(problems.length === 0 ? "yes" : problems.join("; ")),
      peer: none("-"),
    }
    return [row("start", "start"), row("adoption", "adoption after kill -9"), row("stop", "stop"), verdict]
  })

const measures: Readonly<Record<string, (plan: Plan) => Effect.Effect<ReadonlyArray<Row>>>> = {
  start,
  crash,
  stop,
  idle,
  loop,
  survive,
}

const comparison: Comparison = { peer: "supervisord", ratio: "peer / slapgrid" }

const bench = Effect.gen(function* () {
  const chosen = flags.only.split(",").map((name) => {
    const measure = measures[name]
    if (measure === undefined) throw new Error(`--only does not know ${name}\n${usage}`)
    return { name, measure }
  })
  const missing = flags.alone ? "not wanted" : whyNoSupervisord()
  if (missing !== undefined) process.stderr.write(`supervisord is left out: ${missing}\n`)
  // Six times as many services as this need a partition's user for every ten of them.
  const plan: Plan = {
    services: count("services", 2000),
    rounds: count("rounds", 100),
    kills: count("kills", 2000),
    idle: count("idle", 3600),
    missing,
  }
  const rows: Array<Row> = []
  const run = Effect.gen(function* () {
    for (const { measure, name } of chosen) {
      process.stderr.write(`${name}\n`)
      rows.push(...(yield* measure(plan)))
    }
  })
  // Whoever loses patience still gets what was measured.
  yield* Effect.ensuring(
    run,
    Effect.sync(() => void process.stdout.write(`${formatTable(rows, comparison)}\n`)),
  )
})

if (flags.help) process.stdout.write(usage)
else NodeRuntime.runMain(bench)
