// What became of orders. Whoever gives an actor an order with its wish waits here; an actor that has dealt with an order
// has dealt with all that came before it, because only the newest wish counts.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

export class Outcomes<Outcome> {
  #last: { readonly order: number; readonly outcome: Outcome } | undefined
  #changed = Deferred.makeUnsafe<void>()

  /** Tells what became of the order of that number, and of older ones. */
  readonly put = (order: number, outcome: Outcome): Effect.Effect<void> =>
    Effect.suspend(() => {
      this.#last = { order, outcome }
      const changed = this.#changed
      this.#changed = Deferred.makeUnsafe()
      return Effect.asVoid(Deferred.succeed(changed, undefined))
    })

  /** Waits until that order or a newer one was dealt with. */
  readonly of = (order: number): Effect.Effect<Outcome> =>
    Effect.suspend(() =>
      this.#last !== undefined && this.#last.order >= order
        ? Effect.succeed(this.#last.outcome)
        : Effect.andThen(Deferred.await(this.#changed), this.of(order)),
    )
}
