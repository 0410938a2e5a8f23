// What a usage soak does and what it expects: report scripts that leave a proof of every report they wrote, and the books
// of a master that counts. All of it is made of a seed, but for the moments of the real world.
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import * as fc from "fast-check"
import { isRoot } from "./ScratchMachine.ts"
import type { Call, Fault } from "./ScriptedMaster.ts"
import { computer } from "./TestMaster.ts"
import type { TestNode, TestPartition } from "./TestNode.ts"
import { textOf } from "./waiting.ts"

/** A movement as both sides of the comparison know it. */
export interface Movement {
  readonly title: string
  readonly quantity: number
}

const movementXml = (title: string, quantity: number): string =>
  `<movement><resource>CPU</resource><title>${title}</title><reference>x</reference><quantity>${quantity}</quantity><price>1</price><VAT></VAT></movement>`

/** What the scripts of one partition have written; it outlives the partition. */
const recordOf = (node: TestNode, { id }: TestPartition): string => `${node.scratch.path}/record-${id}`

/**
 * Writes a report of two movements where it is told to. A report is announced before it exists, and comes into existence
 * by the rename that takes it away from here: what is announced and gone was written, whenever the script is killed.
 */
const script = (record: string, id: string): string => `#!/bin/sh
set -e
read -r unique </proc/sys/kernel/random/uuid
name=${id}-$unique
quantity=$((1000 + $$ % 1000))
{
  printf '<consumption>'
  for part in a b; do
    printf '${movementXml("%s", 0).replace("<quantity>0<", "<quantity>%s<")}' "$name-$part" "$quantity"
  done
  printf '</consumption>'
} >"${record}/$name"
echo "$name $quantity" >>"${record}/announced"
mv "${record}/$name" "$1"
`

const give = (path: string, mode: number, { gid, uid }: TestPartition): void => {
  if (isRoot) chownSync(path, uid, gid)
  chmodSync(path, mode)
}

const folderOf = ({ instanceRoot }: TestNode, owner: string): string => `${instanceRoot}/var/xml_report/${owner}`

/** Makes a partition report, and the folders of the node's tools. */
export const layOutUsage = (node: TestNode, partition: TestPartition): void => {
  for (const folder of ["etc/report", "var/xml_report"]) {
    mkdirSync(`${partition.path}/${folder}`, { recursive: true })
    give(`${partition.path}/${folder.split("/")[0]}`, 0o755, partition)
    give(`${partition.path}/${folder}`, 0o755, partition)
  }
  const record = recordOf(node, partition)
  mkdirSync(record)
  give(record, 0o755, partition)
  writeFileSync(`${partition.path}/etc/report/usage`, script(record, partition.id))
  give(`${partition.path}/etc/report/usage`, 0o755, partition)
  for (const owner of [partition.id, computer]) mkdirSync(folderOf(node, owner), { recursive: true })
}

/** Movements of the reports that the scripts of a partition wrote. */
export const writtenBy = (node: TestNode, partition: TestPartition): ReadonlyArray<Movement> => {
  const record = recordOf(node, partition)
  const announced = (textOf(`${record}/announced`) ?? "").split("\n").slice(0, -1)
  return announced.flatMap((line) => {
    const [name = "", quantity = ""] = line.split(" ")
    if (existsSync(`${record}/${name}`)) return []
    return ["a", "b"].map((part) => ({ title: `${name}-${part}`, quantity: Number(quantity) }))
  })
}

/** What the node's tools leave while no agent looks; gives its movements. */
export const leave = (node: TestNode, { kind, partition }: Leaving, round: number): ReadonlyArray<Movement> => {
  const title = `left-${round}-${partition}-${kind}`
  const movements = [{ title, quantity: round + 1 }]
  const xml = movementXml(title, round + 1)
  if (kind === "Journal") {
    const head = "<start_date></start_date><stop_date></stop_date><reference>r</reference>"
    const arrow = '<currency></currency><payment_mode></payment_mode><arrow type="a"></arrow>'
    writeFileSync(
      `${folderOf(node, computer)}/${title}`,
      `<journal><transaction type="t">${head}${arrow}${xml}</transaction></journal>`,
    )
    return movements
  }
  const place = node.partition(`slappart${partition}`)
  const report = `<consumption>${xml}</consumption>`
  writeFileSync(`${folderOf(node, place.id)}/${title}`, report)
  if (kind === "Both") {
    writeFileSync(`${place.path}/var/xml_report/${title}`, report)
    give(`${place.path}/var/xml_report/${title}`, 0o644, place)
  }
  return movements
}

/** Movements of a journal, found without the program's own reader. */
export const movementsOf = (journal: string): ReadonlyArray<Movement> =>
  [...journal.matchAll(/<movement>.*?<\/movement>/gs)].map(([movement]) => ({
    title: /<title>(.*?)<\/title>/.exec(movement)?.[1] ?? "",
    quantity: Number(/<quantity>(.*?)<\/quantity>/.exec(movement)?.[1]),
  }))

/** What the master does with a journal; all but `Busy` have it in its books. */
export const behaviours = {
  Takes: undefined,
  /** Counts it and never says so. */
  Silent: { _tag: "Held" },
  /** Counts it and breaks the connection. */
  Breaks: { _tag: "Reset" },
  Busy: { _tag: "Status", status: 503 },
} as const satisfies Readonly<Record<string, Fault | undefined>>

/** The journals that the master has counted, in order, those that it was sent again too. */
export const countedIn = (calls: ReadonlyArray<Call>): ReadonlyArray<string> =>
  calls.flatMap(({ fault, form, name }) =>
    name === "useComputer" && fault !== "Status" ? [form["use_string"] ?? ""] : [],
  )

export interface Leaving {
  readonly kind: "Journal" | "Node" | "Both"
  readonly partition: number
}

/** After which event the agent is killed; `Start`: when it is up. */
export const moments = ["Start", "Report", ".sealed", ".flight", "Call", ".taken"] as const

export interface Round {
  readonly leavings: ReadonlyArray<Leaving>
  readonly master: keyof typeof behaviours
  readonly moment: (typeof moments)[number]
  /** Milliseconds after that. */
  readonly pause: number
  readonly longPause: number
}

/** `lasting`: how many partitions are never destroyed. */
export const usageRounds = (lasting: number): fc.Arbitrary<Round> =>
  fc.record({
    leavings: fc.array(
      fc.record({
        kind: fc.constantFrom("Journal" as const, "Node" as const, "Both" as const),
        partition: fc.nat(lasting - 1),
      }),
      { maxLength: 2 },
    ),
    master: fc.oneof(
      { weight: 4, arbitrary: fc.constant("Takes" as const) },
      { weight: 2, arbitrary: fc.constantFrom("Silent" as const, "Breaks" as const, "Busy" as const) },
    ),
    moment: fc.constantFrom(...moments),
    pause: fc.nat(12),
    longPause: fc.nat(400),
  })

/** To compare by. */
export const sorted = (movements: ReadonlyArray<Movement>): ReadonlyArray<string> =>
  movements.map(({ quantity, title }) => `${title} ${quantity}`).sort()

/** Files of reports that lie somewhere still. */
export const leftReports = (node: TestNode): ReadonlyArray<string> => {
  const folders = [
    ...node.partitions.map(({ path }) => `${path}/var/xml_report`),
    ...[computer, ...node.partitions.map(({ id }) => id)].map(
      (owner) => `${node.instanceRoot}/var/xml_report/${owner}`,
    ),
  ]
  return folders.flatMap((folder) => (existsSync(folder) ? readdirSync(folder) : []))
}
