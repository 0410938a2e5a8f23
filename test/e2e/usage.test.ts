// What partitions use and may use: `slapgrid top`, limits in the status, and what the agent gives itself.
//
// | rule (design.md, README)                                      | test                                     |
// | -------------------------------------------------------------- | ---------------------------------------- |
// | CPU, memory, processes per partition and service              | slapgrid top shows a busy program …      |
// | limits: what holds them, what is not in force                 | limits are told …                        |
// | the agent's oom_score_adj is low, its open files are many     | the agent is the last to go …            |
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { readFileSync } from "node:fs"
import type { NodeRates } from "../../src/domain/NodeUsage.ts"
import { statusOf } from "../support/processes.ts"
import { runToEnd, start } from "../support/Program.ts"
import { isRoot } from "../support/ScratchMachine.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeRunning, type Running } from "../support/TestNode.ts"
import { eventually, textOf } from "../support/waiting.ts"

const settings = { partition_memory_max: "512M", partition_pids_max: "200", partition_cpu_max: "1.5" }

class Node extends Context.Service<Node, Running<ScriptedTestMaster>>()("test/e2e/usage/Node") {
  static readonly layer = Layer.effect(
    Node,
    makeRunning((_, ids) => makeScriptedTestMaster(ids), { partitions: 1, settings }),
  )
}

/** CAP_SYS_RESOURCE: capability 24 of capabilities(7). */
const canRaise = isRoot && ((BigInt(`0x${statusOf(process.pid)?.["CapEff"] ?? "0"}`) >> 24n) & 1n) === 1n

const busy = "(while :; do :; done) &"

layer(Node.layer, { excludeTestServices: true, timeout: "2 minutes" })("usage", (it) => {
  it.effect("slapgrid top shows a busy program, its partition and the agent", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const partition = yield* node.run("busy", { trap: busy })
      yield* node.runningIn(partition)
      const words = [...node.slapgrid, "top", "--configuration-file", node.configFile] as const
      const { ended, stdout } = yield* runToEnd([...words, "--once", "--interval", "0.5", "--json"])
      assert.strictEqual(ended.code, 0)
      const { agent, partitions } = JSON.parse(stdout) as NodeRates
      assert.isAbove(agent.memory, 10_000_000)
      const [shown] = partitions
      assert.strictEqual(shown?.id, partition.id)
      const web = shown?.services.find(({ name }) => name === "web-on-watch")
      assert.isAbove(web?.cpuPercent ?? 0, 5)
      assert.isAtLeast(web?.processes ?? 0, 2)
      assert.isAbove(web?.memory ?? 0, 100_000)
      assert.isAtLeast(shown?.processes ?? 0, 4)
      assert.isAtLeast(shown?.memory ?? 0, web?.memory ?? 0)
      assert.isAtLeast(shown?.cpuPercent ?? 0, (web?.cpuPercent ?? 0) / 2)

      const pages = yield* start([...words, "--interval=0.2"])
      const text = yield* eventually(
        "two pages",
        Effect.sync(() => (pages.stdout.split("NAME ").length > 3 ? pages.stdout : undefined)),
      )
      assert.include(text, `\n  ${partition.id}:web-on-watch `)
      assert.notInclude(text, "\u001b")
      const wrong = yield* runToEnd([...words, "--interval", "0"])
      assert.strictEqual(wrong.ended.code, 1)
      assert.include(wrong.log, "write seconds from 0.1 to 3600")
    }),
  )

  it.effect("limits are told: what holds each of them, and once at start what is not in force", () =>
    Effect.gen(function* () {
      const { agent, node } = yield* Node
      const partition = node.partition("slappart0")
      const [web] = yield* node.runningIn(partition)
      const { limits } = yield* node.status
      assert.deepStrictEqual(
        limits.map(({ option, value }) => [option, value]),
        [
          ["partition_memory_max", 512 * 1024 ** 2],
          ["partition_pids_max", 200],
          ["partition_cpu_max", 1.5],
        ],
      )
      const { stdout } = yield* runToEnd([...node.slapgrid, "status", "--configuration-file", node.configFile])
      for (const { heldBy, option, problem } of limits) {
        if (heldBy === "rlimit") assert.match(textOf(`/proc/${web}/limits`) ?? "", /^Max processes +200 /m)
        const warnings = agent.lines.filter(({ level, message }) => level === "warn" && message.startsWith(option))
        // Which controllers there are is the machine's business: told is what is true.
        assert.lengthOf(warnings, problem === undefined ? 0 : 1, option)
        if (heldBy === undefined) assert.include(stdout, problem ?? "a reason")
      }
      assert.strictEqual(
        stdout.includes("each partition is limited to"),
        limits.some(({ heldBy }) => heldBy),
      )
    }),
  )

  it.effect("the agent is the last to go for want of memory, and may open many files", () =>
    Effect.gen(function* () {
      const { agent } = yield* Node
      // A container's root can lack the right to give itself more: then it runs all the same, as everybody else.
      const score = canRaise ? "-900" : readFileSync("/proc/self/oom_score_adj", "utf8").trim()
      assert.strictEqual(readFileSync(`/proc/${agent.pid}/oom_score_adj`, "utf8").trim(), score)
      const [, soft = ""] = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${agent.pid}/limits`, "utf8")) ?? []
      assert.isAtLeast(Number(soft), canRaise ? 524_288 : 1024)
    }),
  )
})
