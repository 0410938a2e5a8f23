// The one supervisor of a node: starts an actor for each software release and partition that the master names, tells
// each what changed, and passes on which releases are ready. Stops partitions first and all at once.
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { NodeConfig } from "../config/NodeConfig.ts"
import { MasterSync } from "../desired/MasterSync.ts"
import { Passes } from "../desired/Passes.ts"
import { Plans } from "../desired/Plans.ts"
import { Containment } from "../process/containment/Containment.ts"
import { Inheritances } from "../process/Inheritances.ts"
import { Takeover } from "../process/takeover/Takeover.ts"
import { StatusBoard } from "../report/StatusBoard.ts"
import { PartitionActors } from "./partition/PartitionActor.ts"
import { Registry, tellDefect } from "./Registry.ts"
import { SoftwareActors } from "./software/SoftwareActor.ts"

/** Milliseconds: no answer of the master takes nearly as long to be passed on, however many partitions it names. */
const updateLimit = 300_000

export class NodeSupervisor extends Context.Service<
  NodeSupervisor,
  {
    /** Whether the master is followed: the fiber that does lives, and does not hang in one of its answers. */
    readonly isHealthy: Effect.Effect<boolean>
  }
>()("slapgrid/actors/NodeSupervisor") {
  static readonly layer = Layer.effect(
    NodeSupervisor,
    Effect.gen(function* () {
      const { syncNow, updates } = yield* MasterSync
      const { orders } = yield* Passes
      const parts = {
        software: yield* SoftwareActors,
        partitions: yield* PartitionActors,
        board: yield* StatusBoard,
        takeover: yield* Takeover,
        askMaster: syncNow,
        config: yield* NodeConfig,
      }
      const { kind, limits } = yield* Containment
      yield* parts.board.setContainment(kind, limits)
      const partitionScope = yield* parallelScope
      const softwareScope = yield* parallelScope
      const registry = new Registry({ ...parts, partitionScope, softwareScope })
      // Last registered, first to run: nothing new comes, then services end while everything they report to is there.
      yield* Effect.addFinalizer((exit) => Scope.close(partitionScope, exit))
      yield* Effect.forEach((yield* Inheritances).partitions, registry.adopt)
      // One at a time, whatever it is.
      const turn = yield* Semaphore.make(1)
      let busySince: number | undefined
      const follow = <A>(queue: Queue.Dequeue<A>, what: (one: A) => Effect.Effect<void>) =>
        Effect.gen(function* () {
          const one = yield* Queue.take(queue)
          yield* turn.withPermits(1)(
            Effect.gen(function* () {
              busySince = yield* Clock.currentTimeMillis
              yield* Effect.catchDefect(what(one), tellDefect)
              busySince = undefined
            }),
          )
        }).pipe(Effect.forever, Effect.forkScoped)
      const following = yield* follow(updates, registry.apply)
      const waiting = yield* FiberSet.make<void>()
      yield* follow(orders, (order) =>
        Effect.flatMap(registry.carryOut(order), (outcomes) =>
          // Whoever waits for an outcome must not keep the next answer of the master from being followed.
          Effect.forEach(outcomes, (outcome) => FiberSet.run(waiting, outcome), { discard: true }),
        ),
      )
      yield* (yield* Plans).provide(registry.plan)
      const isHealthy = Effect.map(
        Clock.currentTimeMillis,
        (now) => following.pollUnsafe() === undefined && (busySince === undefined || now - busySince < updateLimit),
      )
      return NodeSupervisor.of({ isHealthy })
    }),
  )
}

/** Its members end side by side, so that the slowest alone decides how long a stop takes. */
const parallelScope = Effect.acquireRelease(Scope.make("parallel"), (scope, exit) => Scope.close(scope, exit))
