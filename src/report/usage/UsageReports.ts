// The face of usage reports to the rest of the node: a report on demand, and the last one of a partition that is to be
// removed. The actor that does it is in actors/usage/.
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { PartitionId } from "../../domain/ids.ts"
import type { InvalidReport, PendingJournal } from "../../domain/NodeStatus.ts"

/** Usage that is not in the ledger yet cannot be put there now. */
export class UsageError extends Schema.TaggedError<UsageError>()("UsageError", { message: Schema.String }) {}

export interface FailedScript {
  readonly partition: PartitionId
  readonly script: string
  readonly message: string
}

/** What came of the scripts of one partition. */
export interface ScriptsRun {
  readonly scripts: number
  readonly failed: ReadonlyArray<FailedScript>
}

export interface ReportOptions {
  /** Partitions that may have something to report, beside those on the status board. */
  readonly partitions: ReadonlyArray<PartitionId>
  /** Called for each partition when its scripts have ended. */
  readonly watch: (id: PartitionId, run: ScriptsRun) => Effect.Effect<void>
}

/** What became of one report. */
export interface UsageOutcome {
  /** How many scripts of `etc/report` were run, the failed ones too. */
  readonly scripts: number
  readonly failed: ReadonlyArray<FailedScript>
  /** How many reports were put into journals. */
  readonly reports: number
  readonly invalid: ReadonlyArray<InvalidReport>
  /** How many journals the master has taken. */
  readonly sent: number
  /** Journals that are still here, sealed: they are sent later. */
  readonly pending: ReadonlyArray<PendingJournal>
  /** Whether they are because the master does not answer. */
  readonly isMasterAway: boolean
  /** Why reports could not be sealed. */
  readonly error: string | undefined
}

export class UsageReports extends Context.Service<
  UsageReports,
  {
    /** Runs all report scripts, seals what there is and tries once to send it. */
    readonly run: (options: ReportOptions) => Effect.Effect<UsageOutcome>
    /**
     * Has a partition make its last report, and returns when everything that it has to report is sealed outside of it:
     * then it may be removed.
     */
    readonly seal: (partition: PartitionId) => Effect.Effect<void, UsageError>
  }
>()("slapgrid/report/UsageReports") {}
