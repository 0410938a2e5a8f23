// An operator's hand on single programs: start, stop, restart, signal.
//
// | what                                                              | test                                |
// | ----------------------------------------------------------------- | ----------------------------------- |
// | stop, start, restart and signal of one program; the others go on  | single programs obey …              |
// | a stop by hand outlives the agent, and ends with a processing     | a program stopped by hand …         |
// | unknown names, no agent: told, and nothing is done                | what is not there …                 |
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { isAlive, statusOf } from "../support/processes.ts"
import { runToEnd } from "../support/Program.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeRunning, type Running, type TestNode } from "../support/TestNode.ts"
import { eventually } from "../support/waiting.ts"

class Node extends Context.Service<Node, Running<ScriptedTestMaster>>()("test/Node") {
  static readonly layer = Layer.effect(
    Node,
    makeRunning((_, ids) => makeScriptedTestMaster(ids), { partitions: 1 }),
  )
}

const live = { excludeTestServices: true, timeout: 120_000 }

const command = (node: TestNode, ...words: ReadonlyArray<string>) => {
  const [action = "", ...others] = words
  return runToEnd([...node.slapgrid, action, "--configuration-file", node.configFile, ...others])
}

const serviceOf = (node: TestNode, name: string) =>
  Effect.map(node.status, ({ partitions }) => partitions[0]?.services.find((one) => one.name === name))

layer(Node.layer, live)("commands", (it) => {
  it.effect("single programs obey an operator's hand, and the others go on", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const partition = yield* node.run("commanded")
      const [web, ticker] = yield* node.runningIn(partition)
      const stopped = yield* command(node, "stop", "slappart0:web")
      assert.deepStrictEqual(
        [stopped.ended.code, stopped.stdout],
        [0, "slappart0:web-on-watch: stopped until its next processing or start\n"],
      )
      assert.deepStrictEqual([isAlive(web), isAlive(ticker)], [false, true])
      const signalled = yield* command(node, "signal", "HUP", "slappart0:web")
      assert.deepStrictEqual([signalled.ended.code, signalled.stdout], [1, "slappart0:web-on-watch: it does not run\n"])
      const started = yield* command(node, "start", "slappart0:web-on-watch")
      assert.match(started.stdout, /^slappart0:web-on-watch: running, pid \d+\n$/)
      yield* node.awaitStart(partition, "web", 2)
      const restarted = yield* command(node, "restart", "slappart0:web", "slappart0:ticker")
      assert.strictEqual(restarted.ended.code, 0)
      yield* node.awaitStart(partition, "web", 3)
      assert.isFalse(isAlive(ticker))
      const now = (yield* serviceOf(node, "web-on-watch"))?.pid ?? 0
      assert.strictEqual((yield* command(node, "signal", "stop", "slappart0:web")).ended.code, 0)
      yield* eventually(
        "a stopped process",
        Effect.sync(() => (statusOf(now)?.["State"]?.startsWith("T") === true ? true : undefined)),
      )
      assert.strictEqual((yield* command(node, "signal", "9", "slappart0:web")).ended.code, 0)
      yield* node.awaitStart(partition, "web", 4)
    }),
  )

  it.effect("what is not there is told, and nothing is done", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const [web] = yield* node.runningIn(node.partition("slappart0"))
      const unknown = yield* command(node, "stop", "slappart0:web", "slappart0:none", "slappart7")
      assert.strictEqual(unknown.ended.code, 1)
      assert.include(unknown.log, "slappart0 has no program none; it has: once, ticker-on-watch, web-on-watch")
      assert.include(unknown.log, "there is no partition slappart7; there are: slappart0")
      const signal = yield* command(node, "signal", "EAT", "slappart0:web")
      assert.include(signal.log, "there is no signal EAT")
      assert.isTrue(isAlive(web))
      const nobody = yield* runToEnd([...node.slapgrid, "stop", "--instance-root", "/nonexistent", "slappart0"])
      assert.strictEqual(nobody.ended.code, 1)
    }),
  )

  it.effect("a program stopped by hand stays so under the next agent, until a processing", () =>
    Effect.gen(function* () {
      const { agent, node } = yield* Node
      const partition = node.partition("slappart0")
      const [web, ticker] = yield* node.runningIn(partition)
      assert.strictEqual((yield* command(node, "stop", "slappart0:web")).ended.code, 0)
      agent.signal("SIGKILL")
      yield* agent.exit
      yield* node.startAgent
      yield* eventually(
        "the adopted program",
        Effect.map(serviceOf(node, "ticker-on-watch"), (one) => (one?.pid === ticker ? true : undefined)),
      )
      assert.include(yield* serviceOf(node, "web-on-watch"), { state: "stopped", isHeld: true })
      yield* node.run("commanded", { greeting: "again" })
      const [now] = yield* node.runningIn(partition)
      assert.notStrictEqual(now, web)
    }),
  )
})
