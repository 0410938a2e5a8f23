// Sends sealed journals, oldest first and one at a time, and deletes their sources once the master has them. Whatever
// the master says, a journal leaves the ledger only after that.
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Semaphore from "effect/Semaphore"
import type { NodeConfigShape } from "../../config/NodeConfig.ts"
import type { FileError } from "../../files/FileError.ts"
import type { MasterClient } from "../../master/MasterClient.ts"
import { fromDefect, type MasterError } from "../../master/MasterError.ts"
import { deleteSources, placesOf, placesOfComputer } from "./collect.ts"
import type { Entry } from "./ledger.ts"
import type { UsageLedgerShape } from "./UsageLedger.ts"

export interface Delivered {
  readonly sent: number
  /** Whether it makes sense to try the rest again soon. */
  readonly isToRetry: boolean
  /** Whether the master did not answer, so that nothing more was tried. */
  readonly isMasterAway: boolean
}

interface Parts {
  readonly config: NodeConfigShape
  readonly client: MasterClient["Service"]
  readonly ledger: UsageLedgerShape
  /** Held by whoever reads or deletes reports. */
  readonly reading: Semaphore.Semaphore
}

type Step = "done" | "refused" | "later"

export class UsageDelivery {
  readonly #parts: Parts
  /** Errors that were told, by journal: once each. */
  readonly #told = new Map<string, string>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Tries every journal once; ends when the master does not answer. For one caller at a time. */
  readonly deliver: Effect.Effect<Delivered> = Effect.suspend(() => this.#deliver()).pipe(
    Effect.catch(({ message }) =>
      Effect.as(this.#tell("ledger", `usage cannot be sent: ${message}`), {
        sent: 0,
        isToRetry: true,
        isMasterAway: false,
      }),
    ),
  )

  #deliver(): Effect.Effect<Delivered, FileError> {
    return Effect.gen({ self: this }, function* () {
      let sent = 0
      let isToRetry = false
      for (const entry of yield* this.#parts.ledger.entries) {
        const isSent = entry.state !== "acknowledged"
        const step = isSent ? yield* this.#send(entry) : ("done" as const)
        if (step === "later") return { sent, isToRetry: true, isMasterAway: true }
        if (step === "refused") continue
        if (isSent) sent++
        if (!(yield* this.#clear(entry))) isToRetry = true
      }
      return { sent, isToRetry, isMasterAway: false }
    })
  }

  #send(entry: Entry): Effect.Effect<Step, FileError> {
    const { client, ledger } = this.#parts
    return Effect.gen({ self: this }, function* () {
      const journal = yield* Effect.result(ledger.journal(entry))
      if (Result.isFailure(journal)) {
        yield* this.#note(entry, journal.failure.message)
        return "refused"
      }
      yield* ledger.begin(entry)
      const answer = yield* Effect.result(
        Effect.catchDefect(client.useComputer(journal.success), fromDefect("useComputer")),
      )
      if (Result.isFailure(answer)) return yield* this.#fail(entry, answer.failure)
      if (entry.state === "in flight") {
        yield* Effect.logWarning(
          `the master may have counted journal ${entry.name} of ${entry.seal.movements} movements twice (SHA-256 ${entry.seal.hash}): an earlier answer to it was lost, and it was sent again`,
        )
      }
      yield* Effect.catch(ledger.acknowledge(entry), ({ message }) =>
        this.#tell(entry.name, `the master has journal ${entry.name}, which could not be noted: ${message}`),
      )
      return "done"
    })
  }

  #fail(entry: Entry, error: MasterError): Effect.Effect<Step, FileError> {
    const { ledger } = this.#parts
    return Effect.gen({ self: this }, function* () {
      yield* ledger.fail(entry, error)
      const when = error.isRetryable ? "again" : "again with the next report"
      yield* this.#tell(entry.name, `usage journal ${entry.name} is kept and sent ${when}: ${error.message}`)
      return error.isRetryable ? "later" : "refused"
    })
  }

  /** Deletes the sources of what the master has; gives whether they are gone. */
  #clear(entry: Entry): Effect.Effect<boolean, FileError> {
    const { config, ledger, reading } = this.#parts
    const { sources } = entry.seal
    const partitions = new Set(sources.map(({ partition }) => partition))
    const places = [...partitions].flatMap((partition) =>
      partition === null
        ? placesOfComputer(config.instanceRoot, config.computerId)
        : placesOf(config.instanceRoot, partition),
    )
    return deleteSources(places, sources).pipe(
      Effect.andThen(ledger.finish(entry)),
      Effect.andThen(Effect.sync(() => this.#told.delete(entry.name))),
      Effect.as(true),
      Effect.catch(({ message }) =>
        Effect.as(this.#note(entry, `the master has it, but its reports cannot be deleted: ${message}`), false),
      ),
      (work) => reading.withPermit(work),
    )
  }

  #note(entry: Entry, message: string): Effect.Effect<void> {
    return Effect.andThen(
      this.#parts.ledger.note(entry, message),
      this.#tell(entry.name, `usage journal ${entry.name}: ${message}`),
    )
  }

  #tell(subject: string, message: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#told.get(subject) === message) return Effect.void
      this.#told.set(subject, message)
      return Effect.logWarning(message)
    })
  }
}
