// What a node tells its master about one software release or one partition. The newest report about a subject
// replaces an older one that has not been sent yet.
import type { PartitionId, SoftwareUrl } from "./ids.ts"

export type SoftwareReport =
  | { readonly _tag: "Software"; readonly url: SoftwareUrl; readonly state: "building" | "available" | "destroyed" }
  | { readonly _tag: "Software"; readonly url: SoftwareUrl; readonly state: "error"; readonly log: string }

export type PartitionReport =
  | { readonly _tag: "Partition"; readonly id: PartitionId; readonly state: "started" | "stopped" | "destroyed" }
  | { readonly _tag: "Partition"; readonly id: PartitionId; readonly state: "error"; readonly log: string }

/** A plea of a partition's watched program that ended: the master moves the timestamps of the instance tree. */
export interface BangReport {
  readonly _tag: "Bang"
  readonly id: PartitionId
  readonly message: string
}

/** The instances that a partition's last processing requested, all of them: the master may drop what it wanted before. */
export interface RelatedReport {
  readonly _tag: "Related"
  readonly id: PartitionId
  readonly references: ReadonlyArray<string>
}

export type Report = SoftwareReport | PartitionReport | BangReport | RelatedReport

/** Reports with the same subject replace each other. */
export const subjectOf = (report: Report): string =>
  report._tag === "Software" ? `software ${report.url}` : `${report._tag.toLowerCase()} ${report.id}`
