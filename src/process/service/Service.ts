// The interpreter of the automaton for one program: a fiber that takes one event at a time and does what the table
// says. Closing its Scope stops the program (TERM, grace time, KILL, and waits until it is gone), unless the agent
// leaves it to its successor.
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberHandle from "effect/FiberHandle"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import type { ExitStatus } from "../../domain/ExitStatus.ts"
import type { ServiceState as ShownState, ServiceStatus } from "../../domain/NodeStatus.ts"
import type { ServiceSpec } from "../../domain/ServiceSpec.ts"
import type { ServiceProcess } from "../ServiceProcess.ts"
import { initial, type ServiceAction, type ServiceEvent, type ServiceState, transition } from "./automaton.ts"

/** What a successor of this agent has to know about a program; undefined: that it does not run. */
export type Memory =
  | {
      readonly process: ServiceProcess
      readonly since: number
      readonly restarts: number
      readonly deployment: string | undefined
    }
  | { readonly ended: ExitStatus; readonly deployment: string | undefined }
  | undefined

/** What a predecessor knew. */
export type Inheritance = Exclude<Memory, undefined>

export interface ServiceDependencies {
  readonly spawn: Effect.Effect<ServiceProcess, { readonly message: string }>
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly stopTimeout: number
  /** Called after every change. */
  readonly onChange: Effect.Effect<void>
  /** Called when a watched program ended by itself. */
  readonly onAlarm: Effect.Effect<void>
  /** Called whenever a successor would have to know something else. */
  readonly remember: (memory: Memory) => Effect.Effect<void>
  /** Keeps the log of a process bounded until it is interrupted. */
  readonly keepLog: (process: ServiceProcess) => Effect.Effect<void>
  /** Whether the agent leaves its services running. */
  readonly isLeaving: () => boolean
}

export interface Service {
  readonly spec: ServiceSpec
  readonly status: ServiceStatus
  /**
   * Starts the program for a deployment (the master's timestamp; undefined when that is unknown), unless it runs,
   * waits for its next try, or is an `etc/run` program that ended by itself for this very deployment. Returns when it
   * runs, or could not be started.
   */
  readonly start: (deployment: string | undefined) => Effect.Effect<void>
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
}

/** What lies in the queue: the table's events, and for which deployment (the master's timestamp) to start. */
type Message =
  | Exclude<ServiceEvent, { readonly _tag: "Start" }>
  | {
      readonly _tag: "Start"
      readonly deployment: string | undefined
      /** Done when the program was started, or need not or could not be. */
      readonly tried: Deferred.Deferred<void>
    }

/** One program under supervision. Mutable: once it is inherited only its own fiber writes, others read `status`. */
class Supervised implements Service {
  readonly spec: ServiceSpec
  readonly #dependencies: ServiceDependencies
  readonly #messages: Queue.Queue<Message>
  readonly #timer: FiberHandle.FiberHandle
  readonly #logKeeper: FiberHandle.FiberHandle
  readonly #scope: Scope.Scope
  readonly #stopped = Deferred.makeUnsafe<void>()
  #state: ServiceState = initial
  #process: ServiceProcess | undefined
  #restarts = 0
  #lastExit: ExitStatus | undefined
  #error: string | undefined
  #deployment: string | undefined

  constructor(
    spec: ServiceSpec,
    dependencies: ServiceDependencies,
    messages: Queue.Queue<Message>,
    handles: { readonly timer: FiberHandle.FiberHandle; readonly logKeeper: FiberHandle.FiberHandle },
    scope: Scope.Scope,
  ) {
    this.spec = spec
    this.#dependencies = dependencies
    this.#messages = messages
    this.#timer = handles.timer
    this.#logKeeper = handles.logKeeper
    this.#scope = scope
  }

  get status(): ServiceStatus {
    const running = this.#state._tag === "Running"
    return {
      name: this.spec.name,
      kind: this.spec.kind,
      state: shownState[this.#state._tag],
      pid: running || this.#state._tag === "Stopping" ? this.#process?.pid : undefined,
      since: this.#state._tag === "Running" ? this.#state.since : undefined,
      restarts: this.#restarts,
      lastExit: this.#lastExit,
      error: running ? undefined : this.#error,
    }
  }

  readonly start = (deployment: string | undefined): Effect.Effect<void> =>
    Effect.suspend(() => {
      const tried = Deferred.makeUnsafe<void>()
      return Effect.andThen(this.#send({ _tag: "Start", deployment, tried }), Deferred.await(tried))
    })

  /** Takes over what an earlier agent left. */
  inherit(inheritance: Inheritance): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#deployment = inheritance.deployment
      if ("ended" in inheritance) {
        this.#lastExit = inheritance.ended
        return this.#step({ _tag: "EndedBefore" })
      }
      this.#restarts = inheritance.restarts
      return Effect.andThen(this.#watch(inheritance.process), this.#step({ _tag: "Adopted", since: inheritance.since }))
    })
  }

  /** Stops the program and returns when nothing of it is left. */
  get stop(): Effect.Effect<void> {
    return this.#send({ _tag: "Stop" }).pipe(Effect.andThen(Deferred.await(this.#stopped)))
  }

  /**
   * Takes one message after the other until the program has been told to stop and has stopped. An interruption waits
   * for the step under way: an agent that leaves must not forget a process that it has just started.
   */
  get loop(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      let wanted = true
      while (wanted || this.#state._tag !== "Stopped") {
        const message = yield* Queue.take(this.#messages)
        if (message._tag === "Stop") wanted = false
        if (message._tag === "Start") yield* Effect.uninterruptible(this.#tryStart(message))
        else yield* Effect.uninterruptible(this.#step(message))
      }
      // An `etc/run` program may have ended long ago and left children in its group.
      if (this.#process !== undefined) yield* this.#process.end
      yield* Deferred.succeed(this.#stopped, undefined)
    })
  }

  #tryStart(message: Extract<Message, { readonly _tag: "Start" }>): Effect.Effect<void> {
    const step = Effect.suspend(() => {
      if (this.#isDoneFor(message.deployment)) return Effect.void
      this.#deployment = message.deployment
      return this.#step({ _tag: "Start" })
    })
    return Effect.andThen(step, Deferred.succeed(message.tried, undefined))
  }

  /** Whether it is an `etc/run` program that has ended by itself for this very deployment, or for one unknown. */
  #isDoneFor(deployment: string | undefined): boolean {
    return this.#state._tag === "Exited" && (deployment === undefined || deployment === this.#deployment)
  }

  readonly #step = (event: ServiceEvent): Effect.Effect<void> =>
    Effect.gen({ self: this }, function* () {
      if (event._tag === "Ended") this.#lastExit = event.exit
      const [next, actions] = transition(this.spec.kind, this.#state, event)
      // That an `etc/run` program has done its work is to be known after the agent's end, too.
      const isDone = this.#state._tag === "Exited" && next._tag === "Stopped"
      this.#state = next
      if (!isDone) yield* guarded(this.#dependencies.remember(this.#memory))
      yield* guarded(this.#dependencies.onChange)
      for (const action of actions) yield* this.#perform(action)
    })

  readonly #send = (message: Message): Effect.Effect<void> => Effect.asVoid(Queue.offer(this.#messages, message))

  readonly #later = (delay: number, event: Message): Effect.Effect<void> =>
    Effect.sleep(delay).pipe(Effect.andThen(this.#send(event)), FiberHandle.run(this.#timer), Effect.asVoid)

  readonly #perform = (action: ServiceAction): Effect.Effect<void> => {
    switch (action._tag) {
      case "Spawn":
        return this.#spawn
      case "Retry":
        return Effect.flatMap(Random.next, (random) =>
          this.#later(action.delay * (0.75 + random / 2), { _tag: "RetryDue" }),
        )
      case "CancelRetry":
        return FiberHandle.clear(this.#timer)
      case "Terminate":
        return (this.#process?.terminate ?? Effect.void).pipe(
          Effect.andThen(this.#later(this.#dependencies.stopTimeout, { _tag: "StopOverdue" })),
        )
      case "Kill":
        return (this.#process?.end ?? Effect.void).pipe(
          Effect.andThen(this.#later(abandonAfter, { _tag: "Abandoned" })),
        )
      case "Alarm":
        return guarded(this.#dependencies.onAlarm)
    }
  }

  get #memory(): Memory {
    const state = this.#state
    const deployment = this.#deployment
    const process = this.#process
    if (state._tag === "Running" && process !== undefined) {
      return { process, since: state.since, restarts: this.#restarts, deployment }
    }
    return state._tag === "Exited" && this.#lastExit !== undefined ? { ended: this.#lastExit, deployment } : undefined
  }

  #watch(process: ServiceProcess): Effect.Effect<void> {
    this.#process = process
    const watch = Effect.gen({ self: this }, function* () {
      const exit = yield* process.exit
      yield* this.#send({ _tag: "Ended", at: yield* Clock.currentTimeMillis, exit })
    })
    return Effect.forkIn(watch, this.#scope).pipe(
      // Until the next start or the end of the supervision: what a program leaves behind writes to its log, too.
      Effect.andThen(FiberHandle.run(this.#logKeeper, this.#dependencies.keepLog(process))),
      Effect.asVoid,
    )
  }

  get #spawn(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const previous = this.#process
      if (previous !== undefined) {
        // Children of the last run could hold the port that the next one needs.
        yield* previous.end
        // Two keepers of one log would cut it twice.
        yield* FiberHandle.clear(this.#logKeeper)
      }
      const process = yield* Effect.catchDefect(this.#dependencies.spawn, toMessage)
      if (previous !== undefined) this.#restarts++
      this.#error = undefined
      yield* this.#watch(process)
      yield* this.#step({ _tag: "Spawned", at: yield* Clock.currentTimeMillis })
    }).pipe(
      Effect.catch((error) => {
        this.#error = error.message
        return this.#step({ _tag: "SpawnFailed" })
      }),
    )
  }
}

/** A program that cannot even be tried is one that could not be started. */
const toMessage = (defect: unknown) =>
  Effect.fail({ message: defect instanceof Error ? defect.message : String(defect) })

/** Those who are told must not be able to end the supervision: whoever stops the program waits for it. */
const guarded = (effect: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.catchDefect(effect, (defect) => Effect.logError("telling a service's state failed", defect))

/** Puts a program under supervision for the life of the Scope; a new one does not run before `start`. */
export const makeService = Effect.fnUntraced(function* (
  spec: ServiceSpec,
  dependencies: ServiceDependencies,
  inheritance?: Inheritance,
) {
  // A scope of its own: what watches the process has to outlive the request to stop it.
  const inner = yield* Scope.make()
  const messages = yield* Queue.unbounded<Message>()
  const timer = yield* Scope.provide(FiberHandle.make(), inner)
  const logKeeper = yield* Scope.provide(FiberHandle.make(), inner)
  const service = new Supervised(spec, dependencies, messages, { timer, logKeeper }, inner)
  if (inheritance !== undefined) yield* service.inherit(inheritance)
  yield* Effect.forkIn(service.loop, inner)
  yield* Effect.addFinalizer(() =>
    Effect.andThen(dependencies.isLeaving() ? Effect.void : service.stop, Scope.close(inner, Exit.void)),
  )
  const face: Service = service
  return face
})
