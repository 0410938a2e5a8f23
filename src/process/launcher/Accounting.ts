// Asks for the entries of users: one question for all that are wanted at once or while another one is answered, since each
// costs a fork of the launcher.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { LaunchError } from "./Connection.ts"
import type { Account } from "./protocol.ts"

/** Of one question. */
const limit = 64
/** Questions at once, where one of the users hangs. */
const questionsAtOnce = 8

/** In the order of the uids, null for one without an entry; only the first ones where the database is slow. */
export type AskForAccounts = (uids: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<Account | null>, LaunchError>

export class Accounting {
  readonly #ask: AskForAccounts
  readonly #wanted = new Map<number, Deferred.Deferred<Account | undefined, LaunchError>>()
  readonly #turn = Semaphore.makeUnsafe(1)

  constructor(ask: AskForAccounts) {
    this.#ask = ask
  }

  /** Undefined for a uid without an entry. */
  readonly of = (uid: number): Effect.Effect<Account | undefined, LaunchError> =>
    Effect.suspend(() => {
      const wanted = this.#wanted.get(uid) ?? Deferred.makeUnsafe()
      this.#wanted.set(uid, wanted)
      const work = Effect.suspend(() => {
        if (this.#wanted.get(uid) !== wanted) return Effect.void
        const others = [...this.#wanted.keys()].filter((other) => other !== uid)
        return this.#answer([uid, ...others].slice(0, limit))
      })
      // Who else asks now comes first.
      return Effect.yieldNow.pipe(Effect.andThen(this.#turn.withPermit(work)), Effect.andThen(Deferred.await(wanted)))
    })

  #answer(uids: ReadonlyArray<number>): Effect.Effect<void> {
    return Effect.matchEffect(this.#ask(uids), {
      onSuccess: (accounts) =>
        Effect.sync(() => {
          // Who is left asks again.
          for (const [index, uid] of uids.slice(0, accounts.length).entries()) {
            this.#tell(uid, Effect.succeed(accounts[index] ?? undefined))
          }
        }),
      // It is one of them: which one, nobody has said.
      onFailure: (error) =>
        uids.length > 1
          ? Effect.forEach(uids, (uid) => this.#answer([uid]), { concurrency: questionsAtOnce, discard: true })
          : Effect.sync(() => uids.forEach((uid) => this.#tell(uid, Effect.fail(error)))),
    })
  }

  #tell(uid: number, answer: Effect.Effect<Account | undefined, LaunchError>): void {
    const wanted = this.#wanted.get(uid)
    this.#wanted.delete(uid)
    if (wanted !== undefined) Deferred.doneUnsafe(wanted, answer)
  }
}
