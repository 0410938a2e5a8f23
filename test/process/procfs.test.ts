import { assert, describe, it } from "@effect/vitest"
import { parseStat, processFacts, worldId } from "../../src/process/procfs.ts"

const fields = (state: string, parent: number, group: number, session: number, startTime: string) =>
  `${state} ${parent} ${group} ${session} 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 ${startTime} 2560000 200`

describe("parseStat", () => {
  it.each([
    ["a plain name", "sleep"],
    ["a name with spaces", "my daemon"],
    ["a name made to mislead", "x) Z 1 1 1 ("],
    ["an empty name", ""],
  ])("reads the facts behind %s", (_, name) => {
    assert.deepStrictEqual(parseStat(`4711 (${name}) ${fields("S", 1, 4711, 4711, "8675309")}`, 1000), {
      pid: 4711,
      parent: 1,
      group: 4711,
      session: 4711,
      state: "S",
      startTime: "8675309",
      uid: 1000,
    })
  })

  it.each(["", "4711", "4711 (x", "4711 (x) S 1"])("refuses %j", (text) => {
    assert.isUndefined(parseStat(text, 0))
  })
})

describe("processFacts", () => {
  it("knows this process", () => {
    const facts = processFacts(process.pid)
    assert.strictEqual(facts?.pid, process.pid)
    assert.strictEqual(facts?.parent, process.ppid)
    assert.strictEqual(facts?.uid, process.getuid?.())
    assert.match(facts?.startTime ?? "", /^\d+$/)
  })

  it("knows no process that is not there", () => {
    assert.isUndefined(processFacts(2 ** 22 + 1))
  })
})

it("names boot and pid namespace", () => {
  assert.match(worldId(), /^[0-9a-f-]{36} pid:\[\d+\]$/)
})
