import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { fit, paintAll, span, stack, table, width } from "../../src/demo/layout.ts"
import { size } from "./facts.ts"

describe("fit", () => {
  it.each([
    ["short", 5, "short"],
    ["too long", 7, "too ..."],
    ["too long", 2, ".."],
    ["too long", 0, ""],
    ["日本語の文", 10, "日本語の文"],
    ["日本語の文", 8, "日本..."],
    ["👍👍👍", 5, "👍..."],
  ])("%s in %i columns: %s", (text, columns, expected) => {
    expect(fit(text, columns)).toBe(expected)
  })

  it("never takes more columns than it is given", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.nat(40), (text, columns) => {
        expect(width(fit(text, columns))).toBeLessThanOrEqual(columns)
      }),
    )
  })
})

describe("table", () => {
  it("aligns columns by their widest cell and leaves the last one alone", () => {
    const rows = [
      [span("A"), span("LONG"), span("C")],
      [span("bbb"), span("x"), span("end")],
    ]
    expect(paintAll(table(rows), size(80, 24))).toStrictEqual(["A    LONG  C", "bbb  x     end"])
  })
})

describe("stack", () => {
  const [a, b, c] = [[span("a")], [span("b")], [span("c")]]

  it.each([
    [10, ["a", "b", "", "c"]],
    [4, ["a", "b", "", "c"]],
    [3, ["a", "b", "c"]],
    [2, ["a", "b"]],
  ])("in %i rows", (rows, expected) => {
    expect(paintAll(stack([[a, b], [], [c]], rows), size(80, rows))).toStrictEqual(expected)
  })
})

describe("colours", () => {
  const line = [span("running", "good"), span(" plain")]

  it("are codes around a piece of text, and count for nothing", () => {
    expect(paintAll([line], { columns: 10, rows: 1, isColoured: true })).toStrictEqual(["\u001b[32mrunning\u001b[0m.."])
  })

  it("are left out where nobody wants them", () => {
    expect(paintAll([line], size(80, 1))).toStrictEqual(["running plain"])
  })
})
