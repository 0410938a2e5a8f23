// From nothing to a running instance and back, with real buildout, processes and users, against both masters.
//
// | what                                                        | test                                                |
// | ----------------------------------------------------------- | --------------------------------------------------- |
// | supply and request converge to started and reported         | an instance is built, started and reported          |
// | … owners and files (node-behaviour.md, both directories)    | the software release …, the partition has …         |
// | … connection parameters reach the master                    | what an instance publishes reaches the master       |
// | a parameter change reprocesses only that partition          | another parameter …, another timestamp …            |
// | stopped stops                                               | stopped ends every process and is reported          |
// | destroyed ends in an empty directory and the POST           | destroyed empties the partition …                   |
// | a release that is no longer wanted is removed               | a destroyed release is removed and reported         |
import { assert, layer } from "@effect/vitest"
import { lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { isAlive } from "../support/processes.ts"
import { isRoot } from "../support/ScratchMachine.ts"
import {
  type EmbeddedMaster,
  makeEmbeddedMaster,
  makeScriptedTestMaster,
  type ScriptedTestMaster,
} from "../support/TestMaster.ts"
import { makeRunning, type Running, type TestPartition } from "../support/TestNode.ts"
import { awaitFile } from "../support/waiting.ts"

class Node extends Context.Service<Node, Running<EmbeddedMaster>>()("test/e2e/lifecycle/Node") {
  static readonly layer = Layer.effect(
    Node,
    makeRunning((scratch, ids) => makeEmbeddedMaster(`${scratch.path}/master.db`, ids), {
      partitions: 8,
      sync: "every second",
    }),
  )
}

class ScriptedNode extends Context.Service<ScriptedNode, Running<ScriptedTestMaster>>()("test/e2e/lifecycle/Scripted") {
  static readonly layer = Layer.effect(
    ScriptedNode,
    makeRunning((_, ids) => makeScriptedTestMaster(ids), { partitions: 1, sync: "every second" }),
  )
}

const live = { excludeTestServices: true, timeout: "2 minutes" } as const

/** Owner and permission bits of a path, a link's own ones. */
const facts = (path: string) => {
  const { gid, mode, uid } = lstatSync(path)
  return { uid, gid, mode: (mode & 0o7777).toString(8) }
}

const profileTime = (partition: TestPartition): number => statSync(`${partition.path}/buildout.cfg`).mtimeMs

const agentUid = process.geteuid?.() ?? 0

layer(Node.layer, live)("with the embedded master", (it) => {
  it.effect("an instance is built, started and reported", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const partition = yield* node.run("first")
      const reports = (yield* node.master.reports).map(({ name, state }) => `${name} ${state}`)
      assert.deepStrictEqual(
        reports.filter((report) => report.startsWith(node.release)),
        [`${node.release} building`, `${node.release} available`],
      )
      assert.include(reports, `${partition.id} started`)
      for (const pid of yield* node.runningIn(partition)) assert.isTrue(isAlive(pid))
    }),
  )

  it.effect("the software release belongs to the software owner and is marked as completed", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const release = node.releaseDirectory(node.release)
      assert.deepStrictEqual(facts(release), { ...node.software, mode: "755" })
      assert.strictEqual(facts(`${release}/bin/buildout`).uid, node.software.uid)
      assert.deepStrictEqual(facts(`${release}/parts/templates`), { ...node.software, mode: "750" })
      assert.deepStrictEqual(facts(`${release}/parts/templates/secret.txt`), { ...node.software, mode: "640" })
      yield* awaitFile(`${release}/.completed`, (text) => text)
      assert.strictEqual(facts(`${release}/.completed`).uid, node.software.uid)
      const profile = readFileSync(`${release}/buildout.cfg`, "utf8")
      assert.include(profile, `[buildout]\nextends = ${node.release}\n`)
    }),
  )

  it.effect("the partition has the files, owners and modes of the reference", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const { gid, id, path, uid } = yield* node.run("files", { greeting: "files" })
      const owner = { uid, gid }
      assert.deepStrictEqual(facts(path), { ...owner, mode: "750" })
      assert.deepStrictEqual(facts(`${path}/buildout.cfg`), { uid: agentUid, gid, mode: "640" })
      assert.strictEqual(readlinkSync(`${path}/software_release`), node.releaseDirectory(node.release))
      assert.strictEqual(facts(`${path}/software_release`).uid, uid)
      assert.deepStrictEqual(facts(`${path}/.slapgrid`), { ...owner, mode: "700" })
      assert.strictEqual(facts(`${path}/.slapgrid/log/instance.log`).uid, uid)
      assert.include(readFileSync(`${path}/.slapgrid/log/instance.log`, "utf8"), "Installing web.")
      for (const name of ["etc/service/web", "etc/run/once", "sbin", ".installed.cfg"]) {
        assert.strictEqual(facts(`${path}/${name}`).uid, uid, name)
      }
      const profile = readFileSync(`${path}/buildout.cfg`, "utf8")
      for (const line of [
        "bin-directory = ${buildout:directory}/sbin",
        "offline = true",
        "computer-id = COMP-1",
        `partition-id = ${id}`,
        `server-url = ${node.master.url}`,
        `software-release-url = ${node.release}`,
        "requested-state = started",
        `partition_id = ${id}`,
        `software_release_url = ${node.release}`,
      ]) {
        assert.include(profile, `\n${line}\n`)
      }
      const known = yield* node.master.partition(id)
      const timestamp = `${path}/.timestamp`
      assert.strictEqual(yield* awaitFile(timestamp, (text) => text), known["timestamp"])
      assert.strictEqual(facts(timestamp).uid, uid)
    }),
  )

  it.effect("what an instance publishes reaches the master", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const { id } = yield* node.run("publisher", { greeting: "published" })
      const { connection } = yield* node.master.partition(id)
      assert.deepStrictEqual(connection, { url: "http://service.invalid/published" })
    }),
  )

  it.effect("another parameter reprocesses that partition alone, and restarts only the program that changed", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const [changed, other] = [yield* node.run("changed"), yield* node.run("neighbour")]
      const before = {
        time: profileTime(other),
        pids: yield* node.runningIn(other),
        own: yield* node.runningIn(changed),
      }
      yield* node.run("changed", { greeting: "goodbye" })
      const start = yield* node.awaitStart(changed, "web", 2)
      assert.strictEqual(start.greeting, "goodbye")
      const [web, ticker, once] = before.own
      assert.isFalse(isAlive(web))
      assert.isTrue(isAlive(ticker))
      assert.isTrue(isAlive(once))
      assert.strictEqual(node.starts(changed, "ticker").join(), String(ticker))
      assert.strictEqual(profileTime(other), before.time)
      assert.deepStrictEqual(yield* node.runningIn(other), before.pids)
      for (const pid of before.pids) assert.isTrue(isAlive(pid))
    }),
  )

  it.effect("stopped ends every process and is reported, started again brings new ones", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const partition = yield* node.run("stopped")
      const before = yield* node.runningIn(partition)
      const after = yield* node.master.lastReport
      yield* node.request("stopped", { state: "stopped" })
      yield* node.master.awaitReport(partition.id, "stopped", { after })
      for (const pid of before) assert.isFalse(isAlive(pid))
      assert.include(readFileSync(`${partition.path}/buildout.cfg`, "utf8"), "requested-state = stopped")
      yield* node.run("stopped")
      yield* node.awaitStart(partition, "web", 2)
      for (const pid of yield* node.runningIn(partition)) assert.isTrue(isAlive(pid))
    }),
  )

  it.effect("destroyed empties the partition, is reported, and the next request gets it", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const partition = yield* node.run("destroyed")
      const before = { directory: facts(partition.path), pids: yield* node.runningIn(partition) }
      const after = yield* node.master.lastReport
      yield* node.request("destroyed", { state: "destroyed" })
      const stopped = yield* node.master.awaitReport(partition.id, "stopped", { after })
      yield* node.master.awaitReport(partition.id, "destroyed", { after: stopped.seq })
      for (const pid of before.pids) assert.isFalse(isAlive(pid))
      assert.deepStrictEqual(readdirSync(partition.path), [])
      assert.deepStrictEqual(facts(partition.path), before.directory)
      const next = yield* node.run("successor")
      assert.strictEqual(next.id, partition.id)
      const [web] = yield* node.runningIn(next)
      assert.isTrue(isAlive(web))
    }),
  )

  it.effect("a destroyed release is removed and reported", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const other = node.writeProfile("other.cfg", `[buildout]\nextends = ${node.release}\n`)
      yield* node.supply(other)
      yield* node.master.awaitReport(other, "available")
      yield* node.supply(other, "destroyed")
      yield* node.master.awaitReport(other, "destroyed")
      assert.notInclude(readdirSync(node.softwareRoot), node.releaseDirectory(other).split("/").at(-1))
      assert.isTrue(statSync(node.releaseDirectory(node.release)).isDirectory())
    }),
  )
})

layer(ScriptedNode.layer, live)("with another master", (it) => {
  it.effect("an instance is built, started, stopped, destroyed, and each state is reported", () =>
    Effect.gen(function* () {
      const { node } = yield* ScriptedNode
      const partition = yield* node.run("one")
      const pids = yield* node.runningIn(partition)
      for (const pid of pids) assert.isTrue(isAlive(pid))
      yield* node.request("one", { state: "stopped" })
      yield* node.master.awaitReport(partition.id, "stopped")
      for (const pid of pids) assert.isFalse(isAlive(pid))
      yield* node.request("one", { state: "destroyed" })
      yield* node.master.awaitReport(partition.id, "destroyed")
      assert.deepStrictEqual(readdirSync(partition.path), [])
      assert.strictEqual(statSync(partition.path).uid, isRoot ? partition.uid : agentUid)
    }),
  )
})
