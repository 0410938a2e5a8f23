// Keeps one partition as the master wants it: what an actor consists of, and how it is made.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberHandle from "effect/FiberHandle"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { InstanceBuild } from "../../build/InstanceBuild.ts"
import { NodeConfig } from "../../config/NodeConfig.ts"
import type { DesiredPartition } from "../../domain/DesiredState.ts"
import type { PartitionId } from "../../domain/ids.ts"
import type { PartitionRest } from "../../domain/Pass.ts"
import type { PlannedPartition } from "../../domain/Plan.ts"
import { fullName, type ServiceSpec } from "../../domain/ServiceSpec.ts"
import type { FileError } from "../../files/FileError.ts"
import { processors } from "../../files/machine.ts"
import { Promises } from "../../health/Promises.ts"
import { MasterClient } from "../../master/MasterClient.ts"
import { PartitionServices } from "../../process/PartitionServices.ts"
import { Takeover } from "../../process/takeover/Takeover.ts"
import { Bangs } from "../../report/Bangs.ts"
import { Outbox } from "../../report/Outbox.ts"
import { StatusBoard } from "../../report/StatusBoard.ts"
import { UsageReports } from "../../report/usage/UsageReports.ts"
import { type Actor, isBusy, makeActor } from "../Actor.ts"
import { Outcomes } from "../Outcomes.ts"
import { BurstWatch } from "./bursts.ts"
import type { Periods, PartitionWish } from "./decide.ts"
import { type HealthCheck, makeHealth } from "./Health.ts"
import { PartitionView } from "./PartitionView.ts"
import { PartitionWork } from "./PartitionWork.ts"
import { Supervision } from "./Supervision.ts"
import { Turnstile } from "./Turnstile.ts"

/** For what is prepared, before the partitions themselves keep the agent busy. */
const headStart = "200 millis"

export interface PartitionActor extends Actor<PartitionWish> {
  /** Waits until a wish with that order, or a newer one, leaves nothing more to do now. */
  readonly outcome: (order: number) => Effect.Effect<PartitionRest>
  /** Whether a processing still waits to be marked as done, until the master knows of it. */
  readonly isUnmarked: () => boolean
  /** What would be done for a wish, without doing it. */
  readonly plan: (wish: PartitionWish) => Effect.Effect<PlannedPartition>
  /** Tells the master once more how the partition is, who has heard something else: unless work under way will tell. */
  readonly retell: Effect.Effect<void>
  /** Checks all its promises now, and waits for what comes of it. The master is told nothing. */
  readonly checkPromises: Effect.Effect<HealthCheck>
}

export class PartitionActors extends Context.Service<
  PartitionActors,
  {
    readonly make: (id: PartitionId) => Effect.Effect<PartitionActor, FileError, Scope.Scope>
    /** Tells what the master wants of all of them, before any of them is told. */
    readonly assign: (partitions: ReadonlyArray<DesiredPartition>) => Effect.Effect<void>
  }
>()("slapgrid/actors/partition/PartitionActors") {
  static readonly layer = Layer.effect(
    PartitionActors,
    Effect.gen(function* () {
      const config = yield* NodeConfig
      const services = yield* PartitionServices
      const board = yield* StatusBoard
      const outbox = yield* Outbox
      const bangs = yield* Bangs
      const promises = yield* Promises
      const dependencies = {
        config,
        services,
        client: yield* MasterClient,
        builder: yield* InstanceBuild,
        takeover: yield* Takeover,
        usage: yield* UsageReports,
      }
      // Of a processing, buildout is what takes a processor; before and after it the agent's turn comes.
      const turnstile = new Turnstile(config.instanceConcurrency ?? 4 * processors())
      const periods: Periods = { maximum: config.maximumPeriodicity, sync: config.syncInterval }

      const make = Effect.fnUntraced(function* (id: PartitionId) {
        const work = new PartitionWork(id, dependencies)
        const view = new PartitionView(id, board)
        const onAlarm = (spec: ServiceSpec, deployment: string | undefined) => bang(work, bangs, spec, deployment)
        const actorName = `partition ${id}`
        const group = yield* Effect.annotateLogs(services.group({ id, onChange: view.refresh, onAlarm }), {
          actor: actorName,
        })
        view.watch(group.status)
        const completion = yield* FiberHandle.make<void>()
        const outcomes = new Outcomes<PartitionRest>()
        const health = yield* makeHealth({
          id,
          promises: promises.of(id),
          view,
          outbox,
          isHeld: () => group.status().length > 0 && group.status().every(({ isHeld }) => isHeld),
        })
        const supervision = new Supervision({
          work,
          view,
          group,
          health,
          outbox,
          turnstile,
          periods,
          completion,
          bangs,
          outcomes,
        })
        const actor = yield* makeActor(actorName, supervision.follow)
        return {
          tell: (wish: PartitionWish) =>
            Effect.suspend(() => (supervision.absorbs(wish) ? Effect.void : actor.tell(wish))),
          outcome: outcomes.of,
          isUnmarked: () => isBusy(completion),
          plan: (wish: PartitionWish) => supervision.plan(wish),
          retell: supervision.retell,
          checkPromises: health.check,
        }
      })

      const scope = yield* Effect.scope
      const bursts = new BurstWatch(config.instanceRoot)
      const assign = Effect.fnUntraced(function* (partitions: ReadonlyArray<DesiredPartition>) {
        const { builder } = dependencies
        yield* builder.assign(partitions)
        const preparing = yield* Effect.forEach(yield* bursts.look(partitions), ({ ids, software }) =>
          Effect.forkIn(builder.prepare(software, ids), scope),
        )
        if (preparing.length > 0) yield* Effect.timeoutOption(Fiber.awaitAll(preparing), headStart)
      })
      return PartitionActors.of({ make, assign })
    }),
  )
}

/** A watched program ended by itself: the master hears of it once for each deployment. */
const bang = Effect.fnUntraced(function* (
  work: PartitionWork,
  bangs: Bangs["Service"],
  spec: ServiceSpec,
  // As the reference has it where the master gives no timestamp.
  deployment = "0",
) {
  yield* Effect.logWarning(`${fullName(spec)} ended or could not be started; it is tried again`)
  const message = `${spec.name} process in partition ${work.id} encountered a problem`
  if (yield* bangs.ring({ id: work.id, deployment, message })) yield* work.markBang(deployment)
})
