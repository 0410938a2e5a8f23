// The journal that a node sends: all movements of its partitions in one transaction, in the very form of the reference
// (slap-protocol.md, Usage documents), which masters are known to read.
import * as DateTime from "effect/DateTime"
import type { ComputerId, PartitionId } from "../../domain/ids.ts"
import type { Movement } from "./documents.ts"

export interface PartitionReport {
  readonly partition: PartitionId
  readonly movements: ReadonlyArray<Movement>
}

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("\r", "&#13;")

/** The reference writes Python's word for an element without text. */
const element = (name: string, text: string): string => `<${name}>${text === "" ? "None" : escape(text)}</${name}>`

/** With the partition as reference, whether or not the report names one: the master books by it. */
const movementXml = (partition: PartitionId, movement: Movement): string => {
  const others = movement.filter(([name]) => name !== "reference")
  const quantity = others.findIndex(([name]) => name === "quantity")
  const elements = [...others.slice(0, quantity), ["reference", partition] as const, ...others.slice(quantity)]
  return `<movement>${elements.map(([name, text]) => element(name, text)).join("")}</movement>`
}

/** What a clock on the wall shows that went `seconds` since 1970. */
const stopDate = (seconds: number): string =>
  DateTime.formatIso(DateTime.makeUnsafe(seconds * 1000))
    .slice(0, 19)
    .replace("T", " at ")

/** `stop`: seconds since 1970 as the machine's time zone counts them. */
export const journalXml = (computer: ComputerId, stop: number, reports: ReadonlyArray<PartitionReport>): string =>
  [
    '<?xml version="1.0"?><journal><transaction type="Sale Packing List"><title>Resource consumptions</title>',
    `<start_date></start_date><stop_date>${stopDate(stop)}</stop_date><reference>${computer}</reference>`,
    "<currency></currency><payment_mode></payment_mode><category></category>",
    '<arrow type="Administration"><source></source><destination></destination></arrow>',
    ...reports.flatMap(({ movements, partition }) => movements.map((movement) => movementXml(partition, movement))),
    "</transaction></journal>",
  ].join("")
