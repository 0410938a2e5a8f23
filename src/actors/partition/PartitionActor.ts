// Keeps one partition as the master wants it: decides, works, remembers. Its services live in the actor's own Scope,
// not in the fiber that works, so that neither a crash of the work nor a newer wish touches them.
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberHandle from "effect/FiberHandle"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { InstanceBuild } from "../../build/InstanceBuild.ts"
import { NodeConfig } from "../../config/NodeConfig.ts"
import type { PartitionId } from "../../domain/ids.ts"
import type { PartitionRest } from "../../domain/Pass.ts"
import { fullName, type ServiceSpec } from "../../domain/ServiceSpec.ts"
import type { FileError } from "../../files/FileError.ts"
import { processors } from "../../files/machine.ts"
import { MasterClient } from "../../master/MasterClient.ts"
import { PartitionServices } from "../../process/PartitionServices.ts"
import type { ServiceGroup } from "../../process/service/ServiceGroup.ts"
import { Takeover } from "../../process/takeover/Takeover.ts"
import { Bangs } from "../../report/Bangs.ts"
import { Outbox } from "../../report/Outbox.ts"
import { StatusBoard } from "../../report/StatusBoard.ts"
import { type Actor, type Mailbox, makeActor, nextWish } from "../Actor.ts"
import { Outcomes } from "../Outcomes.ts"
import { retryDelay } from "../retry.ts"
import {
  decide,
  type Hold,
  initialMemory,
  isStopOrdered,
  orderOf,
  type PartitionDecision,
  type PartitionMemory,
  type PartitionWish,
  type Periods,
  remember,
  wishKey,
} from "./decide.ts"
import { PartitionView } from "./PartitionView.ts"
import { type PartitionError, PartitionWork } from "./PartitionWork.ts"

export interface PartitionActor extends Actor<PartitionWish> {
  /** Waits until a wish with that order, or a newer one, leaves nothing more to do now. */
  readonly outcome: (order: number) => Effect.Effect<PartitionRest>
}

export class PartitionActors extends Context.Service<
  PartitionActors,
  { readonly make: (id: PartitionId) => Effect.Effect<PartitionActor, FileError, Scope.Scope> }
>()("slapgrid/actors/partition/PartitionActors") {
  static readonly layer = Layer.effect(
    PartitionActors,
    Effect.gen(function* () {
      const config = yield* NodeConfig
      const services = yield* PartitionServices
      const board = yield* StatusBoard
      const outbox = yield* Outbox
      const bangs = yield* Bangs
      const dependencies = {
        config,
        services,
        client: yield* MasterClient,
        builder: yield* InstanceBuild,
        takeover: yield* Takeover,
      }
      // Buildouts are bound by the processor: more at once would only share it.
      const turn = yield* Semaphore.make(processors())
      const periods: Periods = { maximum: config.maximumPeriodicity, sync: config.syncInterval }

      const make = Effect.fnUntraced(function* (id: PartitionId) {
        const work = new PartitionWork(id, dependencies)
        const view = new PartitionView(id, board)
        const onAlarm = (spec: ServiceSpec, deployment: string | undefined) => bang(work, bangs, spec, deployment)
        const group = yield* services.group({ id, onChange: view.refresh, onAlarm })
        view.watch(group.status)
        const completion = yield* FiberHandle.make<void>()
        const outcomes = new Outcomes<PartitionRest>()
        const supervision = new Supervision({ work, view, group, outbox, turn, periods, completion, bangs, outcomes })
        const actor = yield* makeActor(`partition ${id}`, supervision.follow)
        return { ...actor, outcome: outcomes.of }
      })
      return PartitionActors.of({ make })
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

const markProcessed = (work: PartitionWork, timestamp: string): Effect.Effect<void> =>
  Effect.catch(work.complete(timestamp), (error) =>
    Effect.logWarning(`${work.id} will be processed again: ${error.message}`),
  )

/** How long an installation keeps others waiting. */
const turnLimit = "2 minutes"

/** Takes a turn for the work. Work that hangs gives it up after a while: it must not hold all other partitions. */
export const inTurn = <A, E>(turn: Semaphore.Semaphore, work: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.flatMap(Scope.make(), (scope) => {
    const giveBack = Scope.close(scope, Exit.void)
    const working = Effect.andThen(Effect.forkScoped(Effect.delay(giveBack, turnLimit)), work)
    return Scope.provide(turn.takeScoped(1), scope).pipe(
      Effect.andThen(Effect.scoped(working)),
      Effect.ensuring(giveBack),
    )
  })

interface Parts {
  readonly work: PartitionWork
  readonly view: PartitionView
  readonly group: ServiceGroup
  readonly outbox: Outbox["Service"]
  readonly bangs: Bangs["Service"]
  readonly turn: Semaphore.Semaphore
  readonly periods: Periods
  /** The fiber that waits for the master to know of a processing. */
  readonly completion: FiberHandle.FiberHandle<void>
  /** For those who gave an order. */
  readonly outcomes: Outcomes<PartitionRest>
}

/** Whether a newer wish makes the work for `wish` pointless. A moved timestamp does not: it is worked on next. */
const supersedes =
  (wish: PartitionWish) =>
  (newer: PartitionWish): boolean =>
    newer.partition.requested !== wish.partition.requested || newer.partition.software !== wish.partition.software

/** After work that was left half done: what the services follow is not known. */
const unenforced = (memory: PartitionMemory): PartitionMemory => ({ ...memory, enforced: undefined })

class Supervision {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  readonly follow = (mailbox: Mailbox<PartitionWish>): Effect.Effect<never> =>
    Effect.gen({ self: this }, function* () {
      const { outcomes, periods, view, work } = this.#parts
      let wish = yield* mailbox.take
      let memory = initialMemory(yield* work.processed)
      while (true) {
        yield* view.wants(wish)
        const decision = decide(wish, memory, periods, yield* Clock.currentTimeMillis)
        if (decision._tag === "Wait") {
          yield* view.waitsFor(decision.reason)
          yield* outcomes.put(orderOf(wish), view.rest(wish))
          wish = yield* nextWish(mailbox, wish, decision.until)
          continue
        }
        const outcome = yield* Effect.raceFirst(
          Effect.result(this.#perform(decision, wish, memory)),
          Effect.as(mailbox.waitFor(supersedes(wish)), undefined),
        )
        if (outcome === undefined) {
          memory = unenforced(memory)
          wish = yield* mailbox.take
        } else if (outcome._tag === "Success") memory = outcome.success
        else memory = yield* this.#fail(wish, memory, decision._tag, outcome.failure)
      }
    })

  #perform(
    decision: Exclude<PartitionDecision, { readonly _tag: "Wait" }>,
    wish: PartitionWish,
    memory: PartitionMemory,
  ): Effect.Effect<PartitionMemory, PartitionError> {
    switch (decision._tag) {
      case "Enforce":
        return this.#enforce(wish, memory)
      case "Process":
        return isStopOrdered(wish, memory)
          ? this.#processAndStop(wish, memory, decision.reason)
          : this.#process(wish, decision.reason)
      case "Destroy":
        return this.#destroy(wish, memory)
      case "Free":
        return this.#free(wish)
    }
  }

  /** Services as the last installation left them; nothing is started that was never installed. */
  #enforce(wish: PartitionWish, memory: PartitionMemory): Effect.Effect<PartitionMemory, PartitionError> {
    const { group, outbox, view, work } = this.#parts
    const { requested } = wish.partition
    // What was destroyed left nothing that could be started.
    const processed = memory.enforced === "destroyed" ? undefined : memory.processed
    return Effect.gen(function* () {
      if (requested === "started" && processed !== undefined) yield* work.start(group, processed.timestamp, false)
      if (requested !== "started") yield* work.stop(group)
      // Its removal waits for the master.
      const state = requested === "destroyed" ? "stopped" : requested
      const isMended = memory.hold?.during === "Enforce"
      const hold = isMended ? undefined : memory.hold
      if (hold === undefined && processed !== undefined) yield* view.show(state)
      // The master knows of the failure, and of nothing else since.
      if (isMended) yield* outbox.offer({ _tag: "Partition", id: work.id, state })
      return { ...memory, processed, enforced: requested, hold }
    })
  }

  #process(wish: PartitionWish, reason: string): Effect.Effect<PartitionMemory, PartitionError> {
    const { completion, group, outbox, turn, view, work } = this.#parts
    const { id, requested, timestamp } = wish.partition
    return Effect.gen(function* () {
      yield* view.show("installing")
      yield* Effect.logInfo(`processing ${id}: ${reason}`)
      yield* FiberHandle.clear(completion)
      // Stopped in any case and at once, whatever becomes of the installation and of the wait for it.
      if (requested === "stopped") yield* work.stop(group)
      yield* inTurn(turn, work.install(wish.partition, { reason, isDebug: wish.order?.isDebug === true }))
      if (requested === "started") yield* work.start(group, timestamp, true)
      yield* Effect.logInfo(`${id} is ${requested}`)
      yield* view.show(requested)
      // Marked as processed only once the master knows: a crash in between repeats work and report.
      yield* outbox.deliver({ _tag: "Partition", id, state: requested }).pipe(
        Effect.andThen((delivery) =>
          delivery === "Replaced" || timestamp === undefined ? Effect.void : markProcessed(work, timestamp),
        ),
        FiberHandle.run(completion),
      )
      return remember(wish, yield* Clock.currentTimeMillis)
    })
  }

  /**
   * For an operator who wants nothing of it to run: the master is told nothing, and the next processing, which starts
   * it, comes when it would have come anyway.
   */
  #processAndStop(
    wish: PartitionWish,
    memory: PartitionMemory,
    reason: string,
  ): Effect.Effect<PartitionMemory, PartitionError> {
    const { completion, group, turn, view, work } = this.#parts
    const { processed } = memory
    return Effect.gen(function* () {
      yield* view.show("installing")
      yield* Effect.logInfo(`processing ${work.id}: ${reason}`)
      yield* FiberHandle.clear(completion)
      yield* work.hold(group)
      yield* inTurn(turn, work.install(wish.partition, { reason, isDebug: wish.order?.isDebug === true }))
      yield* work.hold(group)
      if (processed?.timestamp !== undefined) yield* markProcessed(work, processed.timestamp)
      yield* Effect.logInfo(`${work.id} is stopped until its next processing`)
      yield* view.show("stopped")
      const order = orderOf(wish)
      return { processed, enforced: wish.partition.requested, hold: undefined, tried: order, done: order }
    })
  }

  #destroy(wish: PartitionWish, memory: PartitionMemory): Effect.Effect<PartitionMemory, PartitionError> {
    const { bangs, completion, group, outbox, view, work } = this.#parts
    const { id } = wish.partition
    return Effect.gen(function* () {
      yield* FiberHandle.clear(completion)
      yield* view.show("destroying")
      yield* work.stop(group)
      yield* outbox.offer({ _tag: "Partition", id, state: "stopped" })
      const until = yield* work.destroy
      if (until !== undefined) {
        yield* view.show("stopped")
        const hold = {
          wish: wishKey(wish),
          during: "Destroy" as const,
          nudge: wish.nudge,
          failures: 0,
          until,
          reason: "its retention delay is not over",
        }
        const order = orderOf(wish)
        return { ...memory, enforced: "destroyed", hold, tried: order, done: order }
      }
      yield* bangs.forget(id)
      yield* Effect.logInfo(`${id} is destroyed`)
      yield* view.show("destroyed")
      yield* outbox.offer({ _tag: "Partition", id, state: "destroyed" })
      return remember(wish, yield* Clock.currentTimeMillis)
    })
  }

  #free(wish: PartitionWish): Effect.Effect<PartitionMemory, PartitionError> {
    const { bangs, completion, group, view, work } = this.#parts
    return Effect.gen(function* () {
      yield* FiberHandle.clear(completion)
      yield* work.stop(group)
      yield* bangs.forget(work.id)
      yield* Effect.catch(work.free, (error) => Effect.logWarning(error.message))
      yield* view.show("free")
      return remember(wish, yield* Clock.currentTimeMillis)
    })
  }

  /** Tells the failure to everybody who can do something about it, and says when the work is tried again. */
  #fail(
    wish: PartitionWish,
    memory: PartitionMemory,
    during: Hold["during"],
    { message }: PartitionError,
  ): Effect.Effect<PartitionMemory> {
    const { outbox, view, work } = this.#parts
    const { id, requested } = wish.partition
    return Effect.gen(function* () {
      const failures = memory.hold?.wish === wishKey(wish) ? memory.hold.failures + 1 : 1
      const delay = retryDelay(failures) * (0.75 + (yield* Random.next) / 2)
      yield* Effect.logError(`${message}\n${id} is tried again in ${Math.round(delay / 1000)} s`)
      yield* view.show("failed", message)
      yield* work.writeErrorLog(message)
      yield* outbox.offer({ _tag: "Partition", id, state: "error", log: message })
      const until = (yield* Clock.currentTimeMillis) + delay
      const reason = "it failed and is tried again"
      const hold = { wish: wishKey(wish), during, nudge: wish.nudge, failures, until, reason }
      // Processing for `stopped` and removal stop the services even when the rest fails.
      const isStopped = during !== "Enforce" && requested !== "started"
      return { ...memory, enforced: isStopped ? requested : memory.enforced, hold, tried: orderOf(wish) }
    })
  }
}
