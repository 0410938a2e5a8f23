// The releases and partitions that the supervisor keeps, and what each was told last: an answer of the master becomes
// news for those whom it concerns.
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { SoftwareBuild } from "../build/SoftwareBuild.ts"
import type { NodeConfigShape } from "../config/NodeConfig.ts"
import { difference, samePartition, sameSoftware } from "../desired/diff.ts"
import type { Update } from "../desired/MasterSync.ts"
import type { PassOrder } from "../desired/Passes.ts"
import type { DesiredPartition, DesiredSoftware, DesiredState } from "../domain/DesiredState.ts"
import type { PartitionId, SoftwareUrl } from "../domain/ids.ts"
import type { MasterStanding } from "../domain/NodeStatus.ts"
import {
  type InstanceRequest,
  partitionOutcome,
  type PassOutcome,
  softwareOutcome,
  type SoftwareRequest,
} from "../domain/Pass.ts"
import type { NodePlan } from "../domain/Plan.ts"
import type { Promises } from "../health/Promises.ts"
import type { MasterError } from "../master/MasterError.ts"
import type { Takeover } from "../process/takeover/Takeover.ts"
import type { Outbox } from "../report/Outbox.ts"
import type { StatusBoard } from "../report/StatusBoard.ts"
import { allOfThem, checkPromises, collectGarbage, orFailed, releasesOf, tellDefect } from "./orders.ts"
import { type PartitionOrder, type PartitionWish, wishKey } from "./partition/decide.ts"
import type { PartitionActor, PartitionActors } from "./partition/PartitionActor.ts"
import type { SoftwareOrder } from "./software/decide.ts"
import { planNode } from "./planning.ts"
import { Rejections } from "./Rejections.ts"
import type { SoftwareActor, SoftwareActors } from "./software/SoftwareActor.ts"

interface KnownSoftware {
  readonly actor: SoftwareActor
  readonly scope: Scope.Closeable
  desired: DesiredSoftware
  isReady: boolean
  /** The newest one of a pass. */
  order: SoftwareOrder | undefined
}

interface KnownPartition {
  readonly actor: PartitionActor
  /** What was told last; undefined while only an earlier agent's services tell of the partition. */
  wish: PartitionWish | undefined
  isGone: boolean
}

export interface RegistryParts {
  readonly software: SoftwareActors["Service"]
  readonly partitions: PartitionActors["Service"]
  readonly board: StatusBoard["Service"]
  readonly outbox: Outbox["Service"]
  readonly takeover: Takeover["Service"]
  /** Has the master asked now. */
  readonly askMaster: Effect.Effect<void>
  readonly config: NodeConfigShape
  /** For a node that builds nothing itself: whether a release was built before. */
  readonly isBuilt: SoftwareBuild["Service"]["isCompleted"] | undefined
  readonly collect: SoftwareBuild["Service"]["collect"]
  readonly promises: Promises["Service"]
  readonly partitionScope: Scope.Closeable
  readonly softwareScope: Scope.Closeable
}

export class Registry {
  readonly #parts: RegistryParts
  readonly #rejections: Rejections
  readonly #software = new Map<SoftwareUrl, KnownSoftware>()
  readonly #partitions = new Map<PartitionId, KnownPartition>()
  /** What the master wants of partitions, to be looked at while the actors are told. */
  #wanted: ReadonlyArray<DesiredPartition> = []
  /** What the master said last. */
  #last: DesiredState | undefined
  #nudge = 0
  #standing: MasterStanding = "NotAsked"
  /** Releases that are offered and that nobody has built yet, where this node does not build. */
  #unbuilt: ReadonlySet<SoftwareUrl> = new Set()

  constructor(parts: RegistryParts) {
    this.#parts = parts
    this.#rejections = new Rejections(parts.outbox)
  }

  /** Supervises what an earlier agent left, before the master has said anything. */
  readonly adopt = (id: PartitionId): Effect.Effect<void> =>
    Effect.gen({ self: this }, function* () {
      this.#partitions.set(id, { actor: yield* this.#newPartition(id), wish: undefined, isGone: false })
    }).pipe(Effect.catch((error) => Effect.logError(`${id} cannot be supervised: ${error.message}`)))

  readonly apply = ({ nudge, standing, state }: Update): Effect.Effect<void> =>
    Effect.gen({ self: this }, function* () {
      // First of all: releases that go are told who uses them.
      this.#wanted = state.partitions
      this.#last = state
      const asked = nudge !== this.#nudge
      this.#nudge = nudge
      this.#standing = standing
      yield* this.#parts.partitions.assign(state.partitions)
      if (standing === "NotAsked") yield* this.#begin(state)
      else yield* this.#follow(state, asked)
    })

  #follow(state: DesiredState, asked: boolean): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const software = difference(
        this.#software,
        state.software,
        (one) => one.url,
        (known, one) => !asked && sameSoftware(known.desired, one),
      )
      yield* Effect.forEach(software.gone, this.#retire)
      yield* Effect.forEach(software.tell, (one) => this.#tellSoftware(one), { discard: true })
      // Only now: a release that is gone or going is no longer waited for.
      const partitions = difference(
        this.#partitions,
        state.partitions,
        (one) => one.id,
        ({ isGone, wish }, one) =>
          !asked &&
          !isGone &&
          wish !== undefined &&
          wish.standing === this.#standing &&
          samePartition(wish.partition, one) &&
          wish.isSoftwareReady === this.#isSoftwareReady(one),
      )
      const mended = new Set(yield* this.#rejections.follow(state))
      // Those that are wanted as before: others will tell what is done with them.
      const same = state.partitions.filter((one) => mended.has(one.id) && this.#isWantedAs(one))
      const missed = partitions.gone.filter((id) => !this.#rejections.has(id))
      yield* Effect.forEach(missed, this.#miss)
      yield* Effect.forEach(partitions.tell, this.#tellPartition)
      yield* Effect.forEach(same, ({ id }) => this.#partitions.get(id)?.actor.retell ?? Effect.void, { discard: true })
      // A record that could not be read can be about any partition.
      if (state.rejected.length === 0) yield* this.#parts.takeover.follow(state.partitions.map(({ id }) => id))
    })
  }

  /** Whether a partition was wanted so before. */
  #isWantedAs(partition: DesiredPartition): boolean {
    const before = this.#partitions.get(partition.id)?.wish
    return before !== undefined && wishKey(before) === wishKey({ ...before, partition })
  }

  /**
   * What an earlier agent heard starts what should run. What the reference has stays there until the master is asked,
   * which nobody who takes over waits for.
   */
  #begin({ partitions }: DesiredState): Effect.Effect<void> {
    const { askMaster, takeover } = this.#parts
    const own = partitions.filter(({ id }) => !takeover.isForeign(id))
    return Effect.andThen(
      Effect.forEach(own, this.#tellPartition, { discard: true }),
      own.length < partitions.length ? askMaster : Effect.void,
    )
  }

  #tellSoftware(desired: DesiredSoftware, order?: SoftwareOrder): Effect.Effect<SoftwareActor> {
    return Effect.gen({ self: this }, function* () {
      let known = this.#software.get(desired.url)
      if (known === undefined) {
        const scope = yield* Scope.fork(this.#parts.softwareScope)
        const onReady = (isReady: boolean) => this.#ready(desired.url, isReady)
        const users = Effect.sync(() => this.#usersOf(desired.url))
        const actor = yield* Scope.provide(this.#parts.software.make({ url: desired.url, onReady, users }), scope)
        known = { actor, scope, desired, isReady: false, order: undefined }
        this.#software.set(desired.url, known)
      }
      known.desired = desired
      if (order !== undefined) known.order = order
      yield* known.actor.tell({ software: desired, nudge: this.#nudge, order: known.order })
      return known.actor
    })
  }

  /** Partitions that the master wants to have an instance of a release. */
  #usersOf(url: SoftwareUrl): ReadonlyArray<PartitionId> {
    return this.#wanted.filter((one) => one.software === url && one.requested !== "destroyed").map(({ id }) => id)
  }

  readonly #tellPartition = (desired: DesiredPartition): Effect.Effect<void> =>
    Effect.gen({ self: this }, function* () {
      const known = this.#partitions.get(desired.id)
      const actor = known?.actor ?? (yield* this.#newPartition(desired.id))
      // Only now: a release can have become ready while the partition was made.
      const wish = this.#wishFor(desired)
      this.#partitions.set(desired.id, { actor, wish, isGone: false })
      yield* actor.tell(wish)
    }).pipe(
      Effect.catch((error) => Effect.logError(`${desired.id} cannot be supervised: ${error.message}`)),
      // Whatever one of them is, the others are told.
      Effect.catchDefect(tellDefect),
    )

  #newPartition(id: PartitionId) {
    return Effect.flatMap(Scope.fork(this.#parts.partitionScope), (scope) =>
      this.#parts.partitions.make(id).pipe(
        Scope.provide(scope),
        Effect.onError(() => Scope.close(scope, Exit.void)),
      ),
    )
  }

  #wishFor(partition: DesiredPartition): PartitionWish {
    const isSoftwareReady = this.#isSoftwareReady(partition)
    const order = this.#partitions.get(partition.id)?.wish?.order
    return { partition, isSoftwareReady, standing: this.#standing, nudge: this.#nudge, order }
  }

  /** What an answer of the master would have done, with what the actors know. */
  readonly plan = (answer: DesiredState | MasterError): Effect.Effect<NodePlan> =>
    Effect.gen({ self: this }, function* () {
      const { board, config } = this.#parts
      return yield* planNode(config, {
        answer,
        last: this.#last,
        builds: (yield* board.get).software,
        nudge: this.#nudge,
        partition: (id) => this.#partitions.get(id),
      })
    })

  /** Gives what a pass is about an order; the effects wait for what becomes of each. */
  readonly carryOut = (order: PassOrder): Effect.Effect<ReadonlyArray<Effect.Effect<void>>> => {
    const { request, state } = order
    // A node that follows nobody hears of partitions here alone.
    if (this.#last === undefined) this.#wanted = state.partitions
    switch (request._tag) {
      case "Software":
        return this.#carryOutSoftware(order, request)
      case "Instance":
        return this.#carryOutInstance(order, request)
      case "Promise":
        return Effect.succeed(order.partitions.map((one) => Effect.flatMap(this.#checkPromises(one), order.settle)))
    }
  }

  #checkPromises({ id, requested, software }: DesiredPartition): Effect.Effect<PassOutcome> {
    if (requested !== "started") {
      const state = `${requested}: promises are not checked`
      return Effect.succeed({ subject: id, result: "Done", state, problem: undefined })
    }
    const known = this.#partitions.get(id)
    // Where nobody supervises it, nobody else checks.
    if (known !== undefined) return checkPromises(id, known.actor.checkPromises)
    const check = Effect.map(this.#parts.promises.of(id).check(software, allOfThem), ({ failure, promises }) => ({
      failure,
      skipped: undefined,
      hasSome: promises.length > 0,
    }))
    return checkPromises(id, check)
  }

  #carryOutSoftware({ id, settle, software, state }: PassOrder, request: SoftwareRequest) {
    const { collectsGarbage, isDebug, isForced } = request
    const orders = Effect.forEach(software, (desired) =>
      this.#tellSoftware(desired, { id, isDebug, isForced }).pipe(
        Effect.map((actor) => Effect.flatMap(actor.outcome(id), (rest) => settle(softwareOutcome(desired.url, rest)))),
        orFailed(desired.url, settle),
      ),
    )
    if (!collectsGarbage) return orders
    // Asked anew before each removal: the master can have named another one meanwhile.
    const wanted = () => [...releasesOf(state), ...(this.#last === undefined ? [] : releasesOf(this.#last))]
    // Last of all: what a build is about to fill is not garbage.
    return Effect.map(orders, (waiting) => [
      Effect.andThen(
        Effect.forEach(waiting, (one) => one, { concurrency: "unbounded", discard: true }),
        Effect.flatMap(collectGarbage(this.#parts.collect, state, wanted), settle),
      ),
    ])
  }

  #carryOutInstance({ id, partitions, settle, standing, state }: PassOrder, request: InstanceRequest) {
    const { isDebug, isForced, stops } = request
    const orders = Effect.forEach(partitions, (desired) =>
      this.#orderPartition(desired, standing, { id, isForced, stops, isDebug }).pipe(
        Effect.map((actor) => Effect.flatMap(actor.outcome(id), (rest) => settle(partitionOutcome(desired.id, rest)))),
        orFailed(desired.id, settle),
      ),
    )
    return Effect.andThen(this.#lookForBuilds(state.software), orders)
  }

  #orderPartition(desired: DesiredPartition, standing: MasterStanding, order: PartitionOrder) {
    return Effect.gen({ self: this }, function* () {
      const known = this.#partitions.get(desired.id)
      const actor = known?.actor ?? (yield* this.#newPartition(desired.id))
      const wish = { ...this.#wishFor(desired), standing, order }
      this.#partitions.set(desired.id, { actor, wish, isGone: false })
      yield* actor.tell(wish)
      return actor
    })
  }

  #lookForBuilds(offered: ReadonlyArray<DesiredSoftware>): Effect.Effect<void> {
    const { isBuilt } = this.#parts
    if (isBuilt === undefined) return Effect.void
    return Effect.filter(
      offered.filter(({ requested }) => requested === "available"),
      ({ url }) =>
        Effect.orElseSucceed(
          Effect.map(isBuilt(url), (isReady) => !isReady),
          () => true,
        ),
    ).pipe(Effect.map((unbuilt) => void (this.#unbuilt = new Set(unbuilt.map(({ url }) => url)))))
  }

  /** Whether something that was done still waits to be marked as done. */
  get isUnmarked(): boolean {
    return [...this.#software.values(), ...this.#partitions.values()].some(({ actor }) => actor.isUnmarked())
  }

  /** A release that the master does not offer is not waited for: the installation tells that it is missing. */
  #isSoftwareReady(partition: DesiredPartition): boolean {
    if (partition.software === undefined) return true
    if (this.#unbuilt.has(partition.software)) return false
    const software = this.#software.get(partition.software)
    return software === undefined || software.desired.requested !== "available" || software.isReady
  }

  readonly #ready = (url: SoftwareUrl, isReady: boolean): Effect.Effect<void> =>
    Effect.suspend(() => {
      const software = this.#software.get(url)
      if (software === undefined || software.isReady === isReady) return Effect.void
      software.isReady = isReady
      const users = [...this.#partitions.values()].filter(({ wish }) => wish?.partition.software === url)
      return Effect.forEach(users, (known) => this.#tellAgain(known), { discard: true })
    })

  #tellAgain(known: KnownPartition): Effect.Effect<void> {
    if (known.wish === undefined) return Effect.void
    known.wish = this.#wishFor(known.wish.partition)
    return known.actor.tell(known.wish)
  }

  /** A release that the master no longer names: nothing is left to do for it. */
  readonly #retire = (url: SoftwareUrl): Effect.Effect<void> =>
    Effect.suspend(() => {
      const known = this.#software.get(url)
      if (known === undefined) return Effect.void
      this.#software.delete(url)
      return Effect.andThen(Scope.close(known.scope, Exit.void), this.#parts.board.setSoftware(url, undefined))
    })

  /** A partition that the master no longer names is left as it is: only a wish ends services. */
  readonly #miss = (id: PartitionId): Effect.Effect<void> =>
    Effect.suspend(() => {
      const known = this.#partitions.get(id)
      if (known === undefined || known.isGone) return Effect.void
      known.isGone = true
      return Effect.logWarning(`the master no longer names partition ${id}: it is left as it is`)
    })
}
