import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { nothingRead, progressOf, readOn } from "../../src/build/progress.ts"

const read = (...pieces: ReadonlyArray<string>) => progressOf(pieces.reduce(readOn, nothingRead))

describe("the output of a build", () => {
  it.each([
    ["nothing", [], undefined, []],
    ["a part", ["Installing a.\n"], "a", ["Installing a."]],
    ["the newest part", ["Installing a.\nx\nUpdating b.\n"], "b", ["Installing a.", "x", "Updating b."]],
    ["in pieces", ["Insta", "lling a", ".\nx"], "a", ["Installing a.", "x"]],
    ["a part that has no end yet", ["Installing a."], undefined, ["Installing a."]],
    [
      "what only looks like a part",
      ["Installing a b.\n Installing c.\n"],
      undefined,
      ["Installing a b.", " Installing c."],
    ],
    ["empty lines", ["\n\nx\n\n"], undefined, ["x"]],
    ["a progress bar", ["10%\r20%\r", "30%\r\n"], undefined, ["30%"]],
    ["colours and titles", ["\u001B]0;title\u0007\u001B[1;31mred\u001B[0m\n"], undefined, ["red"]],
    ["what steers a terminal", ["a\u0007b\u001Bc\u009B2J\n"], undefined, ["a\\x07b\\x1bc\\x9b2J"]],
    ["a long line", [`${"x".repeat(500)}\n`], undefined, ["x".repeat(200)]],
    ["a line that never ends", ["x".repeat(5000), "y".repeat(300)], undefined, ["x".repeat(200)]],
  ] as const)("%s", (_, pieces, part, lastLines) => {
    expect(read(...pieces)).toStrictEqual({ part, lastLines })
  })

  it("its last ten lines are kept, the open one among them", () => {
    const lines = Array.from({ length: 20 }, (_, index) => String(index))
    expect(read(`${lines.join("\n")}\n`).lastLines).toStrictEqual(lines.slice(10))
    expect(read(lines.join("\n")).lastLines).toStrictEqual(lines.slice(10))
  })

  it("a line without end fills no memory", () => {
    let reading = nothingRead
    for (let round = 0; round < 100; round++) reading = readOn(reading, "x".repeat(1000))
    expect(reading.open.length).toBeLessThan(5000)
  })
})
