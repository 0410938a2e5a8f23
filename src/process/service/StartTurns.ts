// Whose turn it is to be started: starts are bound by the processors, so only so many are under way at once. One that
// hangs in the kernel (a lease on the program sees to that for 45 s, and its owner can take one: fcntl(2)) soon counts
// for its partition only, which must not keep others from starting.
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Fork } from "./Mailbox.ts"

export interface Start {
  readonly partition: string
  /** Milliseconds since 1970. */
  readonly since: number
}

/** More would only share the processors. */
const startsAtOnce = 8
/** A partition's own, those that hang included. */
const startsOfPartition = 4
/** Milliseconds; a start takes a few. */
const hangsAfter = 1000

const counts = ({ since }: Start, now: number): boolean => now - since < hangsAfter

/** Which of those that wait, in the order of arrival, may start beside those under way; undefined: nobody. */
export const nextStart = <W extends Pick<Start, "partition">>(
  underWay: ReadonlyArray<Start>,
  waiting: ReadonlyArray<W>,
  now: number,
): W | undefined => {
  if (underWay.filter((one) => counts(one, now)).length >= startsAtOnce) return undefined
  const ofPartition = ({ partition }: W) => underWay.filter((one) => one.partition === partition).length
  return waiting.find((one) => ofPartition(one) < startsOfPartition)
}

interface Waiting {
  readonly partition: string
  readonly isIn: Deferred.Deferred<void>
}

export class StartTurns {
  readonly #fork: Fork
  readonly #waiting: Array<Waiting> = []
  readonly #underWay = new Map<Waiting, Start>()
  /** Whether somebody looks again when a start has hung for long enough. */
  #isWatched = false

  constructor(fork: Fork) {
    this.#fork = fork
  }

  /** Waits for a turn, which lasts until the Scope ends. */
  take(partition: string): Effect.Effect<void, never, Scope.Scope> {
    return Effect.suspend(() => {
      const one: Waiting = { partition, isIn: Deferred.makeUnsafe() }
      this.#waiting.push(one)
      return Effect.addFinalizer(() => this.#leave(one)).pipe(
        Effect.andThen(this.#letIn),
        Effect.andThen(Deferred.await(one.isIn)),
      )
    })
  }

  #leave(one: Waiting): Effect.Effect<void> {
    return Effect.suspend(() => {
      // One that was let in does not wait any more.
      if (!this.#underWay.delete(one)) this.#waiting.splice(this.#waiting.indexOf(one), 1)
      return this.#letIn
    })
  }

  get #letIn(): Effect.Effect<void> {
    return Effect.map(Clock.currentTimeMillis, (now) => {
      while (true) {
        const one = nextStart([...this.#underWay.values()], this.#waiting, now)
        if (one === undefined) break
        this.#waiting.splice(this.#waiting.indexOf(one), 1)
        this.#underWay.set(one, { partition: one.partition, since: now })
        Deferred.doneUnsafe(one.isIn, Effect.void)
      }
      this.#watch(now)
    })
  }

  /** Lets others in when the oldest start that counts counts no more. */
  #watch(now: number): void {
    const counted = [...this.#underWay.values()].filter((one) => counts(one, now))
    if (this.#isWatched || this.#waiting.length === 0 || counted.length === 0) return
    this.#isWatched = true
    const look = Effect.suspend(() => {
      this.#isWatched = false
      return this.#letIn
    })
    this.#fork(Effect.delay(look, Math.min(...counted.map(({ since }) => since)) + hangsAfter - now))
  }
}
