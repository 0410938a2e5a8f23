// Signals of the foreground program. The first TERM or INT ends it in order (the runtime interrupts the main fiber);
// a second one while that goes on kills every process group at once and leaves. HUP asks the master now, USR2 leaves
// the services to the next agent.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { killAllGroups } from "../process/liveGroups.ts"

let received: "SIGINT" | "SIGTERM" | undefined

/** The exit status that the first signal asks for, or undefined when none came. */
export const signalStatus = (): number | undefined =>
  received === undefined ? undefined : received === "SIGINT" ? 130 : 0

const forced = { SIGINT: 130, SIGTERM: 143 } as const

/** Listens for the life of the program. */
export const watchSignals = (): void => {
  const onEnd = (signal: "SIGINT" | "SIGTERM") => {
    if (received === undefined) {
      received = signal
      return
    }
    killAllGroups()
    process.stderr.write(`slapgrid: second signal, everything was killed\n`)
    process.exit(forced[signal])
  }
  process.on("SIGINT", onEnd)
  process.on("SIGTERM", onEnd)
}

const ignore = (): void => undefined

/**
 * Runs an effect at every such signal, for the life of the Scope. Afterwards the signal is ignored: a terminal that is
 * closed right after Ctrl-C must not end the program while it stops its services.
 */
export const onSignal = (
  signal: "SIGHUP" | "SIGUSR2",
  effect: Effect.Effect<void>,
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const run = Effect.runForkWith(yield* Effect.context())
    const listener = () => void run(effect)
    yield* Effect.acquireRelease(
      Effect.sync(() => process.on(signal, listener)),
      () =>
        Effect.sync(() => {
          process.on(signal, ignore)
          process.off(signal, listener)
        }),
    )
  })
