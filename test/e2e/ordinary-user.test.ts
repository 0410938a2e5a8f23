// An ordinary user's node: everything runs as the one user that owns it.
//
// | what                                                  | test                                                |
// | ----------------------------------------------------- | --------------------------------------------------- |
// | as an ordinary user everything works in one uid       | an instance is built, started, stopped, destroyed   |
// | bad input: not root while root_check is on (exit 5)   | with root_check …                                   |
// | bad input: unwritable roots                           | roots that it may not write to …                    |
import { assert, layer } from "@effect/vitest"
import { chmodSync, lstatSync, readdirSync } from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { isAlive, statusOf } from "../support/processes.ts"
import { runToEnd } from "../support/Program.ts"
import { type EmbeddedMaster, makeEmbeddedMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode } from "../support/TestNode.ts"

class Node extends Context.Service<Node, TestNode<EmbeddedMaster>>()("test/e2e/ordinary-user/Node") {
  static readonly layer = Layer.effect(
    Node,
    makeNode((scratch, ids) => makeEmbeddedMaster(`${scratch.path}/master.db`, ids), {
      partitions: 2,
      isOrdinary: true,
    }),
  )
}

layer(Node.layer, { excludeTestServices: true, timeout: "2 minutes" })("an ordinary user's node", (it) => {
  it.effect("an instance is built, started, stopped, destroyed", () =>
    Effect.gen(function* () {
      const node = yield* Node
      yield* node.supply(node.release)
      const agent = yield* node.startAgent
      const { gid, uid } = node.software
      assert.strictEqual(statusOf(agent.pid)?.["Uid"], [uid, uid, uid, uid].join("\t"))
      const partition = yield* node.run("one")
      const pids = yield* node.runningIn(partition)
      for (const pid of pids) assert.strictEqual(statusOf(pid)?.["Uid"], [uid, uid, uid, uid].join("\t"))
      for (const path of [`${partition.path}/buildout.cfg`, node.releaseDirectory(node.release)]) {
        assert.deepInclude(lstatSync(path), { uid, gid })
      }
      yield* node.request("one", { state: "stopped" })
      yield* node.master.awaitReport(partition.id, "stopped")
      for (const pid of pids) assert.isFalse(isAlive(pid))
      yield* node.request("one", { state: "destroyed" })
      yield* node.master.awaitReport(partition.id, "destroyed")
      assert.deepStrictEqual(readdirSync(partition.path), [])
      agent.signal("SIGTERM")
      assert.deepStrictEqual(yield* agent.exit, { code: 0, signal: null })
    }),
  )

  it.effect("with root_check it ends with status 5 and says how to go on", () =>
    Effect.gen(function* () {
      const node = yield* Node
      yield* Effect.addFinalizer(() => Effect.sync(() => node.configure()))
      node.configure({ root_check: "true" })
      const { ended, log } = yield* runToEnd(node.agentCommand)
      assert.strictEqual(ended.code, 5)
      assert.strictEqual(
        log,
        "slapgrid: slapgrid has to be run as root; to run everything as an ordinary user, set root_check = false in [slapos]",
      )
    }),
  )

  it.effect("roots that it may not write to are told together, by name", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const roots = [node.instanceRoot, node.softwareRoot]
      for (const path of roots) chmodSync(path, 0o555)
      yield* Effect.addFinalizer(() => Effect.sync(() => roots.forEach((path) => chmodSync(path, 0o755))))
      const { ended, log } = yield* runToEnd(node.agentCommand)
      assert.strictEqual(ended.code, 1)
      for (const path of roots) {
        assert.include(log, `this process may not write to ${path}; run slapgrid as root or as the directory's owner`)
      }
    }),
  )
})
