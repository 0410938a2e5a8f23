// `slapgrid detach`: ends the running agent and leaves its services to the next one.
import * as Effect from "effect/Effect"
import { detach as detachAgent } from "../control/ControlClient.ts"
import { configFrom } from "./configuration.ts"
import { toFailure } from "./exit.ts"
import type { ConfigFlagValues } from "./options.ts"

export const detach = Effect.fnUntraced(function* (values: ConfigFlagValues) {
  const { instanceRoot } = yield* configFrom(values)
  yield* detachAgent(instanceRoot)
}, Effect.mapError(toFailure))
