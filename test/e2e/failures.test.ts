// What goes wrong in one place stays there, and is told with its cause.
//
// | what                                                           | test                                          |
// | -------------------------------------------------------------- | --------------------------------------------- |
// | a broken profile is reported with its log, does not hold rest  | a broken profile …                            |
// | (as asked for) repaired and asked: built                       | … and is built once it is repaired            |
// | bad input: profile that does not exist                         | a profile that does not exist …               |
// | a failure of one never touches another; error log              | a failing instance …                          |
// | partition directory missing, root's, wrong mode                | a partition that cannot be used …             |
// | partition id that is not a plain name                          | a partition id that is a path …               |
import { assert, describe, layer } from "@effect/vitest"
import { chmodSync, chownSync, existsSync, lstatSync, readdirSync, readFileSync, renameSync } from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { isAlive } from "../support/processes.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import {
  type EmbeddedMaster,
  makeEmbeddedMaster,
  makeScriptedTestMaster,
  type ScriptedTestMaster,
} from "../support/TestMaster.ts"
import { makeRunning, type Running } from "../support/TestNode.ts"

class Node extends Context.Service<Node, Running<EmbeddedMaster>>()("test/e2e/failures/Node") {
  static readonly layer = Layer.effect(
    Node,
    makeRunning((scratch, ids) => makeEmbeddedMaster(`${scratch.path}/master.db`, ids), { partitions: 6 }),
  )
}

class ScriptedNode extends Context.Service<ScriptedNode, Running<ScriptedTestMaster>>()("test/e2e/failures/Scripted") {
  static readonly layer = Layer.effect(
    ScriptedNode,
    makeRunning((_, ids) => makeScriptedTestMaster(ids), { partitions: 7 }),
  )
}

const live = { excludeTestServices: true, timeout: "2 minutes" } as const

const broken = (release: string): string =>
  `[buildout]\nextends = ${release}\nparts += broken\n\n[broken]\nrecipe = slapgridtest:fail\nmessage = the part is broken\n`

layer(Node.layer, live)("one failing part of a node", (it) => {
  it.effect(
    "a broken profile is reported with its log, holds nobody, and is built once it is repaired and asked for",
    () =>
      Effect.gen(function* () {
        const { node } = yield* Node
        const profile = node.writeProfile("broken.cfg", broken(node.release))
        yield* node.master.request("waiting", { software: profile })
        yield* node.supply(profile)
        const { message } = yield* node.master.awaitReport(profile, "error")
        assert.include(message, "Error: the part is broken")
        assert.include(message, "Installing templates.")
        const failed = (yield* node.status).software.find(({ url }) => url === profile)
        assert.strictEqual(failed?.state, "failed")
        assert.include(failed?.error ?? "", "the part is broken")
        const neighbour = yield* node.run("neighbour of a broken profile")
        assert.isTrue(isAlive((yield* node.awaitStart(neighbour, "web")).pid))

        node.writeProfile("broken.cfg", `[buildout]\nextends = ${node.release}\n`)
        yield* node.ask
        yield* node.master.awaitReport(profile, "available")
        const { id } = yield* node.request("waiting", { software: profile })
        yield* node.master.awaitReport(id, "started")
      }),
  )

  it.effect("a profile that does not exist is reported by name", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const profile = `${node.scratch.path}/release/absent.cfg`
      yield* node.supply(profile)
      const { message } = yield* node.master.awaitReport(profile, "error")
      assert.include(message, profile)
      yield* node.supply(profile, "destroyed")
      yield* node.master.awaitReport(profile, "destroyed")
    }),
  )

  it.effect("a failing instance is reported, leaves an error log, and its neighbour runs", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const neighbour = yield* node.run("neighbour of a failing instance")
      const running = yield* node.runningIn(neighbour)
      const partition = yield* node.request("failing", { parameters: { fail: "this instance is broken" } })
      const { id } = partition
      const { message, seq } = yield* node.master.awaitReport(id, "error")
      assert.isTrue(message.trimEnd().endsWith("Error: this instance is broken"), message)
      const errorLog = `${partition.path}/.slapgrid-${id}-error.log`
      assert.include(readFileSync(errorLog, "utf8"), "Error: this instance is broken")
      assert.strictEqual(lstatSync(errorLog).uid, partition.uid)
      assert.isFalse(existsSync(`${partition.path}/.timestamp`))
      for (const pid of running) assert.isTrue(isAlive(pid))
      assert.strictEqual((yield* node.run("neighbour of a failing instance", { greeting: "again" })).id, neighbour.id)

      yield* node.request("failing")
      yield* node.master.awaitReport(id, "started", { after: seq })
      assert.isFalse(existsSync(errorLog))
    }),
  )
})

interface Spoilt {
  readonly id: string
  readonly what: string
  readonly spoil: (path: string) => void
  readonly repair: (path: string) => void
  readonly told: RegExp
}

layer(ScriptedNode.layer, live)("a partition that cannot be used", (it) => {
  const cases: ReadonlyArray<Spoilt> = [
    {
      id: "slappart4",
      what: "without a directory",
      spoil: (path) => renameSync(path, `${path}.away`),
      repair: (path) => renameSync(`${path}.away`, path),
      told: /slappart4 does not exist: the computer has to be formatted first/,
    },
    {
      id: "slappart5",
      what: "with another mode",
      spoil: (path) => chmodSync(path, 0o755),
      repair: (path) => chmodSync(path, 0o750),
      told: /slappart5 has mode 0755, but a partition must have 0750: chmod 0750 \//,
    },
  ]
  it.effect.each(cases)(
    "$what: told what to do, others are served, and it too once repaired",
    ({ id, repair, spoil, told }) =>
      Effect.gen(function* () {
        const { node } = yield* ScriptedNode
        const { path } = node.partition(id)
        spoil(path)
        yield* node.master.change(id, { software: node.release, timestamp: "1" })
        yield* node.ask
        const { message, seq } = yield* node.master.awaitReport(id, "error")
        assert.match(message, told)
        yield* node.run(`neighbour of ${id}`)
        repair(path)
        yield* node.ask
        yield* node.master.awaitReport(id, "started", { after: seq })
      }),
  )

  describe.runIf(runsRootTests)("for root", () => {
    it.effect("one of root's is refused and told what to do", () =>
      Effect.gen(function* () {
        const { node } = yield* ScriptedNode
        const id = "slappart6"
        const { gid, path, uid } = node.partition(id)
        chownSync(path, 0, 0)
        yield* node.master.change(id, { software: node.release, timestamp: "1" })
        yield* node.ask
        const { message } = yield* node.master.awaitReport(id, "error")
        assert.match(message, /slappart6 belongs to uid 0 and gid 0: nothing is run as root; chown it to its own user/)
        assert.deepStrictEqual(readdirSync(path), [])
        chownSync(path, uid, gid)
      }),
    )
  })

  it.effect("a partition id that is a path is told, and others are served", () =>
    Effect.gen(function* () {
      const { agent, node } = yield* ScriptedNode
      yield* node.master.change("../x", { software: node.release, timestamp: "1" })
      yield* node.ask
      const { message } = yield* agent.awaitLine("the master's answer has unusable records")
      assert.include(message, "../x")
      assert.include(message, "a partition id is a plain directory name")
      yield* node.run("neighbour of a path")
      assert.include((yield* node.status).sync.error ?? "", "../x")
      assert.isFalse(existsSync(`${node.scratch.path}/x`))
    }),
  )
})
