// `slapgrid start`, `stop`, `restart` and `signal`: an operator's hand on single programs of the running agent.
import * as Effect from "effect/Effect"
import { commandServices } from "../control/ControlClient.ts"
import type { ServiceStatus } from "../domain/NodeStatus.ts"
import { escapeControls } from "../domain/text.ts"
import type { ServiceCommand, ServiceOutcome } from "../process/service/commands.ts"
import { configFrom } from "./configuration.ts"
import { CommandFailure, exitStatus, toFailure } from "./exit.ts"
import type { ConfigFlagValues } from "./options.ts"

const shownState = ({ error, isHeld, pid, state }: ServiceStatus): string =>
  [
    isHeld ? "stopped until its next processing or start" : state,
    ...(pid === undefined ? [] : [`pid ${pid}`]),
    ...(error === undefined ? [] : [error]),
  ].join(", ")

/** One line a program. */
export const renderOutcome = ({ partition, problem, program, status }: ServiceOutcome): string =>
  escapeControls(
    `${partition}:${program}: ${problem ?? (status === undefined ? "gone" : shownState(status))}`,
  ).replaceAll("\n", " ")

/** Whether the program is as the command wants it. */
const isDone = (action: ServiceCommand["action"], { problem, status }: ServiceOutcome): boolean =>
  problem === undefined &&
  (action === "signal" ||
    (action === "stop"
      ? status?.isHeld === true || status?.state === "exited"
      : status?.state === "running" || status?.state === "exited"))

interface Values extends ConfigFlagValues {
  readonly programs: readonly [string, ...ReadonlyArray<string>]
}

export const commandPrograms = Effect.fnUntraced(function* (
  action: ServiceCommand["action"],
  values: Values,
  signal?: string,
) {
  const { instanceRoot } = yield* configFrom(values)
  const command = { action, targets: values.programs, ...(signal === undefined ? {} : { signal }) }
  const outcomes = yield* commandServices(instanceRoot, command)
  process.stdout.write(outcomes.map((one) => `${renderOutcome(one)}\n`).join(""))
  const failed = outcomes.filter((one) => !isDone(action, one))
  if (failed.length === 0) return
  const message = `${action}: ${failed.length} of ${outcomes.length} programs are not as asked`
  return yield* new CommandFailure({ status: exitStatus.failed, message })
}, Effect.mapError(toFailure))
