// The port through which the agent starts processes. `run` is for work with an end (buildouts, scripts): it dies with
// the agent and its whole group is killed when the caller loses interest. `spawn` is for services: a session of their
// own that neither shares the agent's fate nor any pipe with it.
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Function from "effect/Function"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { type ChildProcess, spawn as spawnChild } from "node:child_process"
import { describeExit, exited, type ExitStatus, signaled } from "../domain/ExitStatus.ts"
import type { Enclosure } from "./containment/Containment.ts"
import { forgetGroup, groupExists, isRegistered, registerGroup, signalGroup } from "./liveGroups.ts"
import { isRecycled, processFacts } from "./procfs.ts"
import { type Credentials, wrap } from "./privileges.ts"

export class CommandError extends Schema.TaggedError<CommandError>()("CommandError", {
  /** What was run, for people. */
  command: Schema.String,
  reason: Schema.Literals(["NotStarted", "Failed", "TimedOut"]),
  message: Schema.String,
}) {}

export interface Command {
  readonly argv: readonly [string, ...ReadonlyArray<string>]
  readonly cwd: string
  /** The whole environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>
  readonly credentials: Credentials | undefined
  readonly umask: number
  /** Open descriptor that gets stdout and stderr. */
  readonly output: number
  /** Milliseconds; undefined: no limit. */
  readonly timeout: number | undefined
  readonly enclosure: Enclosure
}

export interface ServiceCommand {
  readonly path: string
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly credentials: Credentials | undefined
  /** Descriptor that the program reads from. */
  readonly input: number
  /** Descriptor that gets stdout and stderr. */
  readonly output: number
  readonly enclosure: Enclosure
}

export interface ServiceProcess {
  readonly pid: number
  /** With the pid it names the process for as long as the machine is up: clock ticks since boot, as text. */
  readonly startTime: string
  readonly cgroup: string | undefined
  readonly exit: Effect.Effect<ExitStatus>
  /** Asks the whole process group to end. */
  readonly terminate: Effect.Effect<void>
  /** Kills what is left of it and of everything it started, and returns when that is gone. */
  readonly end: Effect.Effect<void>
}

export interface SpawnerShape {
  /** Succeeds when the command ended with status 0. */
  readonly run: (command: Command) => Effect.Effect<void, CommandError>
  /** Starts a service. Its process outlives the calling Scope: who spawns must also end it. */
  readonly spawn: (command: ServiceCommand) => Effect.Effect<ServiceProcess, CommandError>
}

export class Spawner extends Context.Service<Spawner, SpawnerShape>()("slapgrid/process/Spawner") {
  static readonly layer = Layer.sync(Spawner, () => Spawner.of({ run, spawn }))
}

const exitStatus = (code: number | null, signal: string | null): ExitStatus =>
  signal === null ? exited(code ?? 0) : signaled(signal)

const shown = (argv: ReadonlyArray<string>): string => argv.join(" ").slice(0, 200)

/** Kills what is left of a session and its enclosure, whether its leader lives or not, and waits until it is gone. */
export const endSession = (pid: number, startTime: string, enclosure: Enclosure): Effect.Effect<void> =>
  Effect.suspend(() => enclosure.end(isRecycled(pid, startTime) ? undefined : pid)).pipe(
    Effect.ensuring(Effect.sync(() => forgetGroup(pid))),
  )

interface Launch {
  readonly argv: ReadonlyArray<string>
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly input: number | "ignore"
  readonly output: number
  readonly enclosure: Enclosure
}

/** Starts the leader of a new session; its output goes straight to a descriptor, never through the agent. */
const launch = (label: string, options: Launch): Effect.Effect<ServiceProcess, CommandError> =>
  Effect.callback((resume) => {
    const [file = "/bin/sh", ...args] = options.argv
    const failed = (cause: unknown) => {
      const why = cause instanceof Error ? cause.message : String(cause)
      const message = `${label} could not be started in ${options.cwd}: ${why}`
      resume(Effect.fail(new CommandError({ command: label, reason: "NotStarted", message })))
    }
    let child: ChildProcess
    try {
      child = spawnChild(file, args, {
        cwd: options.cwd,
        env: options.env,
        detached: true,
        stdio: [options.input, options.output, options.output],
      })
    } catch (cause) {
      return failed(cause)
    }
    const pid = child.pid
    if (pid === undefined) return void child.once("error", failed)
    // The agent's life does not hang on its services: it may leave them.
    child.unref()
    registerGroup(pid, options.enclosure.cgroup)
    // Nobody has reaped it yet, so it is there.
    const startTime = processFacts(pid)?.startTime ?? ""
    const ended = Deferred.makeUnsafe<ExitStatus>()
    child.once("exit", (code, signal) => {
      if (!groupExists(pid)) forgetGroup(pid)
      Deferred.doneUnsafe(ended, Effect.succeed(exitStatus(code, signal)))
    })
    resume(
      Effect.succeed({
        pid,
        startTime,
        cgroup: options.enclosure.cgroup,
        exit: Deferred.await(ended),
        // Not once it is known to be gone: the number could be somebody else's by now.
        terminate: Effect.sync(() => void (isRegistered(pid) && signalGroup(pid, "SIGTERM"))),
        end: endSession(pid, startTime, options.enclosure),
      }),
    )
  })

const run = Effect.fnUntraced(function* (command: Command) {
  const label = shown(command.argv)
  const argv = wrap(command.argv, { ...command, cgroup: command.enclosure.cgroup, dieWithAgent: true })
  // What a dead agent left of the same work would write into the same directory.
  yield* command.enclosure.end(undefined)
  const status = yield* Effect.acquireUseRelease(
    launch(label, { ...command, argv, input: "ignore" }),
    (process) => process.exit,
    (process) => process.end,
  ).pipe(
    command.timeout === undefined
      ? Function.identity
      : Effect.timeoutOrElse({
          duration: command.timeout,
          orElse: () =>
            new CommandError({
              command: label,
              reason: "TimedOut",
              message: `${label} took longer than ${(command.timeout ?? 0) / 1000} s and was ended`,
            }),
        }),
  )
  if (status._tag === "Exited" && status.code === 0) return
  const message = `${label}: ${describeExit(status)}`
  return yield* new CommandError({ command: label, reason: "Failed", message })
})

const spawn = (command: ServiceCommand): Effect.Effect<ServiceProcess, CommandError> =>
  launch(command.path, {
    ...command,
    argv: wrap([command.path], {
      credentials: command.credentials,
      cgroup: command.enclosure.cgroup,
      dieWithAgent: false,
      umask: 0o022,
    }),
  })
