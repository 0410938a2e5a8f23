// `slapgrid top`: what the agent, partitions and services use, again and again.
import * as Effect from "effect/Effect"
import { getUsage } from "../control/ControlClient.ts"
import { type NodeRates, ratesBetween, type UsageRate } from "../domain/NodeUsage.ts"
import { printableJson, showSize } from "../domain/text.ts"
import { configFrom } from "./configuration.ts"
import { CommandFailure, exitStatus, toFailure } from "./exit.ts"
import type { ConfigFlagValues } from "./options.ts"
import { readerLeft, show } from "./output.ts"
import { table } from "./table.ts"

interface TopValues extends ConfigFlagValues {
  readonly once: boolean
  /** Seconds. */
  readonly interval: number
  readonly json: boolean
}

const head = ["NAME", "CPU %", "MEMORY", "PROCESSES"]

const cellsOf = (name: string, { cpuPercent, memory, processes }: UsageRate): ReadonlyArray<string> => [
  name,
  cpuPercent === null ? "" : cpuPercent.toFixed(1),
  showSize(memory),
  String(processes),
]

const byCpu = (a: UsageRate, b: UsageRate): number => (b.cpuPercent ?? 0) - (a.cpuPercent ?? 0)

/** A row each: the agent, builds of releases, and partitions with their services, the busiest first. */
export const renderUsage = ({ agent, partitions, software }: NodeRates): string => {
  const rows = [
    cellsOf("agent", agent),
    ...software.map((one) => cellsOf(`building ${one.url}`, one)),
    ...partitions
      .toSorted(byCpu)
      .flatMap((one) => [
        cellsOf(one.id, one),
        ...one.services.toSorted(byCpu).map((service) => cellsOf(`  ${one.id}:${service.name}`, service)),
      ]),
  ]
  // Numbers stand below each other by their last digit.
  const width = (column: number) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0))
  const aligned = ([name = "", ...numbers]: ReadonlyArray<string>) => [
    name,
    ...numbers.map((cell, index) => cell.padStart(width(index + 1))),
  ]
  return table(aligned(head), rows.map(aligned))
}

/** As much of the text as a terminal has room for, from its upper left corner on. */
export const screenful = (text: string, { columns, rows }: { readonly columns: number; readonly rows: number }) => {
  const lines = text.split("\n").slice(0, Math.max(1, rows - 1))
  return `\u001b[H\u001b[2J${lines.map((line) => `${line.slice(0, columns)}\n`).join("")}`
}

const shown = (rates: NodeRates, { json, once }: TopValues): string => {
  if (json) return `${printableJson(rates)}\n`
  const text = renderUsage(rates)
  return process.stdout.isTTY && !once ? screenful(text, process.stdout) : `${text}\n${once ? "" : "\n"}`
}

export const top = Effect.fnUntraced(function* (values: TopValues) {
  if (!(values.interval >= 0.1 && values.interval <= 3600)) {
    const message = `--interval ${values.interval}: write seconds from 0.1 to 3600`
    return yield* new CommandFailure({ status: exitStatus.failed, message })
  }
  const { instanceRoot } = yield* configFrom(values)
  let before = yield* getUsage(instanceRoot)
  const turn = Effect.gen(function* () {
    yield* Effect.sleep(values.interval * 1000)
    const after = yield* getUsage(instanceRoot)
    yield* show(shown(ratesBetween(before, after), values))
    before = after
  })
  yield* (values.once ? turn : Effect.forever(turn)).pipe(Effect.raceFirst(readerLeft))
}, Effect.mapError(toFailure))
