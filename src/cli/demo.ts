// `slapgrid demo`: what a node does, shown on this machine without anything to set up.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { runDemo } from "../demo/demo.ts"
import { LogTail } from "../demo/LogTail.ts"
import { toFailure } from "./exit.ts"
import { formatText, isColoured, loggingTo } from "./logging.ts"
import { onSignal } from "./signals.ts"

/** Ends when nobody can see the demo any more: the terminal was closed, or the reader of a pipe is gone. */
const audienceGone = Effect.gen(function* () {
  const gone = yield* Deferred.make<void>()
  yield* onSignal("SIGHUP", Effect.asVoid(Deferred.succeed(gone, undefined)))
  const listener = () => void Deferred.doneUnsafe(gone, Effect.void)
  // Stays for good: a write that nobody reads must not end the process before everything is cleaned up.
  process.stdout.on("error", listener)
  process.stderr.on("error", listener)
  yield* Deferred.await(gone)
})

/** Warnings reach those who have no screen to see them on. */
const loggingFor = (tail: LogTail, hasScreen: boolean) =>
  loggingTo((event) => {
    const text = formatText(event, false)
    tail.push({ at: event.date.getTime(), message: event.message, text })
    const isUrgent = event.level === "Warn" || event.level === "Error" || event.level === "Fatal"
    if (!hasScreen && isUrgent) process.stderr.write(`${text}\n`)
  })

/** Sources are started by the Node that runs them, which need not be the first one in a shell's PATH. */
const program = (): string => {
  const [node = "node", script = "slapgrid"] = process.argv
  return script.endsWith(".ts") ? `${node} ${script}` : script
}

export const demo = ({ keep, once }: { readonly keep: boolean; readonly once: boolean }) => {
  const tail = new LogTail()
  const terminal = process.stdout.isTTY && process.env["TERM"] !== "dumb" ? process.stdout : undefined
  const say = (line: string) => void process.stdout.write(`${line}\n`)
  return runDemo({ keep, once, program: program(), terminal, isColoured: isColoured(process.stdout), say, tail }).pipe(
    Effect.raceFirst(Effect.scoped(audienceGone)),
    Effect.mapError(toFailure),
    Effect.annotateLogs({ actor: "demo" }),
    Effect.provide(loggingFor(tail, terminal !== undefined)),
  )
}
