// The rules of the ledger, as tables.
import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { MasterError } from "../../../src/master/MasterError.ts"
import {
  decodeSealed,
  encodeSealed,
  groupReports,
  isSameReport,
  type JournalState,
  nameOf,
  nextStop,
  type Source,
  stateAfter,
} from "../../../src/report/usage/ledger.ts"
import { slappart0, slappart1 } from "../../support/facts.ts"

const source: Source = { partition: slappart0, folder: "partition", name: "a", hash: "1", modified: "10", inode: "7" }

describe("two files are the same report", () => {
  it.each<[string, Partial<Source>, boolean]>([
    ["the very file", {}, true],
    ["other bytes", { hash: "2" }, false],
    ["another partition's", { partition: slappart1 }, false],
    ["renamed", { name: "b" }, true],
    ["moved into the other folder", { folder: "node" }, true],
    ["moved and renamed", { folder: "node", name: "b" }, true],
    ["on another disk, with its time", { inode: "8" }, true],
    ["a copy in the other folder", { folder: "node", modified: "11", inode: "8" }, true],
    ["written again with the same bytes", { modified: "11" }, false],
    ["put in its place with the same bytes", { modified: "11", inode: "8" }, false],
    ["the same bytes in another file", { name: "b", modified: "11", inode: "8" }, false],
    ["the same bytes in another file of the same moment", { name: "b", inode: "8" }, false],
    [
      "the same bytes under another name in the other folder",
      { folder: "node", name: "b", modified: "11", inode: "8" },
      false,
    ],
  ])("%s: %#", (_, change, isSame) => {
    expect(isSameReport(source, { ...source, ...change })).toBe(isSame)
    expect(isSameReport({ ...source, ...change }, source)).toBe(isSame)
  })

  it("stand together, in their order", () => {
    const found = [
      { source, id: 1 },
      { source: { ...source, name: "b", inode: "8" }, id: 2 },
      { source: { ...source, folder: "node" as const, inode: "9", modified: "12" }, id: 3 },
    ]
    expect(groupReports(found).map((group) => group.map(({ id }) => id))).toStrictEqual([[1, 3], [2]])
  })
})

const answer = (reason: MasterError["reason"], status?: number, isUnsent?: true) =>
  new MasterError({ method: "m", reason, status, message: "", ...(isUnsent === undefined ? {} : { isUnsent }) })

describe("a journal that was not taken", () => {
  it.each<[string, MasterError, JournalState]>([
    ["nobody was there", answer("Unreachable", undefined, true), "sealed"],
    ["the answer was lost", answer("Unreachable"), "in flight"],
    ["the master is busy", answer("Unavailable", 503), "sealed"],
    ["too many requests", answer("Unavailable", 429), "sealed"],
    ["the gateway lost the master", answer("Unavailable", 502), "in flight"],
    ["the master was too slow for its gateway", answer("Unavailable", 504), "in flight"],
    ["refused", answer("Refused", 400), "sealed"],
    ["not authorised", answer("Unauthorised", 403), "sealed"],
    ["the client failed", answer("InvalidAnswer"), "in flight"],
  ])("%s: %#", (_, error, after) => {
    expect(stateAfter("sealed", error)).toBe(after)
    // What may have arrived once may be there, whatever is said of the second time.
    expect(stateAfter("in flight", error)).toBe("in flight")
  })
})

describe("the second of a journal", () => {
  it.each([
    ["the clock's", 0, 100, 100],
    ["the next one of the same second", 100, 100, 101],
    ["the clock went back a little", 200, 100, 201],
    ["the clock was far ahead once", 100_000_000, 100, 100],
  ])("%s", (_, last, now, next) => expect(nextStop(last, now)).toBe(next))

  it("orders the names", () => {
    expect(nameOf(999, "abc") < nameOf(1000, "aaa")).toBe(true)
  })
})

describe("a sealed file", () => {
  const seal = {
    version: 1 as const,
    hash: "x",
    sealedAt: 5,
    movements: 2,
    sources: [source, { ...source, partition: null }],
  }

  it.each(["<a>\n</a>", "", "\n\nx"])("gives back what was sealed: %j", (journal) => {
    expect(decodeSealed(encodeSealed(seal, journal))).toStrictEqual({ seal, journal })
  })

  it.each([
    "",
    "{}",
    "{}\nx",
    '{"version":2}\nx',
    encodeSealed(seal, "x").slice(1),
    encodeSealed(seal, "x").slice(0, 40),
  ])("is none: %#", (text) => expect(decodeSealed(text)).toBeUndefined())
})
