// State reports and bangs on their way to the master. Work never waits for it: the newest report about a subject
// replaces an unsent one, one at a time is in flight for each subject, and what the master cannot take now is retried:
// also what it does not take from this computer's certificate, which says nothing about the report.
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { type Report, subjectOf } from "../domain/Report.ts"
import { MasterClient } from "../master/MasterClient.ts"
import type { MasterError } from "../master/MasterError.ts"
import { StatusBoard } from "./StatusBoard.ts"

/**
 * What became of a report: `Replaced` when a newer one about the same subject came before it was taken, `Withdrawn` when
 * there is nobody left whom it is about.
 */
export type Delivery = "Taken" | "Refused" | "Replaced" | "Withdrawn"

interface Entry {
  readonly report: Report
  readonly delivery: Deferred.Deferred<Delivery>
}

interface Sender {
  /** In flight, or to be sent again. */
  current: Entry | undefined
  /** The newest that came meanwhile. */
  waiting: Entry | undefined
}

export class Outbox extends Context.Service<
  Outbox,
  {
    /** Puts a report on its way. */
    readonly offer: (report: Report) => Effect.Effect<void>
    /** Puts a report on its way and waits for what becomes of it. */
    readonly deliver: (report: Report) => Effect.Effect<Delivery>
    /** What has not been taken yet about this subject is not sent any more; what is under way just now may arrive. */
    readonly withdraw: (subject: string) => Effect.Effect<void>
    /** How many subjects have a report that the master has not taken yet. */
    readonly pending: Effect.Effect<number>
  }
>()("slapgrid/report/Outbox") {
  static readonly layer = Layer.effect(
    Outbox,
    Effect.gen(function* () {
      const client = yield* MasterClient
      const board = yield* StatusBoard
      const fork = yield* FiberSet.makeRuntime<never, void, never>()
      /** By subject, while a sender is at work for it. */
      const senders = new Map<string, Sender>()
      /** What keeps the master from taking a report, by subject. */
      const obstacles = new Map<string, MasterError>()

      const showObstacles = Effect.suspend(() => {
        const [longest] = obstacles.values()
        return board.setReports({ waiting: obstacles.size, error: longest?.message })
      })

      const attempt = (entry: Entry) =>
        client.report(entry.report).pipe(
          Effect.as<Delivery>("Taken"),
          Effect.catchIf(
            (error) => !error.isRetryable,
            (error) => Effect.as(logRefusal(entry, error.message), "Refused" as const),
          ),
          // A defect of a MasterClient must not leave this subject without a sender.
          Effect.catchDefect((defect) => Effect.as(logRefusal(entry, String(defect)), "Refused" as const)),
        )

      const send = Effect.fnUntraced(function* (subject: string, sender: Sender) {
        let failures = 0
        let told: MasterError["reason"] | undefined
        let entry = next(sender)
        while (entry !== undefined) {
          const outcome = yield* Effect.result(attempt(entry))
          if (outcome._tag === "Success") {
            failures = 0
            told = undefined
            if (obstacles.delete(subject)) yield* showObstacles
            yield* Deferred.succeed(entry.delivery, outcome.success)
            entry = next(sender)
            continue
          }
          const error = outcome.failure
          failures++
          if (!Deferred.isDoneUnsafe(entry.delivery)) {
            obstacles.set(subject, error)
            if (told !== error.reason) yield* showObstacles
            if (isNews(error, told)) yield* logRetry(entry, error)
            told = error.reason
          }
          yield* pause(entry, retryDelay(failures, error.reason, yield* Random.next))
          if (sender.waiting !== undefined) yield* Deferred.succeed(entry.delivery, "Replaced")
          if (Deferred.isDoneUnsafe(entry.delivery)) entry = next(sender)
        }
        senders.delete(subject)
        if (obstacles.delete(subject)) yield* showObstacles
      })

      /** In one go: a report that lay there without a sender would keep all later ones about its subject. */
      const put = (report: Report): Entry => {
        const entry: Entry = { report, delivery: Deferred.makeUnsafe() }
        const subject = subjectOf(report)
        const sender = senders.get(subject)
        if (sender === undefined) {
          const made: Sender = { waiting: entry, current: undefined }
          senders.set(subject, made)
          fork(send(subject, made))
        } else {
          end(sender.waiting, "Replaced")
          sender.waiting = entry
        }
        return entry
      }

      const withdraw = (subject: string) =>
        Effect.sync(() => {
          const sender = senders.get(subject)
          if (sender === undefined) return
          end(sender.waiting, "Withdrawn")
          end(sender.current, "Withdrawn")
          sender.waiting = undefined
        })

      return Outbox.of({
        offer: (report) => Effect.sync(() => void put(report)),
        deliver: (report) => Effect.suspend(() => Deferred.await(put(report).delivery)),
        withdraw,
        pending: Effect.sync(() => senders.size),
      })
    }),
  )
}

/** Makes what waits the current report. */
const next = (sender: Sender): Entry | undefined => {
  sender.current = sender.waiting
  sender.waiting = undefined
  return sender.current
}

const end = (entry: Entry | undefined, delivery: Delivery): void => {
  if (entry !== undefined) Deferred.doneUnsafe(entry.delivery, Effect.succeed(delivery))
}

/** Waits before the next try, unless there is to be none. */
const pause = ({ delivery }: Entry, milliseconds: number): Effect.Effect<unknown> =>
  Effect.timeoutOption(Deferred.await(delivery), milliseconds)

/**
 * Milliseconds before try number `failures + 1`; `random` is from 0 to 1. Who is refused waits for people to renew a
 * certificate.
 */
export const retryDelay = (failures: number, reason: MasterError["reason"], random: number): number => {
  const [shortest, longest] = reason === "Unauthorised" ? [60_000, 600_000] : [1000, 60_000]
  return Math.min(longest, shortest * 2 ** Math.min(failures - 1, 10)) * (0.75 + random / 2)
}

/** Whether it is another trouble than the one that was told; those that people have nothing to do about are one. */
const isNews = ({ reason }: MasterError, told: MasterError["reason"] | undefined): boolean =>
  told === undefined || (reason === "Unauthorised" && told !== reason)

const shown = ({ report }: Entry): string => {
  switch (report._tag) {
    case "Bang":
      return `bang of ${report.id}`
    case "Related":
      return `list of what ${report.id} has requested`
    default:
      return `report '${report.state}' of ${subjectOf(report)}`
  }
}

const logRetry = (entry: Entry, error: MasterError) =>
  Effect.logWarning(
    error.reason === "Unauthorised"
      ? `${shown(entry)} is kept until the master accepts this computer: ${error.message}`
      : `${shown(entry)} will be sent again: ${error.message}`,
  )

const logRefusal = (entry: Entry, why: string) =>
  Effect.logWarning(`the master refused the ${shown(entry)}, it is dropped: ${why}`)
