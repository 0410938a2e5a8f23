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
  beforeEach(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "slapgrid-table-"))
    return () => fs.rmSync(directory, { recursive: true })
  })

  it("gives back what was put, in another agent", () => {
    new ProcessTable(directory).put(record())
    const { known, rejected } = new ProcessTable(directory).load()
    assert.deepStrictEqual(known, [{ record: record(), standing: "Alive" }])
    assert.deepStrictEqual(rejected, [])
  })

  it("keeps one record a program and forgets removed ones", () => {
    const table = new ProcessTable(directory)
    table.put(record())
    table.put(record({ restarts: 3 }))
    assert.deepStrictEqual(
      table.load().known.map(({ record: { restarts } }) => restarts),
      [3],
    )
    table.remove(partition, "web-on-watch")
    table.remove(partition, "web-on-watch")
    assert.deepStrictEqual(fs.readdirSync(directory), [])
  })

  it.each([
    ["no JSON", "{"],
    ["an empty file", ""],
    ["another version", JSON.stringify({ ...record(), version: 2 })],
    ["a pid that is none", JSON.stringify({ ...record(), pid: "1" })],
    [
      "a partition that is no plain name",
      JSON.stringify({ ...record(), spec: { ...record().spec, partition: "../x" } }),
    ],
  ])("tells and removes %s", (_, content) => {
    fs.writeFileSync(`${directory}/bad.json`, content)
    const { known, rejected } = new ProcessTable(directory).load()
    assert.deepStrictEqual(known, [])
    assert.deepStrictEqual(
      rejected.map(({ file }) => file),
      [`${directory}/bad.json`],
    )
    assert.deepStrictEqual(fs.readdirSync(directory), [])
  })

  it("never follows a link, nor trips over a directory or a half-written record", () => {
    fs.writeFileSync(`${directory}/outside`, JSON.stringify(record()))
    const table = new ProcessTable(`${directory}/table`)
    fs.symlinkSync(`${directory}/outside`, `${directory}/table/link.json`)
    fs.mkdirSync(`${directory}/table/directory.json`)
    fs.writeFileSync(`${directory}/table/half.json.new`, "{")
    const { known, rejected } = table.load()
    assert.deepStrictEqual(known, [])
    assert.strictEqual(rejected.length, 2)
    assert.deepStrictEqual(fs.readdirSync(`${directory}/table`), [])
    assert.isTrue(fs.existsSync(`${directory}/outside`))
  })

  it("does not believe a file of somebody else's, which only root can give away", () => {
    new ProcessTable(directory).put(record())
    const [name = ""] = fs.readdirSync(directory)
    const giveAway = () => fs.chownSync(`${directory}/${name}`, 4711, 4711)
    if (process.getuid?.() !== 0) return assert.throws(giveAway)
    giveAway()
    assert.strictEqual(new ProcessTable(directory).load().rejected.length, 1)
  })
})
