// `npm run bench -- convergence`: fresh partitions under the built agent beside the same buildouts run one after another
// in interpreters of their own, in the same run. Numbers are told, never asserted: the machine may be busy.
import { parseArgs } from "node:util"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Cost, type Curve, measureClients, measureCurve, measureQuiet, type Point } from "./convergenceMeasures.ts"
import { none, samples } from "./measures.ts"
import { formatTable, type Row, type Samples } from "./table.ts"

const usage = `npm run bench -- convergence [options]
  --counts LIST   fresh partitions, smallest first; some can be there more than once (1,10,40,40,40,200,1000)
  --cold N        cold buildouts, made between the others (40)
  --changes N     changes of one partition of 40 (10)
  --quiet N       partitions that are as they should be (1000)
  --syncs N       syncs of those (10)
  --clients N     fresh partitions of a release whose recipes import requests and lxml (20)
  --only NAMES    some of curve,clients,quiet
`

const { values: flags } = parseArgs({
  options: {
    counts: { type: "string", default: "1,10,40,40,40,200,1000" },
    cold: { type: "string", default: "40" },
    changes: { type: "string", default: "10" },
    quiet: { type: "string", default: "1000" },
    syncs: { type: "string", default: "10" },
    clients: { type: "string", default: "20" },
    only: { type: "string", default: "curve,clients,quiet" },
    help: { type: "boolean", default: false },
  },
})

const whole = (name: string, text: string, maximum: number): number => {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 1 && value <= maximum) return value
  throw new Error(`--${name} takes whole numbers from 1 to ${maximum}\n${usage}`)
}

/** Where changes are made, and what the ratios are asked for. */
const usual = 40

const mean = (costs: ReadonlyArray<Cost>, field: keyof Cost): number =>
  costs.reduce((sum, cost) => sum + cost[field], 0) / costs.length

const fields = [
  { field: "wall", what: "", unit: "s" },
  { field: "processor", what: ", CPU", unit: "s" },
] as const

const pointRows = ({ cold, points }: Curve): ReadonlyArray<Row> =>
  [...Map.groupBy(points, ({ count }) => count)].flatMap(([count, same]) =>
    fields.map(({ field, unit, what }) => ({
      measure: `${count} fresh partitions${what}`,
      unit,
      aim: count === usual && field === "wall" ? "15× faster on two free cores" : "",
      slapgrid: samples(
        same.map(({ cost }) => cost?.[field]),
        same.find(({ problem }) => problem !== undefined)?.problem ?? "",
      ),
      peer: { values: [count * mean(cold, field)] },
    })),
  )

/** What one more partition takes, between two points that are far from each other. */
const furtherRows = ({ cold, points }: Curve): ReadonlyArray<Row> => {
  const known = points.flatMap(({ cost, count }) => (cost === undefined ? [] : [{ count, ...cost }]))
  const [from, to] = [known.find(({ count }) => count >= 10), known.at(-1)]
  if (from === undefined || to === undefined || from === to) return []
  return fields.map(({ field, what }) => ({
    measure: `each further one, ${from.count} to ${to.count}${what}`,
    unit: "ms",
    aim: "25× cheaper",
    slapgrid: { values: [((to[field] - from[field]) / (to.count - from.count)) * 1000] },
    peer: { values: [mean(cold, field) * 1000] },
  }))
}

const curve = Effect.gen(function* () {
  const counts = flags.counts.split(",").map((text) => whole("counts", text, 1200))
  const found = yield* measureCurve({
    counts,
    cold: whole("cold", flags.cold, 1000),
    changes: whole("changes", flags.changes, usual),
    changesAt: usual,
  })
  const alone = (measure: string, unit: string, aim: string, slapgrid: Samples): Row => ({
    measure,
    unit,
    aim,
    slapgrid,
    peer: none("-"),
  })
  return [
    ...pointRows(found),
    ...furtherRows(found),
    alone(`a change in one of ${usual}, answer to report`, "ms", "≤ 250 ms", samples(found.changes, "")),
    alone("RSS of the helper", "MB", "≤ 45 MB", samples([found.helperMemory], "no helper")),
  ]
})

const clients = Effect.gen(function* () {
  const count = whole("clients", flags.clients, 1200)
  const { cold, fresh, known } = yield* measureClients(count, Math.min(count, whole("cold", flags.cold, 1000)))
  const rows = ({ cost, problem }: Point, how: string, aim: string): ReadonlyArray<Row> =>
    fields.map(({ field, unit, what }) => ({
      measure: `${count} with a SLAP client, ${how}${what}`,
      unit,
      aim: field === "wall" ? aim : "",
      slapgrid: cost === undefined ? none(problem) : { values: [cost[field]] },
      peer: { values: [count * mean(cold, field)] },
    }))
  return [...rows(fresh, "from nothing", "5× faster"), ...rows(known, "with a known list", "8× faster")]
})

const quiet = Effect.gen(function* () {
  const count = whole("quiet", flags.quiet, 1200)
  const { first, spawned, started, syncs } = yield* measureQuiet(count, whole("syncs", flags.syncs, 1000))
  const row = (measure: string, unit: string, aim: string, slapgrid: Samples): Row => ({
    measure: `${count} unchanged partitions: ${measure}`,
    unit,
    aim,
    slapgrid,
    peer: none("-"),
  })
  return [
    row("start to first sync done", "s", "≤ 1.5 s", samples([first?.wall], "not in time")),
    row("start to first sync done, CPU", "s", "", samples([first?.processor], "not in time")),
    row("start to all started", "s", "", samples([started?.wall], "not in time")),
    row("a sync, CPU", "ms", "≤ 150 ms", { values: syncs }),
    row("processes spawned", "", "none", none(spawned ? "some" : "none")),
  ]
})

const measures: Readonly<Record<string, Effect.Effect<ReadonlyArray<Row>, never, Scope.Scope>>> = {
  curve,
  clients,
  quiet,
}

const bench = Effect.gen(function* () {
  const chosen = flags.only.split(",").map((name) => {
    const measure = measures[name]
    if (measure === undefined) throw new Error(`--only does not know ${name}\n${usage}`)
    return { name, measure }
  })
  const rows: Array<Row> = []
  const run = Effect.gen(function* () {
    for (const { measure, name } of chosen) {
      process.stderr.write(`${name}\n`)
      rows.push(...(yield* measure))
    }
  })
  // Whoever loses patience still gets what was measured.
  yield* Effect.ensuring(
    run,
    Effect.sync(() => void process.stdout.write(`${formatTable(rows, { peer: "cold", ratio: "peer / slapgrid" })}\n`)),
  )
})

if (flags.help) process.stdout.write(usage)
else NodeRuntime.runMain(Effect.scoped(bench))
