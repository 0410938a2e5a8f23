// What builds of a killed agent left behind must not write into a directory that the next agent builds in: it is ended
// before the next build begins. What asked for nothing but to be a build's child is found by its cgroup.
import { assert, layer } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { chownSync, mkdirSync, readFileSync, rmSync } from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { findMount, ownGroup } from "../../src/process/containment/cgroup.ts"
import { isAlive } from "../support/processes.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode } from "../support/TestNode.ts"
import { awaitFile } from "../support/waiting.ts"

class Node extends Context.Service<Node, TestNode<ScriptedTestMaster>>()("test/e2e/leftovers/Node") {
  static readonly layer = Layer.effect(
    Node,
    Effect.gen(function* () {
      const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 1 })
      yield* node.supply(node.release)
      yield* Effect.scoped(Effect.andThen(node.startAgent, node.master.awaitReport(node.release, "available")))
      return node
    }),
  )
}

const cgroupOf = (pid: number): string => {
  const mount = findMount(readFileSync("/proc/self/mountinfo", "utf8"))
  const path = mount === undefined ? undefined : ownGroup(mount, readFileSync(`/proc/${pid}/cgroup`, "utf8"))
  if (path === undefined) throw new Error(`pid ${pid} has no cgroup`)
  return path
}

/** Something that a build started, that left its session and lost its parent. */
const leaveBehind = (build: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const script = 'echo $$ > "$0/cgroup.procs"; setsid sleep 1000 > /dev/null 2>&1 & echo $!'
      return Number(execFileSync("sh", ["-c", script, cgroupOf(build)], { encoding: "utf8" }))
    }),
    (pid) => Effect.sync(() => (isAlive(pid) ? process.kill(pid, "SIGKILL") : undefined)),
  )

/** The pid that a build writes before it waits for ever. */
const awaitBuild = (marker: string) => awaitFile(marker, (text) => Number(text) || undefined)

/** Kills the agent in the middle of a build, and gives what is left of that when the next agent builds. */
const killedDuring = Effect.fnUntraced(function* (begin: Effect.Effect<unknown>, marker: string) {
  const node = yield* Node
  const agent = yield* node.startAgent
  yield* begin
  const build = yield* awaitBuild(marker)
  const left = yield* leaveBehind(build)
  agent.signal("SIGKILL")
  yield* agent.exit
  assert.isTrue(isAlive(left))
  rmSync(marker)
  yield* node.startAgent
  assert.notStrictEqual(yield* awaitBuild(marker), build)
  return [build, left].filter(isAlive)
})

layer(Node.layer, { excludeTestServices: true, timeout: "2 minutes" })("a killed agent's builds", (it) => {
  const rooted = it.effect.runIf(runsRootTests)

  rooted("of releases have ended when the next agent builds there", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const profile = node.writeProfile(
        "block.cfg",
        `[buildout]\nextends = ${node.release}\nparts = block\n\n[block]\nrecipe = slapgridtest:block\nmarker = blocked\n`,
      )
      yield* Effect.addFinalizer(() => node.master.supply(profile, "destroyed"))
      const directory = node.releaseDirectory(profile)
      // There before the build, to be watched.
      mkdirSync(directory)
      chownSync(directory, node.software.uid, node.software.gid)
      assert.deepStrictEqual(yield* killedDuring(node.supply(profile), `${directory}/blocked`), [])
    }),
  )

  rooted("of instances have ended when the next agent installs there", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const begin = node.request("blocked", { parameters: { block: "blocked" } })
      yield* Effect.addFinalizer(() =>
        Effect.asVoid(node.master.request("blocked", { software: node.release, state: "destroyed" })),
      )
      const marker = `${node.partition("slappart0").path}/blocked`
      assert.deepStrictEqual(yield* killedDuring(begin, marker), [])
    }),
  )
})
