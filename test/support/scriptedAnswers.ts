// What the scripted master serves when nothing is wrong: documents made from the script, and a word for every report.
import type { SlapValue } from "../../src/master/wire/marshal.ts"
import { encodeMarshal, SlapObject, SlapTuple } from "../../src/master/wire/marshal.ts"

export interface ScriptedSoftware {
  readonly url: string
  readonly requested?: "available" | "destroyed"
}

export interface ScriptedPartition {
  readonly id: string
  /** Missing: a free partition. */
  readonly software?: string
  /** `started` when missing. */
  readonly requested?: string
  readonly timestamp?: string | bigint
  readonly title?: string
  readonly softwareType?: string
  readonly parameters?: Readonly<Record<string, SlapValue>>
  readonly connection?: Readonly<Record<string, string>>
  readonly filter?: Readonly<Record<string, string>>
  readonly accessStatus?: string
  readonly addresses?: ReadonlyArray<readonly [networkInterface: string, address: string]>
  /** PEM texts for getComputerPartitionCertificate; empty texts when missing. */
  readonly certificate?: { readonly certificate: string; readonly key: string }
}

export interface Script {
  readonly software: ReadonlyArray<ScriptedSoftware>
  readonly partitions: ReadonlyArray<ScriptedPartition>
  /** Sent as the Computer document instead of one made of `software` and `partitions`. */
  readonly document: string | undefined
  /** Whether GETs carry an ETag, and If-None-Match is honoured. */
  readonly validators: boolean
}

const dictionary = (record: Readonly<Record<string, SlapValue | undefined>>): ReadonlyMap<string, SlapValue> =>
  new Map(Object.entries(record).flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const])))

const releaseObject = (computer: string, url: string, requested?: string) =>
  new SlapObject(
    "SoftwareRelease",
    [url, computer],
    dictionary({ _software_release: url, _computer_guid: computer, _requested_state: requested }),
  )

const parametersOf = (computer: string, software: string, partition: ScriptedPartition) =>
  dictionary({
    ...partition.parameters,
    timestamp: partition.timestamp,
    ip_list: (partition.addresses ?? []).map((address) => new SlapTuple(address)),
    slap_computer_id: computer,
    slap_computer_partition_id: partition.id,
    slap_software_release_url: software,
    slap_software_type: partition.softwareType ?? "default",
    instance_title: partition.title ?? partition.id,
    root_instance_title: partition.title ?? partition.id,
    slave_instance_list: [],
  })

const partitionObject = (computer: string, partition: ScriptedPartition): SlapObject => {
  const { software } = partition
  const common = { _computer_id: computer, _partition_id: partition.id, _request_dict: null }
  const state =
    software === undefined
      ? { _requested_state: "destroyed", _need_modification: 0n, _software_release_document: null }
      : {
          _requested_state: partition.requested ?? "started",
          _need_modification: 1n,
          _instance_guid: `SOFTINST-${partition.id}`,
          _software_release_document: releaseObject(computer, software),
          _parameter_dict: parametersOf(computer, software, partition),
          _connection_dict: dictionary(partition.connection ?? {}),
          _filter_dict: partition.filter === undefined ? undefined : dictionary(partition.filter),
          _access_status: partition.accessStatus,
        }
  return new SlapObject("ComputerPartition", [computer, partition.id, null], dictionary({ ...common, ...state }))
}

const computerXml = (computer: string, script: Script): string =>
  encodeMarshal(
    new SlapObject(
      "Computer",
      [computer],
      dictionary({
        _computer_id: computer,
        _software_release_list: script.software.map(({ url, requested }) =>
          releaseObject(computer, url, requested ?? "available"),
        ),
        _computer_partition_list: script.partitions.map((partition) => partitionObject(computer, partition)),
      }),
    ),
  )

export interface Answer {
  readonly status: number
  readonly body: string
}

const accepted = new Set([
  "buildingSoftwareRelease",
  "availableSoftwareRelease",
  "destroyedSoftwareRelease",
  "softwareReleaseError",
  "startedComputerPartition",
  "stoppedComputerPartition",
  "destroyedComputerPartition",
  "softwareInstanceError",
  "softwareInstanceBang",
  "computerBang",
  "useComputer",
  "setComputerPartitionConnectionXml",
  "updateComputerPartitionRelatedInstanceList",
  "loadComputerConfigurationFromXML",
])

const notFound: Answer = { status: 404, body: "not found" }

/** What a call is about, once received. */
export interface Asked {
  readonly method: string
  readonly name: string
  readonly query: Readonly<Record<string, string>>
  readonly form: Readonly<Record<string, string>>
}

export const answerTo = (computer: string, script: Script, { form, method, name, query }: Asked): Answer => {
  const fields = method === "GET" ? query : form
  if (method === "POST") return accepted.has(name) ? { status: 200, body: "OK" } : notFound
  const reference = fields["computer_id"] ?? fields["computer_reference"]
  if (reference !== computer) return notFound
  const id = fields["computer_partition_id"] ?? fields["computer_partition_reference"]
  const partition = script.partitions.find((candidate) => candidate.id === id)
  if (name === "getFullComputerInformation") {
    return { status: 200, body: script.document ?? computerXml(computer, script) }
  }
  if (partition === undefined) return notFound
  if (name === "registerComputerPartition") {
    return { status: 200, body: encodeMarshal(partitionObject(computer, partition)) }
  }
  if (name === "getComputerPartitionCertificate") {
    const pair = partition.certificate ?? { certificate: "", key: "" }
    return { status: 200, body: encodeMarshal(dictionary({ ...pair })) }
  }
  return notFound
}
