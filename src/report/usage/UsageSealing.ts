// Puts what was found into journals: those of partitions together, as many as fit, those of the computer as they are.
// From then on their usage does not depend on any file of a partition.
import * as Effect from "effect/Effect"
import type * as Semaphore from "effect/Semaphore"
import type { NodeConfigShape } from "../../config/NodeConfig.ts"
import type { PartitionId } from "../../domain/ids.ts"
import type { FileError } from "../../files/FileError.ts"
import { collect, type Collected, placesOf, placesOfComputer, type Report, type Unusable } from "./collect.ts"
import { journalXml } from "./journal.ts"
import { isSameReport, type Source } from "./ledger.ts"
import type { Draft, UsageLedgerShape } from "./UsageLedger.ts"

/** Characters of reports after which another journal begins: masters limit what they read at once. */
const fullJournal = 1024 * 1024

export interface Sealed {
  readonly reports: number
  readonly unusable: ReadonlyArray<Unusable>
  /** Why not all reports could be sealed: those that were not stay where they are. */
  readonly error: FileError | undefined
}

interface Parts {
  readonly config: NodeConfigShape
  readonly ledger: UsageLedgerShape
  /** Held by whoever reads or deletes reports. */
  readonly reading: Semaphore.Semaphore
}

export class UsageSealing {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Seals all reports of these partitions. */
  partitions(ids: ReadonlyArray<PartitionId>): Effect.Effect<Sealed> {
    const { config } = this.#parts
    return this.#seal((batch, isKnown) =>
      Effect.gen(function* () {
        for (const id of ids) {
          const collected = yield* collect(placesOf(config.instanceRoot, id), isKnown)
          batch.unusable.push(...collected.unusable)
          for (const report of collected.reports) yield* batch.add(id, report)
        }
        yield* batch.close
      }),
    )
  }

  /** Seals the computer's own journals, each as it is. */
  readonly computer: Effect.Effect<Sealed> = Effect.suspend(() => {
    const { computerId, instanceRoot } = this.#parts.config
    return this.#seal((batch, isKnown) =>
      Effect.gen(function* () {
        const collected: Collected = yield* collect(placesOfComputer(instanceRoot, computerId), isKnown)
        batch.unusable.push(...collected.unusable)
        for (const report of collected.reports) yield* batch.addAsItIs(report)
      }),
    )
  })

  #seal(fill: (batch: Batch, isKnown: (source: Source) => boolean) => Effect.Effect<void, FileError>) {
    const { config, ledger, reading } = this.#parts
    const batch = new Batch((stop, reports) => journalXml(config.computerId, stop, reports), ledger.seal)
    return ledger.entries.pipe(
      Effect.map((entries) => knownIn(entries.flatMap(({ seal }) => seal.sources))),
      Effect.flatMap((isKnown) => fill(batch, isKnown)),
      Effect.match({
        onSuccess: (): Sealed => ({ reports: batch.sealed, unusable: batch.unusable, error: undefined }),
        onFailure: (error): Sealed => ({ reports: batch.sealed, unusable: batch.unusable, error }),
      }),
      (work) => reading.withPermit(work),
    )
  }
}

const knownIn = (sources: ReadonlyArray<Source>) => {
  const byHash = Map.groupBy(sources, ({ hash }) => hash)
  return (source: Source): boolean => byHash.get(source.hash)?.some((one) => isSameReport(one, source)) === true
}

/** Reports on their way into journals. */
class Batch {
  sealed = 0
  readonly unusable: Array<Unusable> = []
  readonly #write: (stop: number, reports: Parameters<typeof journalXml>[2]) => string
  readonly #seal: (draft: Draft) => Effect.Effect<unknown, FileError>
  #waiting: Array<readonly [PartitionId, Report]> = []
  #size = 0

  constructor(
    write: (stop: number, reports: Parameters<typeof journalXml>[2]) => string,
    seal: (draft: Draft) => Effect.Effect<unknown, FileError>,
  ) {
    this.#write = write
    this.#seal = seal
  }

  add(partition: PartitionId, report: Report): Effect.Effect<void, FileError> {
    return Effect.suspend(() => {
      this.#waiting.push([partition, report])
      this.#size += report.text.length
      return this.#size < fullJournal ? Effect.void : this.close
    })
  }

  addAsItIs({ movements, sources, text }: Report): Effect.Effect<void, FileError> {
    const draft = { sources, movements: movements.length, journal: () => text }
    return Effect.andThen(
      this.#seal(draft),
      Effect.sync(() => void this.sealed++),
    )
  }

  /** Seals what waits. */
  readonly close: Effect.Effect<void, FileError> = Effect.suspend(() => {
    const reports = this.#waiting
    this.#waiting = []
    this.#size = 0
    if (reports.length === 0) return Effect.void
    const movements = reports.map(([partition, { movements }]) => ({ partition, movements }))
    const draft: Draft = {
      sources: reports.flatMap(([, { sources }]) => sources),
      movements: movements.reduce((sum, one) => sum + one.movements.length, 0),
      journal: (stop) => this.#write(stop, movements),
    }
    return Effect.andThen(
      this.#seal(draft),
      Effect.sync(() => void (this.sealed += reports.length)),
    )
  })
}
