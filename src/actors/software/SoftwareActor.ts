// Keeps one software release as the master wants it: builds it, tells when instances can use it, removes it. Another
// wish cancels a build under way.
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { BuildError } from "../../build/BuildError.ts"
import { type BuildProgress, SoftwareBuild } from "../../build/SoftwareBuild.ts"
import type { SoftwareUrl } from "../../domain/ids.ts"
import type { SoftwareStatus } from "../../domain/NodeStatus.ts"
import { Outbox } from "../../report/Outbox.ts"
import { StatusBoard } from "../../report/StatusBoard.ts"
import { type Actor, type Mailbox, makeActor, nextWish } from "../Actor.ts"
import { retryDelay } from "../retry.ts"
import { decide, initialMemory, type SoftwareMemory, type SoftwareWish } from "./decide.ts"

export interface SoftwareOptions {
  readonly url: SoftwareUrl
  /** Called when instances can use the release, and when they no longer can. */
  readonly onReady: (isReady: boolean) => Effect.Effect<void>
}

export class SoftwareActors extends Context.Service<
  SoftwareActors,
  { readonly make: (options: SoftwareOptions) => Effect.Effect<Actor<SoftwareWish>, never, Scope.Scope> }
>()("slapgrid/actors/software/SoftwareActors") {
  static readonly layer = Layer.effect(
    SoftwareActors,
    Effect.gen(function* () {
      const services: Services = {
        builder: yield* SoftwareBuild,
        board: yield* StatusBoard,
        outbox: yield* Outbox,
        turn: yield* Semaphore.make(1),
      }
      const make = Effect.fnUntraced(function* (options: SoftwareOptions) {
        const completion = yield* FiberHandle.make<void>()
        const work = new SoftwareWork(options, services, completion)
        return yield* makeActor(`software ${options.url}`, work.follow)
      })
      return SoftwareActors.of({ make })
    }),
  )
}

interface Services {
  readonly builder: SoftwareBuild["Service"]
  readonly board: StatusBoard["Service"]
  readonly outbox: Outbox["Service"]
  /** A build takes all of a machine: one at a time. */
  readonly turn: Semaphore.Semaphore
}

/** How often the newest line of a running build is put on the board. */
const progressInterval = "500 millis"

class SoftwareWork {
  readonly #url: SoftwareUrl
  readonly #onReady: SoftwareOptions["onReady"]
  readonly #services: Services
  /** The fiber that waits for the master to know of a finished build. */
  readonly #completion: FiberHandle.FiberHandle<void>

  constructor(options: SoftwareOptions, services: Services, completion: FiberHandle.FiberHandle<void>) {
    this.#url = options.url
    this.#onReady = options.onReady
    this.#services = services
    this.#completion = completion
  }

  /** The actor's body: decide, do, remember. */
  readonly follow = (mailbox: Mailbox<SoftwareWish>): Effect.Effect<never> =>
    Effect.gen({ self: this }, function* () {
      let wish = yield* mailbox.take
      let memory = initialMemory
      while (true) {
        const decision = decide(wish, memory, yield* Clock.currentTimeMillis)
        if (decision._tag === "Wait") {
          wish = yield* nextWish(mailbox, wish, decision.until)
          continue
        }
        const { requested } = wish.software
        const work = decision._tag === "Build" ? this.#build(wish) : this.#destroy(wish)
        const outcome = yield* Effect.raceFirst(
          Effect.result(work),
          Effect.as(
            mailbox.waitFor((newer) => newer.software.requested !== requested),
            undefined,
          ),
        )
        if (outcome === undefined) {
          yield* Effect.logInfo(`the work on ${this.#url} is cancelled: the master wants something else`)
          wish = yield* mailbox.take
          memory = initialMemory
        } else if (outcome._tag === "Failure") memory = yield* this.#fail(wish, memory, outcome.failure)
        else memory = { ...initialMemory, settled: requested }
      }
    })

  #show(wish: SoftwareWish, state: SoftwareStatus["state"], extra: Partial<SoftwareStatus> = {}): Effect.Effect<void> {
    const { requested } = wish.software
    return Effect.flatMap(Clock.currentTimeMillis, (since) =>
      this.#services.board.setSoftware(this.#url, {
        url: this.#url,
        requested,
        state,
        since,
        lastLine: undefined,
        error: undefined,
        ...extra,
      }),
    )
  }

  #build(wish: SoftwareWish): Effect.Effect<void, BuildError> {
    const { builder, outbox, turn } = this.#services
    const url = this.#url
    return Effect.gen({ self: this }, function* () {
      if (!(yield* builder.isCompleted(url))) {
        yield* this.#show(wish, "waiting")
        yield* turn.withPermit(this.#buildNow(wish))
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

  #buildNow(wish: SoftwareWish): Effect.Effect<void, BuildError> {
    const { builder, outbox } = this.#services
    return Effect.gen({ self: this }, function* () {
      yield* Effect.logInfo(`building ${this.#url}`)
      yield* outbox.offer({ _tag: "Software", url: this.#url, state: "building" })
      yield* this.#show(wish, "building")
      const since = yield* Clock.currentTimeMillis
      const showProgress = ({ lastLine }: BuildProgress) =>
        lastLine.pipe(
          Effect.flatMap((line) => this.#show(wish, "building", { since, lastLine: line === "" ? undefined : line })),
          Effect.delay(progressInterval),
          Effect.forever,
        )
      yield* builder.build(this.#url, showProgress)
    })
  }

  #destroy(wish: SoftwareWish): Effect.Effect<void, BuildError> {
    const { builder, outbox } = this.#services
    return Effect.gen({ self: this }, function* () {
      yield* FiberHandle.clear(this.#completion)
      yield* this.#show(wish, "destroying")
      yield* this.#onReady(false)
      yield* builder.destroy(this.#url)
      yield* Effect.logInfo(`${this.#url} is removed`)
      yield* this.#show(wish, "destroyed")
      yield* outbox.offer({ _tag: "Software", url: this.#url, state: "destroyed" })
    })
  }

  #fail(wish: SoftwareWish, memory: SoftwareMemory, error: BuildError): Effect.Effect<SoftwareMemory> {
    const { requested } = wish.software
    return Effect.gen({ self: this }, function* () {
      const failures = memory.failed === requested ? memory.failures + 1 : 1
      const delay = retryDelay(failures) * (0.75 + (yield* Random.next) / 2)
      yield* Effect.logError(`${error.message}\n${this.#url} is tried again in ${Math.round(delay / 1000)} s`)
      yield* this.#show(wish, "failed", { error: error.message })
      yield* this.#services.outbox.offer({ _tag: "Software", url: this.#url, state: "error", log: error.message })
      const retryAt = (yield* Clock.currentTimeMillis) + delay
      return { settled: undefined, failures, retryAt, nudge: wish.nudge, failed: requested }
    })
  }
}
