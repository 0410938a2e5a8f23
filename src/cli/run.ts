// `slapgrid`: the foreground supervisor.
import * as Effect from "effect/Effect"
import type { NodeConfigShape } from "../config/NodeConfig.ts"
import { MasterSync } from "../desired/MasterSync.ts"
import { Departure } from "../process/Departure.ts"
import { protectAgent } from "../process/protectAgent.ts"
import { Slapgrid } from "../Slapgrid.ts"
import { version } from "../version.ts"
import { CommandFailure, exitStatus, toFailure } from "./exit.ts"
import { loggingLayer, type LogFormat } from "./logging.ts"
import { configFrom } from "./configuration.ts"
import { keepHeapSmall } from "./heap.ts"
import type { ConfigFlagValues } from "./options.ts"
import { onSignal } from "./signals.ts"

const checkRoot = (config: NodeConfigShape): Effect.Effect<void, CommandFailure> =>
  config.rootCheck && process.geteuid?.() !== 0
    ? new CommandFailure({
        status: exitStatus.notRoot,
        message:
          "slapgrid has to be run as root; to run everything as an ordinary user, set root_check = false in [slapos]",
      })
    : Effect.void

/** Runs the node until it is interrupted (its services stop) or wants to leave (they do not). */
const supervise = (config: NodeConfigShape) =>
  Effect.gen(function* () {
    const { syncNow } = yield* MasterSync
    const { isLeaving, leave, wanted } = yield* Departure
    yield* onSignal("SIGHUP", syncNow)
    yield* onSignal("SIGUSR2", leave)
    yield* Effect.addFinalizer(() => Effect.logInfo(isLeaving() ? "leaving, services run on" : "stopping"))
    yield* Effect.logInfo(`slapgrid ${version} runs ${config.computerId} of ${config.masterUrl}`)
    yield* Effect.forkScoped(keepHeapSmall)
    yield* wanted
  }).pipe(Effect.scoped, Effect.provide(Slapgrid.layer(config)))

export const run = (
  values: ConfigFlagValues & { readonly logFormat: LogFormat },
): Effect.Effect<void, CommandFailure> =>
  Effect.gen(function* () {
    const config = yield* configFrom(values)
    yield* checkRoot(config)
    yield* protectAgent
    yield* supervise(config)
  }).pipe(Effect.mapError(toFailure), Effect.provide(loggingLayer(values.logFormat)))
