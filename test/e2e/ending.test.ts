// How the agent ends, what it leaves (nothing), how it begins again, and what it says about itself meanwhile. All tests
// share one machine; each has the agent for itself.
//
// | what                                                                | test                                        |
// | ------------------------------------------------------------------- | ------------------------------------------- |
// | SIGTERM and SIGINT: everything in order, nothing left, exit 0, 130  | $signal ends everything …                   |
// | TERM, deadline, KILL of the whole group                             | a service that ignores TERM …               |
// | a second signal forces within 2 s                                   | a second $signal …                          |
// | (nothing left, of builds too)                                       | SIGTERM during …                            |
// | (as asked for) restart with unchanged partitions                    | started again …                             |
// | slapgrid status [--json]: SRs, CPs, services …, last sync           | slapgrid status …                           |
// | second agent on the same instance root (exit 10)                    | a second agent …                            |
import { assert, layer } from "@effect/vitest"
import { existsSync, readdirSync, statSync } from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { NodeStatus } from "../../src/domain/NodeStatus.ts"
import { ProcessTable } from "../../src/process/ProcessTable.ts"
import { belongingTo, isAlive, socketsBelow } from "../support/processes.ts"
import { type Ended, type Program, runToEnd } from "../support/Program.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode } from "../support/TestNode.ts"
import { awaitFile, eventually, inTime } from "../support/waiting.ts"

class Node extends Context.Service<Node, TestNode<ScriptedTestMaster>>()("test/e2e/ending/Node") {
  static readonly layer = Layer.effect(
    Node,
    Effect.gen(function* () {
      const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 6 })
      yield* node.supply(node.release)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* node.startAgent
          yield* node.master.awaitReport(node.release, "available")
          // What is there when a test's agent starts.
          yield* node.run("steady")
          const { path } = node.partition("slappart0")
          yield* awaitFile(`${path}/.timestamp`, (text) => text)
        }),
      )
      return node
    }),
  )
}

const live = { excludeTestServices: true, timeout: "2 minutes" } as const

const checkNothingLeft = (node: TestNode): void => {
  const uids = new Set([node.software, ...node.partitions].map(({ uid }) => uid))
  uids.delete(0)
  const hasUid = (uid: number) => uids.has(uid) && uid !== process.geteuid?.()
  assert.deepStrictEqual(belongingTo({ path: node.scratch.path, hasUid }), [])
  assert.deepStrictEqual(socketsBelow(node.scratch.path), [])
  // What the next agent goes on from.
  const kept = new Set(["bangs", "desired.json", "lock", "recipes.json", "removing", "services", "usage"])
  const unknown = readdirSync(`${node.instanceRoot}/var/run/slapgrid`).filter((name) => !kept.has(name))
  assert.deepStrictEqual(unknown, [])
}

/** Waits until the agent has started what an earlier one had installed. */
const awaitServices = (node: TestNode) =>
  eventually(
    "running services",
    Effect.map(node.status, ({ partitions }) => {
      const [steady] = partitions
      return steady?.services.length === 3 && steady.services.every(({ state }) => state === "running")
        ? true
        : undefined
    }),
  )

const endOf = (agent: Program, signal: NodeJS.Signals): Effect.Effect<Ended> =>
  Effect.suspend(() => {
    agent.signal(signal)
    return agent.exit
  })

layer(Node.layer, live)("the agent", (it) => {
  const ends = [
    { signal: "SIGTERM", code: 0 },
    { signal: "SIGINT", code: 130 },
  ] as const
  it.effect.each(ends)(
    "$signal ends everything in order with exit status $code, and nothing is left",
    ({ code, signal }) =>
      Effect.gen(function* () {
        const node = yield* Node
        const agent = yield* node.startAgent
        yield* awaitServices(node)
        const pids = yield* node.runningIn(node.partition("slappart0"))
        assert.deepStrictEqual(yield* endOf(agent, signal), { code, signal: null })
        for (const pid of pids) assert.isFalse(isAlive(pid))
        checkNothingLeft(node)
        const table = new ProcessTable(`${node.instanceRoot}/var/run/slapgrid/services`)
        assert.deepStrictEqual(table.load(), { known: [], rejected: [] })
        table.close()
      }),
  )

  it.effect("a service that ignores TERM is killed after stop_timeout", () =>
    Effect.gen(function* () {
      const node = yield* Node
      yield* Effect.addFinalizer(() => Effect.sync(() => node.configure()))
      node.configure({ stop_timeout: "1" })
      yield* Effect.addFinalizer(() =>
        Effect.asVoid(node.master.request("deaf", { software: node.release, state: "destroyed" })),
      )
      const agent = yield* node.startAgent
      const [pid] = yield* node.runningIn(yield* node.run("deaf", { trap: "trap '' TERM" }))
      assert.deepStrictEqual(yield* endOf(agent, "SIGTERM"), { code: 0, signal: null })
      assert.isFalse(isAlive(pid))
      checkNothingLeft(node)
    }),
  )

  const forced = [
    { signal: "SIGTERM", code: 143 },
    { signal: "SIGINT", code: 130 },
  ] as const
  it.effect.each(forced)(
    "a second $signal ends within 2 s what ignores TERM, and nothing is left",
    ({ code, signal }) =>
      Effect.gen(function* () {
        const node = yield* Node
        const title = `stubborn ${signal}`
        yield* Effect.addFinalizer(() =>
          Effect.asVoid(node.master.request(title, { software: node.release, state: "destroyed" })),
        )
        const agent = yield* node.startAgent
        const [pid] = yield* node.runningIn(yield* node.run(title, { trap: "trap '' TERM" }))
        agent.signal(signal)
        yield* agent.awaitLine("stopping")
        assert.isTrue(isAlive(pid))
        const ended = yield* endOf(agent, signal).pipe(inTime("the end after a second signal", 2))
        assert.deepStrictEqual(ended, { code, signal: null })
        yield* eventually(
          "the end of the service",
          Effect.sync(() => (isAlive(pid) ? undefined : true)),
        )
        checkNothingLeft(node)
      }),
  )

  it.effect("SIGTERM during the build of a release leaves nothing", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const profile = node.writeProfile(
        "block.cfg",
        `[buildout]\nextends = ${node.release}\nparts = block\n\n[block]\nrecipe = slapgridtest:block\nmarker = blocked\n`,
      )
      yield* Effect.addFinalizer(() => node.master.supply(profile, "destroyed"))
      const agent = yield* node.startAgent
      yield* node.supply(profile)
      yield* agent.awaitLine(`building ${profile}`)
      const marker = `${node.releaseDirectory(profile)}/blocked`
      const pid = yield* eventually(
        "the build",
        Effect.sync(() => (existsSync(marker) ? marker : undefined)),
      ).pipe(Effect.andThen(awaitFile(marker, (text) => Number(text) || undefined)))
      assert.isTrue(isAlive(pid))
      assert.deepStrictEqual(yield* endOf(agent, "SIGTERM"), { code: 0, signal: null })
      assert.isFalse(isAlive(pid))
      checkNothingLeft(node)
    }),
  )

  it.effect("SIGTERM during the installation of an instance leaves nothing", () =>
    Effect.gen(function* () {
      const node = yield* Node
      yield* Effect.addFinalizer(() =>
        Effect.asVoid(node.master.request("blocked", { software: node.release, state: "destroyed" })),
      )
      const agent = yield* node.startAgent
      const { path } = yield* node.request("blocked", { parameters: { block: "blocked" } })
      const pid = yield* awaitFile(`${path}/blocked`, (text) => Number(text) || undefined)
      assert.isTrue(isAlive(pid))
      assert.deepStrictEqual(yield* endOf(agent, "SIGTERM"), { code: 0, signal: null })
      assert.isFalse(isAlive(pid))
      checkNothingLeft(node)
    }),
  )

  it.effect("started again, runs the services of unchanged partitions and processes nothing", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const partition = node.partition("slappart0")
      const facts = () =>
        ["buildout.cfg", ".installed.cfg", ".timestamp", ".slapgrid/log/instance.log"].map(
          (name) => statSync(`${partition.path}/${name}`).mtimeMs,
        )
      const built = () => statSync(`${node.releaseDirectory(node.release)}/.slapgrid-build.log`).mtimeMs
      const before = { facts: facts(), built: built(), pids: node.starts(partition, "web") }
      const agent = yield* node.startAgent
      yield* awaitServices(node)
      const [web] = yield* node.runningIn(partition)
      assert.notInclude(before.pids, web)
      yield* node.ask
      assert.deepStrictEqual(yield* endOf(agent, "SIGTERM"), { code: 0, signal: null })
      assert.deepStrictEqual(facts(), before.facts)
      assert.strictEqual(built(), before.built)
      assert.notMatch(agent.log, /processing slappart0|building/)
    }),
  )

  it.effect("slapgrid status tells what it does, for machines and for people", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const agent = yield* node.startAgent
      yield* awaitServices(node)
      const partition = node.partition("slappart0")
      const [web, , once] = yield* node.runningIn(partition)
      process.kill(web, "SIGKILL")
      const { pid } = yield* node.awaitStart(partition, "web", node.starts(partition, "web").length + 1)
      const words = [...node.slapgrid, "status", "--configuration-file", node.configFile] as const
      const status = JSON.parse((yield* runToEnd([...words, "--json"])).stdout) as NodeStatus
      assert.strictEqual(status.computer, "COMP-1")
      assert.strictEqual(status.pid, agent.pid)
      assert.isAtLeast(status.sync.lastSuccess ?? 0, status.startedAt)
      const software = status.software.find(({ url }) => url === node.release)
      assert.deepInclude(software ?? {}, { requested: "available", state: "available" })
      const shown = status.partitions.find(({ id }) => id === partition.id)
      assert.deepInclude(shown ?? {}, { requested: "started", state: "started", software: node.release })
      const service = shown?.services.find(({ name }) => name === "web-on-watch")
      assert.deepInclude(service ?? {}, {
        kind: "service",
        state: "running",
        pid,
        restarts: 1,
        lastExit: { _tag: "Signaled", signal: "SIGKILL" },
      })
      assert.deepInclude(shown?.services.find(({ name }) => name === "once") ?? {}, {
        kind: "run",
        state: "running",
        pid: once,
        restarts: 0,
      })

      const { ended, stdout } = yield* runToEnd(words)
      assert.strictEqual(ended.code, 0)
      assert.match(stdout, /computer COMP-1, agent pid \d+, up \d+ s, last sync \d+ s ago/)
      assert.match(stdout, new RegExp(`slappart0:web-on-watch +running +${pid} +\\d+ s +1 +killed by SIGKILL`))
    }),
  )

  it.effect("a second agent on its instance root ends with status 10 and disturbs nothing", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const agent = yield* node.startAgent
      yield* awaitServices(node)
      const second = yield* runToEnd(node.agentCommand)
      assert.deepStrictEqual(second.ended, { code: 10, signal: null })
      assert.strictEqual(
        second.log,
        `slapgrid: another slapgrid runs on ${node.instanceRoot} (pid ${agent.pid}): stop it first`,
      )
      assert.strictEqual((yield* node.status).pid, agent.pid)
      for (const pid of yield* node.runningIn(node.partition("slappart0"))) assert.isTrue(isAlive(pid))
    }),
  )
})
