// From what the embedded master keeps to the documents of slap-protocol.md ("The Computer document"). slapproxy's
// answers are the model, down to attributes that nobody reads, because clients written against it are what calls here.
import * as Result from "effect/Result"
import { decodeInstanceXml } from "../wire/instanceXml.ts"
import type { SlapValue } from "../wire/marshal.ts"
import { decodeMarshal, SlapObject, SlapTuple } from "../wire/marshal.ts"
import type { Address, Allocated, Partition, Shared, Supply, Tap } from "./rows.ts"
import type { Tables } from "./tables.ts"

type Dictionary = ReadonlyMap<string, SlapValue>

const dictionary = (record: Readonly<Record<string, SlapValue | undefined>>): Dictionary =>
  new Map(Object.entries(record).flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const])))

/** Instance XML that this master wrote itself: a text that cannot be read is a damaged database. */
export const stored = (xml: string | null): ReadonlyMap<string, string | null> =>
  xml === null ? new Map() : Result.getOrThrow(decodeInstanceXml(xml))

/** Seconds since 1970 with a fraction, as a text. */
export const timestampText = (timestamp: number): string => (timestamp / 1000).toFixed(3)

export const guidOf = (partition: { readonly computer: string; readonly id: string }): string =>
  `${partition.computer}-${partition.id}`

export const ipList = (addresses: ReadonlyArray<Address>): ReadonlyArray<SlapTuple> =>
  addresses.map((address) => new SlapTuple([address.interface, address.address]))

const fullIpList = (tap: Tap | null): SlapValue | undefined =>
  tap === null ? undefined : [new SlapTuple([`route_${tap.name}`, tap.address, tap.gateway, tap.netmask, tap.network])]

/** What tree members and the tree's own shared instances call each other: unique within the computer. */
export const sharedName = (shared: Pick<Shared, "root" | "title">): string => `${shared.root}_${shared.title}`

const sharedEntry = (shared: Shared): SlapValue => {
  const parameters = Result.getOrThrow(decodeMarshal(shared.parameters))
  return new Map<SlapValue, SlapValue>([
    ...(parameters instanceof Map ? parameters : []),
    ["slave_title", sharedName(shared)],
    ["slave_reference", shared.reference],
    ["slap_software_type", shared.type],
  ])
}

const releaseDocument = (computer: string, url: string, requested?: string): SlapObject =>
  new SlapObject(
    "SoftwareRelease",
    [url, computer],
    dictionary({
      _software_release: url,
      _computer_guid: computer,
      _software_instance_list: [],
      _requested_state: requested,
    }),
  )

const parametersOf = (tables: Tables, instance: Allocated): Dictionary =>
  new Map<string, SlapValue>([
    ...stored(instance.parameters),
    ...dictionary({
      ip_list: ipList(instance.addresses),
      full_ip_list: fullIpList(instance.tap),
      full_address_list: [],
      slap_software_type: instance.type,
      slap_software_release_url: instance.software,
      slap_computer_id: instance.computer,
      slap_computer_partition_id: instance.id,
      instance_title: instance.title,
      root_instance_title: instance.root === "" ? instance.title : instance.root,
      slave_instance_list: tables.sharedOn(instance.computer, instance.id).map(sharedEntry),
      timestamp: instance.timestamp === null ? undefined : timestampText(instance.timestamp),
    }),
  ])

/** A partition without its instance: free, whatever it held before. */
const freeAttributes = (partition: Partition) => ({
  _computer_id: partition.computer,
  _partition_id: partition.id,
  _instance_guid: guidOf(partition),
  _request_dict: null,
  _requested_state: "destroyed",
  _need_modification: 0n,
  _software_release_document: null,
})

const busyAttributes = (tables: Tables, instance: Allocated) => {
  const filter = stored(instance.filter)
  return {
    ...freeAttributes(instance),
    _requested_state: instance.requested,
    _need_modification: 1n,
    _parameter_dict: parametersOf(tables, instance),
    _connection_dict: stored(instance.connection),
    _filter_dict: filter.size === 0 ? undefined : filter,
    _access_status: instance.accessStatus ?? undefined,
    _software_release_document: releaseDocument(instance.computer, instance.software),
  }
}

export const partitionDocument = (tables: Tables, partition: Partition, instance: Allocated | undefined): SlapObject =>
  new SlapObject(
    "ComputerPartition",
    [partition.computer, partition.id, null],
    dictionary(instance === undefined ? freeAttributes(partition) : busyAttributes(tables, instance)),
  )

export const computerDocument = (tables: Tables, computer: string): SlapObject => {
  const instances = new Map(tables.instances(computer).map((instance) => [instance.id, instance]))
  return new SlapObject(
    "Computer",
    [computer],
    dictionary({
      _computer_id: computer,
      _software_release_list: tables
        .supplies(computer)
        .map((supply: Supply) => releaseDocument(computer, supply.url, supply.requested)),
      _computer_partition_list: tables
        .partitions(computer)
        .map((partition) => partitionDocument(tables, partition, instances.get(partition.id))),
    }),
  )
}

const placeAttributes = (instance: Allocated) => ({
  slap_computer_id: instance.computer,
  slap_computer_partition_id: instance.id,
  slap_software_release_url: instance.software,
  slap_software_type: instance.type,
  slap_server_url: "slap_server_url",
  ip_list: ipList(instance.addresses),
})

/** The answer to a request for an instance of its own. */
export const instanceDocument = (instance: Allocated): SlapObject =>
  new SlapObject(
    "SoftwareInstance",
    [],
    dictionary({
      ...placeAttributes(instance),
      _instance_guid: guidOf(instance),
      _requested_state: instance.requested,
      _connection_dict: stored(instance.connection),
      _parameter_dict: new Map<string, SlapValue>([
        ...stored(instance.parameters),
        ...dictionary({ timestamp: instance.timestamp === null ? undefined : timestampText(instance.timestamp) }),
      ]),
      connection_xml: instance.connection,
    }),
  )

/** The answer to a request for a shared instance: the place is its host's. */
export const sharedDocument = (host: Allocated, parameters: string, connection: string | null): SlapObject =>
  new SlapObject(
    "SoftwareInstance",
    [],
    dictionary({
      ...placeAttributes(host),
      _connection_dict: stored(connection),
      _parameter_dict: stored(parameters),
    }),
  )
