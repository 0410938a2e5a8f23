// Each rule for an option's text: what it accepts, in which unit, and what it refuses.
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import {
  parseBoolean,
  parseCount,
  parseLines,
  parseMasterUrl,
  parseNames,
  parseProcessors,
  parseSeconds,
  parseSize,
} from "../../src/config/values.ts"

const REFUSED = Symbol("refused")
const outcome = <A>(result: Result.Result<A, string>): A | typeof REFUSED =>
  Result.getOrElse(result, (): A | typeof REFUSED => REFUSED)

describe("parseCount and parseProcessors", () => {
  it.each([
    ["1", 1],
    ["500", 500],
    ["0", undefined],
    ["1001", undefined],
    ["-1", undefined],
    ["1.5", undefined],
    ["", undefined],
    ["many", undefined],
  ])("%o processes, of 1000 at most", (text, value) => {
    expect(Result.getOrUndefined(parseCount(1, 1000)(text))).toBe(value)
  })

  it.each([
    ["1", 1],
    ["1.5", 1.5],
    [".25", 0.25],
    ["0", undefined],
    ["0.001", undefined],
    ["-1", undefined],
    ["1e3", undefined],
    ["two", undefined],
  ])("%o processors", (text, value) => {
    expect(Result.getOrUndefined(parseProcessors(text))).toBe(value)
  })
})

describe("sizes", () => {
  it.each<readonly [text: string, bytes: number | typeof REFUSED]>([
    ["0", 0],
    ["17", 17],
    ["0 B", 0],
    ["1K", 1024],
    ["1 k", 1024],
    ["1000M", 1000 * 1024 ** 2],
    ["1500MB", 1500 * 1024 ** 2],
    ["1.5 G", 1.5 * 1024 ** 3],
    ["1 Gi", 1024 ** 3],
    ["2T", 2 * 1024 ** 4],
    ["1 tera", 1024 ** 4],
    [".5kilo", 512],
    ["0.1 byte", 0],
    ["", REFUSED],
    ["M", REFUSED],
    ["-1M", REFUSED],
    ["12 foo", REFUSED],
    ["1,5G", REFUSED],
    [".", REFUSED],
    ["1M 2M", REFUSED],
    ["1e3", REFUSED],
  ])("%j", (text, bytes) => {
    expect(outcome(parseSize(text))).toBe(bytes)
  })
})

describe("booleans", () => {
  it.each<readonly [text: string, value: boolean | typeof REFUSED]>([
    ...["1", "yes", "true", "on", "True", "ON"].map((text) => [text, true] as const),
    ...["0", "no", "false", "off", "False", "No"].map((text) => [text, false] as const),
    ...["", "2", "y", "maybe", "true "].map((text) => [text, REFUSED] as const),
  ])("%j", (text, value) => {
    expect(outcome(parseBoolean(text))).toBe(value)
  })
})

describe("seconds", () => {
  it.each<readonly [text: string, minimum: number, milliseconds: number | typeof REFUSED]>([
    ["60", 1, 60_000],
    ["+5", 1, 5000],
    ["0", 0, 0],
    ["-1", Number.NEGATIVE_INFINITY, -1000],
    ["0", 1, REFUSED],
    ["-1", 0, REFUSED],
    ["1.5", 0, REFUSED],
    ["", 0, REFUSED],
    ["ten", 0, REFUSED],
    ["1e3", 0, REFUSED],
    ["99999999999999999999", 0, REFUSED],
  ])("%j, at least %d", (text, minimum, milliseconds) => {
    expect(outcome(parseSeconds(minimum)(text))).toBe(milliseconds)
  })
})

describe("the master's URL", () => {
  it.each<readonly [text: string, url: string | typeof REFUSED]>([
    ["https://slap.example.com/", "https://slap.example.com/"],
    ["https://slap.example.com", "https://slap.example.com/"],
    ["HTTP://Example.com:5000/a", "HTTP://Example.com:5000/a/"],
    ["http://127.0.0.1:5000", "http://127.0.0.1:5000/"],
    ["http://[2001:db8::1]:5000", "http://[2001:db8::1]:5000/"],
    ["http://2001:db8::1", "http://[2001:db8::1]/"],
    ["http://2001:db8::1/path", "http://[2001:db8::1]/path/"],
    ["http://2001:db8:0:0:0:0:0:1:5000/", "http://[2001:db8:0:0:0:0:0:1]:5000/"],
    ["http://::1", "http://[::1]/"],
    ["http://user:secret@example.com", "http://user:secret@example.com/"],
    ["", REFUSED],
    ["slap.example.com", REFUSED],
    ["ftp://example.com/", REFUSED],
    ["file:///etc/passwd", REFUSED],
    ["http://", REFUSED],
    ["http:///path", REFUSED],
    ["http://example.com:port/", REFUSED],
    ["http://exa mple.com/", REFUSED],
    ["http://example.com/a b", REFUSED],
    ["http://example.com/?x=1", REFUSED],
    ["http://example.com/#x", REFUSED],
  ])("%j", (text, url) => {
    expect(outcome(parseMasterUrl(text))).toBe(url)
  })
})

describe("lists", () => {
  it("have one entry a line, or names between commas and spaces", () => {
    expect(parseLines("\n  /a b\n\n/c\n")).toStrictEqual(["/a b", "/c"])
    expect(parseLines("")).toStrictEqual([])
    expect(parseNames("prerm, devperm\n  cpuset,")).toStrictEqual(["prerm", "devperm", "cpuset"])
    expect(parseNames("")).toStrictEqual([])
  })
})
