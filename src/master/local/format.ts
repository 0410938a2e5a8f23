// loadComputerConfigurationFromXML: what `slapos node format` says this computer has. A partition that is no longer in
// the list is removed with everything it holds, as slapproxy does.
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { ComputerId, PartitionId } from "../../domain/ids.ts"
import { plainRecord } from "../wire/plain.ts"
import type { Call, Outcome } from "./call.ts"
import { dictionaryField, done, refuse } from "./call.ts"
import type { Tap } from "./rows.ts"

const Text = Schema.NullOr(Schema.String)

const FormattedTap = Schema.Struct({
  name: Schema.optionalKey(Text),
  ipv4_addr: Schema.optionalKey(Text),
  ipv4_netmask: Schema.optionalKey(Text),
  ipv4_gateway: Schema.optionalKey(Text),
  ipv4_network: Schema.optionalKey(Text),
})

const FormattedPartition = Schema.Struct({
  reference: PartitionId,
  address_list: Schema.Array(Schema.Struct({ addr: Schema.String, netmask: Schema.String })),
  tap: Schema.optionalKey(Schema.NullOr(FormattedTap)),
})
type FormattedPartition = typeof FormattedPartition.Type

const FormattedComputer = Schema.Struct({
  reference: ComputerId,
  address: Schema.optionalKey(Text),
  netmask: Schema.optionalKey(Text),
  partition_list: Schema.Array(FormattedPartition),
})

const decodeComputer = Schema.decodeUnknownResult(FormattedComputer)

const tapOf = (tap: FormattedPartition["tap"]): Tap | null =>
  tap?.name && tap.ipv4_addr && tap.ipv4_gateway && tap.ipv4_netmask
    ? {
        name: tap.name,
        address: tap.ipv4_addr,
        netmask: tap.ipv4_netmask,
        gateway: tap.ipv4_gateway,
        network: tap.ipv4_network ?? "",
      }
    : null

const savePartition = (call: Call, computer: string, partition: FormattedPartition): void => {
  const addresses = partition.address_list.map(({ addr, netmask }) => ({
    interface: partition.tap?.name || partition.reference,
    address: addr,
    netmask,
  }))
  call.tables.savePartition(computer, partition.reference, addresses, tapOf(partition.tap))
}

export const loadComputerConfigurationFromXML = (call: Call): Outcome =>
  Result.gen(function* () {
    if (!call.fields.has("xml")) return yield* refuse(400, "the field xml is missing or empty")
    const decoded = decodeComputer(plainRecord(yield* dictionaryField(call, "xml")))
    if (Result.isFailure(decoded)) return yield* refuse(400, `the field xml: ${decoded.failure.message}`)
    const { reference, address, netmask, partition_list } = decoded.success
    call.tables.saveComputer({ id: reference, address: address ?? null, netmask: netmask ?? null })
    const kept = new Set<string>(partition_list.map((partition) => partition.reference))
    for (const { id } of call.tables.partitions(reference)) {
      if (!kept.has(id)) call.tables.removePartition(reference, id)
    }
    for (const partition of partition_list) savePartition(call, reference, partition)
    return yield* done("done")
  })
