// A pass by this process itself, where no agent runs.
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import { SinglePass } from "../actors/SinglePass.ts"
import type { NodeConfigShape } from "../config/NodeConfig.ts"
import type { PassEvent, PassRequest } from "../domain/Pass.ts"
import { Slapgrid } from "../Slapgrid.ts"
import { loggingLayer } from "./logging.ts"

export const runSinglePass = <E>(
  config: NodeConfigShape,
  request: PassRequest,
  shown: (events: Stream.Stream<PassEvent>) => Effect.Effect<void, E>,
) =>
  Effect.flatMap(SinglePass, ({ run }) => shown(run(request))).pipe(
    // The log first: the node speaks while it is made, too.
    Effect.provide(Layer.provideMerge(Slapgrid.layerSinglePass(config), loggingLayer("text"))),
  )
