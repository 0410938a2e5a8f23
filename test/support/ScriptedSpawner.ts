// A Spawner without processes: a test takes each one as it is started, sees the signals it gets and decides when it
// ends and with what status.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type ExitStatus, signaled } from "../../src/domain/ExitStatus.ts"
import {
  type Command,
  CommandError,
  type ServiceCommand,
  Spawner,
  type SpawnerShape,
} from "../../src/process/Spawner.ts"
import type { ServiceProcess } from "../../src/process/ServiceProcess.ts"
import { Calls, Inbox } from "./Calls.ts"

export class ScriptedProcess {
  readonly pid: number
  readonly command: ServiceCommand
  readonly signals: Array<NodeJS.Signals> = []
  /** Whether SIGTERM ends it, as it does unless a program catches it. */
  obeys = true
  /** Whether SIGKILL ends it, as it does unless the kernel holds it. */
  isMortal = true
  readonly #exit = Deferred.makeUnsafe<ExitStatus>()
  readonly #terminated = Deferred.makeUnsafe<void>()
  readonly #killed = Deferred.makeUnsafe<void>()

  constructor(pid: number, command: ServiceCommand) {
    this.pid = pid
    this.command = command
  }

  get isAlive(): boolean {
    return !Deferred.isDoneUnsafe(this.#exit)
  }

  /** Waits for its SIGTERM. */
  readonly terminated: Effect.Effect<void> = Deferred.await(this.#terminated)

  /** Waits until what was left of it was killed. */
  readonly killed: Effect.Effect<void> = Deferred.await(this.#killed)

  /** It ends by itself. */
  ends(status: ExitStatus): Effect.Effect<void> {
    return Effect.asVoid(Deferred.succeed(this.#exit, status))
  }

  get face(): ServiceProcess {
    return {
      pid: this.pid,
      startTime: `${this.pid}00`,
      cgroup: undefined,
      exit: Deferred.await(this.#exit),
      signal: (signal) =>
        Effect.suspend(() => {
          this.signals.push(signal)
          if (signal !== "SIGTERM") return Effect.void
          return Effect.andThen(
            Deferred.succeed(this.#terminated, undefined),
            this.obeys ? this.ends(signaled("SIGTERM")) : Effect.void,
          )
        }),
      end: Effect.suspend(() => {
        if (this.isAlive) this.signals.push("SIGKILL")
        const end = this.isMortal ? this.ends(signaled("SIGKILL")) : Effect.void
        return Effect.andThen(Deferred.succeed(this.#killed, undefined), end)
      }),
    }
  }
}

export class ScriptedSpawner implements SpawnerShape {
  /** Every process so far, in the order of their starts. */
  readonly processes: Array<ScriptedProcess> = []
  readonly runs = new Calls<Command, void, CommandError>()
  readonly #started = new Inbox<ScriptedProcess>()
  readonly #refusals: Array<string> = []
  #obeys = true

  /** The next process that was not taken yet, past or future. */
  readonly next: Effect.Effect<ScriptedProcess> = this.#started.take

  /** Processes that were started and not taken. */
  get untaken(): number {
    return this.#started.size
  }

  get living(): ReadonlyArray<ScriptedProcess> {
    return this.processes.filter((process) => process.isAlive)
  }

  /** Makes the next starts fail, one for each message. */
  refuse(...messages: ReadonlyArray<string>): void {
    this.#refusals.push(...messages)
  }

  /** Processes started from now on ignore SIGTERM. */
  disobey(): void {
    this.#obeys = false
  }

  readonly spawn = (command: ServiceCommand): Effect.Effect<ServiceProcess, CommandError> =>
    Effect.suspend(() => {
      const message = this.#refusals.shift()
      if (message !== undefined) return new CommandError({ command: command.path, reason: "NotStarted", message })
      const process = new ScriptedProcess(1000 + this.processes.length, command)
      process.obeys = this.#obeys
      this.processes.push(process)
      this.#started.push(process)
      return Effect.succeed(process.face)
    })

  readonly run = (command: Command): Effect.Effect<void, CommandError> => this.runs.call(command)

  get layer(): Layer.Layer<Spawner> {
    return Layer.succeed(Spawner, Spawner.of(this))
  }
}
