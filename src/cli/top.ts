// `slapgrid top`: what partitions and programs take of the machine, again and again on a terminal.
import * as Effect from "effect/Effect"
import { getUsage } from "../control/ControlClient.ts"
import type { NodeUsage, PartitionUsage, ProcessUsage } from "../domain/NodeUsage.ts"
import { configFrom } from "./configuration.ts"
import { CommandFailure, exitStatus, toFailure } from "./exit.ts"
import type { ConfigFlagValues } from "./options.ts"
import { table } from "./table.ts"

interface TopValues extends ConfigFlagValues {
  readonly once: boolean
  readonly interval: number
  readonly json: boolean
}

/** One line of the table; the processor as a share of one, from what was used since `before`. */
interface Line {
  readonly name: string
  readonly processor: number
  readonly memory: number
  readonly processes: number
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, one) => total + one, 0)

/** A share of a processor, in percent; what was not there before began meanwhile. */
const share = (now: ProcessUsage, before: ProcessUsage | undefined, milliseconds: number): number =>
  milliseconds <= 0 ? 0 : (Math.max(0, now.processor - (before?.processor ?? 0)) / 1000 / milliseconds) * 100

const linesOf = (now: PartitionUsage, before: PartitionUsage | undefined, elapsed: number): ReadonlyArray<Line> => {
  const services = now.services.map((service) => ({
    ...service,
    name: `${now.id}:${service.name}`,
    processor: share(
      service,
      before?.services.find(({ name }) => name === service.name),
      elapsed,
    ),
  }))
  const total = {
    name: now.id,
    processor: sum(services.map(({ processor }) => processor)),
    memory: sum(services.map(({ memory }) => memory)),
    processes: sum(services.map(({ processes }) => processes)),
  }
  return [total, ...services.toSorted((a, b) => b.processor - a.processor || b.memory - a.memory)]
}

const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MB`

/** The partitions that take most come first. */
export const renderUsage = (now: NodeUsage, before: NodeUsage): string => {
  const elapsed = now.at - before.at
  const partitions = now.partitions
    .map((one) =>
      linesOf(
        one,
        before.partitions.find(({ id }) => id === one.id),
        elapsed,
      ),
    )
    .toSorted((a, b) => (b[0]?.processor ?? 0) - (a[0]?.processor ?? 0) || (b[0]?.memory ?? 0) - (a[0]?.memory ?? 0))
  const agent = {
    name: "slapgrid (the agent)",
    processor: share(now.agent, before.agent, elapsed),
    memory: now.agent.memory,
    processes: 1,
  }
  return table(
    ["PARTITION, SERVICE", "CPU", "MEMORY", "PROCESSES"],
    [agent, ...partitions.flat()].map(({ memory, name, processes, processor }) => [
      name,
      `${processor.toFixed(1)} %`,
      megabytes(memory),
      String(processes),
    ]),
  )
}

const clear = "\u001b[H\u001b[2J"

export const top = Effect.fnUntraced(function* ({ interval, json, once, ...values }: TopValues) {
  if (!(interval > 0)) {
    const message = `--interval ${interval}: write how many seconds, more than 0`
    return yield* new CommandFailure({ status: exitStatus.failed, message })
  }
  const { instanceRoot } = yield* configFrom(values)
  const isRepeating = !once && !json && process.stdout.isTTY
  let before = yield* getUsage(instanceRoot)
  while (true) {
    yield* Effect.sleep(interval * 1000)
    const now = yield* getUsage(instanceRoot)
    const text = json ? JSON.stringify({ before, now }, null, 2) : renderUsage(now, before)
    process.stdout.write(`${isRepeating ? clear : ""}${text}\n`)
    if (!isRepeating) return
    before = now
  }
}, Effect.mapError(toFailure))
