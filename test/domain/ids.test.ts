import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { ComputerId, PartitionId, SoftwareUrl } from "../../src/domain/ids.ts"

const accepts = (schema: Schema.Codec<unknown, string>, text: string): boolean =>
  Result.isSuccess(Schema.decodeResult(schema)(text))

describe("PartitionId", () => {
  it.each(["slappart0", "p", "_x", "7", "a.b-c_d", "etcetera", "variable", "a".repeat(100)])("accepts %s", (text) => {
    expect(accepts(PartitionId, text)).toBe(true)
  })
  it.each([
    "",
    ".",
    "..",
    ".hidden",
    "-rf",
    "a/b",
    "../etc",
    "a\\b",
    "a b",
    "a\n",
    "a\0b",
    "é",
    "etc",
    "var",
    "a".repeat(101),
    "a\u202E",
  ])("refuses %j", (text) => {
    expect(accepts(PartitionId, text)).toBe(false)
  })
})

describe("ComputerId", () => {
  it.each(["COMP-1234", "_", "a+b.c-d", "x".repeat(200)])("accepts %s", (text) => {
    expect(accepts(ComputerId, text)).toBe(true)
  })
  it.each(["", "-a", "+a", ".a", "a/b", "a b", "a\n", "x".repeat(201), "a\u0000"])("refuses %j", (text) => {
    expect(accepts(ComputerId, text)).toBe(false)
  })
})

describe("SoftwareUrl", () => {
  it.each([
    "https://lab.example.com/x/software.cfg?ref=1#y",
    "/opt/releases/software.cfg",
    "~/software.cfg",
    "é",
    "x".repeat(4000),
  ])("accepts %s", (text) => {
    expect(accepts(SoftwareUrl, text)).toBe(true)
  })
  it.each(["", " ", "a b", "a\nextends = /etc/passwd", "a\tb", "a\u0085b", "a\u2028b", "a\u001bb", "x".repeat(4001)])(
    "refuses %j",
    (text) => {
      expect(accepts(SoftwareUrl, text)).toBe(false)
    },
  )
})

it("a refusal says what is allowed", () => {
  const refused = Schema.decodeResult(PartitionId)("../x")
  expect(Result.isFailure(refused) && refused.failure.message).toContain("plain directory name")
})
