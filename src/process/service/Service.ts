// The interpreter of the automaton for one program: takes one event at a time and does what the table says. Closing its
// Scope stops the program (TERM, grace time, KILL, and waits until it is gone), unless the agent leaves it to its
// successor.
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import type { ExitStatus } from "../../domain/ExitStatus.ts"
import type { ServiceState as ShownState, ServiceStatus } from "../../domain/NodeStatus.ts"
import { fullName, type ServiceSpec } from "../../domain/ServiceSpec.ts"
import type { ServiceProcess } from "../ServiceProcess.ts"
import type { Inheritance, Memory } from "./inheritance.ts"
import { initial, type ServiceAction, type ServiceEvent, type ServiceState, transition } from "./automaton.ts"
import { type Fork, Mailbox } from "./Mailbox.ts"
import { programLog } from "./programs.ts"
import { Timer } from "./Timer.ts"

/** What the programs of one group have in common. */
export interface ServiceDependencies {
  readonly spawn: (spec: ServiceSpec) => Effect.Effect<ServiceProcess, { readonly message: string }>
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly stopTimeout: number
  /** Called after every change. */
  readonly onChange: Effect.Effect<void>
  /**
   * Called when a watched program ended by itself, after the first try to start it again; with the deployment it was
   * started for.
   */
  readonly onAlarm: (spec: ServiceSpec, deployment: string | undefined) => Effect.Effect<void>
  /** Called whenever a successor would have to know something else. */
  readonly remember: (spec: ServiceSpec, memory: Memory) => Effect.Effect<void>
  /** Keeps the log of a process bounded; gives what ends that. */
  readonly keepLog: (spec: ServiceSpec, process: ServiceProcess) => Effect.Effect<Effect.Effect<void>>
  /** Whether the agent leaves its services running. */
  readonly isLeaving: () => boolean
}

export interface Service {
  readonly spec: ServiceSpec
  readonly status: ServiceStatus
  /** The last process that was started or adopted; it can have ended. */
  readonly process: ServiceProcess | undefined
  /**
   * Starts the program for a deployment (the master's timestamp; undefined when that is unknown), unless it runs,
   * waits for its next try, or is an `etc/run` program that ended by itself for this very deployment. Returns when it
   * runs, or could not be started. One that was stopped by hand is started only when `isRelease` says so.
   */
  readonly start: (deployment: string | undefined, isRelease?: boolean) => Effect.Effect<void>
  /** Starts it by hand, after its end when it is being stopped; returns when it runs, or could not be started. */
  readonly startNow: Effect.Effect<void>
  /** Stops it by hand; returns when nothing of it is left. */
  readonly hold: Effect.Effect<void>
  /** To its process group; false when it does not run. */
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<boolean>
}

/** Milliseconds that a killed process may take to end before a stop goes on without it. */
const abandonAfter = 10_000

const shownState: Readonly<Record<ServiceState["_tag"], ShownState>> = {
  Stopped: "stopped",
  Starting: "starting",
  Running: "running",
  Backoff: "backoff",
  Stopping: "stopping",
  Exited: "exited",
  Held: "stopped",
}

/** What somebody waits for: `answer` is done when there is nothing more to wait for. */
type Request =
  | {
      readonly _tag: "Start"
      /** The master's timestamp; undefined when that is unknown. */
      readonly deployment: string | undefined
      readonly isRelease: boolean
      readonly answer: Deferred.Deferred<void>
    }
  | { readonly _tag: "StartNow" | "Hold"; readonly answer: Deferred.Deferred<void> }

/** What lies in the queue. */
type Message =
  | Exclude<ServiceEvent, { readonly _tag: Request["_tag"] | "Ended" }>
  | (Extract<ServiceEvent, { readonly _tag: "Ended" }> & { readonly process: ServiceProcess })
  | Request

/** One program under supervision. Mutable: once it is inherited only its own worker writes, others read `status`. */
class Supervised implements Service {
  readonly spec: ServiceSpec
  readonly #dependencies: ServiceDependencies
  readonly #fork: Fork
  readonly #mailbox: Mailbox<Message>
  readonly #timer: Timer
  readonly #stopped = Deferred.makeUnsafe<void>()
  /** The fiber that waits for the end of the process. */
  #watcher: Fiber.Fiber<void> | undefined
  #leaveLog: Effect.Effect<void> = Effect.void
  /** Those who wait for its end after they stopped it by hand. */
  readonly #holders: Array<Deferred.Deferred<void>> = []
  /** Those who want it started by hand as soon as it has stopped. */
  readonly #starters: Array<Deferred.Deferred<void>> = []
  /** Its death is to be told. */
  #isAlarmed = false
  #isWanted = true
  #state: ServiceState = initial
  #process: ServiceProcess | undefined
  #restarts = 0
  #lastExit: ExitStatus | undefined
  #error: string | undefined
  #deployment: string | undefined

  constructor(spec: ServiceSpec, dependencies: ServiceDependencies, fork: Fork) {
    this.spec = spec
    this.#dependencies = dependencies
    this.#fork = fork
    this.#mailbox = new Mailbox(fork, (message) => guarded(this.#take(message)))
    this.#timer = new Timer(fork)
  }

  get status(): ServiceStatus {
    const running = this.#state._tag === "Running"
    return {
      name: this.spec.name,
      kind: this.spec.kind,
      log: programLog(this.spec),
      state: shownState[this.#state._tag],
      pid: running || this.#state._tag === "Stopping" ? this.#process?.pid : undefined,
      since: this.#state._tag === "Running" ? this.#state.since : undefined,
      restarts: this.#restarts,
      lastExit: this.#lastExit,
      error: running ? undefined : this.#error,
      isHeld: this.#state._tag === "Held",
    }
  }

  get process(): ServiceProcess | undefined {
    return this.#process
  }

  start(deployment: string | undefined, isRelease = true): Effect.Effect<void> {
    return this.#request((answer) => ({ _tag: "Start", deployment, isRelease, answer }))
  }

  get startNow(): Effect.Effect<void> {
    return this.#request((answer) => ({ _tag: "StartNow", answer }))
  }

  get hold(): Effect.Effect<void> {
    return this.#request((answer) => ({ _tag: "Hold", answer }))
  }

  signal(signal: NodeJS.Signals): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      const process = this.status.pid === undefined ? undefined : this.#process
      return process === undefined ? Effect.succeed(false) : Effect.as(process.signal(signal), true)
    })
  }

  #request(make: (answer: Deferred.Deferred<void>) => Request): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#mailbox.isClosed || !this.#isWanted) return Effect.void
      const answer = Deferred.makeUnsafe<void>()
      return Effect.andThen(this.#mailbox.send(make(answer)), Deferred.await(answer))
    })
  }

  /** Takes over what an earlier agent left. */
  inherit(inheritance: Inheritance): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#deployment = inheritance.deployment
      if ("ended" in inheritance) {
        this.#lastExit = inheritance.ended
        return this.#step({ _tag: "EndedBefore" })
      }
      if ("isHeld" in inheritance) return this.#step({ _tag: "HeldBefore" })
      this.#restarts = inheritance.restarts
      if ("died" in inheritance) {
        this.#lastExit = inheritance.died
        return Effect.andThen(this.#step({ _tag: "DiedBefore" }), this.#tellAlarm)
      }
      const { isStopping, process, since } = inheritance
      return this.#watch(process).pipe(
        Effect.andThen(this.#step({ _tag: "Adopted", since })),
        Effect.andThen(isStopping ? this.#step({ _tag: "Hold" }) : Effect.void),
      )
    })
  }

  /** Stops the program and returns when nothing of it is left. */
  get stop(): Effect.Effect<void> {
    return this.#mailbox.send({ _tag: "Stop" }).pipe(Effect.andThen(Deferred.await(this.#stopped)))
  }

  /**
   * Ends the supervision, not the program. The step under way is finished first: an agent that leaves must not forget a
   * process that it has just started.
   */
  get close(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const untaken = yield* this.#mailbox.close
      if (this.#watcher !== undefined) yield* Fiber.interrupt(this.#watcher)
      yield* Effect.andThen(this.#timer.cancel, this.#leaveLog)
      answerAll(untaken.flatMap((message) => ("answer" in message ? [message.answer] : [])))
      answerAll(this.#holders)
      answerAll(this.#starters)
    })
  }

  #take(message: Message): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      // The end of a process that was given up long ago says nothing about its successor.
      if (message._tag === "Ended" && message.process !== this.#process) return
      if (message._tag === "Stop") this.#isWanted = false
      yield* "answer" in message ? this.#serve(message) : this.#step(message)
      yield* this.#tellAlarm
      const isDown = ["Stopped", "Held", "Exited"].includes(this.#state._tag)
      if (!isDown || (this.#isWanted && this.#holders.length === 0)) return
      // An `etc/run` program may have ended long ago and left children in its group.
      if (this.#process !== undefined) yield* this.#process.end
      answerAll(this.#holders)
      if (this.#isWanted && this.#starters.length > 0) yield* this.#step({ _tag: "StartNow" })
      answerAll(this.#starters)
      if (!this.#isWanted && this.#state._tag === "Stopped") yield* Deferred.succeed(this.#stopped, undefined)
    })
  }

  #serve(request: Request): Effect.Effect<void> {
    if (request._tag === "Hold") {
      // The newer wish counts.
      answerAll(this.#starters)
      this.#holders.push(request.answer)
      return this.#step({ _tag: "Hold" })
    }
    if (request._tag === "StartNow" && this.#state._tag === "Stopping" && this.#isWanted) {
      this.#starters.push(request.answer)
      return Effect.void
    }
    const step = Effect.suspend(() => {
      if (!this.#isWanted) return Effect.void
      if (request._tag !== "Start") return this.#step({ _tag: "StartNow" })
      if (this.#isDoneFor(request.deployment) || (this.#state._tag === "Held" && !request.isRelease)) return Effect.void
      this.#deployment = request.deployment
      return this.#step({ _tag: "Start" })
    })
    return Effect.ensuring(step, Deferred.succeed(request.answer, undefined))
  }

  /** Not before it was tried to start it again: telling can take longer than that. */
  get #tellAlarm(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const isDue = this.#isAlarmed && !this.#isRetryDue
      if (!isDue) return Effect.void
      this.#isAlarmed = false
      return guarded(this.#dependencies.onAlarm(this.spec, this.#deployment))
    })
  }

  /** Whether the next try is a matter of no time. */
  get #isRetryDue(): boolean {
    return this.#state._tag === "Starting" || (this.#state._tag === "Backoff" && this.#state.failures === 1)
  }

  /** Whether it is an `etc/run` program that has ended by itself for this very deployment, or for one unknown. */
  #isDoneFor(deployment: string | undefined): boolean {
    return this.#state._tag === "Exited" && (deployment === undefined || deployment === this.#deployment)
  }

  #step(event: ServiceEvent): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      if (event._tag === "Ended") this.#lastExit = event.exit
      const [next, actions] = transition(this.spec.kind, this.#state, event)
      // That an `etc/run` program has done its work, or is stopped by hand, is to be known after the agent's end, too.
      const isDone = (this.#state._tag === "Exited" || this.#state._tag === "Held") && next._tag === "Stopped"
      this.#state = next
      if (!isDone) yield* guarded(this.#dependencies.remember(this.spec, this.#memory))
      yield* guarded(this.#dependencies.onChange)
      for (const action of actions) yield* this.#perform(action)
    })
  }

  #later(delay: number, event: Message): Effect.Effect<void> {
    return this.#timer.set(delay, this.#mailbox.send(event))
  }

  #perform(action: ServiceAction): Effect.Effect<void> {
    switch (action._tag) {
      case "Spawn":
        return this.#spawn
      case "Retry":
        return Effect.flatMap(Random.next, (random) =>
          this.#later(action.delay * (0.75 + random / 2), { _tag: "RetryDue" }),
        )
      case "CancelRetry":
        return this.#timer.cancel
      case "Terminate":
        return (this.#process?.signal("SIGTERM") ?? Effect.void).pipe(
          Effect.andThen(this.#later(this.#dependencies.stopTimeout, { _tag: "StopOverdue" })),
        )
      case "Kill":
        return (this.#process?.end ?? Effect.void).pipe(
          Effect.andThen(this.#later(abandonAfter, { _tag: "Abandoned" })),
        )
      case "Alarm":
        return Effect.sync(() => void (this.#isAlarmed = true))
    }
  }

  get #memory(): Memory {
    const state = this.#state
    const deployment = this.#deployment
    const process = this.#process
    const isStopping = state._tag === "Stopping" && state.isByHand
    // One that has just died, too: should the agent end before it runs again, its successor has to know.
    if ((state._tag === "Running" || state._tag === "Backoff" || isStopping) && process !== undefined) {
      const since = state._tag === "Running" ? state.since : 0
      return { process, since, restarts: this.#restarts, deployment, isStopping }
    }
    if (state._tag === "Held") return { isHeld: true, deployment }
    return state._tag === "Exited" && this.#lastExit !== undefined ? { ended: this.#lastExit, deployment } : undefined
  }

  #watch(process: ServiceProcess): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      this.#process = process
      this.#watcher = this.#fork(Effect.flatMap(process.exit, (exit) => this.#ended(process, exit)))
      // Until the next start or the end of the supervision: what a program leaves behind writes to its log, too.
      this.#leaveLog = yield* this.#dependencies.keepLog(this.spec, process)
    })
  }

  #ended(process: ServiceProcess, exit: ExitStatus): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (at) => {
      if (process === this.#process) this.#watcher = undefined
      return this.#mailbox.send({ _tag: "Ended", at, exit, process })
    })
  }

  get #spawn(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const previous = this.#process
      if (previous !== undefined) {
        // Children of the last run could hold the port that the next one needs.
        yield* previous.end
        // Two keepers of one log would cut it twice.
        yield* this.#leaveLog
        this.#leaveLog = Effect.void
      }
      const process = yield* Effect.catchDefect(this.#dependencies.spawn(this.spec), toMessage)
      if (previous !== undefined) this.#restarts++
      this.#error = undefined
      yield* this.#watch(process)
      yield* this.#step({ _tag: "Spawned", at: yield* Clock.currentTimeMillis })
    }).pipe(
      Effect.catch(({ message }) => {
        const isNews = this.#error !== message
        this.#error = message
        const tell = isNews ? Effect.logWarning(`${fullName(this.spec)}: ${message}`) : Effect.void
        return Effect.andThen(tell, this.#step({ _tag: "SpawnFailed" }))
      }),
    )
  }
}

/** Answers those who wait, each once. */
const answerAll = (waiting: Array<Deferred.Deferred<void>>): void => {
  for (const answer of waiting.splice(0)) Deferred.doneUnsafe(answer, Effect.void)
}

/** A program that cannot even be tried is one that could not be started. */
const toMessage = (defect: unknown) =>
  Effect.fail({ message: defect instanceof Error ? defect.message : String(defect) })

/** Nothing that goes wrong may end the supervision: whoever stops the program waits for it. */
const guarded = (effect: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.catchDefect(effect, (defect) => Effect.logError("supervising a service failed", defect))

/**
 * Puts a program under supervision for the life of the Scope; a new one does not run before `start`. `fork` runs its
 * fibers: one for all programs of a group, because each context that fibers run in takes two kilobytes.
 */
export const makeService = Effect.fnUntraced(function* (
  spec: ServiceSpec,
  dependencies: ServiceDependencies,
  fork: Fork,
  inheritance?: Inheritance,
) {
  const service = new Supervised(spec, dependencies, fork)
  if (inheritance !== undefined) yield* service.inherit(inheritance)
  yield* Effect.addFinalizer(() => Effect.andThen(dependencies.isLeaving() ? Effect.void : service.stop, service.close))
  const face: Service = service
  return face
})
