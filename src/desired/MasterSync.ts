// Follows the master: asks it at start, then every interval, and at once when told to. An answer that is missing or
// unusable changes nothing: the last good one stays in force, that of an earlier agent too, with a word of how the
// master stands.
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import { NodeConfig } from "../config/NodeConfig.ts"
import type { DesiredState, RejectedRecord } from "../domain/DesiredState.ts"
import type { MasterStanding } from "../domain/NodeStatus.ts"
import { MasterClient } from "../master/MasterClient.ts"
import { fromDefect, type MasterError } from "../master/MasterError.ts"
import { StatusBoard } from "../report/StatusBoard.ts"
import { DesiredCache } from "./DesiredCache.ts"
import { firstDelay, nextDelay } from "./polling.ts"

export interface Update {
  readonly state: DesiredState
  /** Whether that is the master's word of now. */
  readonly standing: MasterStanding
  /** Grows whenever somebody asked for a sync since the last update: what has failed is tried again at once. */
  readonly nudge: number
}

export const standingOf = ({ reason }: MasterError): MasterStanding => (reason === "Unauthorised" ? "Refuses" : "Away")

export class MasterSync extends Context.Service<
  MasterSync,
  {
    /** Good answers, and changes of the master's standing; a slow reader gets only the newest. For one reader. */
    readonly updates: Queue.Dequeue<Update>
    /** Asks the master now, and has what failed tried again. */
    readonly syncNow: Effect.Effect<void>
    /** Asks the master now, and waits for the answer; nobody else is disturbed. */
    readonly ask: Effect.Effect<DesiredState, MasterError>
    /** What is to be followed while the master does not answer a node that follows nobody by itself. */
    readonly remembered: DesiredState | undefined
  }
>()("slapgrid/desired/MasterSync") {
  static readonly layer = Layer.effect(
    MasterSync,
    Effect.gen(function* () {
      const config = yield* NodeConfig
      const client = yield* MasterClient
      const board = yield* StatusBoard
      const updates = yield* Queue.sliding<Update>(1)
      const wakeUps = yield* Queue.sliding<void>(1)
      let isNudged = false
      /** Those who wait for the answer to a question that has not begun yet. */
      let askers: Array<Deferred.Deferred<DesiredState, MasterError>> = []

      const cache = yield* DesiredCache
      let failures = 0
      let lastReason: MasterError["reason"] | undefined
      let lastSuccess: number | undefined
      let rejected = ""
      let update: Update | undefined

      const tell = (next: Update) =>
        Effect.suspend(() => {
          update = next
          return Queue.offer(updates, next)
        })

      const succeed = Effect.fnUntraced(function* (state: DesiredState, nudge: number) {
        if (failures > 0) yield* Effect.logInfo(`the master answers again`)
        failures = 0
        lastReason = undefined
        lastSuccess = yield* Clock.currentTimeMillis
        const told = describeRejected(state.rejected)
        if (told !== "" && told !== rejected)
          yield* Effect.logWarning(`the master's answer has unusable records: ${told}`)
        rejected = told
        yield* board.setSync({ lastSuccess, standing: "Answers", error: told === "" ? undefined : told })
        yield* tell({ state, standing: "Answers", nudge })
        yield* cache.keep(state)
      })

      const fail = Effect.fnUntraced(function* (error: MasterError) {
        failures++
        const isNews = error.reason !== lastReason
        lastReason = error.reason
        const standing = standingOf(error)
        if (isNews) yield* Effect.logWarning(`${error.message}; what runs goes on`)
        yield* board.setSync({ lastSuccess, standing, error: error.message })
        if (update !== undefined && update.standing !== standing) yield* tell({ ...update, standing })
      })

      /** A fleet that starts at once starts its services from what it knows, and asks one after the other. */
      const begin = Effect.gen(function* () {
        const delay = firstDelay(config, cache.last !== undefined, yield* Random.next)
        if (cache.last === undefined) return delay
        yield* Effect.logInfo("following what the master wanted last, until it has been asked")
        yield* board.setSync({ lastSuccess, standing: "NotAsked", error: undefined })
        yield* tell({ state: cache.last, standing: "NotAsked", nudge: 0 })
        return delay
      })

      /** Waits so many milliseconds, or until somebody asks. */
      const awakened = (delay: number) =>
        Queue.take(wakeUps).pipe(Effect.timeoutOrElse({ duration: delay, orElse: () => Effect.void }))

      const loop = Effect.gen(function* () {
        let nudge = 0
        yield* awakened(yield* begin)
        while (true) {
          if (isNudged) nudge++
          isNudged = false
          const asking = askers
          askers = []
          const answer = yield* Effect.result(Effect.catchDefect(client.desiredState, fromDefect("desiredState")))
          if (answer._tag === "Success") yield* succeed(answer.success, nudge)
          else yield* fail(answer.failure)
          for (const asker of asking) Deferred.doneUnsafe(asker, Effect.fromResult(answer))
          const usual = nextDelay(config.syncInterval, failures, yield* Random.next)
          // A master that asks for more time gets it, unless somebody here wants to know now.
          const asked = answer._tag === "Failure" ? (answer.failure.retryAfter ?? 0) : 0
          yield* awakened(Math.max(usual, asked))
        }
      })
      yield* Effect.forkScoped(Effect.annotateLogs(loop, { actor: "master" }))
      const wake = Effect.asVoid(Queue.offer(wakeUps, undefined))
      const syncNow = Effect.suspend(() => {
        isNudged = true
        return wake
      })
      const ask = Effect.suspend(() => {
        const asker = Deferred.makeUnsafe<DesiredState, MasterError>()
        askers.push(asker)
        return Effect.andThen(wake, Deferred.await(asker))
      })
      return MasterSync.of({ updates, syncNow, ask, remembered: undefined })
    }),
  )

  /** Asks only when told to. */
  static readonly layerOnDemand = Layer.effect(
    MasterSync,
    Effect.gen(function* () {
      const client = yield* MasterClient
      const cache = yield* DesiredCache
      const updates = yield* Queue.sliding<Update>(1)
      const ask = client.desiredState.pipe(
        Effect.catchDefect(fromDefect("desiredState")),
        Effect.tap((state) => cache.keep(state)),
      )
      return MasterSync.of({ updates, syncNow: Effect.void, ask, remembered: cache.last })
    }),
  )
}

const describeRejected = (records: ReadonlyArray<RejectedRecord>): string =>
  records.map(({ reason, subject }) => `${subject}: ${reason}`).join("; ")
