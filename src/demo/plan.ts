// What the demo wants of its master, and the node that follows it: pure texts and forms (slap-protocol.md).
import type { SlapValue } from "../master/wire/marshal.ts"
import { encodeMarshal } from "../master/wire/marshal.ts"

export const computerId = "COMP-DEMO"
export const partitions: ReadonlyArray<string> = ["slappart0", "slappart1", "slappart2"]

export interface WantedInstance {
  readonly title: string
  readonly greeting: string
}

export const wantedInstances: ReadonlyArray<WantedInstance> = [
  { title: "english", greeting: "Hello" },
  { title: "french", greeting: "Bonjour" },
  { title: "italian", greeting: "Ciao" },
]

export type Form = Readonly<Record<string, string>>

const dictionary = (record: Readonly<Record<string, SlapValue>>): SlapValue => new Map(Object.entries(record))

/** What `format` tells a master about this computer. */
export const formatForm = (): Form => ({
  xml: encodeMarshal(
    dictionary({
      reference: computerId,
      address: "127.0.0.1",
      netmask: "255.255.255.255",
      partition_list: partitions.map((reference) =>
        dictionary({ reference, address_list: [dictionary({ addr: "127.0.0.1", netmask: "255.255.255.255" })] }),
      ),
    }),
  ),
})

export const supplyForm = (software: string): Form => ({ url: software, computer_id: computerId, state: "available" })

/** A user's request; repeated, it tells what has become of the instance. */
export const requestForm = (software: string, { greeting, title }: WantedInstance): Form => ({
  computer_id: "",
  computer_partition_id: "",
  software_release: software,
  software_type: "default",
  partition_reference: title,
  partition_parameter_xml: encodeMarshal(dictionary({ greeting })),
  filter_xml: encodeMarshal(dictionary({ computer_guid: computerId })),
  state: encodeMarshal("started"),
  shared_xml: encodeMarshal(false),
})

export interface NodeFacts {
  readonly masterUrl: string
  readonly instanceRoot: string
  readonly softwareRoot: string
  readonly buildout: string
  readonly isRoot: boolean
}

/** The node's slapos.cfg. It asks its master every second, because somebody is watching. */
export const nodeConfiguration = (facts: NodeFacts): string => `[slapos]
computer_id = ${computerId}
master_url = ${facts.masterUrl}
instance_root = ${facts.instanceRoot}
software_root = ${facts.softwareRoot}
buildout = ${facts.buildout}
root_check = ${facts.isRoot ? "true" : "false"}
sync_interval = 1
stop_timeout = 10
software_min_free_space = 20M
instance_min_free_space = 10M
`
