import { afterAll, assert, beforeEach, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { PartitionId } from "../../src/domain/ids.ts"
import { type ProcessRecord, ProcessTable, standingOf } from "../../src/process/ProcessTable.ts"
import { processFacts, worldId } from "../../src/process/procfs.ts"
import { stranger } from "../support/scratch.ts"

const partition = Schema.decodeSync(PartitionId)("slappart0")
/** A process as a service is one: it leads a session, and is not root's. */
const child = spawn("sleep", ["1000"], { detached: true, stdio: "ignore", ...stranger })
afterAll(() => child.kill("SIGKILL"))
const self = processFacts(child.pid!)!

const record = (changes: Partial<ProcessRecord> = {}): ProcessRecord => ({
  version: 1,
  world: worldId(),
  spec: { partition, kind: "service", name: "web-on-watch", path: "/p/etc/service/web", hash: "h", user: "1:1" },
  pid: self.pid,
  startTime: self.startTime,
  uid: self.uid,
  cgroup: null,
  since: 1,
  restarts: 0,
  deployment: "1700000000.5",
  ended: null,
  isHeld: false,
  ...changes,
})

describe("standingOf", () => {
  it.each([
    ["the very process", record(), self, "Alive"],
    ["nobody with that pid", record(), undefined, "Gone"],
    ["a zombie", record(), { ...self, state: "Z" }, "Gone"],
    ["another start time", record({ startTime: "1" }), self, "Recycled"],
    ["another user", record({ uid: self.uid + 1 }), self, "Recycled"],
    ["another boot or namespace", record({ world: "another" }), self, "Elsewhere"],
    ["one that leads no session", record(), { ...self, session: self.pid - 1 }, "Recycled"],
    ["one that leads no group", record(), { ...self, group: self.pid - 1 }, "Recycled"],
    ["the first process", record({ pid: 1 }), { ...self, pid: 1, session: 1, group: 1 }, "Recycled"],
    ["a process of root's", record({ uid: 0 }), { ...self, uid: 0 }, "Recycled"],
    ["a one-shot that ended", record({ ended: { _tag: "Exited", code: 0 } }), undefined, "Ended"],
    ["one that was stopped by hand", record({ isHeld: true, pid: 0 }), undefined, "Ended"],
    ["one that was being stopped by hand", record({ isHeld: true }), self, "Alive"],
    ["one that has ended of that since", record({ isHeld: true }), undefined, "Gone"],
    [
      "a one-shot that ended in another boot",
      record({ world: "another", ended: { _tag: "Unknown" } }),
      undefined,
      "Ended",
    ],
  ] as const)("%s", (_, one, facts, expected) => {
    assert.strictEqual(standingOf(one, worldId(), facts), expected)
  })
})

describe("ProcessTable", () => {
  let directory = ""
  let file = ""
  beforeEach(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "slapgrid-table-"))
    file = `${directory}/services`
    return () => fs.rmSync(directory, { recursive: true })
  })
  /** What another agent reads. */
  const loaded = () => {
    const table = new ProcessTable(file)
    const found = table.load()
    table.close()
    return found
  }
  const opened = () => {
    const table = new ProcessTable(file)
    return { table, [Symbol.dispose]: () => table.close() }
  }

  it("gives back what was put, in another agent, whether this one is closed or was killed", () => {
    using one = opened()
    assert.isUndefined(one.table.put(record()))
    assert.deepStrictEqual(loaded(), { known: [{ record: record(), standing: "Alive" }], rejected: [] })
  })

  it("keeps one record a program and forgets removed ones", () => {
    using one = opened()
    one.table.put(record())
    one.table.put(record({ restarts: 3 }))
    assert.deepStrictEqual(
      one.table.load().known.map(({ record: { restarts } }) => restarts),
      [3],
    )
    one.table.remove(partition, "web-on-watch")
    one.table.remove(partition, "web-on-watch")
    assert.deepStrictEqual(loaded(), { known: [], rejected: [] })
  })

  it("stays small however often something changes", () => {
    using one = opened()
    for (let restarts = 0; restarts < 6000; restarts++) one.table.put(record({ restarts }))
    assert.isBelow(fs.statSync(file).size, 1536 * 1024)
    assert.deepStrictEqual(
      loaded().known.map(({ record: { restarts } }) => restarts),
      [5999],
    )
  })

  it.each([
    ["no JSON", "{"],
    ["half a record", JSON.stringify(record()).slice(0, 100)],
    ["another version", JSON.stringify({ ...record(), version: 2 })],
    ["a pid that is none", JSON.stringify({ ...record(), pid: "1" })],
    [
      "a partition that is no plain name",
      JSON.stringify({ ...record(), spec: { ...record().spec, partition: "../x" } }),
    ],
    ["bytes", "\u0000\ufffd"],
  ])("tells %s, uses the rest, and does not tell it again", (_, line) => {
    const good = JSON.stringify(record())
    fs.writeFileSync(file, `${good}\n${line}\n`, { mode: 0o600 })
    const { known, rejected } = loaded()
    assert.deepStrictEqual([known.length, rejected.map(({ place }) => place)], [1, [`line 2 of ${file}`]])
    assert.deepStrictEqual(loaded().rejected, [])
  })

  it.each<[string, () => void]>([
    ["a link", () => fs.symlinkSync(`${directory}/outside`, file)],
    ["a hard link", () => fs.linkSync(`${directory}/outside`, file)],
    ["a directory", () => fs.mkdirSync(file)],
    ["a file that others can write", () => (fs.writeFileSync(file, "{}"), fs.chmodSync(file, 0o666))],
  ])("%s in its place is told and put away, and nothing else is touched", (_, plant) => {
    fs.writeFileSync(`${directory}/outside`, JSON.stringify(record()))
    plant()
    const { known, rejected } = loaded()
    assert.deepStrictEqual([known, rejected.map(({ place }) => place)], [[], [file]])
    assert.strictEqual(fs.readFileSync(`${directory}/outside`, "utf8"), JSON.stringify(record()))
    assert.isTrue(fs.lstatSync(file).isFile())
  })

  it("does not believe a file of somebody else's, which only root can give away", () => {
    using one = opened()
    one.table.put(record())
    const giveAway = () => fs.chownSync(file, 4711, 4711)
    if (process.getuid?.() !== 0) return assert.throws(giveAway)
    giveAway()
    assert.strictEqual(loaded().rejected.length, 1)
  })
})
