// What a pass has to tell, for one reader who may be slow or gone: about each release or partition only the newest
// event waits, so that nothing grows while nobody reads.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { PassEvent } from "../domain/Pass.ts"

const keyOf = (event: PassEvent): string => ("subject" in event ? `of ${event.subject}` : event._tag)

export class PassLog {
  readonly #waiting = new Map<string, PassEvent>()
  #changed = Deferred.makeUnsafe<void>()

  readonly put = (event: PassEvent): Effect.Effect<void> =>
    Effect.suspend(() => {
      const key = keyOf(event)
      // Behind what came before it.
      this.#waiting.delete(key)
      this.#waiting.set(key, event)
      const changed = this.#changed
      this.#changed = Deferred.makeUnsafe()
      return Effect.asVoid(Deferred.succeed(changed, undefined))
    })

  readonly #next: Effect.Effect<PassEvent> = Effect.suspend(() => {
    const [first] = this.#waiting
    if (first === undefined) return Effect.andThen(Deferred.await(this.#changed), this.#next)
    this.#waiting.delete(first[0])
    return Effect.succeed(first[1])
  })

  /** For one reader; over with the end of the pass. */
  readonly events: Stream.Stream<PassEvent> = Stream.takeUntil(
    Stream.fromEffectRepeat(this.#next),
    ({ _tag }) => _tag === "Ended",
  )
}
