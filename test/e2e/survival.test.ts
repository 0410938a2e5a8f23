// Services outlive their agent: what an agent that was killed or told to leave has left, its successor takes over
// without a restart, and nothing is signalled that is not proven to be a service.
//
// | rule (node-behaviour.md, design.md)                             | test                                  |
// | ---------------------------------------------------------------- | ------------------------------------- |
// | kill -9 of the agent: services go on and are adopted            | a killed agent's services …           |
// | those that died meanwhile start, those no longer wanted end     | what changed while no agent ran …     |
// | an adopted service that dies is noticed and started again       | an adopted service …                  |
// | detach and SIGUSR2 leave on purpose                             | told to leave by …                    |
// | an etc/run program that ended is not run again                  | an etc/run program that has ended …   |
// | a recycled pid or another boot is never signalled               | a record that proves nothing …        |
// | the master away: adopted and ended all the same                 | are adopted and end in order …        |
// | strangers among a partition's processes end before a start      | what a crash left beside …            |
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { spawn } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { isAlive } from "../support/processes.ts"
import { type Program, runToEnd } from "../support/Program.ts"
import { named } from "../support/ScriptedMaster.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode, type TestPartition } from "../support/TestNode.ts"
import { awaitFile, eventually } from "../support/waiting.ts"

class Node extends Context.Service<Node, TestNode<ScriptedTestMaster>>()("test/e2e/survival/Node") {
  static readonly layer = Layer.effect(
    Node,
    Effect.gen(function* () {
      const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 2 })
      yield* node.supply(node.release)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* node.startAgent
          yield* node.run("steady")
          yield* awaitFile(`${node.partition("slappart0").path}/.timestamp`, (text) => text)
        }),
      )
      return node
    }),
  )
}

const live = { excludeTestServices: true, timeout: "2 minutes" } as const

const kill = (agent: Program) =>
  Effect.suspend(() => {
    agent.signal("SIGKILL")
    return agent.exit
  })

const servicesOf = (node: TestNode, { id }: TestPartition) =>
  Effect.map(node.status, ({ partitions }) => partitions.find((one) => one.id === id)?.services ?? [])

/** Waits until all three programs run; their pids. */
const running = (node: TestNode, partition: TestPartition) =>
  eventually(
    "three running services",
    Effect.map(servicesOf(node, partition), (services) =>
      services.length === 3 && services.every(({ state }) => state === "running") ? true : undefined,
    ),
  ).pipe(Effect.andThen(node.runningIn(partition)))

/** Puts other lines in place of those about a program of `slappart0` in the process table. */
const replaceRecord = (node: TestNode, program: string, replacement: (record: object) => string): void => {
  const file = `${node.instanceRoot}/var/run/slapgrid/services`
  const isAbout = (line: string) => line.includes(`"name":"${program}"`) && line.includes(`"partition":"slappart0"`)
  const lines = readFileSync(file, "utf8").split("\n")
  const line = lines.findLast(isAbout)
  if (line === undefined) throw new Error(`no record of ${program}`)
  writeFileSync(file, [...lines.filter((one) => !isAbout(one)), replacement(JSON.parse(line))].join("\n"))
}

const changeRecord = (node: TestNode, program: string, changes: Readonly<Record<string, unknown>>): void =>
  replaceRecord(node, program, (record) => JSON.stringify({ ...record, ...changes }))

layer(Node.layer, live)("services", (it) => {
  it.effect("a killed agent's services go on and are adopted without a restart", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const partition = node.partition("slappart0")
      const first = yield* node.startAgent
      const pids = yield* running(node, partition)
      yield* kill(first)
      for (const pid of pids) assert.isTrue(isAlive(pid))
      const second = yield* node.startAgent
      assert.deepStrictEqual(yield* running(node, partition), pids)
      second.signal("SIGTERM")
      assert.deepStrictEqual(yield* second.exit, { code: 0, signal: null })
      for (const pid of pids) assert.isFalse(isAlive(pid))
    }),
  )

  it.effect("what changed while no agent ran is made good, and nothing else is touched", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const partition = node.partition("slappart0")
      const first = yield* node.startAgent
      const [web, ticker, once] = yield* running(node, partition)
      yield* kill(first)
      process.kill(ticker, "SIGKILL")
      yield* eventually(
        "the killed service's end",
        Effect.sync(() => (isAlive(ticker) ? undefined : true)),
      )
      yield* node.startAgent
      const now = yield* running(node, partition)
      assert.deepStrictEqual([now[0], now[2]], [web, once])
      assert.notStrictEqual(now[1], ticker)
    }),
  )

  it.effect("an adopted service that dies is noticed and started again", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const partition = node.partition("slappart0")
      const first = yield* node.startAgent
      const [web, ticker] = yield* running(node, partition)
      yield* kill(first)
      yield* node.startAgent
      yield* running(node, partition)
      const starts = node.starts(partition, "web").length
      process.kill(web, "SIGKILL")
      yield* node.awaitStart(partition, "web", starts + 1)
      const services = yield* servicesOf(node, partition)
      assert.deepStrictEqual(services.find(({ name }) => name === "web-on-watch")?.lastExit, { _tag: "Unknown" })
      assert.strictEqual(services.find(({ name }) => name === "ticker-on-watch")?.pid, ticker)
    }),
  )

  it.effect.each(["SIGUSR2", "slapgrid detach"])("told to leave by %s, the agent leaves them running", (how) =>
    Effect.gen(function* () {
      const node = yield* Node
      const partition = node.partition("slappart0")
      const first = yield* node.startAgent
      const pids = yield* running(node, partition)
      if (how === "SIGUSR2") first.signal("SIGUSR2")
      else yield* runToEnd([...node.slapgrid, "detach", "--configuration-file", node.configFile])
      // The command returns when a successor can be started, a signal does not wait.
      if (how === "SIGUSR2") yield* first.exit
      yield* node.startAgent
      assert.deepStrictEqual(yield* first.exit, { code: 0, signal: null })
      for (const pid of pids) assert.isTrue(isAlive(pid))
      assert.deepStrictEqual(yield* running(node, partition), pids)
    }),
  )

  it.effect("an etc/run program that has ended is not run again by the next agent, but for the next deployment", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const first = yield* node.startAgent
      const partition = yield* node.run("finite")
      const [, , once] = yield* running(node, partition)
      yield* awaitFile(`${partition.path}/.timestamp`, (text) => text)
      process.kill(once, "SIGTERM")
      const exited = Effect.map(servicesOf(node, partition), (services) =>
        services.find(({ name, state }) => name === "once" && state === "exited"),
      )
      yield* eventually("the end of the program", exited)
      first.signal("SIGTERM")
      yield* first.exit
      yield* node.startAgent
      yield* eventually("the ended program in the next agent's status", exited)
      assert.deepStrictEqual(node.starts(partition, "once"), [once])
      yield* node.run("finite", { greeting: "again" })
      yield* node.awaitStart(partition, "once", 2)
    }),
  )

  it.effect("that died meanwhile are started again, and the master hears of it, also from a second successor", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const { scripted } = node.master
      const partition = node.partition("slappart0")
      const first = yield* node.startAgent
      // A deployment for which nothing has been told.
      yield* node.run("steady", { greeting: "another deployment" })
      const [web, , once] = yield* running(node, partition)
      yield* awaitFile(`${partition.path}/.timestamp`, (text) => text)
      yield* kill(first)
      process.kill(web, "SIGKILL")
      process.kill(once, "SIGKILL")
      const away = yield* scripted.inject("softwareInstanceBang", { _tag: "Reset" })
      const second = yield* node.startAgent
      yield* node.awaitStart(partition, "web", node.starts(partition, "web").length + 1)
      // A one-shot that is over is not started again for the same deployment.
      const services = yield* servicesOf(node, partition)
      assert.strictEqual(services.find(({ name }) => name === "once")?.state, "exited")
      yield* eventually(
        "a bang that does not arrive",
        Effect.map(away.hits, (hits) => (hits > 0 ? true : undefined)),
      )
      const after = (yield* scripted.calls).length - 1
      yield* kill(second)
      yield* away.clear
      yield* node.startAgent
      const bang = yield* scripted.awaitCall(named("softwareInstanceBang"), { after })
      assert.strictEqual(bang.form["message"], "web-on-watch process in partition slappart0 encountered a problem")
      yield* node.run("steady", { greeting: "one more" })
      yield* running(node, partition)
    }),
  )

  it.effect("a record that proves nothing signals nobody, is told, and the service starts anew", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const partition = node.partition("slappart0")
      const first = yield* node.startAgent
      const [web, ticker, once] = yield* running(node, partition)
      yield* kill(first)
      // A bystander with the pid of one record, another boot in the second, and rubbish in the third.
      const bystander = spawn("sleep", ["1000"], { stdio: "ignore" })
      yield* Effect.addFinalizer(() => Effect.sync(() => bystander.kill("SIGKILL")))
      changeRecord(node, "web-on-watch", { pid: bystander.pid })
      changeRecord(node, "ticker-on-watch", { world: "another-boot pid:[1]" })
      replaceRecord(node, "once", () => "rubbish")
      const second = yield* node.startAgent
      const now = yield* running(node, partition)
      assert.isTrue(isAlive(bystander.pid ?? 0))
      for (const [index, pid] of [web, ticker, once].entries()) {
        assert.notStrictEqual(now[index], pid)
        // What the record no longer proved is a stranger among the partition's processes: never two of a kind.
        assert.isFalse(isAlive(pid))
      }
      yield* second.awaitLine("is no record of services")
      yield* second.awaitLine("from another boot or pid namespace")
      yield* second.awaitLine("belong to other processes by now")
    }),
  )

  it.effect("are adopted and end in order although the master does not answer", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const partition = node.partition("slappart0")
      const first = yield* node.startAgent
      const pids = yield* running(node, partition)
      yield* kill(first)
      yield* node.master.scripted.inject("*", { _tag: "Status", status: 503 })
      yield* Effect.addFinalizer(() => node.master.scripted.clearFaults)
      const second = yield* node.startAgent
      const starts = node.starts(partition, "web").length
      process.kill(pids[0], "SIGKILL")
      const { pid } = yield* node.awaitStart(partition, "web", starts + 1)
      second.signal("SIGTERM")
      assert.deepStrictEqual(yield* second.exit, { code: 0, signal: null })
      for (const one of [pid, ...pids]) assert.isFalse(isAlive(one))
    }),
  )

  it.effect("what a crash left beside its record ends before the service starts", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const partition = node.partition("slappart0")
      const first = yield* node.startAgent
      const [web] = yield* running(node, partition)
      yield* kill(first)
      replaceRecord(node, "web-on-watch", () => "")
      yield* node.startAgent
      const [now] = yield* running(node, partition)
      assert.notStrictEqual(now, web)
      assert.isFalse(isAlive(web))
    }),
  )
})
