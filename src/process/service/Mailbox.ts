// Takes messages one after the other, on a fiber that lives only while there are some: thousands of programs do nothing
// but run, and a waiting fiber each would be most of the agent's memory.
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/** Starts a fiber that lives until it is interrupted or done. */
export type Fork = (effect: Effect.Effect<void>) => Fiber.Fiber<void>

export class Mailbox<M> {
  readonly #take: (message: M) => Effect.Effect<void>
  readonly #fork: Fork
  readonly #messages: Array<M> = []
  /** The fiber that works on the messages, or did last. */
  #worker: Fiber.Fiber<void> | undefined
  #isWorking = false
  #isClosed = false

  /** `take` must not fail: a message that does ends all work. */
  constructor(fork: Fork, take: (message: M) => Effect.Effect<void>) {
    this.#fork = fork
    this.#take = take
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  send(message: M): Effect.Effect<void> {
    return Effect.sync(() => {
      this.#messages.push(message)
      if (this.#isWorking || this.#isClosed) return
      // Before the fork: what it starts can be done when it returns.
      this.#isWorking = true
      this.#worker = this.#fork(this.#work())
    })
  }

  /** Lets the message under way be finished, and gives those that nobody will take. */
  get close(): Effect.Effect<ReadonlyArray<M>> {
    return Effect.suspend(() => {
      this.#isClosed = true
      const settled = this.#worker === undefined ? Effect.void : Fiber.await(this.#worker)
      return Effect.map(settled, () => this.#messages.splice(0))
    })
  }

  #work(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const message = this.#isClosed ? undefined : this.#messages.shift()
      if (message === undefined) {
        this.#isWorking = false
        return Effect.void
      }
      return Effect.andThen(this.#take(message), this.#work())
    })
  }
}
