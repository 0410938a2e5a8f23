// At most one thing that happens later: setting the timer again forgets what was set before.
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Fork } from "./Mailbox.ts"

export class Timer {
  readonly #fork: Fork
  #running: Fiber.Fiber<void> | undefined

  constructor(fork: Fork) {
    this.#fork = fork
  }

  /** `delay` in milliseconds. */
  set(delay: number, effect: Effect.Effect<void>): Effect.Effect<void> {
    const due = Effect.suspend(() => {
      // What happens now may set or cancel the timer: that must not interrupt itself.
      this.#running = undefined
      return effect
    })
    const start = Effect.sync(() => void (this.#running = this.#fork(Effect.delay(due, delay))))
    return Effect.andThen(this.cancel, start)
  }

  get cancel(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const timer = this.#running
      this.#running = undefined
      return timer === undefined ? Effect.void : Fiber.interrupt(timer)
    })
  }
}
