// Why the demo cannot go on, in words that say what to do.
import * as Schema from "effect/Schema"

export class DemoError extends Schema.TaggedError<DemoError>()("DemoError", {
  message: Schema.String,
}) {}
