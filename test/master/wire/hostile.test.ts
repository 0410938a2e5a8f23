// Thousands of damaged documents: whatever comes, the answer is a state or an error, soon, and nothing stays behind.
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as fc from "fast-check"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { describe, expect, it } from "vitest"
import { PartitionId } from "../../../src/domain/ids.ts"
import { decodeComputer } from "../../../src/master/wire/computer.ts"
import { decodeAnswer } from "../../../src/master/wire/marshal.ts"
import { fuzz } from "../../support/fuzz.ts"
import { computerId } from "../http/support.ts"
import { computerAsErp5, exchanges } from "./vectors.ts"

const answers = exchanges
  .filter(({ path, response }) => path === "/getFullComputerInformation" && response.length < 12_000)
  .map(({ response }) => response)
const documents = [...answers.slice(-2), computerAsErp5.replaceAll("COMP-2", "COMP-1")].map((text) =>
  new TextEncoder().encode(text),
)

/** Pieces that mean something to a reader of XML or of SLAP. */
const tokens = [
  ..."<>&;\"'/=!?-[] \n\r\t\0\x01\x7f".split(""),
  "<!DOCTYPE a [",
  '<!ENTITY a "b">',
  "&a;",
  "]>",
  "<!--",
  "-->",
  "<![CDATA[",
  "]]>",
  "<?xml",
  "?>",
  "\uFEFF",
  "&#0;",
  "&#xD800;",
  "&#65533;",
  "&#99999999;",
  "&amp;",
  "&lt;",
  "&amp;lt;",
  "\u{1F600}",
  "\uFFFD",
  "é",
  "<marshal>",
  "</marshal>",
  "<list>",
  "</list>",
  "<tuple/>",
  "<none/>",
  '<list id="i3"/>',
  '<reference id="i2"/>',

  '<reference id="i9999"/>',
  "<string>",
  "</string>",
  "<int>",
  "</int>",
  "<int>9</int>",
  "<dictionary>",
  "</object>",
  '<object id="x" module="os" class="system">',
  ' class="Computer"',
  ' id="i2"',
  "<set/>",
  "<bool>2</bool>",
  "nan",
  "<float>1e999</float>",
  "_partition_id",
  "_requested_state",
  "destroyed",
  "../..",
  "\\",
  "<a>".repeat(300),
].map((token) => new TextEncoder().encode(token))

/** What can stand where a value stands. */
const values = [
  "<none/>",
  "<string/>",
  "<int>7</int>",
  "<int>x</int>",
  "<string>&#0;</string>",
  "<string>\xff</string>",
  '<reference id="i3"/>',
  '<reference id="none"/>',
  "<pickle>x</pickle>",
  "<list><int>1</int></list>",
  "<tuple/>",
  "<string>slappart0</string>",
  "<string>../etc</string>",
  "<string>stopped</string>",
  "<string>COMP-9</string>",
  '<object module="os" class="system"><tuple/><dictionary/></object>',
  '<list id="i2"/>',
  "<float>nan</float>",
  "<list>".repeat(300) + "</list>".repeat(300),
  `<string>${"a".repeat(10_000)}</string>`,
  "<bool>1</bool>",
]

type Cut = readonly [at: number, length: number]

interface Damage {
  readonly at: number
  readonly removed: number
  /** A token, a byte, or a piece of the document itself. */
  readonly inserted: Uint8Array | number | Cut
}

/** A value in the place of another one: the document stays well-formed. */
interface Exchange {
  readonly at: number
  readonly value: string
}

// As often at the end of a document as at its beginning, which a float would not be.
const share = fc.nat({ max: 99_999 }).map((part) => part / 100_000)
const small = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat({ max: 40 }), fc.nat({ max: 3000 }))
const exchange: fc.Arbitrary<Exchange> = fc.record({ at: share, value: fc.constantFrom(...values) })
const damage: fc.Arbitrary<Damage> = fc.record({
  at: share,
  removed: small,
  inserted: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...tokens) },
    fc.nat({ max: 255 }),
    fc.tuple(share, fc.nat({ max: 2000 })),
  ),
})

const damaged = (document: Uint8Array, { at, inserted, removed }: Damage): Uint8Array => {
  const start = Math.floor(at * document.length)
  const piece = (): Uint8Array => {
    if (inserted instanceof Uint8Array) return inserted
    if (typeof inserted === "number") return new Uint8Array([inserted])
    const from = Math.floor(inserted[0] * document.length)
    return document.subarray(from, from + inserted[1])
  }
  return Buffer.concat([document.subarray(0, start), piece(), document.subarray(start + removed)])
}

const exchanged = (document: Uint8Array, { at, value }: Exchange): Uint8Array => {
  const text = Buffer.from(document).toString("latin1")
  const leaf = /<(string|int|none)(?:\/>|>[^<]*<\/\1>)/.exec(text.slice(Math.floor(at * text.length)))
  if (leaf === null) return document
  const start = Math.floor(at * text.length) + leaf.index
  return Buffer.from(`${text.slice(0, start)}${value}${text.slice(start + leaf[0].length)}`, "latin1")
}

const isPartitionId = Schema.is(PartitionId)

/** Throws unless what is read of a document is fit for use. */
const readAny = (document: Uint8Array): "refused" | "partly" | "whole" => {
  const state = Result.flatMap(decodeAnswer(document), (value) => decodeComputer(value, computerId))
  if (Result.isFailure(state)) {
    expect(state.failure.message.length).toBeLessThan(1000)
    return "refused"
  }
  const { partitions, rejected } = state.success
  if (!partitions.every(({ id }) => isPartitionId(id))) throw new Error("an id that is none")
  if (new Set(partitions.map(({ id }) => id)).size !== partitions.length) throw new Error("two of one id")
  for (const { reason, subject } of rejected) {
    if (reason.length > 1000 || subject.length > 600) throw new Error("a message too long")
  }
  return rejected.length > 0 ? "partly" : "whole"
}

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

const heap = (): number => {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

describe("damaged documents", () => {
  it("20,000 of them: no crash, none for long, nothing left behind", () => {
    const seen = { refused: 0, partly: 0, whole: 0 }
    let slowest = 0
    const property = fc.property(
      fc.nat({ max: documents.length - 1 }),
      fc.array(exchange, { maxLength: 3 }),
      fc.array(damage, { maxLength: 2 }),
      (index, exchanges, damages) => {
        const document = documents[index] ?? new Uint8Array()
        const bytes = damages.reduce(damaged, exchanges.reduce(exchanged, document))
        const start = process.cpuUsage()
        seen[readAny(bytes)]++
        slowest = Math.max(slowest, process.cpuUsage(start).user / 1000)
      },
    )
    const run = (parameters: ReturnType<typeof fuzz>) => fc.assert(property, parameters)
    run({ seed: 1, numRuns: 500 })
    const before = heap()
    run(fuzz(20_261_125, 20_000))
    expect(heap() - before).toBeLessThan(20_000_000)
    // Milliseconds of the processor.
    expect(slowest).toBeLessThan(1000)
    // All three kinds came, or the damage is not worth its name.
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(500)
    // Seconds on a machine of one's own.
  }, 300_000)
})
