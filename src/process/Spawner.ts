// The port through which the agent runs programs. `run` is for work with an end (buildouts, scripts): it dies with the
// agent and its whole group is killed when the caller loses interest. `spawn` is for services: a session of their own
// that neither shares the agent's fate nor any pipe with it.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { describeExit, type ExitStatus } from "../domain/ExitStatus.ts"
import { AdoptedProcesses, type Identity } from "./AdoptedProcesses.ts"
import type { Enclosure } from "./containment/Containment.ts"
import { type Launched, Launcher } from "./launcher/Launcher.ts"
import { descriptorPath } from "./launcher/protocol.ts"
import { forgetGroup, groupExists, registerGroup } from "./liveGroups.ts"
import type { Credentials } from "./privileges.ts"
import { endSession, type ServiceProcess } from "./ServiceProcess.ts"

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
  /** Open descriptor that is standard input; undefined: that is empty. */
  readonly input?: number | undefined
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
  /** Descriptor that gets stdout and stderr. */
  readonly output: number
  readonly enclosure: Enclosure
}

export interface SpawnerShape {
  /** Succeeds when the command ended with status 0. */
  readonly run: (command: Command) => Effect.Effect<void, CommandError>
  /** Starts a service. Its process outlives the calling Scope: who spawns must also end it. */
  readonly spawn: (command: ServiceCommand) => Effect.Effect<ServiceProcess, CommandError>
}

export class Spawner extends Context.Service<Spawner, SpawnerShape>()("slapgrid/process/Spawner") {
  static readonly layer = Layer.effect(
    Spawner,
    Effect.gen(function* () {
      const launcher = yield* Launcher
      const adopted = yield* AdoptedProcesses

      /** Starts the leader of a new session; its output goes straight to a file, never through the agent. */
      const launch = Effect.fnUntraced(function* (label: string, command: Launch) {
        const { cgroup } = command.enclosure
        const { credentials } = command
        const launched = yield* launcher
          .start({
            argv: command.argv,
            cwd: command.cwd,
            env: command.env,
            user: credentials === undefined ? null : { ...credentials, groups: groupsOf(credentials) },
            umask: command.umask,
            input: command.input === undefined ? null : descriptorPath(command.input),
            output: descriptorPath(command.output),
            waits: command.isService,
            cgroup: cgroup ?? null,
            processes: command.enclosure.maxProcesses ?? null,
            dies: !command.isService,
          })
          .pipe(
            Effect.mapError(({ message }) => {
              const words = `${label} could not be started in ${command.cwd}: ${message}`
              return new CommandError({ command: label, reason: "NotStarted", message: words })
            }),
          )
        registerGroup(launched.pid, cgroup)
        return new LaunchedProcess(launched, command.enclosure, adopted)
      })

      const run = Effect.fnUntraced(function* (command: Command) {
        const label = shown(command.argv)
        // What a dead agent left of the same work would write into the same directory.
        yield* command.enclosure.end(undefined)
        yield* Effect.acquireUseRelease(
          launch(label, { ...command, isService: false }),
          (process) => process.exit,
          (process) => process.end,
        ).pipe(succeeding(command))
      })

      const spawn = (command: ServiceCommand) =>
        launch(command.path, { ...command, argv: [command.path], umask: 0o022, isService: true })

      return Spawner.of({ run, spawn })
    }),
  )
}

class LaunchedProcess implements ServiceProcess {
  readonly #launched: Launched
  readonly #enclosure: Enclosure
  readonly #adopted: AdoptedProcesses["Service"]

  constructor(launched: Launched, enclosure: Enclosure, adopted: AdoptedProcesses["Service"]) {
    this.#launched = launched
    this.#enclosure = enclosure
    this.#adopted = adopted
  }

  get pid(): number {
    return this.#launched.pid
  }

  get startTime(): string {
    return this.#launched.startTime
  }

  get cgroup(): string | undefined {
    return this.#enclosure.cgroup
  }

  get #identity(): Identity {
    return { pid: this.pid, startTime: this.startTime, cgroup: this.cgroup ?? null }
  }

  get exit(): Effect.Effect<ExitStatus> {
    return this.#launched.exit.pipe(
      // Nobody tells any more: as if an earlier agent had started it.
      Effect.catch(() => this.#adopted.awaitEnd(this.#identity)),
      Effect.tap(() => Effect.sync(() => (groupExists(this.pid) ? undefined : forgetGroup(this.pid)))),
    )
  }

  signal(signal: NodeJS.Signals): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#launched.signal(signal) ? Effect.void : this.#adopted.signal(this.#identity, signal),
    )
  }

  get end(): Effect.Effect<void> {
    return endSession(this.pid, this.startTime, this.#enclosure)
  }
}

interface Launch extends Omit<Command, "timeout"> {
  readonly isService: boolean
}

const groupsOf = ({ gid, groups }: Credentials): ReadonlyArray<number> => [...new Set([gid, ...groups])]

const shown = (argv: ReadonlyArray<string>): string => argv.join(" ").slice(0, 200)

/** What becomes of work with an end: it has to end with status 0, and within its time limit. */
export const succeeding =
  ({ argv, timeout }: Pick<Command, "argv" | "timeout">) =>
  <E, R>(work: Effect.Effect<ExitStatus, E, R>): Effect.Effect<void, E | CommandError, R> => {
    const label = shown(argv)
    const fail = (reason: CommandError["reason"], what: string) =>
      new CommandError({ command: label, reason, message: `${label}${what}` })
    const limited =
      timeout === undefined
        ? work
        : Effect.timeoutOrElse(work, {
            duration: timeout,
            orElse: () => fail("TimedOut", ` took longer than ${timeout / 1000} s and was ended`),
          })
    return Effect.flatMap(limited, (status) =>
      status._tag === "Exited" && status.code === 0 ? Effect.void : fail("Failed", `: ${describeExit(status)}`),
    )
  }
