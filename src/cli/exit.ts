// Exit statuses, and what a command prints before it ends with one. node-behaviour.md (Configuration).
import * as Schema from "effect/Schema"

export const exitStatus = { done: 0, failed: 1, notRoot: 5, alreadyRunning: 10 } as const

/** A command's end with a status other than 0, told in words that say what to do. */
export class CommandFailure extends Schema.TaggedError<CommandFailure>()("CommandFailure", {
  status: Schema.Int,
  message: Schema.String,
}) {}

/** Any expected error of a command as its end. */
export const toFailure = (error: { readonly _tag: string; readonly message: string }): CommandFailure =>
  error instanceof CommandFailure
    ? error
    : new CommandFailure({
        status: error._tag === "AlreadyRunning" ? exitStatus.alreadyRunning : exitStatus.failed,
        message: error.message,
      })
