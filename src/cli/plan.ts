// `slapgrid plan`: what the next sync would do and why, without doing it; from the running agent, else from the disk and
// one question to the master.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { planNode } from "../actors/planning.ts"
import type { NodeConfigShape } from "../config/NodeConfig.ts"
import { getPlan } from "../control/ControlClient.ts"
import type { NodePlan, PlannedPartition } from "../domain/Plan.ts"
import { HttpMasterClient } from "../master/http/HttpMasterClient.ts"
import { MasterClient } from "../master/MasterClient.ts"
import { printableJson } from "../domain/text.ts"
import { version } from "../version.ts"
import { configFrom } from "./configuration.ts"
import { toFailure } from "./exit.ts"
import type { ConfigFlagValues } from "./options.ts"
import { age } from "./status.ts"
import { table } from "./table.ts"

/** The plan of the running agent, or what one would do at its start. */
export const currentPlan = (config: NodeConfigShape) =>
  Effect.catchIf(
    getPlan(config.instanceRoot),
    ({ isAbsent }) => isAbsent,
    () =>
      Effect.gen(function* () {
        const { desiredState } = yield* MasterClient
        return yield* planNode(config, { answer: yield* desiredState })
      }).pipe(Effect.provide(HttpMasterClient.layer({ ...config, version }))),
  )

const due = ({ at }: PlannedPartition, now: number): string => (at === undefined ? "" : ` (in ${age(at - now)})`)

export const renderPlan = (plan: NodePlan, now: number): string =>
  [
    `computer ${plan.computer}: ${plan.isSupervised ? "what the next sync would do" : "no agent runs; what one would do at its start"}`,
    ...(plan.error === undefined
      ? []
      : [`the master gives no usable answer, so this is about what it said last: ${plan.error}`]),
    ...plan.rejected.map(({ reason, subject }) => `not used: ${subject}: ${reason}`),
    "",
    table(
      ["SOFTWARE RELEASE", "WANTED", "ACTION", "WHY"],
      plan.software.map(({ action, reason, requested, url }) => [url, requested, action, reason]),
    ),
    "",
    table(
      ["PARTITION", "WANTED", "ACTION", "WHY"],
      plan.partitions.map((one) => [one.id, one.requested, one.action, `${one.reason}${due(one, now)}`]),
    ),
    "",
    table(
      ["SERVICE", "ACTION", "WHY"],
      plan.partitions.flatMap(({ id, services }) =>
        services.map(({ action, name, reason }) => [`${id}:${name}`, action, reason]),
      ),
    ),
  ].join("\n")

export const plan = Effect.fnUntraced(function* (values: ConfigFlagValues & { readonly json: boolean }) {
  const answer = yield* currentPlan(yield* configFrom(values))
  const text = values.json ? printableJson(answer, 2) : renderPlan(answer, yield* Clock.currentTimeMillis)
  process.stdout.write(`${text}\n`)
}, Effect.mapError(toFailure))
