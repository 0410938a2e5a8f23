// A document that is not what slap-protocol.md promises. The message tells where and what is wrong, and quotes at most
// a few escaped characters of the document.
import * as Schema from "effect/Schema"

export class WireError extends Schema.TaggedError<WireError>()("WireError", {
  message: Schema.String,
}) {}
