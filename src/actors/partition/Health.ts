// The promises of one partition over time: all of them after a processing, which is only then done when they are kept,
// and those that are due from then on. The master hears of a failure or a recovery between two processings once.
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { PartitionId, SoftwareUrl } from "../../domain/ids.ts"
import type { Check, CheckRequest } from "../../health/PartitionPromises.ts"
import type { PromisesOfPartition } from "../../health/Promises.ts"
import { newsFor, type Told, toldBy } from "../../health/verdict.ts"
import type { Outbox } from "../../report/Outbox.ts"
import type { PartitionMemory, PartitionWish } from "./decide.ts"
import type { PartitionView } from "./PartitionView.ts"

/** What keeps a partition from counting as started although all of it was done. */
export class PromisesFailed extends Schema.TaggedError<PromisesFailed>()("PromisesFailed", {
  message: Schema.String,
}) {}

/** What came of a check that somebody asked for. */
export interface HealthCheck {
  /** Why nothing was checked. */
  readonly skipped: string | undefined
  /** The first promise that fails, and what it said; or why they could not be checked. */
  readonly failure: string | undefined
  /** Whether there is a promise. */
  readonly hasSome: boolean
}

interface HealthParts {
  readonly id: PartitionId
  readonly promises: PromisesOfPartition
  readonly view: PartitionView
  readonly outbox: Outbox["Service"]
  /** Whether an operator has stopped all of its programs: then promises would fail for that. */
  readonly isHeld: () => boolean
}

/** What is watched, and how. */
interface Watch {
  readonly software: SoftwareUrl | undefined
  /** Its processing succeeded: what is found is told. Else it is only waited for that all are kept. */
  readonly isSound: boolean
  /** The failure after which all are checked once, for their results. */
  readonly failure: object | undefined
}

/** Milliseconds between two checks at least. */
const shortest = 1_000
/** Milliseconds over which the first looks of partitions that are watched from the same moment on are spread. */
const spread = 2_000
/** Milliseconds after which promises that could or should not be checked are looked at again. */
const retryAfter = 120_000
const afterProcessing: CheckRequest = { mode: "Test", isForced: true }

export const makeHealth = (parts: HealthParts): Effect.Effect<Health, never, Scope.Scope> =>
  Effect.map(FiberSet.make(), (fibers) => new Health(parts, fibers))

export class Health {
  readonly #parts: HealthParts
  /** The watching, and checks that somebody asked for: a pause ends them. */
  readonly #fibers: FiberSet.FiberSet
  readonly #turn = Semaphore.makeUnsafe(1)
  #watch: Watch | undefined
  /** The failure after which all were checked. */
  #hasChecked: object | undefined
  /** What the master has heard; undefined: nothing in this life of the agent. */
  #told: Told | undefined
  /** What was found since the last processing. */
  #failure: string | undefined
  /** What the master said last. */
  #accessStatus: Told | undefined
  #recovery = Deferred.makeUnsafe<void>()

  constructor(parts: HealthParts, fibers: FiberSet.FiberSet) {
    this.#parts = parts
    this.#fibers = fibers
  }

  /** What the master knows can have been told by another agent, or by nobody. */
  hear({ partition: { accessStatus } }: PartitionWish): void {
    const said = toldBy(accessStatus)
    if (said !== undefined && said !== this.#accessStatus) this.#told = said
    this.#accessStatus = said
  }

  /** All of them, after a processing: fails when a promise does. Whoever asks tells the master. */
  processed(software: SoftwareUrl | undefined): Effect.Effect<void, PromisesFailed> {
    return Effect.gen({ self: this }, function* () {
      const { failure } = yield* this.#check(software, afterProcessing)
      this.#failure = failure
      this.#told = failure === undefined ? "Kept" : "Failing"
      this.#recovery = Deferred.makeUnsafe()
      if (failure !== undefined) return yield* new PromisesFailed({ message: failure })
    })
  }

  /** Watches the promises as long as the partition is to run, or stops that. */
  follow(wish: PartitionWish, { enforced, hold, processed }: PartitionMemory): Effect.Effect<void> {
    if (wish.partition.requested !== "started" || enforced !== "started") {
      return Effect.andThen(this.pause, this.#parts.view.showPromises([]))
    }
    const { software } = wish.partition
    const failure = hold?.isByPromises === true ? undefined : hold
    const isWatched = this.#watch !== undefined
    this.#watch = { software, isSound: hold === undefined && processed !== undefined, failure }
    return isWatched ? Effect.void : Effect.asVoid(FiberSet.run(this.#fibers, this.#watching))
  }

  /** Ends every check. Before anything of the partition is stopped or installed. */
  get pause(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#watch = undefined
      return FiberSet.clear(this.#fibers)
    })
  }

  /** Waits until all promises are kept after a processing that failed because of them. */
  get recovered(): Effect.Effect<void> {
    return Effect.suspend(() => Deferred.await(this.#recovery))
  }

  /** Checks all promises now, as after a processing, and tells the master nothing: for an operator. */
  get check(): Effect.Effect<HealthCheck> {
    return Effect.suspend(() => {
      const watch = this.#watch
      if (watch === undefined)
        return Effect.succeed({
          skipped: "it is not started, or it is being processed",
          failure: undefined,
          hasSome: false,
        })
      const done = Deferred.makeUnsafe<HealthCheck>()
      const checking = this.#check(watch.software, afterProcessing).pipe(
        Effect.flatMap(({ failure, promises }) =>
          Deferred.succeed(done, { skipped: undefined, failure, hasSome: promises.length > 0 }),
        ),
        Effect.onInterrupt(() =>
          Deferred.succeed(done, {
            skipped: "it was stopped or processed meanwhile",
            failure: undefined,
            hasSome: false,
          }),
        ),
      )
      return Effect.andThen(FiberSet.run(this.#fibers, checking), Deferred.await(done))
    })
  }

  get #watching(): Effect.Effect<void> {
    const { isHeld, promises } = this.#parts
    return Effect.gen({ self: this }, function* () {
      yield* Effect.sleep(spread * (yield* Random.next))
      // Before the first check, which writes its own results.
      this.#told ??= (yield* promises.wereFailing) ? "Failing" : "Kept"
      while (this.#watch !== undefined) {
        const nextAt = isHeld() ? undefined : (yield* this.#look(this.#watch)).nextAt
        const wait = nextAt === undefined ? retryAfter : nextAt - (yield* Clock.currentTimeMillis)
        // A little later than due, so that partitions do not stay in step.
        yield* Effect.sleep(Math.max(shortest, wait * (1 + (yield* Random.next) / 20)))
      }
    })
  }

  #look(watch: Watch): Effect.Effect<Check> {
    const { id, outbox } = this.#parts
    const { failure, isSound, software } = watch
    return Effect.gen({ self: this }, function* () {
      const isFirst = failure !== undefined && failure !== this.#hasChecked
      this.#hasChecked = failure
      const check = yield* this.#check(
        software,
        isFirst ? afterProcessing : { mode: isSound ? "Anomaly" : "Test", isForced: false },
      )
      if (check.bang !== undefined) yield* outbox.offer({ _tag: "Bang", id, message: check.bang })
      // What is wanted can have changed meanwhile.
      if (this.#watch?.isSound === true) yield* this.#tell(check)
      else if (this.#watch?.failure === undefined && check.failure === undefined) {
        yield* Deferred.succeed(this.#recovery, undefined)
      }
      return check
    })
  }

  #tell({ failure }: Check): Effect.Effect<void> {
    const { id } = this.#parts
    return Effect.gen({ self: this }, function* () {
      this.#failure = failure
      const news = newsFor(this.#told ?? "Kept", failure !== undefined)
      if (news === undefined) return
      yield* failure === undefined
        ? Effect.logInfo(`all promises of ${id} are kept again`)
        : Effect.logWarning(`${id}: ${failure}`)
      yield* this.retell
    })
  }

  /** Tells the master what the last check found, although it may know. */
  get retell(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { id, outbox } = this.#parts
      const failure = this.#failure
      this.#told = failure === undefined ? "Kept" : "Failing"
      return outbox.offer(
        failure === undefined
          ? { _tag: "Partition", id, state: "started" }
          : { _tag: "Partition", id, state: "error", log: failure },
      )
    })
  }

  /** One at a time. That they cannot be checked is a failure like others: the watching goes on whatever goes wrong. */
  #check(software: SoftwareUrl | undefined, request: CheckRequest): Effect.Effect<Check> {
    const { id, promises, view } = this.#parts
    return promises.check(software, request).pipe(
      Effect.catchDefect((defect) =>
        Effect.andThen(
          Effect.logError(`the promises of ${id} could not be checked`, defect),
          Effect.fail({ message: `the promises of ${id} cannot be checked: the agent failed to, see its log` }),
        ),
      ),
      Effect.catch(({ message }) =>
        Effect.map(Clock.currentTimeMillis, (now) => ({
          promises: [],
          failure: message,
          bang: undefined,
          nextAt: now + retryAfter,
        })),
      ),
      Effect.tap((check) => view.showPromises(check.promises)),
      (checking) => this.#turn.withPermit(checking),
    )
  }
}
