// Keeps one software release as the master wants it: builds it, tells when instances can use it, removes it. Another
// wish cancels a build under way.
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { BuildError } from "../../build/BuildError.ts"
import type { BuildMode } from "../../build/profile.ts"
import type { BuildProgress } from "../../build/progress.ts"
import { SoftwareBuild } from "../../build/SoftwareBuild.ts"
import { NodeConfig } from "../../config/NodeConfig.ts"
import type { PartitionId, SoftwareUrl } from "../../domain/ids.ts"
import type { SoftwareStatus } from "../../domain/NodeStatus.ts"
import type { SoftwareRest } from "../../domain/Pass.ts"
import { Outbox } from "../../report/Outbox.ts"
import { StatusBoard } from "../../report/StatusBoard.ts"
import { type Actor, isBusy, type Mailbox, makeActor, nextWish } from "../Actor.ts"
import { Outcomes } from "../Outcomes.ts"
import { nextTry } from "../retry.ts"
import {
  decide,
  failed,
  forgotten,
  initialMemory,
  orderOf,
  type SoftwareMemory,
  type SoftwareWish,
  succeeded,
} from "./decide.ts"

export interface SoftwareOptions {
  readonly url: SoftwareUrl
  /** Called when instances can use the release, and when they no longer can. */
  readonly onReady: (isReady: boolean) => Effect.Effect<void>
  /** The partitions that have an instance of the release. */
  readonly users: Effect.Effect<ReadonlyArray<PartitionId>>
}

export interface SoftwareActor extends Actor<SoftwareWish> {
  /** Waits until a wish with that order, or a newer one, was followed or has failed. */
  readonly outcome: (order: number) => Effect.Effect<SoftwareRest>
  /** Whether a build still waits to be marked as complete, until the master knows of it. */
  readonly isUnmarked: () => boolean
}

export class SoftwareActors extends Context.Service<
  SoftwareActors,
  { readonly make: (options: SoftwareOptions) => Effect.Effect<SoftwareActor, never, Scope.Scope> }
>()("slapgrid/actors/software/SoftwareActors") {
  static readonly layer = Layer.effect(
    SoftwareActors,
    Effect.gen(function* () {
      const services: Services = {
        builder: yield* SoftwareBuild,
        board: yield* StatusBoard,
        outbox: yield* Outbox,
        turn: yield* Semaphore.make((yield* NodeConfig).softwareConcurrency),
      }
      const make = Effect.fnUntraced(function* (options: SoftwareOptions) {
        const { url } = options
        const completion = yield* FiberHandle.make<void>()
        const outcomes = new Outcomes<SoftwareRest>()
        // Whoever waits then would wait for ever.
        yield* Effect.addFinalizer(() =>
          outcomes.put(Number.POSITIVE_INFINITY, { requested: undefined, error: undefined }),
        )
        const work = new SoftwareWork(options, services, completion, outcomes)
        const actor = yield* makeActor(`software ${url}`, work.follow)
        return { ...actor, outcome: outcomes.of, isUnmarked: () => isBusy(completion) }
      })
      return SoftwareActors.of({ make })
    }),
  )
}

interface Services {
  readonly builder: SoftwareBuild["Service"]
  readonly board: StatusBoard["Service"]
  readonly outbox: Outbox["Service"]
  /** A build takes all of a machine: `software_concurrency` says how many at a time. */
  readonly turn: Semaphore.Semaphore
}

/** How often what a running build is at is put on the board. */
const progressInterval = "500 millis"

class SoftwareWork {
  readonly #url: SoftwareUrl
  readonly #onReady: SoftwareOptions["onReady"]
  readonly #services: Services
  /** The fiber that waits for the master to know of a finished build. */
  readonly #completion: FiberHandle.FiberHandle<void>
  readonly #outcomes: Outcomes<SoftwareRest>
  readonly #users: SoftwareOptions["users"]
  /** Also for a successor of a body that crashed: an order is not carried out twice. */
  #memory = initialMemory

  constructor(
    options: SoftwareOptions,
    services: Services,
    completion: FiberHandle.FiberHandle<void>,
    outcomes: Outcomes<SoftwareRest>,
  ) {
    this.#url = options.url
    this.#onReady = options.onReady
    this.#users = options.users
    this.#services = services
    this.#completion = completion
    this.#outcomes = outcomes
  }

  /** The actor's body: decide, do, remember. */
  readonly follow = (mailbox: Mailbox<SoftwareWish>): Effect.Effect<never> =>
    Effect.gen({ self: this }, function* () {
      let wish = yield* mailbox.take
      this.#memory = forgotten(this.#memory)
      while (true) {
        const decision = decide(wish, this.#memory, yield* Clock.currentTimeMillis)
        if (decision._tag === "Wait") {
          yield* this.#answer(wish)
          wish = yield* nextWish(mailbox, wish, decision.until)
          continue
        }
        const { requested } = wish.software
        const outcome = yield* Effect.raceFirst(
          Effect.result(decision._tag === "Build" ? this.#build(wish, decision.mode) : this.#destroy(wish)),
          Effect.as(
            mailbox.waitFor((newer) => newer.software.requested !== requested),
            undefined,
          ),
        )
        if (outcome === undefined) {
          yield* Effect.logInfo(`the work on ${this.#url} is cancelled: the master wants something else`)
          wish = yield* mailbox.take
          this.#memory = forgotten(this.#memory)
        } else if (outcome._tag === "Failure") this.#memory = yield* this.#fail(wish, outcome.failure)
        else this.#memory = succeeded(wish)
      }
    })

  #answer(wish: SoftwareWish): Effect.Effect<void> {
    const { requested } = wish.software
    const { error, failed } = this.#memory
    return this.#outcomes.put(orderOf(wish), {
      requested,
      error: failed === requested ? error : undefined,
    })
  }

  #show(wish: SoftwareWish, state: SoftwareStatus["state"], extra: Partial<SoftwareStatus> = {}): Effect.Effect<void> {
    const { requested } = wish.software
    return Effect.flatMap(Clock.currentTimeMillis, (since) =>
      this.#services.board.setSoftware(this.#url, {
        url: this.#url,
        requested,
        state,
        since,
        part: undefined,
        lastLines: [],
        error: undefined,
        ...extra,
      }),
    )
  }

  #build(wish: SoftwareWish, mode: BuildMode): Effect.Effect<void, BuildError> {
    const { builder, outbox, turn } = this.#services
    const url = this.#url
    return Effect.gen({ self: this }, function* () {
      if (mode.isForced) yield* this.#reopen
      if (!(yield* builder.isCompleted(url))) {
        // Of an earlier build, which a crash has kept from being marked.
        yield* FiberHandle.clear(this.#completion)
        yield* this.#show(wish, "waiting")
        yield* turn.withPermit(this.#buildNow(wish, mode))
        yield* Effect.logInfo(`${url} is built`)
        // Marked as completed only once the master knows: a crash in between repeats build and report.
        yield* outbox.deliver({ _tag: "Software", url, state: "available" }).pipe(
          Effect.andThen((delivery) => (delivery === "Replaced" ? Effect.void : builder.complete(url))),
          Effect.catch((error) => Effect.logWarning(`${url} will be built again: ${error.message}`)),
          FiberHandle.run(this.#completion),
        )
      }
      yield* this.#show(wish, "available")
      yield* this.#onReady(true)
    })
  }

  /** No instance is installed from a release that changes, and one whose new build fails is not taken for complete. */
  get #reopen(): Effect.Effect<void, BuildError> {
    return FiberHandle.clear(this.#completion).pipe(
      Effect.andThen(this.#onReady(false)),
      Effect.andThen(this.#services.builder.reopen(this.#url)),
    )
  }

  #buildNow(wish: SoftwareWish, mode: BuildMode): Effect.Effect<void, BuildError> {
    const { builder, outbox } = this.#services
    return Effect.gen({ self: this }, function* () {
      yield* Effect.logInfo(`building ${this.#url}`)
      yield* outbox.offer({ _tag: "Software", url: this.#url, state: "building" })
      yield* this.#show(wish, "building")
      const since = yield* Clock.currentTimeMillis
      const showProgress = (progress: Effect.Effect<BuildProgress>) =>
        progress.pipe(
          Effect.flatMap((now) => this.#show(wish, "building", { since, ...now })),
          Effect.delay(progressInterval),
          Effect.forever,
        )
      yield* builder.build(this.#url, mode, showProgress)
    })
  }

  #destroy(wish: SoftwareWish): Effect.Effect<void, BuildError> {
    const { builder, outbox } = this.#services
    return Effect.gen({ self: this }, function* () {
      yield* FiberHandle.clear(this.#completion)
      yield* this.#show(wish, "destroying")
      yield* this.#onReady(false)
      yield* Effect.flatMap(this.#users, (users) => this.#warn(users))
      yield* builder.destroy(this.#url)
      yield* Effect.logInfo(`${this.#url} is removed`)
      yield* this.#show(wish, "destroyed")
      yield* outbox.offer({ _tag: "Software", url: this.#url, state: "destroyed" })
    })
  }

  #warn(users: ReadonlyArray<PartitionId>): Effect.Effect<void> {
    return users.length === 0
      ? Effect.void
      : Effect.logWarning(`${this.#url} is removed as the master wants, although ${users.join(", ")} has it`)
  }

  #fail(wish: SoftwareWish, error: BuildError): Effect.Effect<SoftwareMemory> {
    const { requested } = wish.software
    return Effect.gen({ self: this }, function* () {
      const failures = this.#memory.failed === requested ? this.#memory.failures + 1 : 1
      const { delay, line } = yield* nextTry(this.#url, failures)
      yield* Effect.logError(`${error.message}${line}`)
      yield* this.#show(wish, "failed", { error: error.message })
      yield* this.#services.outbox.offer({ _tag: "Software", url: this.#url, state: "error", log: error.message })
      const retryAt = (yield* Clock.currentTimeMillis) + delay
      return failed(wish, this.#memory, { error: error.message, failures, retryAt })
    })
  }
}
