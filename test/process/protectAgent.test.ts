import { assert, describe, it } from "@effect/vitest"
import { openFilesWanted } from "../../src/process/protectAgent.ts"

const limits = (soft: string, hard: string) =>
  [
    "Limit                     Soft Limit           Hard Limit           Units     ",
    "Max processes             1000                 2000                 processes ",
    `Max open files            ${soft.padEnd(20)} ${hard.padEnd(20)} files     `,
  ].join("\n")

describe("openFilesWanted", () => {
  it.each([
    ["few", limits("1024", "4096"), 1_048_576, "524288:524288"],
    ["few, where more is allowed", limits("1024", "1048576"), 1_048_576, "524288:1048576"],
    ["few, where all is allowed", limits("1024", "unlimited"), 1_048_576, "524288:unlimited"],
    ["few, on a small machine", limits("1024", "4096"), 65_536, "65536:65536"],
    ["enough", limits("524288", "524288"), 1_048_576, undefined],
    ["no limit", limits("unlimited", "unlimited"), 1_048_576, undefined],
    ["what cannot be read", "", 1_048_576, undefined],
  ])("%s", (_, text, most, expected) => {
    assert.strictEqual(openFilesWanted(text, most), expected)
  })
})
