// Promises on a node: what the master, the status and the exit status of a pass say of them, and that those that
// misbehave cost nobody else anything.
//
// | rule                                                              | test                                       |
// | ----------------------------------------------------------------- | ------------------------------------------ |
// | started only with its promises kept; errors by name; exit 2       | a partition is started when …              |
// | 30 promises and a stuck one delay no other partition; bad input   | a partition whose promises hang, fork …    |
// | the disk filled by a promise                                      | a promise that fills the disk …            |
import { assert, describe, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFileSync } from "node:child_process"
import { mkdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { makeLaidOutNode, put, shell, startsOf } from "../support/Layout.ts"
import { prepareRelease, want } from "../support/prepared.ts"
import { belongingTo, isAlive } from "../support/processes.ts"
import { runToEnd } from "../support/Program.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode, type TestPartition } from "../support/TestNode.ts"
import { eventually } from "../support/waiting.ts"

interface Prepared {
  readonly node: TestNode<ScriptedTestMaster>
  readonly software: string
}

class Node extends Context.Service<Node, Prepared>()("test/e2e/promises/Node") {
  static readonly layer = Layer.effect(
    Node,
    Effect.gen(function* () {
      const settings = { promise_timeout: "5", instance_concurrency: "1" }
      const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 3, settings })
      const software = prepareRelease(node)
      yield* node.startAgent
      return { node, software }
    }),
  )
}

const sleeper = "#!/bin/sh\nexec sleep infinity\n"
const script = (code: string): string => `#!/bin/sh\n${code}\n`

const statusOf = (node: TestNode, { id }: TestPartition) =>
  Effect.map(node.status, ({ partitions }) => partitions.find((one) => one.id === id))

const resultOf = ({ path }: TestPartition, title: string) =>
  JSON.parse(readFileSync(`${path}/.slapgrid/promise/result/${title}.status.json`, "utf8")).result

const words = (node: TestNode, ...[action = "", ...others]: ReadonlyArray<string>) =>
  [...node.slapgrid, action, "--configuration-file", node.configFile, ...others] as const

layer(Node.layer, { excludeTestServices: true, timeout: "2 minutes" })("promises", (it) => {
  it.effect("a partition is started when its promises are kept; one that fails is told by name, to everybody", () =>
    Effect.gen(function* () {
      const { node, software } = yield* Node
      const partition = node.partition("slappart0")
      want(node, partition, {
        "service/web": sleeper,
        "promise/as-user.sh": script(`test "$(id -u)" = ${partition.uid} && echo fine`),
        "promise/broken": script("test -e fixed || { echo nothing is fixed; exit 1; }"),
      })
      yield* node.request("first", { software })
      const { message } = yield* node.master.awaitReport(partition.id, "error")
      assert.strictEqual(message, "Promise 'broken' failed with output: nothing is fixed")
      const pass = yield* runToEnd(words(node, "instance", "--only-cp", partition.id))
      assert.strictEqual(pass.ended.code, 2, pass.log)
      const failed = yield* statusOf(node, partition)
      assert.deepInclude(failed, { error: message })
      const pid = failed?.services[0]?.pid ?? 0
      assert.isTrue(isAlive(pid))
      const { stdout } = yield* runToEnd(words(node, "status"))
      assert.match(stdout, /^slappart0:broken +\d+ s +nothing is fixed$/m)
      assert.deepInclude(resultOf(partition, "as-user"), { failed: false, message: "fine" })

      put(partition, "fixed", "")
      yield* node.ask
      yield* node.master.awaitReport(partition.id, "started")
      const kept = yield* statusOf(node, partition)
      assert.deepStrictEqual([kept?.state, kept?.services[0]?.pid], ["started", pid])
      assert.isFalse(resultOf(partition, "broken").failed)
      assert.notInclude((yield* runToEnd(words(node, "status"))).stdout, "FAILING PROMISE")
    }),
  )

  it.effect("a partition whose promises hang, fork, flood and vanish delays and harms no other", () =>
    Effect.gen(function* () {
      const { node, software } = yield* Node
      const [, bad, good] = node.partitions
      if (bad === undefined || good === undefined) throw new Error("two more partitions")
      const stuck = "(setsid sleep 1000 &) ; trap '' TERM; sleep 1001"
      want(node, bad, {
        ...Object.fromEntries(Array.from({ length: 26 }, (_, index) => [`promise/kept${index}`, script("exit 0")])),
        "promise/a-stuck": script(stuck),
        "promise/binary": script("printf 'a\\000\\377'; exit 1"),
        "promise/flood": script("head -c 100000000 /dev/zero"),
        "promise/forks": script("for _ in 1 2 3 4 5 6 7 8; do (setsid sleep 1002 &); done"),
        "promise/vanishes": script('rm "$0"; echo gone; exit 1'),
      })
      want(node, good, { "service/web": sleeper, "promise/kept": script("exit 0") })
      yield* node.request("second", { software })
      yield* eventually(
        "promises of slappart1 that are checked",
        Effect.map(statusOf(node, bad), (status) =>
          status?.waitingFor?.includes("promises") === true ? true : undefined,
        ),
      )
      yield* node.request("third", { software })
      const started = yield* node.master.awaitReport(good.id, "started")
      const told = yield* node.master.awaitReport(bad.id, "error")
      assert.isBelow(started.seq, told.seq)
      assert.strictEqual(told.message, "Promise 'a-stuck' failed with output: Error: Promise timed out after 5 seconds")
      const failing = (yield* statusOf(node, bad))?.promises.filter(({ hasFailed }) => hasFailed) ?? []
      assert.deepStrictEqual(
        failing.map(({ message, name }) => [name, message]),
        [
          ["a-stuck", "Error: Promise timed out after 5 seconds"],
          ["binary", "a\uFFFD\uFFFD"],
          ["flood", "Error: No output returned by the promise: it printed more than 10M and was ended"],
          ["vanishes", "gone"],
        ],
      )
      yield* node.request("second", { software, state: "stopped" })
      yield* node.master.awaitReport(bad.id, "stopped")
      if (runsRootTests) assert.deepStrictEqual(belongingTo({ hasUid: (uid) => uid === bad.uid }), [])
      assert.strictEqual((yield* statusOf(node, good))?.state, "started")
    }),
  )
})

describe.runIf(runsRootTests)("a full disk", () => {
  it.live("a promise that fills the disk stops no service, is told once, and is over when there is space", () =>
    Effect.gen(function* () {
      const mount = (path: string) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", path])
            execFileSync("chmod", ["755", path])
          }),
          () => Effect.sync(() => void execFileSync("umount", ["--lazy", path])),
        )
      const node = yield* makeLaidOutNode({ partitions: 1, mount })
      const partition = node.partition("slappart0")
      put(partition, "etc/service/web", shell(partition, "web", "exec sleep infinity"))
      mkdirSync(`${partition.path}/etc/promise`)
      put(partition, "etc/promise/fills", script("cat /dev/zero >filler; echo no space left; exit 1"))
      const agent = yield* node.startAgent
      yield* agent.awaitLine("promises of slappart0: results cannot be kept")
      const [web, ...others] = startsOf(partition, "web")
      assert.deepStrictEqual([isAlive(web ?? 0), others], [true, []])
      assert.isAbove(statSync(`${partition.path}/filler`).size, 1024 * 1024)
      rmSync(`${partition.path}/filler`)
      put(partition, "etc/promise/fills", script("echo there is space"))
      // Not due for two minutes, and nothing of that is on the disk.
      agent.signal("SIGTERM")
      yield* agent.exit
      yield* node.startAgent
      yield* eventually(
        "a result",
        Effect.try({ try: () => resultOf(partition, "fills"), catch: () => undefined }).pipe(
          Effect.orElseSucceed(() => undefined),
        ),
      )
      assert.deepInclude(resultOf(partition, "fills"), { failed: false, message: "there is space" })
    }).pipe(Effect.scoped),
  )
})
