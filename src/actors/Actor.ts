// An actor is a fiber that owns one thing and follows the newest wish about it. Wishes do not queue: one that came
// while another was worked on replaces it. A body that crashes is started again with backoff and the last wish.
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

/** A place for one value: the newest. */
export class Mailbox<A> {
  #value: { readonly wish: A } | undefined
  #last: { readonly wish: A } | undefined
  #changed = Deferred.makeUnsafe<void>()

  readonly put = (wish: A): Effect.Effect<void> =>
    Effect.suspend(() => {
      this.#value = { wish }
      this.#last = this.#value
      const changed = this.#changed
      this.#changed = Deferred.makeUnsafe()
      return Effect.asVoid(Deferred.succeed(changed, undefined))
    })

  /** Whether every wish was taken. */
  get isEmpty(): boolean {
    return this.#value === undefined
  }

  /** Waits for a wish that has not been taken, and takes it. */
  readonly take: Effect.Effect<A> = Effect.suspend(() => {
    const value = this.#value
    if (value === undefined) return Effect.andThen(Deferred.await(this.#changed), this.take)
    this.#value = undefined
    return Effect.succeed(value.wish)
  })

  /** Waits until a wish that satisfies the predicate lies there, and leaves it there. */
  readonly waitFor = (predicate: (wish: A) => boolean): Effect.Effect<void> =>
    Effect.suspend(() => {
      const value = this.#value
      if (value !== undefined && predicate(value.wish)) return Effect.void
      return Effect.andThen(Deferred.await(this.#changed), this.waitFor(predicate))
    })

  /** Makes the last wish, taken or not, lie there again: for a successor. */
  readonly restore: Effect.Effect<void> = Effect.suspend(() =>
    this.#value === undefined && this.#last !== undefined ? this.put(this.#last.wish) : Effect.void,
  )
}

export interface Actor<Wish> {
  readonly tell: (wish: Wish) => Effect.Effect<void>
}

/**
 * Runs `body` for the life of the Scope. The body takes wishes from the mailbox and returns never; what must survive
 * its crash belongs into the surrounding Scope.
 */
export const makeActor = Effect.fnUntraced(function* <Wish, R>(
  name: string,
  body: (mailbox: Mailbox<Wish>) => Effect.Effect<never, never, R>,
): Effect.fn.Return<Actor<Wish>, never, R | Scope.Scope> {
  const mailbox = new Mailbox<Wish>()
  yield* Effect.suspend(() => body(mailbox)).pipe(
    Effect.sandbox,
    // Also when something inside was interrupted; an interruption of the actor itself never comes here.
    Effect.tapError((cause) =>
      Effect.andThen(Effect.logError(`${name} crashed and is started again`, cause), mailbox.restore),
    ),
    Effect.retry(restart),
    Effect.annotateLogs({ actor: name }),
    Effect.forkScoped,
  )
  return { tell: mailbox.put }
})

/** 1 s after the first crash, doubling up to a minute. */
const restart = Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("1 minute")])

/** Takes the next wish, or gives back the current one when it is time (milliseconds since 1970) to look again. */
export const nextWish = <Wish>(mailbox: Mailbox<Wish>, current: Wish, until: number | undefined): Effect.Effect<Wish> =>
  until === undefined
    ? mailbox.take
    : Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Effect.timeoutOrElse(mailbox.take, {
          // No timer of the platform is longer than 24 days; looking once a day costs nothing.
          // Rounded up, so that it is not too early to look by a fraction.
          duration: Math.min(24 * 3600_000, Math.max(0, Math.ceil(until - now))),
          orElse: () => Effect.succeed(current),
        }),
      )

/** Whether a fiber that nobody waits for is still at work there. */
export const isBusy = (handle: FiberHandle.FiberHandle<void>): boolean => Option.isSome(FiberHandle.getUnsafe(handle))
