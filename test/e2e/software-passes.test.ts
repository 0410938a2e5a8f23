// `slapgrid software` with real buildouts: in the running agent, as root and as one ordinary user, and by itself.
//
// | rule (README, node-behaviour.md)                             | test                                     |
// | ------------------------------------------------------------ | ---------------------------------------- |
// | what is built is built again only when forced; exit statuses | in the agent: builds, also by force …    |
// | unknown and contradictory requests are refused               | in the agent: refuses …                  |
// | garbage is what the master no longer names                   | in the agent: removes garbage …          |
// | without an agent: built, told, marked; services are left     | without an agent: builds, and leaves …   |
import { assert, describe, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createHash } from "node:crypto"
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs"
import { isAlive } from "../support/processes.ts"
import { runToEnd, start } from "../support/Program.ts"
import { prepareRelease, want } from "../support/prepared.ts"
import { isRoot, runsRootTests } from "../support/ScratchMachine.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode, type TestPartition } from "../support/TestNode.ts"
import { awaitFile } from "../support/waiting.ts"

type Scripted = TestNode<ScriptedTestMaster>

const cheap = "[buildout]\nparts =\n"

class Node extends Context.Service<Node, Scripted>()("test/e2e/software-passes/Node") {
  static layer(isOrdinary: boolean) {
    return Layer.effect(
      Node,
      Effect.gen(function* () {
        const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 0, isOrdinary })
        const url = node.writeProfile("cheap.cfg", cheap)
        yield* node.master.supply(url)
        yield* node.startAgent
        yield* node.master.awaitReport(url, "available")
        // Marked once the master knows.
        yield* awaitFile(`${node.releaseDirectory(url)}/.completed`, (text) => text || undefined)
        return node
      }),
    )
  }
}

const live = { excludeTestServices: true, timeout: 120_000 }

const words = (node: TestNode, ...others: ReadonlyArray<string>) =>
  [...node.slapgrid, "software", "--configuration-file", node.configFile, ...others] as const

const pass = (node: TestNode, ...what: ReadonlyArray<string>) => runToEnd(words(node, ...what))

const lines = (text: string): ReadonlyArray<string> => text.trimEnd().split("\n")

const profileOf = (node: TestNode, name: string): string => `${node.scratch.path}/release/${name}`

/** When the build of a release was marked as complete. */
const completedAt = (node: TestNode, url: string): number =>
  statSync(`${node.releaseDirectory(url)}/.completed`).mtimeMs

const inAgent = (isOrdinary: boolean) =>
  layer(Node.layer(isOrdinary), live)("in the agent", (it) => {
    it.effect("builds, also by force what is built, and tells what fails", () =>
      Effect.gen(function* () {
        const node = yield* Node
        const url = profileOf(node, "cheap.cfg")
        const first = completedAt(node, url)
        const all = yield* pass(node)
        assert.deepStrictEqual(
          [all.ended.code, lines(all.stdout)],
          [0, [`working on ${url}`, `${url}: available`, "done"]],
          all.log,
        )
        assert.strictEqual(completedAt(node, url), first)
        const key = createHash("md5").update(url).digest("hex")
        const forced = yield* pass(node, "--only-sr", key, "--force", "--buildout-debug")
        assert.strictEqual(forced.ended.code, 0, forced.log)
        assert.include(lines(forced.stdout), `${url}: building`)
        assert.deepStrictEqual(lines(forced.stdout).slice(-2), [`${url}: available`, "done"])
        yield* awaitFile(`${node.releaseDirectory(url)}/.completed`, () =>
          completedAt(node, url) > first ? true : undefined,
        )

        const broken = node.writeProfile("broken.cfg", "[buildout]\nparts = nobody\n")
        yield* node.master.supply(broken)
        const failed = yield* pass(node, "--json")
        assert.deepStrictEqual([failed.ended.code, failed.log], [1, "slapgrid: 1 of 2 failed"])
        const settled = lines(failed.stdout).map((line) => JSON.parse(line) as Record<string, unknown>)
        assert.deepInclude(settled, { _tag: "Settled", subject: url, result: "Done", state: "available" })
        const failure = settled.find(({ _tag, subject }) => _tag === "Settled" && subject === broken)
        assert.include(String(failure?.["problem"]), "nobody")
        yield* node.master.supply(broken, "destroyed")
        const removed = yield* pass(node, "--only-sr", broken)
        assert.deepStrictEqual([removed.ended.code, lines(removed.stdout).at(-2)], [0, `${broken}: destroyed`])
        assert.isFalse(existsSync(node.releaseDirectory(broken)))
      }),
    )

    it.effect("refuses what nobody can mean before anything is done", () =>
      Effect.gen(function* () {
        const node = yield* Node
        const url = profileOf(node, "cheap.cfg")
        const before = completedAt(node, url)
        for (const [options, reason] of [
          [["--only-sr", `${url},/nowhere.cfg`, "--force"], "the master names no software release /nowhere.cfg"],
          [["--only-sr", " , ", "--force"], "--only-sr names nothing"],
          [["--only-sr", url, "--garbage-collect", "--force"], "leave out --only-sr or --garbage-collect"],
        ] as const) {
          const { ended, log, stdout } = yield* pass(node, ...options)
          assert.deepStrictEqual([ended.code, stdout], [1, ""])
          assert.include(log, reason)
        }
        assert.strictEqual(completedAt(node, url), before)
      }),
    )

    it.effect("removes garbage: what is a release and is no longer named, and nothing else", () =>
      Effect.gen(function* () {
        const node = yield* Node
        const url = profileOf(node, "cheap.cfg")
        const names = ["0".repeat(32), "1".repeat(32), "elsewhere"]
        const { gid, uid } = node.software
        for (const name of names) {
          mkdirSync(`${node.softwareRoot}/${name}`)
          if (isRoot) chownSync(`${node.softwareRoot}/${name}`, uid, gid)
        }
        for (const name of [names[0], "elsewhere"]) writeFileSync(`${node.softwareRoot}/${name}/buildout.cfg`, "")
        assert.strictEqual((yield* pass(node)).ended.code, 0)
        assert.include(readdirSync(node.softwareRoot), names[0])
        const { ended, log, stdout } = yield* pass(node, "--garbage-collect")
        assert.strictEqual(ended.code, 0, log)
        const told = `garbage collection: 1 release removed: ${node.softwareRoot}/${names[0]}`
        assert.deepStrictEqual(lines(stdout).slice(-2), [told, "done"])
        const kept = [names[1], "elsewhere", createHash("md5").update(url).digest("hex")]
        assert.includeMembers(readdirSync(node.softwareRoot), kept)
        assert.notInclude(readdirSync(node.softwareRoot), names[0])
      }),
    )
  })

describe.runIf(runsRootTests)("as root", () => {
  inAgent(false)
})
describe("as one ordinary user", () => {
  inAgent(true)
})

const program = "#!/bin/sh\necho $$ >> web.starts\nexec sleep infinity\n"

it.live(
  "without an agent: builds, and leaves services and what it is not about; an interruption ends the build",
  () =>
    Effect.gen(function* () {
      const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 1 })
      const [partition] = node.partitions as [TestPartition]
      const prepared = prepareRelease(node)
      want(node, partition, { "service/web": program })
      yield* node.master.request(partition.id, { software: prepared })
      const instance = yield* runToEnd([...node.slapgrid, "instance", "--configuration-file", node.configFile])
      assert.strictEqual(instance.ended.code, 0, instance.log)
      const pid = yield* awaitFile(`${partition.path}/web.starts`, (text) => (text === "" ? undefined : Number(text)))

      const url = node.writeProfile("cheap.cfg", cheap)
      yield* node.master.supply(url)
      const built = yield* pass(node, "--garbage-collect")
      assert.strictEqual(built.ended.code, 0, built.log)
      assert.include(lines(built.stdout), `${url}: building`)
      assert.deepStrictEqual(lines(built.stdout).slice(-3), [
        `${url}: available`,
        "garbage collection: 0 releases removed",
        "done",
      ])
      assert.isDefined(completedAt(node, url))
      const reports = (yield* node.master.reports).filter(({ name }) => name === url).map(({ state }) => state)
      assert.deepStrictEqual(reports, ["building", "available"])
      // A partition has it, although nobody offers it.
      assert.isTrue(existsSync(node.releaseDirectory(prepared)))
      const again = yield* pass(node)
      assert.deepStrictEqual([again.ended.code, lines(again.stdout).includes(`${url}: building`)], [0, false])

      const broken = node.writeProfile("broken.cfg", "[buildout]\nparts = nobody\n")
      yield* node.master.supply(broken)
      const failed = yield* pass(node)
      assert.deepStrictEqual([failed.ended.code, lines(failed.log).at(-1)], [1, "slapgrid: 1 of 2 failed"])
      // Nobody is there to do that.
      assert.notInclude(failed.log, "tried again")
      yield* node.master.supply(broken, "destroyed")

      const marker = `${node.releaseDirectory(url)}/blocked`
      const script = `${node.releaseDirectory(url)}/bin/buildout`
      writeFileSync(script, "#!/bin/sh\necho $$ > blocked\nexec sleep infinity\n")
      chmodSync(script, 0o755)
      if (isRoot) chownSync(script, node.software.uid, node.software.gid)
      const blocked = yield* start(words(node, "--force", "--only-sr", url))
      const build = yield* awaitFile(marker, (text) => (text === "" ? undefined : Number(text)))
      assert.strictEqual((yield* pass(node)).ended.code, 10)
      blocked.signal("SIGINT")
      assert.strictEqual((yield* blocked.exit).code, 130)
      assert.deepStrictEqual([isAlive(build), isAlive(pid)], [false, true])

      yield* node.master.supply(url, "destroyed")
      const gone = yield* pass(node)
      assert.deepStrictEqual([gone.ended.code, existsSync(node.releaseDirectory(url))], [0, false], gone.log)
      assert.isFalse(existsSync(node.releaseDirectory(broken)))
      yield* node.master.scripted.inject("getFullComputerInformation", { _tag: "Reset" }, 1)
      const away = yield* pass(node)
      assert.deepStrictEqual([away.ended.code, away.stdout], [3, ""])
      const agent = yield* node.startAgent
      yield* agent.awaitLine("1 services of an earlier agent run on and are adopted")
      assert.isTrue(isAlive(pid))
    }).pipe(Effect.scoped),
  120_000,
)
