// Who a helper can be, and what proves it.
import { describe, expect, it } from "vitest"
import { findLooseness, idMap } from "../../../src/process/warm/confinement.ts"

const everySecond = (count: number) => Array.from({ length: count }, (_, n) => n * 2)

describe("a map of ids", () => {
  it.each<[string, ReadonlyArray<number>, string | undefined]>([
    ["names each id once", [1001, 1001], "1001 1001 1\n"],
    ["merges adjacent ids, in whatever order they come", [1003, 1001, 1002], "1001 1001 3\n"],
    ["has a line for each range", [5, 9, 6], "5 5 2\n9 9 1\n"],
    [
      "takes 340 lines",
      everySecond(340),
      everySecond(340)
        .map((id) => `${id} ${id} 1\n`)
        .join(""),
    ],
    ["takes no more than 340 lines", everySecond(341), undefined],
    ["takes less than a page", Array.from({ length: 300 }, (_, n) => 2_000_000_000 + n * 2), undefined],
  ])("%s", (_, ids, expected) => {
    expect(idMap(ids)).toBe(expected)
  })
})

const owner = { uid: 1000, gid: 1001 }
const status = {
  Name: "python3",
  Uid: "1000\t1000\t1000\t1000",
  Gid: "1001\t1001\t1001\t1001",
  Groups: "1001 ",
  Threads: "1",
  CapInh: "00000000000000e0",
  CapPrm: "00000000000000e0",
  CapEff: "00000000000000e0",
  CapBnd: "00000000000000e0",
  CapAmb: "00000000000000e0",
  NoNewPrivs: "1",
}
const text = (fields: Readonly<Record<string, string>>): string =>
  Object.entries(fields)
    .map(([name, value]) => `${name}:\t${value}\n`)
    .join("")

describe("a helper of root's agent", () => {
  it("is trusted when it is its release's owner with three capabilities", () => {
    expect(findLooseness(text(status), owner)).toBeUndefined()
  })

  it.each<[string, string]>([
    ["Uid", "1000\t1000\t0\t1000"],
    ["Gid", "0\t0\t0\t0"],
    ["Groups", "0 1001"],
    ["Threads", "2"],
    ["CapEff", "00000000000000e2"],
    ["CapPrm", "000001ffffffffff"],
    ["CapEff", "0000000000000000"],
    ["CapBnd", "000001ffffffffff"],
    ["CapInh", "0000000000000000"],
    ["CapAmb", "00000000000000ff"],
    ["NoNewPrivs", "0"],
  ])("is not with another %s (%s)", (name, value) => {
    expect(findLooseness(text({ ...status, [name]: value }), owner)).toContain(`its ${name} is ${value.trim()}`)
  })

  it("is not when the kernel does not show a field", () => {
    expect(findLooseness("Threads:\t1\n", owner)).toContain("not shown")
  })
})

it("an ordinary user's helper only has to have one thread", () => {
  expect(findLooseness("Threads:\t1\n", undefined)).toBeUndefined()
  expect(findLooseness("Threads:\t2\n", undefined)).toContain("Threads")
})
