import { describe, expect, it } from "vitest"
import {
  type CacheEntry,
  type Distribution,
  distributionOf,
  formatEntry,
  isListed,
  misfit,
  multiarchWithoutCompiler,
  parseEntry,
  parseIndex,
} from "../../../src/build/networkcache/entries.ts"

const sha512 = "ab".repeat(64)
const url = "https://example.com/software.cfg"
const debian: Distribution = ["debian", "12", "bookworm"]

describe("an index", () => {
  it.each([
    [
      "of pairs",
      `[["a", "b"], ["c", "d"]]`,
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    ["that is empty", "[]", []],
    ["with other things in it", `[["a", "b"], ["a"], [1, 2], "x", null, ["a", "b", "c"]]`, [["a", "b"]]],
    ["that is a message", `{"error": "x"}`, undefined],
    ["that is no JSON", "<html>", undefined],
  ])("%s", (_, text, expected) => {
    expect(parseIndex(text)).toStrictEqual(expected)
  })
})

describe("an entry", () => {
  const current = { sha512, multiarch: "x86_64-linux-gnu", os: debian }

  it.each<readonly [string, unknown, Partial<CacheEntry> | undefined]>([
    ["of today", { ...current, software_url: url, file: "file" }, { sha512, softwareUrl: url, os: debian }],
    ["without a hash", { ...current, sha512: undefined }, undefined],
    ["with a path as its hash", { ...current, sha512: "../../etc/passwd" }, undefined],
    ["without a machine", { sha512, os: debian }, undefined],
    [
      "of before multiarch",
      { sha512, machine: "x86_64", os: "('debian', '12.1', '')" },
      { multiarch: "x86_64-linux-gnu", os: ["debian", "12.1", ""] },
    ],
    [
      "of before multiarch, by an older Python",
      { sha512, machine: "x86_64", os: `(u'Ubuntu', u"22.04", u'jammy',)` },
      { multiarch: "x86_64-linux-gnu", os: ["Ubuntu", "22.04", "jammy"] },
    ],
    ["of before multiarch, of another machine", { sha512, machine: "i686", os: "('debian', '12.1', '')" }, undefined],
    ["of before multiarch, with code", { sha512, machine: "x86_64", os: "(f(), 'x', 'y')" }, undefined],
    ["of before multiarch, of two", { sha512, machine: "x86_64", os: "('debian', '12.1')" }, undefined],
    ["with multiarch and the older os", { ...current, os: "('debian', '12', '')" }, undefined],
    ["that is a list", [1], undefined],
  ])("%s", (_, value, expected) => {
    const entry = parseEntry(JSON.stringify(value))
    expect(entry === undefined).toBe(expected === undefined)
    expect(entry ?? {}).toMatchObject(expected ?? {})
  })
})

describe("a release is for a machine", () => {
  const entry: CacheEntry = {
    sha512,
    softwareUrl: url,
    softwareRoot: "/opt/slapgrid",
    multiarch: "x86_64-linux-gnu",
    os: debian,
  }
  const wanted = {
    url,
    multiarch: "x86_64-linux-gnu",
    os: debian,
    isOurRoot: (root: string) => root === "/opt/slapgrid",
  }

  it.each<readonly [string, Partial<CacheEntry>, Distribution]>([
    ["with the same words", {}, debian],
    ["with another minor release of Debian", { os: ["debian", "12.5", "bookworm"] }, ["Debian", "12.11", ""]],
    ["of Raspbian for Debian", { os: ["raspbian", "12", "bookworm"] }, debian],
    ["of the same Ubuntu", { os: ["Ubuntu", "22.04", "jammy"] }, ["ubuntu", "22.04", "jammy"]],
    ["when it tells neither URL nor root", { softwareUrl: undefined, softwareRoot: undefined }, debian],
    ["with an empty root", { softwareRoot: "" }, debian],
  ])("%s", (_, changes, os) => {
    expect(misfit({ ...entry, ...changes }, { ...wanted, os })).toBeUndefined()
  })

  it.each<readonly [string, Partial<CacheEntry>, Distribution, string]>([
    ["another machine", { multiarch: "aarch64-linux-gnu" }, debian, "is for aarch64-linux-gnu, this machine is x86_64"],
    ["another Debian", { os: ["debian", "11", "bookworm"] }, debian, "is for debian 11 bookworm, this machine has"],
    ["another Ubuntu", { os: ["ubuntu", "22.04", "jammy"] }, ["ubuntu", "22.10", "jammy"], "is for ubuntu 22.04"],
    ["another codename", { os: ["ubuntu", "22.04", "x"] }, ["ubuntu", "22.04", "jammy"], "is for ubuntu 22.04 x"],
    ["another release", { softwareUrl: `${url}x` }, debian, `is of ${url}x`],
    ["another software root", { softwareRoot: "/srv/slapgrid" }, debian, "was built in /srv/slapgrid"],
  ])("not when it is for %s", (_, changes, os, why) => {
    expect(misfit({ ...entry, ...changes }, { ...wanted, os })).toContain(why)
  })
})

describe("the machine", () => {
  it.each<readonly [string, string, Distribution]>([
    [
      "Debian",
      `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nVERSION="12 (bookworm)"\nVERSION_CODENAME=bookworm\nID=debian\n`,
      ["debian", "12", "bookworm"],
    ],
    ["Fedora", `ID=fedora\nVERSION_ID=39\nVERSION="39 (Server Edition)"\nVERSION_CODENAME=""\n`, ["fedora", "39", ""]],
    ["an older one", `ID='My Linux'\nVERSION_ID=7\nVERSION="7 (Nick)"`, ["my_linux", "7", "Nick"]],
    [
      "an older Ubuntu",
      `ID=ubuntu\nVERSION_ID="16.04"\nVERSION="16.04, Xenial Xerus"`,
      ["ubuntu", "16.04", "Xenial Xerus"],
    ],
    ["nothing", "", ["linux", "", ""]],
  ])("%s", (_, text, expected) => {
    expect(distributionOf(text)).toStrictEqual(expected)
  })

  it("needs no compiler where its words are known", () => {
    expect(multiarchWithoutCompiler("NAME=x\nID=debian\n", "x64")).toBe("x86_64-linux-gnu")
    expect(multiarchWithoutCompiler('ID=pop\nID_LIKE="ubuntu debian"\n', "arm64")).toBe("aarch64-linux-gnu")
    expect(multiarchWithoutCompiler("ID=fedora\n", "x64")).toBeUndefined()
    expect(multiarchWithoutCompiler("ID=debian\n", "mips")).toBeUndefined()
  })
})

it("a list names what begins with one of its lines", () => {
  expect(isListed(url, ["https://other/", "https://example.com/"])).toBe(true)
  expect(isListed(url, ["example.com", "https://example.com/software.cfg2"])).toBe(false)
  expect(isListed(url, [])).toBe(false)
})

it("an entry is written as it is read, in ASCII", () => {
  const facts = { url: "https://example.com/ü", softwareRoot: "/opt/slapgrid", multiarch: "m", os: debian, sha512 }
  const text = formatEntry(facts)
  expect(text).toMatch(/^[\0-\x7f]*$/)
  expect(parseEntry(text)).toStrictEqual({
    sha512,
    softwareUrl: facts.url,
    softwareRoot: facts.softwareRoot,
    multiarch: "m",
    os: debian,
  })
})
