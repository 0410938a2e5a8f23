// The grammar of usage documents, against xmllint with a schema of the tests' own.
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { expect } from "vitest"
import type { WireError } from "../../../src/master/wire/WireError.ts"
import { type Movement, parseConsumption, parseJournal } from "../../../src/report/usage/documents.ts"
import { fuzz } from "../../support/fuzz.ts"
import { scratchDirectory } from "../../support/scratch.ts"
import { consumptions, type Example, journals, refused } from "./examples.ts"

const schema = fileURLToPath(new URL("usage.xsd", import.meta.url))

type Parse = (source: string) => Result.Result<ReadonlyArray<Movement>, WireError>

const check = (parse: Parse, { isValid, says, xml }: Example): void => {
  const result = parse(xml)
  if (isValid) expect(result).toMatchObject({ _tag: "Success" })
  else expect(Result.isFailure(result) ? result.failure.message : "valid").toContain(says)
}

/** What xmllint says of many documents: its name for each, and whether it is valid. */
const lint = (directory: string, documents: ReadonlyArray<string>): ReadonlyArray<boolean> => {
  const files = documents.map((xml, index) => {
    fs.writeFileSync(`${directory}/${index}.xml`, xml)
    return `${directory}/${index}.xml`
  })
  const { error, stderr } = spawnSync("xmllint", ["--noout", "--noent", "--nonet", "--schema", schema, ...files], {
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  })
  if (error !== undefined) throw error
  const valid = new Set(stderr.match(/^.*(?= validates$)/gm))
  return files.map((file) => valid.has(file))
}

describe("a consumption", () => {
  it.each(consumptions)("$name", (example) => check(parseConsumption, example))
  it.each(refused)("is refused: $name", (example) => check(parseConsumption, example))

  it("gives its movements in order, with the texts that a reader of XML sees", () => {
    const xml =
      "<consumption><movement><resource>a &lt; b</resource><quantity> 1 </quantity><price>2</price><VAT/><category><![CDATA[<]]>x</category></movement></consumption>"
    expect(Result.getOrThrow(parseConsumption(xml))).toStrictEqual([
      [
        ["resource", "a < b"],
        ["quantity", " 1 "],
        ["price", "2"],
        ["VAT", ""],
        ["category", "<x"],
      ],
    ])
  })

  it("names the place", () => {
    const result = parseConsumption("<consumption>\n <movement>\n  <price>1</price></movement></consumption>")
    expect(Result.isFailure(result) && result.failure.message).toBe(
      'movement 1: "price" where <resource> is due in <movement> (line 3, column 3)',
    )
  })
})

describe("a journal", () => {
  it.each(journals)("$name", (example) => check(parseJournal, example))
})

describe("xmllint", () => {
  it.effect("says the same of every example", () =>
    Effect.gen(function* () {
      const examples = [...consumptions, ...journals.filter(({ name }) => name !== "a consumption")]
      expect(examples.length).toBeGreaterThan(80)
      // Another root is right by the schema, which knows both.
      const others = examples.filter(({ name }) => name !== "another root")
      const verdicts = lint(
        yield* scratchDirectory,
        others.map(({ xml }) => xml),
      )
      expect(verdicts).toStrictEqual(others.map(({ isValid }) => isValid))
    }),
  )

  it.effect("finds what is refused for another reason right by the schema", () =>
    Effect.gen(function* () {
      const verdicts = lint(
        yield* scratchDirectory,
        refused.map(({ xml }) => xml),
      )
      expect(verdicts).toStrictEqual(refused.map(() => true))
    }),
  )

  it.effect("says the same of documents that differ from valid ones in something", () =>
    Effect.gen(function* () {
      const { numRuns, seed } = fuzz(51, 400)
      const documents = fc.sample(mutated, { seed, numRuns })
      const verdicts = lint(yield* scratchDirectory, documents)
      const parsed = documents.map((xml) => Result.isSuccess(parseConsumption(xml)))
      const differing = documents.filter((_, index) => parsed[index] !== verdicts[index])
      expect(differing).toStrictEqual([])
      // Both kinds are there, or nothing was compared.
      expect(new Set(parsed).size).toBe(2)
    }),
  )
})

const pieces = [
  ...["consumption", "movement", "resource", "title", "reference", "quantity", "price", "VAT", "category"].flatMap(
    (name) => [`<${name}>`, `</${name}>`, `<${name}/>`],
  ),
  ..." ,1,-2.5,1e3,x,\n,&lt;,&amp;,&#233;,é,<!-- c -->,<![CDATA[1]]>".split(","),
]

/** A right document, some of whose pieces were left out, doubled, replaced or exchanged. */
const mutated: fc.Arbitrary<string> = fc
  .tuple(
    fc.constantFrom(...consumptions.filter(({ isValid }) => isValid).map(({ xml }) => xml)),
    fc.array(
      fc.record({
        at: fc.nat(200),
        kind: fc.constantFrom("drop", "double", "put", "swap"),
        piece: fc.constantFrom(...pieces),
      }),
      { maxLength: 2 },
    ),
  )
  .map(([xml, changes]) => {
    let parts: ReadonlyArray<string> = xml.match(/<[^>]*>|[^<]+/g) ?? []
    for (const { at, kind, piece } of changes) {
      const index = at % parts.length
      const one = parts[index]!
      if (kind === "drop") parts = parts.toSpliced(index, 1)
      else if (kind === "double") parts = parts.toSpliced(index, 0, one)
      else if (kind === "put") parts = parts.toSpliced(index, 0, piece)
      else if (index > 0) parts = parts.toSpliced(index - 1, 2, one, parts[index - 1]!)
      if (parts.length === 0) return ""
    }
    return parts.join("")
  })

describe("any text", () => {
  it("is read or refused, and never takes long", () => {
    const longest = { milliseconds: 0, xml: "" }
    const look = (xml: string) => {
      const before = performance.now()
      for (const parse of [parseConsumption, parseJournal]) Result.isSuccess(parse(xml))
      const milliseconds = performance.now() - before
      if (milliseconds > longest.milliseconds) Object.assign(longest, { milliseconds, xml })
    }
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary", maxLength: 200 }),
          mutated,
          fc.array(fc.constantFrom(...pieces), { maxLength: 60 }).map((parts) => parts.join("")),
        ),
        look,
      ),
      fuzz(52, 2000),
    )
    for (const xml of [
      "<consumption>".repeat(100_000),
      `<consumption>${"<movement>".repeat(100_000)}`,
      `<consumption><movement><resource>${"&amp;".repeat(200_000)}</resource>`,
      `<consumption><movement><resource/><quantity>${"1".repeat(1_000_000)}x</quantity>`,
      `<consumption ${"a='1' ".repeat(100_000)}>`,
    ]) {
      look(xml)
    }
    expect(longest.milliseconds < 1000 ? "" : longest.xml.slice(0, 200)).toBe("")
  })
})
