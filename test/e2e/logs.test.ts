// Logs of services stay bounded while an agent runs, whatever a service writes, and nobody is restarted for it.
//
// | what                                                         | test                                            |
// | ------------------------------------------------------------ | ----------------------------------------------- |
// | bounded in place, the service keeps its pid                  | a talkative service …                           |
// | log and backup are one contiguous end of what was written    | same                                            |
// | adopted services' logs, too                                  | same                                            |
// | slapgrid tail [-f]                                           | same, and slapgrid tail tells …                 |
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { statSync, writeFileSync } from "node:fs"
import { isAlive } from "../support/processes.ts"
import { runToEnd, start } from "../support/Program.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode } from "../support/TestNode.ts"
import { awaitFile, eventually, textOf } from "../support/waiting.ts"

class Node extends Context.Service<Node, TestNode<ScriptedTestMaster>>()("test/e2e/logs/Node") {
  static readonly layer = Layer.effect(
    Node,
    makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 1, settings: { service_log_max_size: "64K" } }),
  )
}

const limit = 64 * 1024

/** A line of shell that writes numbers, and the next ones when the file `more` appears. */
const talk = "(seq 1 300000; touch first; until [ -e more ]; do sleep 0.05; done; seq 300001 600000; touch second) &"

const numbers = (last: number): string => Array.from({ length: last }, (_, index) => `${index + 1}\n`).join("")

const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0

const tailWords = (node: TestNode, ...words: ReadonlyArray<string>) =>
  [...node.slapgrid, "tail", "--configuration-file", node.configFile, ...words] as const

/** Waits until the log is trimmed, and proves that what is left is the end of what was written. */
const checkLog = Effect.fnUntraced(function* (log: string, last: number) {
  const written = numbers(last)
  const both = () => `${textOf(`${log}.1`) ?? ""}${textOf(log) ?? ""}`.replaceAll(" ", "")
  yield* eventually(
    `a trimmed log that ends with ${last}`,
    Effect.sync(() => {
      const text = both()
      return sizeOf(log) <= limit && text.length > limit / 2 && written.endsWith(text) ? true : undefined
    }),
  )
  assert.isAtMost(sizeOf(`${log}.1`), limit)
})

layer(Node.layer, { excludeTestServices: true, timeout: "2 minutes" })("logs", (it) => {
  it.effect("a talkative service's log is bounded, also when its agent was killed and another one adopted it", () =>
    Effect.gen(function* () {
      const node = yield* Node
      const first = yield* node.startAgent
      yield* node.supply(node.release)
      const partition = yield* node.run("talkative", { trap: talk })
      const log = `${partition.path}/.slappart0_web.log`
      const [web] = yield* node.runningIn(partition)
      yield* awaitFile(`${partition.path}/first`, () => true)
      yield* checkLog(log, 300_000)

      first.signal("SIGKILL")
      yield* first.exit
      yield* node.startAgent
      const inode = statSync(log).ino
      const follower = yield* start(tailWords(node, "-f", "--lines", "1", "slappart0:web"))
      yield* eventually(
        "the last line",
        Effect.sync(() => (follower.stdout === "300000\n" ? true : undefined)),
      )
      writeFileSync(`${partition.path}/more`, "")
      yield* awaitFile(`${partition.path}/second`, () => true)
      yield* checkLog(log, 600_000)
      yield* eventually(
        "the newest line",
        Effect.sync(() => (follower.stdout.endsWith("599999\n600000\n") ? true : undefined)),
      )
      assert.deepStrictEqual(node.starts(partition, "web"), [web])
      assert.isTrue(isAlive(web))
      assert.strictEqual(statSync(log).ino, inode)
      follower.signal("SIGINT")
      assert.deepStrictEqual(yield* follower.exit, { code: 130, signal: null })

      const { ended, stdout } = yield* runToEnd(tailWords(node, "slappart0:web-on-watch"))
      assert.deepStrictEqual([ended.code, stdout], [0, numbers(600_000).split("\n").slice(-21).join("\n")])
    }),
  )

  it.effect.each([
    { words: ["slappart0:nothing"], told: "slappart0 has no log of a program nothing; it has: once, ticker, web" },
    { words: ["slappart9:web"], told: "there is no partition slappart9 in " },
    { words: ["web"], told: "web does not name a program: write PARTITION:PROGRAM" },
    { words: ["--lines", "-1", "slappart0:web"], told: "write how many lines to show, 0 or more" },
  ])("slapgrid tail tells what is wrong with $words", ({ told, words }) =>
    Effect.gen(function* () {
      const node = yield* Node
      const { ended, log } = yield* runToEnd(tailWords(node, ...words))
      assert.strictEqual(ended.code, 1)
      assert.include(log, told)
      assert.lengthOf(log.split("\n"), 1)
    }),
  )
})
