// Programs of a partition: as whom they run, and what becomes of them when they die. The agent asks its master only
// when told to, so whatever happens after a death is the agent's own doing.
//
// | what                                                                     | test                                      |
// | ------------------------------------------------------------------------ | ----------------------------------------- |
// | service processes have the partition's uid, gid and supplementary groups | … without an entry in …, … real users     |
// | a 0750 software release is readable to them                              | same                                      |
// | kill -9 of etc/service: a new one at once, without waiting for a sync    | a killed etc/service program …            |
// | (as asked for) one bang a deployment                                     | the master hears of it once …             |
// | etc/service restarted, etc/run not                                       | a killed etc/run program …                |
import { assert, describe, it, layer } from "@effect/vitest"
import { lstatSync } from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { isAlive, statusOf } from "../support/processes.ts"
import { runToEnd } from "../support/Program.ts"
import { isRoot, makeAccounts, runsRootTests } from "../support/ScratchMachine.ts"
import { named } from "../support/ScriptedMaster.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeRunning, type Running, type TestNode, type TestPartition } from "../support/TestNode.ts"
import { textOf } from "../support/waiting.ts"

class Node extends Context.Service<Node, Running<ScriptedTestMaster>>()("test/e2e/services/Node") {
  static readonly layer = Layer.effect(
    Node,
    makeRunning((_, ids) => makeScriptedTestMaster(ids), { partitions: 5 }),
  )
}

const live = { excludeTestServices: true, timeout: "2 minutes" } as const

const ids = (line: string | undefined): ReadonlyArray<number> => (line ?? "").split(/\s+/).filter(Boolean).map(Number)

/** The program runs as the partition's user in its groups, and has read what only the software group may read. */
const checkPrivileges = (
  node: TestNode,
  { gid, path, uid }: TestPartition,
  [program, pid]: readonly [string, number],
): void => {
  const status = statusOf(pid) ?? {}
  assert.deepStrictEqual(ids(status["Uid"]), [uid, uid, uid, uid], program)
  assert.deepStrictEqual(ids(status["Gid"]), [gid, gid, gid, gid], program)
  if (isRoot) {
    assert.sameMembers([...ids(status["Groups"])], [gid, node.software.gid], program)
    assert.strictEqual(status["NoNewPrivs"], "1", program)
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) assert.match(status[set] ?? "", /^0+$/, set)
  }
  assert.strictEqual(textOf(`${path}/${program}.secret`), "only for the software group\n")
}

const checkPrograms = Effect.fnUntraced(function* (node: TestNode, partition: TestPartition) {
  const pids = yield* node.runningIn(partition)
  const programs = ["web", "ticker", "once"] as const
  for (const [index, pid] of pids.entries()) checkPrivileges(node, partition, [programs[index] ?? "", pid])
  const folder = `${node.releaseDirectory(node.release)}/parts/templates`
  assert.strictEqual(lstatSync(folder).mode & 0o777, 0o750)
  assert.strictEqual(lstatSync(`${folder}/secret.txt`).mode & 0o777, 0o640)
  return `${folder}/secret.txt`
})

layer(Node.layer, live)("programs of a partition", (it) => {
  it.effect("run as its user, which has no entry in the user database, and read a 0750 release", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const secret = yield* checkPrograms(node, yield* node.run("privileges"))
      if (!isRoot) return
      // The same user without the group cannot: it is the supplementary group that opens the release.
      const [{ gid, uid } = { uid: 0, gid: 0 }] = node.partitions
      const words = ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "cat", secret] as const
      assert.strictEqual((yield* runToEnd(words)).ended.code, 1)
    }),
  )

  it.effect("a killed etc/service program is started again without a word of the master", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const partition = yield* node.run("killed")
      const { index } = (yield* node.master.scripted.calls).at(-1) ?? { index: -1 }
      const [web, ticker] = yield* node.runningIn(partition)
      process.kill(web, "SIGKILL")
      const { pid } = yield* node.awaitStart(partition, "web", 2)
      assert.notStrictEqual(pid, web)
      assert.isTrue(isAlive(pid))
      checkPrivileges(node, partition, ["web", pid])
      assert.strictEqual(node.starts(partition, "ticker").join(), String(ticker))
      const asked = (yield* node.master.scripted.calls).filter((call) => call.index > index && call.method === "GET")
      assert.deepStrictEqual(asked, [])
      const { services } = (yield* node.status).partitions.find(({ id }) => id === partition.id) ?? { services: [] }
      const status = services.find(({ name }) => name === "web-on-watch")
      assert.strictEqual(status?.pid, pid)
      assert.strictEqual(status?.restarts, 1)
      assert.deepStrictEqual(status?.lastExit, { _tag: "Signaled", signal: "SIGKILL" })
    }),
  )

  it.effect("the master hears of it once for each deployment, however often it dies", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const partition = yield* node.run("banging")
      const bangs = Effect.map(node.master.scripted.calls, (calls) =>
        calls.filter(named("softwareInstanceBang", { computer_partition_id: partition.id })),
      )
      const killAndAwait = Effect.fnUntraced(function* (program: string) {
        const starts = node.starts(partition, program)
        process.kill(starts.at(-1) ?? 0, "SIGKILL")
        yield* node.awaitStart(partition, program, starts.length + 1)
      })
      yield* node.runningIn(partition)
      yield* killAndAwait("web")
      const first = yield* node.master.scripted.awaitCall(
        named("softwareInstanceBang", { computer_partition_id: partition.id }),
      )
      assert.strictEqual(
        first.form["message"],
        `web-on-watch process in partition ${partition.id} encountered a problem`,
      )
      for (const program of ["web", "ticker", "web"]) yield* killAndAwait(program)
      yield* node.run("banging", { greeting: "next deployment" })
      assert.lengthOf(yield* bangs, 1)
      yield* killAndAwait("ticker")
      yield* node.master.awaitReport(partition.id, "bang", { after: first.index })
      assert.lengthOf(yield* bangs, 2)
    }),
  )

  it.effect("a killed etc/run program stays down and is not told, until the next deployment", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const partition = yield* node.run("run")
      const [, ticker, once] = yield* node.runningIn(partition)
      process.kill(once, "SIGKILL")
      // The neighbour's restart comes after it, and is the proof that the agent has had its turn.
      process.kill(ticker, "SIGKILL")
      yield* node.awaitStart(partition, "ticker", 2)
      const { services } = (yield* node.status).partitions.find(({ id }) => id === partition.id) ?? { services: [] }
      const status = services.find(({ name }) => name === "once")
      assert.strictEqual(status?.state, "exited")
      assert.deepStrictEqual(status?.lastExit, { _tag: "Signaled", signal: "SIGKILL" })
      assert.deepStrictEqual(node.starts(partition, "once"), [once])
      const messages = (yield* node.master.reports)
        .filter(({ name }) => name === partition.id)
        .map((one) => one.message)
      assert.isFalse(messages.some((message) => message.includes("once")))
      yield* node.run("run", { greeting: "again" })
      yield* node.awaitStart(partition, "once", 2)
    }),
  )
})

describe.runIf(runsRootTests)("with real users, members of the software owner's group", () => {
  it.live("programs run as them with all their groups, and read a 0750 release", () =>
    Effect.gen(function* () {
      const { node } = yield* makeRunning((_, ids) => makeScriptedTestMaster(ids), {
        partitions: 1,
        identities: (_, count) => makeAccounts(`sgt${process.pid}x`, count),
      })
      yield* checkPrograms(node, yield* node.run("privileges"))
    }),
  )
})
