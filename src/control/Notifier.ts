// How words get to the service manager. Its socket takes datagrams, which Node cannot send, so systemd-notify(1) does;
// run by root it speaks in the name of the process that started it, so that NotifyAccess=main takes it for the agent,
// and it returns only when the manager has read the words.
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { agentPid, inheritedEnvironment } from "../files/machine.ts"
import { errnoOf } from "../files/FileError.ts"
import { notifyEnvironment, notifyVariables } from "./notification.ts"

export interface Notifier {
  /** Milliseconds within which the manager wants a sign of life; undefined: it does not watch. */
  readonly watchdog: number | undefined
  /** Returns when the manager has read the words, or never will: that is told once. */
  readonly send: (words: ReadonlyArray<string>) => Effect.Effect<void>
}

/** Milliseconds: systemd-notify itself gives up after 5 s. */
const patience = 10_000

const explain = (cause: Error, stderr: string): string =>
  errnoOf(cause) === "ENOENT"
    ? "systemd-notify is missing (Debian has it in the package systemd)"
    : (stderr.trim() || cause.message).replaceAll("\n", " ")

const systemdNotify = (socket: string, words: ReadonlyArray<string>): Effect.Effect<void, string> =>
  Effect.callback((resume, signal) => {
    const env = { ...inheritedEnvironment(), NOTIFY_SOCKET: socket }
    execFile("systemd-notify", words, { env, signal, timeout: patience }, (cause, _, stderr) =>
      resume(cause === null ? Effect.void : Effect.fail(explain(cause, stderr))),
    )
  })

/**
 * Undefined when nobody wants to be told. Takes the invitation out of this process' environment: it is meant for it
 * alone, and no child must be able to speak in its name.
 */
export const makeNotifier: Effect.Effect<Notifier | undefined> = Effect.sync(() => {
  const asked = notifyEnvironment(process.env, agentPid())
  for (const name of notifyVariables) delete process.env[name]
  if (asked === undefined) return undefined
  let isTold = false
  const send = (words: ReadonlyArray<string>) =>
    systemdNotify(asked.socket, words).pipe(
      // A machine without memory lets nothing start: the next words are tried again.
      Effect.catchDefect((defect) => Effect.fail(String(defect))),
      Effect.catch((why) => {
        if (isTold) return Effect.void
        isTold = true
        return Effect.logWarning(`the service manager cannot be told how the node is: ${why}`)
      }),
    )
  return { watchdog: asked.watchdog, send }
})
