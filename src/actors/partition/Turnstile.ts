// Whose turn it is to be processed: buildouts are bound by the processor, so only so many run at once. What changed goes
// first, then what failed before, then what is only due by age, each in the order of arrival; and what changed never
// waits for the others alone: one of it is let in beyond the limit.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

/** Why it is processed, the most urgent first. */
export const ranks = ["Changed", "Retried", "Aged"] as const
export type Rank = (typeof ranks)[number]

/** Which of those that wait, in the order of arrival, is let in beside those inside; undefined: nobody. */
export const admitted = (
  limit: number,
  inside: ReadonlyArray<Rank>,
  waiting: ReadonlyArray<Rank>,
): number | undefined => {
  const urgent = ranks.find((rank) => waiting.includes(rank))
  if (urgent === undefined) return undefined
  const isFree = inside.length < limit || (urgent === "Changed" && !inside.includes("Changed"))
  return isFree ? waiting.indexOf(urgent) : undefined
}

/** How long work keeps others waiting. */
const turnLimit = "2 minutes"

interface Visitor {
  readonly rank: Rank
  readonly isIn: Deferred.Deferred<void>
}

export class Turnstile {
  readonly #limit: number
  readonly #waiting: Array<Visitor> = []
  readonly #inside: Array<Visitor> = []

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Waits for a turn and works. Work that hangs gives its turn up after a while: it must not hold all others. */
  inTurn<A, E>(rank: Rank, work: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.flatMap(Scope.make(), (scope) => {
      const giveBack = Scope.close(scope, Exit.void)
      const working = Effect.andThen(Effect.forkScoped(Effect.delay(giveBack, turnLimit)), work)
      return Scope.provide(this.#enter(rank), scope).pipe(
        Effect.andThen(Effect.scoped(working)),
        Effect.ensuring(giveBack),
      )
    })
  }

  #enter(rank: Rank): Effect.Effect<void, never, Scope.Scope> {
    return Effect.suspend(() => {
      const visitor: Visitor = { rank, isIn: Deferred.makeUnsafe() }
      this.#waiting.push(visitor)
      this.#letIn()
      return Effect.andThen(
        Effect.addFinalizer(() => Effect.sync(() => this.#leave(visitor))),
        Deferred.await(visitor.isIn),
      )
    })
  }

  #leave(visitor: Visitor): void {
    for (const place of [this.#waiting, this.#inside]) {
      const index = place.indexOf(visitor)
      if (index >= 0) place.splice(index, 1)
    }
    this.#letIn()
  }

  #letIn(): void {
    const rankOf = ({ rank }: Visitor) => rank
    while (true) {
      const index = admitted(this.#limit, this.#inside.map(rankOf), this.#waiting.map(rankOf))
      const visitor = index === undefined ? undefined : this.#waiting.splice(index, 1)[0]
      if (visitor === undefined) return
      this.#inside.push(visitor)
      Deferred.doneUnsafe(visitor.isIn, Effect.void)
    }
  }
}
