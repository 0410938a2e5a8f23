// `slapgrid`: the foreground supervisor.
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { NodeConfigShape } from "../config/NodeConfig.ts"
import { MasterSync } from "../desired/MasterSync.ts"
import { Slapgrid } from "../Slapgrid.ts"
import { version } from "../version.ts"
import { CommandFailure, exitStatus, toFailure } from "./exit.ts"
import { loggingLayer, type LogFormat } from "./logging.ts"
import { configFrom } from "./configuration.ts"
import type { ConfigFlagValues } from "./options.ts"
import { onHangUp } from "./signals.ts"

const checkRoot = (config: NodeConfigShape): Effect.Effect<void, CommandFailure> =>
  config.rootCheck && process.geteuid?.() !== 0
    ? new CommandFailure({
        status: exitStatus.notRoot,
        message:
          "slapgrid has to be run as root; to run everything as an ordinary user, set root_check = false in [slapos]",
      })
    : Effect.void

const supervise = (config: NodeConfigShape) =>
  Layer.launch(
    Layer.effectDiscard(
      Effect.gen(function* () {
        const { syncNow } = yield* MasterSync
        yield* onHangUp(syncNow)
        yield* Effect.addFinalizer(() => Effect.logInfo("stopping"))
        yield* Effect.logInfo(`slapgrid ${version} runs ${config.computerId} of ${config.masterUrl}`)
      }),
    ).pipe(Layer.provide(Slapgrid.layer(config))),
  )

export const run = (
  values: ConfigFlagValues & { readonly logFormat: LogFormat },
): Effect.Effect<never, CommandFailure> =>
  Effect.gen(function* () {
    const config = yield* configFrom(values)
    yield* checkRoot(config)
    return yield* supervise(config)
  }).pipe(Effect.mapError(toFailure), Effect.provide(loggingLayer(values.logFormat)))
