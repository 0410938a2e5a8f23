// What the embedded master keeps, as its rules see it. Parameters, connection parameters and filters are instance XML
// (slap-protocol.md, Parameter XML), so that equal texts are equal values; a shared instance's parameters are
// marshalled, because its host gets them with their types.
import * as Schema from "effect/Schema"

export const RequestedState = Schema.Literals(["started", "stopped", "destroyed"])
export type RequestedState = typeof RequestedState.Type

export const SupplyState = Schema.Literals(["available", "destroyed"])
export type SupplyState = typeof SupplyState.Type

const Text = Schema.NullOr(Schema.String)

export const Computer = Schema.Struct({ id: Schema.String, address: Text, netmask: Text })
export type Computer = typeof Computer.Type

export const Supply = Schema.Struct({ computer: Schema.String, url: Schema.String, requested: SupplyState })
export type Supply = typeof Supply.Type

export const Address = Schema.Struct({ interface: Schema.String, address: Schema.String, netmask: Schema.String })
export type Address = typeof Address.Type

/** The IPv4 route of a partition's tap interface, for virtual machines. */
export const Tap = Schema.Struct({
  name: Schema.String,
  address: Schema.String,
  netmask: Schema.String,
  gateway: Schema.String,
  network: Schema.String,
})
export type Tap = typeof Tap.Type

const place = {
  computer: Schema.String,
  id: Schema.String,
  addresses: Schema.fromJsonString(Schema.Array(Address)),
  tap: Schema.fromJsonString(Schema.NullOr(Tap)),
  timestamp: Schema.NullOr(Schema.Int),
}

const instance = {
  title: Schema.String,
  /** Title of the tree's root instance; empty for a root itself. */
  root: Schema.String,
  /** `computer/partition` that requested it; null: a user. */
  requester: Text,
  requested: RequestedState,
  software: Schema.String,
  type: Schema.String,
  parameters: Schema.String,
  connection: Text,
  filter: Schema.String,
  /** The last thing the node said about it; starts with `#error` when failing. */
  accessStatus: Text,
}

/** A partition as `format` announced it, free or not. */
export const Partition = Schema.Struct(place)
export type Partition = typeof Partition.Type

export const Instance = Schema.Struct(instance)
export type Instance = typeof Instance.Type

/** A partition with the instance it holds. */
export const Allocated = Schema.Struct({ ...place, ...instance })
export type Allocated = typeof Allocated.Type

export const Shared = Schema.Struct({
  computer: Schema.String,
  /** Partition of the instance that hosts it. */
  partition: Schema.String,
  reference: Schema.String,
  title: Schema.String,
  root: Schema.String,
  type: Schema.String,
  parameters: Schema.String,
  connection: Text,
})
export type Shared = typeof Shared.Type

export const ReportState = Schema.Literals([
  "building",
  "available",
  "started",
  "stopped",
  "destroyed",
  "error",
  "bang",
  "usage",
])
export type ReportState = typeof ReportState.Type

export const ReportRow = Schema.Struct({
  seq: Schema.Int,
  at: Schema.Int,
  computer: Schema.String,
  subject: Schema.Literals(["computer", "software", "partition"]),
  /** Computer id, release URL or partition id. */
  name: Schema.String,
  state: ReportState,
  message: Schema.String,
})
export type ReportRow = typeof ReportRow.Type
