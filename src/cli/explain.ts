// `slapgrid explain PARTITION`: how it is, what was done to it last, what it waits for, and where to read more.
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { getStatus } from "../control/ControlClient.ts"
import type { PartitionStatus, PromiseStatus } from "../domain/NodeStatus.ts"
import type { NodePlan, PlannedPartition } from "../domain/Plan.ts"
import { escapeControls, printableJson } from "../domain/text.ts"
import { titleOf } from "../health/catalogue.ts"
import { CommandFailure, exitStatus, toFailure } from "./exit.ts"
import { configFrom } from "./configuration.ts"
import type { ConfigFlagValues } from "./options.ts"
import { currentPlan } from "./plan.ts"
import { age, describeService } from "./status.ts"

/** What is known of the partition. */
export interface Explanation {
  readonly planned: PlannedPartition
  /** What the running agent says. */
  readonly status: PartitionStatus | undefined
  /** Its directory. */
  readonly path: string
}

/** Files of a partition can have any time; a date of ours ends with the year 275760. */
const time = (milliseconds: number): string =>
  DateTime.formatIso(DateTime.makeUnsafe(Math.min(8.64e15, Math.max(-8.64e15, milliseconds)))).slice(0, 19)

const processed = ({ processed }: PlannedPartition, now: number): string =>
  processed === undefined
    ? "none that came to its end"
    : `${time(processed.at)} UTC (${age(now - processed.at)} ago), for timestamp ${processed.timestamp ?? "none"}`

/** What promises say has logs of its own. */
const hasErrorLog = (status: PartitionStatus | undefined): boolean =>
  status?.error !== undefined && !status.promises.some(({ hasFailed }) => hasFailed)

const describePromise = ({ checkedAt, hasFailed, message, name }: PromiseStatus, path: string, now: number) => [
  `  ${name}: ${hasFailed ? "fails" : "kept"}, checked ${age(now - checkedAt)} ago${hasFailed ? `: ${message}` : ""}`,
  `    ${path}/.slapgrid/promise/log/${titleOf(name)}.log`,
]

export const renderExplanation = ({ path, planned, status }: Explanation, now: number): string => {
  const { action, at, failures, id, reason, requested, services, software } = planned
  const rows: ReadonlyArray<readonly [string, string | undefined]> = [
    ["wanted", `${requested}${software === undefined ? "" : ` from ${software}`}`],
    ["state", status === undefined ? "no agent runs" : `${status.state} for ${age(now - status.since)}`],
    ["error", status?.error],
    ["last processing", processed(planned, now)],
    ["failed tries", failures === 0 ? undefined : String(failures)],
    ["waits for", status?.waitingFor],
    ["next", `${action}: ${reason}${at === undefined ? "" : ` (in ${age(at - now)}, ${time(at)} UTC)`}`],
    ["directory", path],
    ["log", `${path}/.slapgrid/log/instance.log`],
    ["last failure", hasErrorLog(status) ? `${path}/.slapgrid-${id}-error.log` : undefined],
  ]
  const lines = rows.flatMap(([name, value]) =>
    value === undefined ? [] : [`${`${name}:`.padEnd(17)}${value.trimEnd().replaceAll("\n", `\n${" ".repeat(17)}`)}`],
  )
  const programs = services.flatMap((service) => {
    const running = status?.services.find(({ name }) => name === service.name)
    return [
      `  ${service.name}: ${running === undefined ? "" : `${describeService(running, now)}; `}${service.action}: ${service.reason}`,
      `    ${path}/${service.log}`,
    ]
  })
  const promises = (status?.promises ?? []).flatMap((promise) => describePromise(promise, path, now))
  // What strangers wrote begins no line of ours.
  const section = (title: string, entries: ReadonlyArray<string>) =>
    entries.length === 0 ? [] : [title, ...entries.map((entry) => entry.replaceAll("\n", `\n${" ".repeat(6)}`))]
  return escapeControls([id, ...lines, ...section("services:", programs), ...section("promises:", promises)].join("\n"))
}

const find = (plan: NodePlan, id: string): Effect.Effect<PlannedPartition, CommandFailure> => {
  const found = plan.partitions.find((one) => one.id === id)
  if (found !== undefined) return Effect.succeed(found)
  const names = plan.partitions.map((one) => one.id).join(", ")
  const message = `the master names no partition ${id}; it names: ${names === "" ? "none" : names}`
  return new CommandFailure({ status: exitStatus.failed, message })
}

export const explain = Effect.fnUntraced(function* (
  values: ConfigFlagValues & { readonly partition: string; readonly json: boolean },
) {
  const config = yield* configFrom(values)
  const planned = yield* find(yield* currentPlan(config), values.partition)
  const { partitions } = yield* Effect.catchIf(
    getStatus(config.instanceRoot),
    ({ isAbsent }) => isAbsent,
    () => Effect.succeed({ partitions: [] }),
  )
  const status = partitions.find(({ id }) => id === planned.id)
  const explanation = { planned, status, path: `${config.instanceRoot}/${planned.id}` }
  const now = yield* Clock.currentTimeMillis
  process.stdout.write(`${values.json ? printableJson(explanation, 2) : renderExplanation(explanation, now)}\n`)
}, Effect.mapError(toFailure))
