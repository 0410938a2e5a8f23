import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { difference, samePartition, sameSoftware } from "../../src/desired/diff.ts"
import { desiredPartition, desiredSoftware, release, slappart0, softwareUrl } from "../support/facts.ts"

describe("difference", () => {
  const letter = (text: string) => text[0] ?? ""
  it.each([
    ["nothing", [], [], [], []],
    ["all is new", [], ["a1", "b1"], ["a1", "b1"], []],
    ["all is the same, in another order", ["a1", "b1"], ["b1", "a1"], [], []],
    ["one changed", ["a1", "b1"], ["a2", "b1"], ["a2"], []],
    ["one gone", ["a1", "b1"], ["b1"], [], ["a"]],
    ["all gone", ["a1", "b1"], [], [], ["a", "b"]],
    ["one gone, one new", ["a1"], ["b1"], ["b1"], ["a"]],
  ] as const)("%s", (_, known, wanted, tell, gone) => {
    const before = new Map(known.map((one) => [letter(one), one]))
    expect(difference(before, wanted, letter, (was, is) => was === is)).toStrictEqual({ tell, gone })
  })

  it("everything is told when nothing counts as the same", () => {
    expect(difference(new Map([["a", "a1"]]), ["a1"], letter, () => false).tell).toStrictEqual(["a1"])
  })
})

describe("samePartition", () => {
  it.each([
    ["requested state", { requested: "stopped" }, false],
    ["release", { software: softwareUrl("/other.cfg") }, false],
    ["no release", { software: undefined }, false],
    ["timestamp", { timestamp: "2" }, false],
    ["no timestamp", { timestamp: undefined }, false],
    ["retention delay", { filter: { retention_delay: "5" } }, false],
    ["the rest of the SLA", { filter: { fw_restricted_access: "on" } }, true],
    ["that the master knows of a failure", { accessStatus: "#error no" }, false],
    ["the master's last message", { accessStatus: "#access ok" }, false],
    ["the id, which is the key", { id: slappart0 }, true],
  ] as const)("%s: %s", (_, changes, same) => {
    expect(samePartition(desiredPartition(), desiredPartition(changes))).toBe(same)
  })
})

it.each([
  ["available", "available", true],
  ["available", "destroyed", false],
] as const)("sameSoftware: %s and %s", (a, b, same) => {
  const software = (requested: "available" | "destroyed") => desiredSoftware({ url: release, requested })
  expect(sameSoftware(software(a), software(b))).toBe(same)
})
