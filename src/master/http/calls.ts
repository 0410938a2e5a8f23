// The calls of slap-protocol.md (Calls a node makes) as data: which method, with which fields, and what its master may
// answer without harm.
import type { Report } from "../../domain/Report.ts"
import type { ComputerId, PartitionId } from "../../domain/ids.ts"
import type { FormattedComputer, FormattedPartition } from "../MasterTools.ts"
import { encodeMarshal, type SlapValue } from "../wire/marshal.ts"

export interface SlapCall {
  readonly method: string
  readonly verb: "GET" | "POST"
  readonly fields: Readonly<Record<string, string>>
  /** A master that does not know the subject, or the method, answers 404: nothing has to be done about it. */
  readonly missingIsHarmless: boolean
  /** The master may get it twice: it asks for something, or tells a state and no sum. */
  readonly isRepeatable: boolean
  /** Whose certificate is shown: the computer's, or this partition's when it has one. */
  readonly partition: PartitionId | undefined
}

export const query = (method: string, fields: SlapCall["fields"]): SlapCall => ({
  method,
  verb: "GET",
  fields,
  missingIsHarmless: false,
  isRepeatable: true,
  partition: undefined,
})

const post = (method: string, fields: SlapCall["fields"]): SlapCall => ({
  ...query(method, fields),
  verb: "POST",
})

/** Reports are read by people, and ERP5 keeps 80 characters: the end of a log says what went wrong. */
const maximumLog = 50_000
const endOf = (log: string): string => log.slice(-maximumLog)

const partitionFields = (computer: ComputerId, id: PartitionId): SlapCall["fields"] => ({
  computer_id: computer,
  computer_partition_id: id,
})

const optional = (call: SlapCall): SlapCall => ({ ...call, missingIsHarmless: true })

/** Calls that are no reports, by their names. */
export const calls = {
  useComputer: (computer: ComputerId, journal: string): SlapCall => ({
    ...post("useComputer", { computer_id: computer, use_string: journal }),
    isRepeatable: false,
  }),
  getComputerPartitionCertificate: (computer: ComputerId, id: PartitionId) =>
    query("getComputerPartitionCertificate", partitionFields(computer, id)),
  registerComputerPartition: (computer: ComputerId, id: PartitionId) =>
    query("registerComputerPartition", { computer_reference: computer, computer_partition_reference: id }),
  getHostingSubscriptionIpList: (computer: ComputerId, id: PartitionId) =>
    query("getHostingSubscriptionIpList", partitionFields(computer, id)),
  loadComputerConfigurationFromXML: (computer: ComputerId, formatted: FormattedComputer) =>
    post("loadComputerConfigurationFromXML", { xml: encodeMarshal(formattedComputer(computer, formatted)) }),
  computerBang: (computer: ComputerId, message: string) => post("computerBang", { computer_id: computer, message }),
  sharedInstanceError: (
    computer: ComputerId,
    id: PartitionId,
    { log, reference }: { readonly log: string; readonly reference: string },
  ) =>
    post("softwareInstanceError", {
      ...partitionFields(computer, id),
      error_log: endOf(log),
      slave_reference: reference,
    }),
  getComputerStatus: (computer: ComputerId) => optional(query("getComputerStatus", { computer_id: computer })),
  getHateoasUrl: optional(query("getHateoasUrl", {})),
  getRunId: optional(query("getRunId", {})),
}

/** Without the keys that are not there. */
const dictionary = (fields: Readonly<Record<string, SlapValue | undefined>>): SlapValue =>
  new Map(Object.entries(fields).flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const])))

const formattedComputer = (reference: ComputerId, { address, netmask, partitions }: FormattedComputer): SlapValue =>
  dictionary({ reference, address, netmask, partition_list: partitions.map(formattedPartition) })

const formattedPartition = ({ addresses, capabilities, id, tap }: FormattedPartition): SlapValue =>
  dictionary({
    reference: id,
    address_list: addresses.map(({ address, netmask }) => dictionary({ addr: address, netmask })),
    tap: dictionary({
      name: tap.name,
      ipv4_addr: tap.address,
      ipv4_netmask: tap.netmask,
      ipv4_gateway: tap.gateway,
      ipv4_network: tap.network,
    }),
    capability_list: capabilities,
  })

export const callOf = (report: Report, computer: ComputerId): SlapCall => {
  switch (report._tag) {
    case "Software":
      return softwareCall(report, { url: report.url, computer_id: computer })
    case "Partition":
      return partitionCall(report, partitionFields(computer, report.id))
    case "Bang":
      return {
        ...post("softwareInstanceBang", { ...partitionFields(computer, report.id), message: report.message }),
        partition: report.id,
      }
    case "Related":
      return post("updateComputerPartitionRelatedInstanceList", {
        ...partitionFields(computer, report.id),
        instance_reference_xml: encodeMarshal(report.references),
      })
  }
}

const softwareCall = (report: Extract<Report, { _tag: "Software" }>, fields: SlapCall["fields"]): SlapCall => {
  switch (report.state) {
    case "building":
      return optional(post("buildingSoftwareRelease", fields))
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
      return optional(post("destroyedComputerPartition", fields))
    case "error":
      return post("softwareInstanceError", { ...fields, error_log: endOf(report.log) })
  }
}
