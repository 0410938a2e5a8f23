// Whose turn it is to be processed: buildouts are bound by the processor, so only so many run at once. What changed goes
// first, then what failed before, then what is only due by age; of these, releases take turns, however many instances of
// one wait; and what changed never waits for the others alone: one of it is let in beyond the limit.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Aside } from "../../build/Buildout.ts"

/** Why it is processed, the most urgent first. */
export const ranks = ["Changed", "Retried", "Aged"] as const
export type Rank = (typeof ranks)[number]

export interface Turn {
  readonly rank: Rank
  /** Whose instance it is. */
  readonly release: string | undefined
}

/**
 * Which of those that wait, in the order of arrival, is let in beside those inside; undefined: nobody. `served`: the
 * releases that had a turn, the last one last.
 */
export const admitted = <T extends Turn>(
  limit: number,
  inside: ReadonlyArray<Turn>,
  waiting: ReadonlyArray<T>,
  served: ReadonlyArray<string | undefined>,
): T | undefined => {
  const urgent = ranks.find((rank) => waiting.some((one) => one.rank === rank))
  const isFree = inside.length < limit || (urgent === "Changed" && !inside.some(({ rank }) => rank === "Changed"))
  if (urgent === undefined || !isFree) return undefined
  // Of one release, who came first; a sort would take seconds of a thousand that wait.
  const first = new Map<string | undefined, T>()
  for (const one of waiting) if (one.rank === urgent && !first.has(one.release)) first.set(one.release, one)
  const countInside = ({ release }: Turn) => inside.filter((one) => one.release === release).length
  return [...first.values()].sort(
    (a, b) => countInside(a) - countInside(b) || served.lastIndexOf(a.release) - served.lastIndexOf(b.release),
  )[0]
}

/** How long work keeps others waiting. */
const turnLimit = "2 minutes"

interface Visitor extends Turn {
  readonly isIn: Deferred.Deferred<void>
}

export class Turnstile {
  readonly #limit: number
  readonly #waiting: Array<Visitor> = []
  readonly #inside: Array<Visitor> = []
  #served: ReadonlyArray<string | undefined> = []

  constructor(limit: number) {
    this.#limit = limit
  }

  /**
   * Waits for a turn and works. Work that waits for something itself steps `aside` for that: others have its turn, and it
   * gets another one afterwards. Work that hangs gives its turn up after a while: it must not hold all others.
   */
  inTurn<A, E>(turn: Turn, work: (aside: Aside) => Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.gen({ self: this }, function* () {
      const scope = yield* Effect.scope
      let visitor = this.#arrive(turn)
      const leave = Effect.suspend(() => this.#leaving(visitor))
      const enter = Effect.suspend(() => {
        const { isIn } = visitor
        return Effect.andThen(
          Deferred.await(isIn),
          Effect.forkIn(Effect.delay(this.#leaving(visitor), turnLimit), scope),
        )
      })
      const aside: Aside = (wait) =>
        Effect.flatMap(Effect.andThen(leave, Effect.exit(wait)), (exit) => {
          visitor = this.#arrive(turn)
          return Effect.andThen(enter, exit)
        })
      return yield* Effect.ensuring(
        Effect.andThen(
          enter,
          Effect.suspend(() => work(aside)),
        ),
        leave,
      )
    }).pipe(Effect.scoped)
  }

  #arrive(turn: Turn): Visitor {
    const visitor: Visitor = { ...turn, isIn: Deferred.makeUnsafe() }
    this.#waiting.push(visitor)
    this.#letIn()
    return visitor
  }

  #leaving(visitor: Visitor): Effect.Effect<void> {
    return Effect.sync(() => this.#leave(visitor))
  }

  #leave(visitor: Visitor): void {
    for (const place of [this.#waiting, this.#inside]) {
      const index = place.indexOf(visitor)
      if (index >= 0) place.splice(index, 1)
    }
    this.#letIn()
  }

  #letIn(): void {
    while (true) {
      const visitor = admitted(this.#limit, this.#inside, this.#waiting, this.#served)
      if (visitor === undefined) return
      this.#waiting.splice(this.#waiting.indexOf(visitor), 1)
      this.#inside.push(visitor)
      this.#served = [...this.#served.filter((one) => one !== visitor.release), visitor.release]
      Deferred.doneUnsafe(visitor.isIn, Effect.void)
    }
  }
}
