// Exit statuses, and what a command prints before it ends with one. node-behaviour.md (Configuration).
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { NodeConfigShape } from "../config/NodeConfig.ts"

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

/** Before anything is touched. */
export const checkRoot = (config: NodeConfigShape): Effect.Effect<void, CommandFailure> =>
  config.rootCheck && process.geteuid?.() !== 0
    ? new CommandFailure({
        status: exitStatus.notRoot,
        message:
          "slapgrid has to be run as root; to run everything as an ordinary user, set root_check = false in [slapos]",
      })
    : Effect.void
