// A master that is away or answers nonsense changes nothing that runs; when it is back, the node follows it again.
//
// | what                                                                        | test                                   |
// | --------------------------------------------------------------------------- | -------------------------------------- |
// | the master being away or answering nonsense changes nothing that runs       | $what: nothing that runs changes …     |
// | … (nothing listens at all)                                                  | nobody listens …                       |
// | slow                                                                        | an answer that does not come …         |
// | kill -9: a new one without waiting for a sync                               | … a service that dies meanwhile …      |
// | reports go through an outbox that retries and coalesces                     | a report that is not taken …           |
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { isAlive } from "../support/processes.ts"
import { type Fault, makeScriptedMaster, named } from "../support/ScriptedMaster.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, makeRunning, type Running } from "../support/TestNode.ts"

class Node extends Context.Service<Node, Running<ScriptedTestMaster>>()("test/e2e/master-faults/Node") {
  static readonly layer = Layer.effect(
    Node,
    makeRunning((_, ids) => makeScriptedTestMaster(ids), { partitions: 2 }),
  )
}

const live = { excludeTestServices: true, timeout: "2 minutes" } as const

interface Trouble {
  readonly what: string
  readonly fault: Fault
}

layer(Node.layer, live)("while the master", (it) => {
  const troubles: ReadonlyArray<Trouble> = [
    { what: "resets connections", fault: { _tag: "Reset" } },
    { what: "answers 503", fault: { _tag: "Status", status: 503 } },
    { what: "answers 403", fault: { _tag: "Status", status: 403 } },
    { what: "answers garbage", fault: { _tag: "Garbage" } },
    { what: "sends half a document", fault: { _tag: "Truncated" } },
    { what: "breaks off within an answer", fault: { _tag: "CutOff" } },
    {
      what: "sends another document",
      fault: { _tag: "Status", status: 200, body: "<html><body>Welcome</body></html>" },
    },
    {
      what: "sends an entity bomb",
      fault: { _tag: "Status", status: 200, body: '<!DOCTYPE a [<!ENTITY b "c">]><marshal>&b;</marshal>' },
    },
  ]
  it.effect.each(troubles)("$what: nothing that runs changes, and the node converges afterwards", ({ fault }) =>
    Effect.gen(function* () {
      const { agent, node } = yield* Node
      const partition = yield* node.run("steady")
      const before = yield* node.runningIn(partition)
      const injection = yield* node.master.scripted.inject("*", fault)
      yield* Effect.addFinalizer(() => node.master.scripted.clearFaults)
      const now = agent.now
      yield* node.request("steady", { parameters: { greeting: fault._tag } })
      yield* agent.awaitLine("what runs goes on", { after: now })
      assert.isAtLeast(yield* injection.hits, 1)
      assert.isString((yield* node.status).sync.error)
      for (const pid of before) assert.isTrue(isAlive(pid))
      const starts = node.starts(partition, "web").length

      yield* node.master.scripted.clearFaults
      yield* node.ask
      yield* node.awaitStart(partition, "web", starts + 1)
      const [, ...others] = yield* node.runningIn(partition)
      assert.deepStrictEqual(others, before.slice(1))
      assert.isUndefined((yield* node.status).sync.error)
    }),
  )

  it.effect("does not answer at all: a service that dies meanwhile is started again", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const partition = yield* node.run("steady")
      const before = yield* node.runningIn(partition)
      const injection = yield* node.master.scripted.inject("*", { _tag: "Held" })
      yield* Effect.addFinalizer(() => node.master.scripted.clearFaults)
      const { index } = (yield* node.master.scripted.calls).at(-1) ?? { index: -1 }
      yield* node.request("steady", { parameters: { greeting: "late" } })
      yield* node.master.scripted.awaitCall(named("getFullComputerInformation"), { after: index })
      const starts = node.starts(partition, "ticker").length
      process.kill(before[1], "SIGKILL")
      yield* node.awaitStart(partition, "ticker", starts + 1)
      assert.isTrue(isAlive(before[0]))
      const webStarts = node.starts(partition, "web").length
      const after = (yield* node.master.scripted.calls).length - 1
      yield* injection.release
      assert.strictEqual((yield* node.awaitStart(partition, "web", webStarts + 1)).greeting, "late")
      // Its processing is over: the next test counts its own.
      yield* node.master.scripted.awaitCall(named("startedComputerPartition"), { after })
    }),
  )

  it.effect("does not take a report: it is sent again, and the work is not repeated", () =>
    Effect.gen(function* () {
      const { agent, node } = yield* Node
      yield* node.run("steady")
      yield* node.master.scripted.inject("startedComputerPartition", { _tag: "Status", status: 503 }, 1)
      const { now } = agent
      const partition = yield* node.run("steady", { greeting: "reported late" })
      const processed = agent.lines.filter(({ index, message }) => index > now && message.startsWith("processing"))
      assert.lengthOf(processed, 1)
      assert.isTrue(isAlive((yield* node.runningIn(partition))[0]))
    }),
  )
})

layer(Layer.empty, live)("when nobody listens", (it) => {
  it.effect("what runs goes on, and a master that comes back on that port is followed", () =>
    Effect.gen(function* () {
      const masterScope = yield* Scope.make()
      const node = yield* makeNode((_, ids) => Scope.provide(makeScriptedTestMaster(ids), masterScope), {
        partitions: 1,
        sync: "every second",
      })
      yield* Effect.addFinalizer((exit) => Scope.close(masterScope, exit))
      yield* node.supply(node.release)
      const agent = yield* node.startAgent
      const partition = yield* node.run("steady")
      const before = yield* node.runningIn(partition)
      yield* Scope.close(masterScope, Exit.void)
      yield* agent.awaitLine("what runs goes on")
      for (const pid of before) assert.isTrue(isAlive(pid))

      const successor = yield* makeScriptedMaster({ port: Number(new URL(node.master.url).port) })
      const wish = { id: partition.id, software: node.release, requested: "stopped", timestamp: "9999" }
      yield* successor.script({ software: [{ url: node.release }], partitions: [wish] })
      yield* successor.awaitCall(named("stoppedComputerPartition"))
      for (const pid of before) assert.isFalse(isAlive(pid))
    }),
  )
})
