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
import { SoftwareBuild } from "../build/SoftwareBuild.ts"
import { NodeConfig } from "../config/NodeConfig.ts"
import { MasterSync } from "../desired/MasterSync.ts"
import { Passes } from "../desired/Passes.ts"
import { Plans } from "../desired/Plans.ts"
import { Promises } from "../health/Promises.ts"
import { Containment } from "../process/containment/Containment.ts"
import { Inheritances } from "../process/Inheritances.ts"
import { WarmHelpers } from "../process/warm/WarmHelper.ts"
import { Takeover } from "../process/takeover/Takeover.ts"
import { Outbox } from "../report/Outbox.ts"
import { StatusBoard } from "../report/StatusBoard.ts"
import { PartitionActors } from "./partition/PartitionActor.ts"
import { tellDefect } from "./orders.ts"
import { Registry, type RegistryParts } from "./Registry.ts"
import { SoftwareActors } from "./software/SoftwareActor.ts"

/** Milliseconds: no answer of the master takes nearly as long to be passed on, however many partitions it names. */
const updateLimit = 300_000

export class NodeSupervisor extends Context.Service<
  NodeSupervisor,
  {
    /** Whether the master is followed: the fiber that does lives, and does not hang in one of its answers. */
    readonly isHealthy: Effect.Effect<boolean>
    /** Whether something that was done still waits to be marked as done: until the master knows of it. */
    readonly isUnmarked: () => boolean
  }
>()("slapgrid/actors/NodeSupervisor") {
  /** Follows the master, and carries out orders of passes. */
  static readonly layer = Layer.effect(
    NodeSupervisor,
    Effect.gen(function* () {
      const { updates } = yield* MasterSync
      const registry = yield* makeRegistry(undefined)
      yield* (yield* Plans).provide(registry.plan)
      yield* Effect.forEach((yield* Inheritances).partitions, registry.adopt)
      const supervision = yield* makeSupervision(registry)
      const following = yield* supervision.follow(updates, registry.apply)
      const isHealthy = Effect.map(
        Clock.currentTimeMillis,
        (now) => following.pollUnsafe() === undefined && !supervision.isStuck(now),
      )
      return NodeSupervisor.of({ isHealthy, isUnmarked: () => registry.isUnmarked })
    }),
  )

  /** Follows nobody: touches only what an order of a pass names, and takes releases as they are on the disk. */
  static readonly layerForPasses = Layer.effect(
    NodeSupervisor,
    Effect.gen(function* () {
      const { isCompleted } = yield* SoftwareBuild
      const registry = yield* makeRegistry(isCompleted)
      yield* makeSupervision(registry)
      return NodeSupervisor.of({ isHealthy: Effect.succeed(true), isUnmarked: () => registry.isUnmarked })
    }),
  )
}

const makeRegistry = Effect.fnUntraced(function* (isBuilt: RegistryParts["isBuilt"]) {
  const board = yield* StatusBoard
  const { kind, limits } = yield* Containment
  yield* board.setContainment(kind, limits)
  yield* board.showHelpers((yield* WarmHelpers).living)
  const partitionScope = yield* parallelScope
  const softwareScope = yield* parallelScope
  const registry = new Registry({
    software: yield* SoftwareActors,
    partitions: yield* PartitionActors,
    takeover: yield* Takeover,
    askMaster: (yield* MasterSync).syncNow,
    config: yield* NodeConfig,
    outbox: yield* Outbox,
    board,
    isBuilt,
    collect: (yield* SoftwareBuild).collect,
    promises: yield* Promises,
    partitionScope,
    softwareScope,
  })
  // Last registered, first to run: nothing new comes, then services end while everything they report to is there.
  yield* Effect.addFinalizer((exit) => Scope.close(partitionScope, exit))
  return registry
})

/** Gives the registry one thing to do at a time, whatever it is; orders of passes from the beginning. */
const makeSupervision = Effect.fnUntraced(function* (registry: Registry) {
  const { orders } = yield* Passes
  const turn = yield* Semaphore.make(1)
  let busySince: number | undefined

  const follow = <A>(queue: Queue.Dequeue<A>, handle: (one: A) => Effect.Effect<void>) =>
    Queue.take(queue).pipe(
      Effect.flatMap((one) =>
        turn.withPermits(1)(
          Effect.gen(function* () {
            busySince = yield* Clock.currentTimeMillis
            yield* Effect.catchDefect(handle(one), tellDefect)
            busySince = undefined
          }),
        ),
      ),
      Effect.forever,
      Effect.forkScoped,
    )

  // Whoever waits for an outcome must not keep the next answer of the master from being followed.
  const waiting = yield* FiberSet.make<void>()
  yield* follow(orders, (order) =>
    Effect.flatMap(registry.carryOut(order), (outcomes) =>
      Effect.forEach(outcomes, (outcome) => FiberSet.run(waiting, outcome), { discard: true }),
    ),
  )
  const isStuck = (now: number) => busySince !== undefined && now - busySince >= updateLimit
  return { follow, isStuck }
})

/** Its members end side by side, so that the slowest alone decides how long a stop takes. */
const parallelScope = Effect.acquireRelease(Scope.make("parallel"), (scope, exit) => Scope.close(scope, exit))
