// The body of a partition's actor: decide, do, remember, from one wish to the next. A wish that makes the work under
// way pointless cancels it; a crash of this body ends no service.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { PlannedPartition } from "../../domain/Plan.ts"
import { type Mailbox, nextWish } from "../Actor.ts"
import { planPartition } from "../plan.ts"
import { nextTry } from "../retry.ts"
import {
  decide,
  type Hold,
  initialMemory,
  isNews,
  isStopOrdered,
  orderOf,
  type PartitionDecision,
  type PartitionMemory,
  type PartitionWish,
  type Periods,
  wishKey,
} from "./decide.ts"
import { destroy, free, tellDestroyed } from "./ending.ts"
import type { PromisesFailed } from "./Health.ts"
import type { PartitionParts } from "./PartitionParts.ts"
import type { PartitionError } from "./PartitionPlace.ts"
import { unfinished } from "./processed.ts"
import { process, processAndStop } from "./processing.ts"

/**
 * Whether a newer wish makes the work for `wish` pointless, or takes the release away from under it. A moved timestamp
 * does not: it is worked on next.
 */
const supersedes = (wish: PartitionWish, newer: PartitionWish): boolean =>
  newer.partition.requested !== wish.partition.requested ||
  newer.partition.software !== wish.partition.software ||
  (wish.isSoftwareReady && !newer.isSoftwareReady)

/** What is waited for can be given up for any other wish: nothing was begun yet. */
const differs = (wish: PartitionWish, newer: PartitionWish): boolean =>
  supersedes(wish, newer) || wishKey(newer) !== wishKey(wish) || orderOf(newer) !== orderOf(wish)

/** After work that was left half done: what the services follow is not known. */
const unenforced = (memory: PartitionMemory): PartitionMemory => ({
  ...memory,
  enforced: undefined,
  removal: undefined,
})

export class Supervision {
  readonly #parts: PartitionParts
  /** Whether something is being removed: there is no way back. */
  #isRemoving = false
  /** Whether its processing waits for a turn. */
  #isQueued = false
  /** Whether all of its processing is done but for the promises. */
  #isChecking = false
  #memory = initialMemory(undefined)
  /** What is being done. */
  #decision: PartitionDecision | undefined
  /** With what it waits, as long as no news came. */
  #rest: { wish: PartitionWish; readonly memory: PartitionMemory } | undefined

  constructor(parts: PartitionParts) {
    this.#parts = parts
  }

  /** Whether nothing comes of a wish: most of a thousand partitions need not wake up because everybody is told again. */
  absorbs(wish: PartitionWish): boolean {
    const rest = this.#rest
    if (rest !== undefined && !isNews(rest.wish, wish, rest.memory)) {
      rest.wish = wish
      return true
    }
    // What comes after news is compared with them, where they are dealt with.
    this.#rest = undefined
    return false
  }

  readonly follow = (mailbox: Mailbox<PartitionWish>): Effect.Effect<never> =>
    Effect.gen({ self: this }, function* () {
      const { health, outcomes, view, work } = this.#parts
      this.#rest = undefined
      let wish = yield* mailbox.take
      let memory = initialMemory(yield* work.processed, yield* work.removal.hasBegun)
      while (true) {
        yield* view.wants(wish)
        health.hear(wish)
        const decision = yield* this.#decide(wish, memory)
        this.#memory = memory
        this.#decision = decision
        if (decision._tag === "Wait") {
          yield* view.waitsFor(decision.reason)
          yield* outcomes.put(orderOf(wish), view.rest(wish))
          yield* health.follow(wish, memory)
          const rest = { wish, memory }
          if (mailbox.isEmpty) this.#rest = rest
          const next = yield* this.#awaitNext(nextWish(mailbox, wish, decision.until), memory)
          this.#rest = undefined
          if (next === undefined) {
            memory = { ...memory, hold: undefined }
            // One that came in the same moment is not lost.
            yield* mailbox.restore
            wish = yield* mailbox.take
          } else wish = next === wish ? rest.wish : next
          continue
        }
        yield* health.pause
        this.#isRemoving = memory.removal === "Begun"
        this.#isQueued = decision._tag === "Process"
        this.#isChecking = false
        const outcome = yield* Effect.raceFirst(
          Effect.result(this.#perform(decision, wish, memory)),
          Effect.as(mailbox.waitFor(this.#cancels(wish)), undefined),
        )
        if (outcome === undefined) {
          memory = unenforced(memory)
          wish = yield* mailbox.take
        } else if (outcome._tag === "Success") memory = outcome.success
        else memory = yield* this.#fail(wish, memory, decision._tag, outcome.failure)
      }
    })

  /** Undefined when what is held back is not to wait any longer. */
  #awaitNext(next: Effect.Effect<PartitionWish>, { hold }: PartitionMemory): Effect.Effect<PartitionWish | undefined> {
    if (hold?.isByPromises !== true) return next
    return Effect.raceFirst(next, Effect.as(this.#parts.health.recovered, undefined))
  }

  #decide(wish: PartitionWish, memory: PartitionMemory): Effect.Effect<PartitionDecision> {
    return Effect.gen({ self: this }, function* () {
      return decide(wish, memory, yield* this.#periodsFor(wish), yield* Clock.currentTimeMillis)
    })
  }

  #periodsFor({ partition }: PartitionWish): Effect.Effect<Periods> {
    const { periods, work } = this.#parts
    return Effect.map(work.periodicity(partition.software), (maximum = periods.maximum) => ({ ...periods, maximum }))
  }

  /** Tells the master how it is, who has heard something else meanwhile; work under way will tell of itself. */
  get retell(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { health, outbox, view, work } = this.#parts
      const { error, state } = view
      if (this.#decision?._tag !== "Wait") return Effect.void
      if (error !== undefined) return outbox.offer({ _tag: "Partition", id: work.id, state: "error", log: error })
      if (state === "started") return health.retell
      if (state !== "stopped" && state !== "destroyed") return Effect.void
      return outbox.offer({ _tag: "Partition", id: work.id, state })
    })
  }

  /** What would be done for a wish, without doing it. */
  plan(wish: PartitionWish): Effect.Effect<PlannedPartition> {
    return Effect.gen({ self: this }, function* () {
      const decision = this.#decision
      const underWay = decision === undefined || decision._tag === "Wait" ? undefined : `under way: ${decision.reason}`
      const periods = yield* this.#periodsFor(wish)
      const known = { memory: this.#memory, periods, services: this.#parts.group.status(), underWay }
      return planPartition(wish, known, yield* Clock.currentTimeMillis)
    })
  }

  readonly #cancels =
    (wish: PartitionWish) =>
    (newer: PartitionWish): boolean => {
      if (this.#isRemoving) return false
      if (this.#isQueued) return differs(wish, newer)
      return supersedes(wish, newer) || (this.#isChecking && wishKey(newer) !== wishKey(wish))
    }

  #perform(
    decision: Exclude<PartitionDecision, { readonly _tag: "Wait" }>,
    wish: PartitionWish,
    memory: PartitionMemory,
  ): Effect.Effect<PartitionMemory, PartitionError | PromisesFailed> {
    switch (decision._tag) {
      case "Enforce":
        return this.#enforce(wish, memory)
      case "Process": {
        const processing = {
          ...decision,
          onTurn: () => void (this.#isQueued = false),
          onStarted: () => void (this.#isChecking = true),
        }
        return isStopOrdered(wish, memory)
          ? processAndStop(this.#parts, wish, memory, processing)
          : process(this.#parts, wish, processing)
      }
      case "Destroy":
        return destroy(this.#parts, wish, memory, () => void (this.#isRemoving = true))
      case "Tell":
        return tellDestroyed(this.#parts, wish)
      case "Free":
        return free(this.#parts, wish)
    }
  }

  /** Services as the last installation left them; nothing is started that was never installed. */
  #enforce(wish: PartitionWish, memory: PartitionMemory): Effect.Effect<PartitionMemory, PartitionError> {
    const { group, outbox, view, work } = this.#parts
    const { requested } = wish.partition
    // What was destroyed left nothing that could be started.
    const processed = memory.enforced === "destroyed" ? undefined : memory.processed
    return Effect.gen(function* () {
      if (requested === "started" && processed !== undefined) yield* work.start(group, processed.timestamp, () => false)
      if (requested === "stopped") yield* work.stop(group)
      if (requested === "destroyed") yield* work.removal.stop(group)
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

  /** Tells the failure to everybody who can do something about it, and says when the work is tried again. */
  #fail(
    wish: PartitionWish,
    memory: PartitionMemory,
    during: Hold["during"],
    { _tag, message }: PartitionError | PromisesFailed,
  ): Effect.Effect<PartitionMemory> {
    const { outbox, view, work } = this.#parts
    const { id, requested } = wish.partition
    return Effect.gen({ self: this }, function* () {
      const failures = memory.hold?.wish === wishKey(wish) ? memory.hold.failures + 1 : 1
      const { delay, line } = yield* nextTry(id, failures)
      yield* Effect.logError(`${message}${line}`)
      const isByPromises = _tag === "PromisesFailed"
      yield* view.show("failed", message, isByPromises)
      // What promises say has a place of its own.
      if (!isByPromises) yield* work.writeErrorLog(message)
      yield* outbox.offer({ _tag: "Partition", id, state: "error", log: message })
      const until = (yield* Clock.currentTimeMillis) + delay
      const reason = isByPromises ? "its promises fail, and it is processed again" : "it failed and is tried again"
      const hold = { wish: wishKey(wish), during, nudge: wish.nudge, failures, until, reason, isByPromises }
      // Its services run; for its successor, too, it did not come to its end.
      if (isByPromises) return { ...memory, processed: unfinished, enforced: requested, hold, tried: orderOf(wish) }
      // Processing for `stopped` and removal stop the services even when the rest fails.
      const isStopped = during !== "Enforce" && requested !== "started"
      const removal = this.#isRemoving ? ("Begun" as const) : memory.removal
      return { ...memory, enforced: isStopped ? requested : memory.enforced, hold, removal, tried: orderOf(wish) }
    })
  }
}
