// The calls of slap-protocol.md (Calls a node makes) as data: which method, with which fields, and what its master may
// answer without harm.
import type { Report } from "../../domain/Report.ts"
import type { ComputerId, PartitionId } from "../../domain/ids.ts"
import { encodeMarshal } from "../wire/marshal.ts"

export interface SlapCall {
  readonly method: string
  readonly verb: "GET" | "POST"
  readonly fields: Readonly<Record<string, string>>
  /** A master that does not know the subject, or the method, answers 404: nothing has to be done about it. */
  readonly missingIsHarmless: boolean
  /** Whose certificate is shown: the computer's, or this partition's when it has one. */
  readonly partition: PartitionId | undefined
}

export const query = (method: string, fields: SlapCall["fields"]): SlapCall => ({
  method,
  verb: "GET",
  fields,
  missingIsHarmless: false,
  partition: undefined,
})

export const post = (method: string, fields: SlapCall["fields"]): SlapCall => ({
  ...query(method, fields),
  verb: "POST",
})

/** Reports are read by people, and ERP5 keeps 80 characters: the end of a log says what went wrong. */
const maximumLog = 50_000
const endOf = (log: string): string => log.slice(-maximumLog)

export const callOf = (report: Report, computer: ComputerId): SlapCall => {
  switch (report._tag) {
    case "Software":
      return softwareCall(report, { url: report.url, computer_id: computer })
    case "Partition":
      return partitionCall(report, { computer_id: computer, computer_partition_id: report.id })
    case "Bang":
      return {
        ...post("softwareInstanceBang", {
          computer_id: computer,
          computer_partition_id: report.id,
          message: report.message,
        }),
        partition: report.id,
      }
    case "Related":
      return post("updateComputerPartitionRelatedInstanceList", {
        computer_id: computer,
        computer_partition_id: report.id,
        instance_reference_xml: encodeMarshal(report.references),
      })
  }
}

const softwareCall = (report: Extract<Report, { _tag: "Software" }>, fields: SlapCall["fields"]): SlapCall => {
  switch (report.state) {
    case "building":
      return { ...post("buildingSoftwareRelease", fields), missingIsHarmless: true }
    case "available":
      return post("availableSoftwareRelease", fields)
    case "destroyed":
      return post("destroyedSoftwareRelease", fields)
    case "error":
      return post("softwareReleaseError", { ...fields, error_log: endOf(report.log) })
  }
}

const partitionCall = (report: Extract<Report, { _tag: "Partition" }>, fields: SlapCall["fields"]): SlapCall => {
  switch (report.state) {
    case "started":
      return post("startedComputerPartition", fields)
    case "stopped":
      return post("stoppedComputerPartition", fields)
    case "destroyed":
      return { ...post("destroyedComputerPartition", fields), missingIsHarmless: true }
    case "error":
      return post("softwareInstanceError", { ...fields, error_log: endOf(report.log) })
  }
}
