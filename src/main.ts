// The program. Its own part is small: give the command line to cli/, and turn its end into an exit status.
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Runtime from "effect/Runtime"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import { slapgrid } from "./cli/commands.ts"
import { CommandFailure, exitStatus } from "./cli/exit.ts"
import { normalizeFlags } from "./cli/options.ts"
import { signalStatus, watchSignals } from "./cli/signals.ts"
import { escapeControls } from "./domain/text.ts"
import { version } from "./version.ts"

/** What ended the program, as an exit status; unexpected ends are told with everything that is known. */
const teardown: Runtime.Teardown = (exit, onExit) => {
  const bySignal = signalStatus()
  if (Exit.isSuccess(exit)) return onExit(bySignal ?? exitStatus.done)
  if (Cause.hasInterruptsOnly(exit.cause)) return onExit(bySignal ?? exitStatus.failed)
  const error = Cause.squash(exit.cause)
  if (error instanceof CommandFailure) {
    process.stderr.write(`slapgrid: ${escapeControls(error.message)}\n`)
    return onExit(error.status)
  }
  if (!isUsageError(error)) process.stderr.write(`slapgrid: ${Cause.pretty(exit.cause)}\n`)
  return onExit(exitStatus.failed)
}

/** Mistakes on the command line: the parser has explained them already. */
const isUsageError = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "ShowHelp"

/** A mistake gets one message, not a page of help. */
const presenter: CliOutput.Presenter = {
  present: (event) => {
    if (event._tag !== "InvalidInvocation") return CliOutput.defaultPresenter.present(event)
    const what = event.errors.map((error) => error.message).join("; ")
    return Effect.sync(() => process.stderr.write(`slapgrid: ${what}\nSee ${event.commandPath.join(" ")} --help\n`))
  },
}

const platform = Layer.mergeAll(
  NodeServices.layer,
  CliOutput.layerPresenter(presenter),
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel] }),
)

// Whoever reads the log or the output may go away: an error that nobody listens to would end the node with it.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined)

watchSignals()
Command.runWith(slapgrid, { version })(normalizeFlags(process.argv.slice(2))).pipe(
  Effect.provide(platform),
  (program) => NodeRuntime.runMain(program, { disableErrorReporting: true, teardown }),
)
