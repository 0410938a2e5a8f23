// The journal, against the one that the reference made of a report (captured, see vectors/).
import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { expect } from "vitest"
import { parseConsumption, parseJournal } from "../../../src/report/usage/documents.ts"
import { journalXml } from "../../../src/report/usage/journal.ts"
import { exchanges } from "../../master/wire/vectors.ts"
import { computerId, slappart0, slappart1 } from "../../support/facts.ts"
import { fuzz } from "../../support/fuzz.ts"
import { plain } from "./examples.ts"

const movementsOf = (xml: string) => Result.getOrThrow(parseConsumption(`<consumption>${xml}</consumption>`))
const stop = Date.UTC(2026, 10, 22, 8, 55, 15) / 1000

describe("the journal", () => {
  it("is the reference's, letter by letter", () => {
    const report = plain.replace("Line 1", "Title Sale Packing List Line 1")
    const captured = exchanges.find(({ path }) => path === "/useComputer")?.form?.["use_string"]
    expect(captured).toContain("CPU Consumption")
    expect(journalXml(computerId, stop, [{ partition: slappart0, movements: movementsOf(report) }])).toBe(captured)
  })

  it("names the partition in every movement, whatever the report says", () => {
    const nameless =
      "<movement><resource>a &amp; b</resource><quantity>1</quantity><price>2</price><VAT>é&#13;</VAT></movement>"
    const xml = journalXml(computerId, stop, [
      { partition: slappart0, movements: movementsOf(nameless) },
      { partition: slappart1, movements: movementsOf(plain + plain) },
    ])
    expect(xml.match(/<reference>.*?<\/reference>/g)).toStrictEqual(
      ["COMP-1", "slappart0", "slappart1", "slappart1"].map((id) => `<reference>${id}</reference>`),
    )
    expect(xml).toContain(
      "<movement><resource>a &amp; b</resource><reference>slappart0</reference><quantity>1</quantity><price>2</price><VAT>é&#13;</VAT></movement>",
    )
  })

  it("is valid, and says what was reported, whatever that was", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 20 })
    const wire = (value: string) => value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("\r", "&#13;")
    fc.assert(
      fc.property(
        fc.array(fc.tuple(text, text, fc.double({ noNaN: true, noDefaultInfinity: true })), { minLength: 1 }),
        (rows) => {
          const report = rows
            .map(
              ([resource, vat, quantity]) =>
                `<movement><resource>${wire(resource)}</resource><quantity>${quantity}</quantity><price>1</price><VAT>${wire(vat)}</VAT></movement>`,
            )
            .join("")
          const xml = journalXml(computerId, stop, [{ partition: slappart0, movements: movementsOf(report) }])
          const movements = Result.getOrThrow(parseJournal(xml))
          expect(movements.map((movement) => movement.map(([, value]) => value))).toStrictEqual(
            rows.map(([resource, vat, quantity]) => [
              resource || "None",
              "slappart0",
              String(quantity),
              "1",
              vat || "None",
            ]),
          )
        },
      ),
      fuzz(53, 200),
    )
  })
})
