// Ports that do what a test says: every call is remembered, and waits until the test has answered it. No test has to
// guess when a call comes: it takes the next one.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

/** Values in the order of their arrival, each taken once. */
export class Inbox<A> {
  readonly #items: Array<{ readonly value: A }> = []
  readonly #takers = new Set<(value: A) => void>()

  push(value: A): void {
    const [taker] = this.#takers
    if (taker === undefined) return void this.#items.push({ value })
    this.#takers.delete(taker)
    taker(value)
  }

  /** How many came and were not taken. */
  get size(): number {
    return this.#items.length
  }

  readonly take: Effect.Effect<A> = Effect.callback<A>((resume) => {
    const item = this.#items.shift()
    if (item !== undefined) return resume(Effect.succeed(item.value))
    const taker = (value: A) => resume(Effect.succeed(value))
    this.#takers.add(taker)
    return Effect.sync(() => this.#takers.delete(taker))
  })
}

export interface Call<Input, A, E> {
  readonly input: Input
  readonly answer: (how: Effect.Effect<A, E>) => Effect.Effect<void>
  /** Waits until the caller has lost interest. */
  readonly interrupted: Effect.Effect<void>
}

/** One operation of a port. With `reply`, calls are answered by it at once. */
export class Calls<Input, A, E = never> {
  /** The inputs of all calls so far. */
  readonly inputs: Array<Input> = []
  readonly #inbox = new Inbox<Call<Input, A, E>>()
  reply: ((input: Input) => Effect.Effect<A, E>) | undefined

  constructor(reply?: (input: Input) => Effect.Effect<A, E>) {
    this.reply = reply
  }

  readonly call = (input: Input): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      this.inputs.push(input)
      const answer = Deferred.makeUnsafe<Effect.Effect<A, E>>()
      const interrupted = Deferred.makeUnsafe<void>()
      if (this.reply !== undefined) return this.reply(input)
      this.#inbox.push({
        input,
        answer: (how) => Effect.asVoid(Deferred.succeed(answer, how)),
        interrupted: Deferred.await(interrupted),
      })
      return Effect.flatten(Deferred.await(answer)).pipe(
        Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined)),
      )
    })

  /** The next call that was not taken yet, past or future. */
  readonly next: Effect.Effect<Call<Input, A, E>> = this.#inbox.take

  /** Calls that came and were not taken. */
  get untaken(): number {
    return this.#inbox.size
  }
}

/** Lets a test wait until something that tells its changes has become true. */
export class Watch {
  readonly #looks = new Set<() => void>()

  readonly changed: Effect.Effect<void> = Effect.sync(() => {
    for (const look of this.#looks) look()
  })

  readonly until = (holds: () => boolean): Effect.Effect<void> =>
    Effect.callback<void>((resume) => {
      const look = () => {
        if (!holds()) return
        this.#looks.delete(look)
        resume(Effect.void)
      }
      this.#looks.add(look)
      look()
      return Effect.sync(() => this.#looks.delete(look))
    })
}

/** Lets every fiber that can go on go on, until each waits for something. */
export const settle: Effect.Effect<void> = Effect.forEach(Array.from({ length: 50 }), () => Effect.yieldNow, {
  discard: true,
})
