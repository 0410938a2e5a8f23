// What the agent tells the service manager (systemd) that started it: when it is ready, how it is, that it lives, and
// that its end takes time. It begins before the node and ends after it. Without a manager that wants to know, nothing
// happens. Not part of a node: a program that embeds one decides itself when it is ready.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { NodeStatus } from "../domain/NodeStatus.ts"
import { describeNode, extendTimeout, statusWord } from "./notification.ts"
import { makeNotifier, type Notifier } from "./Notifier.ts"

export interface WatchedNode {
  /** The state now, and the newest one after each change. */
  readonly changes: Stream.Stream<NodeStatus>
  /** Whether what keeps the node going does so. */
  readonly isHealthy: Effect.Effect<boolean>
  /** Milliseconds that the node's end may take. */
  readonly stopLimit: number
  /** What it does at its end, in words. */
  readonly describeEnd: () => string
}

/** Milliseconds between two signs of life where no watchdog says how many. */
const defaultInterval = 20_000
/** Milliseconds between two status lines: each starts a process. */
const statusInterval = 5_000

export class ServiceManager extends Context.Service<
  ServiceManager,
  {
    /** The node is ready from now on, until the Scope ends: then it stops. */
    readonly ready: (node: WatchedNode) => Effect.Effect<void, never, Scope.Scope>
  }
>()("slapgrid/control/ServiceManager") {
  /** For what the environment of this process asks. */
  static readonly layer = Layer.effect(
    ServiceManager,
    Effect.flatMap(makeNotifier, (notifier) => make(notifier)),
  )

  static readonly layerWith = (notifier: Notifier | undefined) => Layer.effect(ServiceManager, make(notifier))
}

const make = (notifier: Notifier | undefined): Effect.Effect<ServiceManager["Service"], never, Scope.Scope> =>
  notifier === undefined ? Effect.succeed({ ready: () => Effect.void }) : Effect.suspend(() => tell(notifier))

const tell = Effect.fnUntraced(function* ({ send, watchdog }: Notifier) {
  const interval = watchdog === undefined ? defaultInterval : watchdog / 3
  const words = yield* Queue.unbounded<string>()
  // One after the other, so that the newest is read last; what has gathered meanwhile goes together.
  yield* Queue.takeAll(words).pipe(Effect.flatMap(send), Effect.forever, Effect.forkScoped)

  /** Says that the start goes on, for as long as the event loop turns: adopting thousands of services takes its time. */
  const starting = Effect.suspend(() => Queue.offer(words, extendTimeout(3 * interval)))
  let signOfLife: Effect.Effect<unknown> = starting
  yield* Effect.suspend(() => signOfLife).pipe(
    Effect.andThen(Effect.sleep(interval)),
    Effect.forever,
    Effect.forkScoped,
  )

  const ready = Effect.fnUntraced(function* ({ changes, describeEnd, isHealthy, stopLimit }: WatchedNode) {
    let isWell = true
    const alive = Queue.offer(words, "WATCHDOG=1")
    const aliveIfHealthy = Effect.flatMap(isHealthy, (now) => {
      const isNews = isWell && !now
      isWell = now
      if (isNews) return Effect.logError("the supervision hangs: the service manager's watchdog will end this agent")
      return now ? alive : Effect.void
    })
    signOfLife = watchdog === undefined ? Effect.void : aliveIfHealthy
    yield* Queue.offer(words, "READY=1")
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        // Its supervision has ended by then, and its own deadlines bound what is left.
        signOfLife = watchdog === undefined ? Effect.void : alive
        return Queue.offerAll(words, ["STOPPING=1", extendTimeout(stopLimit), statusWord(describeEnd())])
      }),
    )
    yield* changes.pipe(
      Stream.map(describeNode),
      Stream.changes,
      Stream.runForEach((line) => Effect.andThen(Queue.offer(words, statusWord(line)), Effect.sleep(statusInterval))),
      Effect.forkScoped,
    )
  })
  return { ready }
})
