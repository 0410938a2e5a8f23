// Runs one executable promise: its exit status says whether it is kept, what it prints is the message.
// node-behaviour.md (Promises).
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { showSize } from "../domain/text.ts"
import type { Launcher } from "../process/launcher/Launcher.ts"
import { printedTo } from "../process/pipes.ts"
import type { Command, CommandError, Spawner } from "../process/Spawner.ts"
import { printedMessage } from "./results.ts"
import type { PromiseOutcome } from "./verdict.ts"

/** Bytes after which a promise that prints is ended: it would not stop, and nobody reads it. */
const printLimit = 10 * 1024 * 1024
/** Bytes of the end that are kept: enough for the longest message. */
const keptBytes = 32 * 1024

export interface ExecutableRun {
  readonly outcome: PromiseOutcome
  readonly seconds: number
}

export const runExecutable = Effect.fnUntraced(function* (
  { launcher, spawner }: { readonly launcher: Launcher["Service"]; readonly spawner: Spawner["Service"] },
  command: Omit<Command, "output" | "timeout"> & { readonly timeout: number },
): Effect.fn.Return<ExecutableRun> {
  const began = yield* Clock.currentTimeMillis
  const outcome = yield* Effect.gen(function* () {
    const printed = yield* printedTo(launcher, { owner: command.credentials, keep: keptBytes, limit: printLimit })
    const ended = yield* Effect.raceFirst(
      Effect.match(spawner.run({ ...command, output: printed.fd }), {
        onFailure: (error) => failed(error, command.timeout),
        onSuccess: () => told(false, ""),
      }),
      Effect.as(printed.exceeded, floods),
    )
    const words = printedMessage(yield* printed.last)
    return ended._tag === "Told" && words !== "" ? { ...ended, message: words } : ended
  }).pipe(
    Effect.scoped,
    Effect.catch(({ message }) => Effect.succeed<PromiseOutcome>({ _tag: "Broken", problem: message })),
  )
  return { outcome, seconds: ((yield* Clock.currentTimeMillis) - began) / 1000 }
})

const told = (hasFailed: boolean, message: string): PromiseOutcome => ({
  _tag: "Told",
  type: "Test Result",
  hasFailed,
  message,
  bangs: false,
})

const floods: PromiseOutcome = {
  _tag: "Broken",
  problem: `it printed more than ${showSize(printLimit)} and was ended`,
}

/** One that prints nothing is at least told by how it ended. */
const failed = ({ command, message, reason }: CommandError, limit: number): PromiseOutcome => {
  switch (reason) {
    case "TimedOut":
      return { _tag: "TimedOut", limit }
    case "NotStarted":
    case "Failed":
      return told(true, message.replace(`${command}: `, ""))
  }
}
