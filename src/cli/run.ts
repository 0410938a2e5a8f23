// `slapgrid`: the foreground supervisor.
import * as Effect from "effect/Effect"
import type { NodeConfigShape } from "../config/NodeConfig.ts"
import { NodeSupervisor } from "../actors/NodeSupervisor.ts"
import { ServiceManager } from "../control/ServiceManager.ts"
import { MasterSync } from "../desired/MasterSync.ts"
import { Departure } from "../process/Departure.ts"
import { protectAgent } from "../process/protectAgent.ts"
import { StatusBoard } from "../report/StatusBoard.ts"
import { type NodeOptions, Slapgrid } from "../Slapgrid.ts"
import { version } from "../version.ts"
import { checkRoot, type CommandFailure, toFailure } from "./exit.ts"
import { loggingLayer, type LogFormat } from "./logging.ts"
import { configFrom } from "./configuration.ts"
import { keepHeapSmall } from "./heap.ts"
import type { ConfigFlagValues } from "./options.ts"
import { publicUrl } from "../domain/text.ts"
import { onSignal } from "./signals.ts"

/** Milliseconds beyond `stop_timeout` in which everything that was killed is gone and reported. */
const stopMargin = 60_000

/** The kernel treats the first process of a container like no other: it must reap what it never started. */
const warnAsInit =
  process.pid === 1
    ? Effect.logWarning(
        "slapgrid is PID 1 here: its end, a crash or slapgrid detach too, ends every process of this container, and processes that it did not start are not reaped; start the container with an init (docker run --init, tini)",
      )
    : Effect.void

/** Runs the node until it is interrupted (its services stop) or wants to leave (they do not). */
const supervise = (config: NodeConfigShape, options: NodeOptions) =>
  Effect.gen(function* () {
    const { syncNow } = yield* MasterSync
    const { isLeaving, leave, wanted } = yield* Departure
    yield* onSignal("SIGHUP", syncNow)
    yield* onSignal("SIGUSR2", leave)
    const describeEnd = () => (isLeaving() ? "leaving, services run on" : "stopping")
    yield* (yield* ServiceManager).ready({
      changes: (yield* StatusBoard).changes,
      isHealthy: (yield* NodeSupervisor).isHealthy,
      stopLimit: config.stopTimeout + stopMargin,
      describeEnd,
    })
    yield* Effect.addFinalizer(() => Effect.logInfo(describeEnd()))
    yield* Effect.logInfo(`slapgrid ${version} runs ${config.computerId} of ${publicUrl(config.masterUrl)}`)
    yield* Effect.forkScoped(keepHeapSmall)
    yield* wanted
  }).pipe(Effect.scoped, Effect.provide(Slapgrid.layer(config, options)))

export const run = (
  values: ConfigFlagValues & { readonly logFormat: LogFormat; readonly takeOver: boolean },
): Effect.Effect<void, CommandFailure> =>
  Effect.gen(function* () {
    const config = yield* configFrom(values)
    yield* checkRoot(config)
    yield* warnAsInit
    yield* protectAgent
    // Around the node: it speaks before the node is made and until it is gone.
    yield* Effect.provide(supervise(config, { takeOver: values.takeOver }), ServiceManager.layer)
  }).pipe(Effect.mapError(toFailure), Effect.provide(loggingLayer(values.logFormat)))
