// How many promises run at once on the node. One that hangs gives its place up after two seconds: stuck promises of some
// partitions must not keep those of the others waiting. How many of its own a partition may run is the caller's affair.
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"

/** After that, a promise waits for something and is not at work. */
const hangsAfter = "2 seconds"
const perProcessor = 4

export class Places {
  readonly #places: Semaphore.Semaphore

  constructor(processors: number) {
    this.#places = Semaphore.makeUnsafe(perProcessor * processors)
  }

  /** Waits for a place and works. */
  within<A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen({ self: this }, function* () {
        yield* restore(this.#places.take(1))
        let isHeld = true
        const giveBack = Effect.suspend(() => {
          if (!isHeld) return Effect.void
          isHeld = false
          return this.#places.release(1)
        })
        const working = Effect.andThen(Effect.forkScoped(Effect.delay(giveBack, hangsAfter)), work)
        return yield* restore(Effect.scoped(working)).pipe(Effect.ensuring(giveBack))
      }),
    )
  }
}
