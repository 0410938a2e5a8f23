// What both ends of the control socket agree on.
import * as Schema from "effect/Schema"

export const socketName = "control.sock"

export class ControlError extends Schema.TaggedError<ControlError>()("ControlError", {
  path: Schema.String,
  message: Schema.String,
  /** Nothing listens there: no agent runs. */
  isAbsent: Schema.Boolean,
}) {}
