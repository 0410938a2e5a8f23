// One machine, two supervisors: the way back to the reference's supervisord, and from there to slapgrid again. Debian's
// supervisord runs what slapgrid installed, configured as the reference does it.
//
// | as asked for                                                                | test                                  |
// | --------------------------------------------------------------------------- | ------------------------------------- |
// | the way back (the reference starts again on our directories)                | after slapgrid, the reference's …     |
// | a live socket of supervisord: refuse to start, naming what was found        | slapgrid does not start beside it     |
// | a pid file of a reference pass, a cron entry: … all at once, also forced    | nor when told to while passes …       |
// | --take-over stops its programs group by group as ours start, then ends it   | told to, slapgrid takes over …        |
// | a group's failure keeps that partition alone from being started             | unit test of process/takeover         |
import { assert, describe, layer } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, statSync, writeFileSync } from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { isAlive } from "../support/processes.ts"
import { runToEnd, start } from "../support/Program.ts"
import { type ReferenceSupervisord, startReference } from "../support/ReferenceSupervisord.ts"
import { makeAccounts, runsRootTests } from "../support/ScratchMachine.ts"
import { named } from "../support/ScriptedMaster.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode } from "../support/TestNode.ts"
import { awaitFile, eventually, textOf } from "../support/waiting.ts"

/** `web` holds a lock for its life: a second one beside it could not, and leaves a word. */
const exclusive = "exec 9>web.lock; flock -n 9 || echo twice >>web.overlaps; echo hello"

interface Machine {
  readonly node: TestNode<ScriptedTestMaster>
  readonly reference: ReferenceSupervisord
  /** Process ids of `web` under the reference, of two partitions. */
  readonly webs: ReadonlyArray<number>
}

const programs = ["web-on-watch", "ticker-on-watch", "once"]

/** Two instances that slapgrid installed and left, and that the reference runs now; and a group that nobody wants. */
const makeMachine = Effect.gen(function* () {
  const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), {
    partitions: 3,
    // Without a name supervisord runs nothing as somebody.
    identities: (_, count) => makeAccounts("slapgridto", count),
  })
  yield* node.master.supply(node.release)
  const agent = yield* node.startAgent
  const partitions = [yield* node.run("one", { trap: exclusive }), yield* node.run("two", { trap: exclusive })]
  for (const { path } of partitions) yield* awaitFile(`${path}/.timestamp`, (text) => text)
  agent.signal("SIGTERM")
  yield* agent.exit
  const reference = yield* startReference(
    node,
    partitions,
    "[program:sleeper]\ncommand=sleep infinity\nuser=nobody\n[group:legacy]\nprograms=sleeper\n",
  )
  const webs: Array<number> = []
  for (const { id, path } of partitions) {
    reference.control("start", `${id}:*`)
    const pid = reference.pidOf(`${id}:web-on-watch`)
    webs.push(pid)
    yield* awaitFile(`${path}/web.starts`, (text) => text.split("\n").find((line) => line.startsWith(`${pid} `)))
  }
  return { node, reference, webs }
})

class On extends Context.Service<On, Machine>()("test/e2e/takeover/On") {
  static readonly layer = Layer.effect(On, makeMachine)
}

/** Runs the agent with a directory of the test's own in the place of cron's. */
const withCrontabs = (node: TestNode, directory: string): readonly [string, ...ReadonlyArray<string>] => [
  "unshare",
  "--mount",
  "sh",
  "-c",
  'mount --bind "$0" /etc/cron.d && exec "$@"',
  directory,
  ...node.agentCommand,
]

describe.runIf(runsRootTests)("for root", () => {
  layer(On.layer, { excludeTestServices: true, timeout: "2 minutes" })("on one machine", (it) => {
    it.effect("after slapgrid, the reference's supervisord runs everything and writes the logs", () =>
      Effect.gen(function* () {
        const { node, reference } = yield* On
        for (const { id, path } of node.partitions.slice(0, 2)) {
          for (const program of programs) assert.isTrue(isAlive(reference.pidOf(`${id}:${program}`)))
          const log = yield* eventually(
            "a second word in the log",
            Effect.sync(() => {
              const text = textOf(`${path}/.${id}_web.log`) ?? ""
              return text.split("\n").length > 2 ? text : undefined
            }),
          )
          assert.strictEqual(log, "hello\nhello\n")
        }
        const modeOf = (name: string) => (statSync(`${node.instanceRoot}/${name}`).mode & 0o7777).toString(8)
        assert.deepStrictEqual(["var", "var/run", "slappart0"].map(modeOf), ["755", "700", "750"])
      }),
    )

    it.effect("slapgrid does not start beside it", () =>
      Effect.gen(function* () {
        const { node, reference, webs } = yield* On
        const { ended, log } = yield* runToEnd(node.agentCommand)
        assert.strictEqual(ended.code, 1)
        const { pid } = reference.program
        assert.include(log, `supervisord (pid ${pid}) listens on ${reference.socket} and has the programs of `)
        assert.include(log, "--take-over")
        for (const web of webs) assert.isTrue(isAlive(web))
      }),
    )

    it.effect("nor when told to while passes of the reference run or will be run", () =>
      Effect.gen(function* () {
        const { node, reference, webs } = yield* On
        const { path } = node.scratch
        mkdirSync(`${path}/cron.d`)
        writeFileSync(`${path}/cron.d/slapos`, `* * * * * root slapos node instance --cfg ${node.configFile}\n`)
        writeFileSync(`${path}/slapos`, "#!/bin/sh\necho\nread line\n", { mode: 0o755 })
        const pass = spawn(`${path}/slapos`, ["node", "report", "--cfg", node.configFile], {
          stdio: ["pipe", "pipe", "ignore"],
        })
        yield* Effect.promise(() => once(pass.stdout, "data"))
        writeFileSync(`${path}/ur.pid`, String(pass.pid))
        node.configure({ pidfile_report: `${path}/ur.pid` })
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            pass.stdin.end()
            node.configure()
          }),
        )
        const { ended, log } = yield* runToEnd([...withCrontabs(node, `${path}/cron.d`), "--take-over"])
        assert.strictEqual(ended.code, 1)
        assert.include(log, "/etc/cron.d/slapos:1 starts slapos node instance: ")
        assert.include(log, `slapos node report (pid ${pass.pid}) holds ${path}/ur.pid: `)
        assert.notInclude(log, `pid ${reference.program.pid}`)
        for (const web of webs) assert.isTrue(isAlive(web))
      }),
    )

    it.effect("told to, slapgrid takes over group by group, also after a kill, and nothing ever runs twice", () =>
      Effect.gen(function* () {
        const { node, reference, webs } = yield* On
        const sleeper = reference.pidOf("legacy:sleeper")
        const [, slow = 0] = webs
        // It cannot end before it is let go, and holds nobody else up.
        process.kill(slow, "SIGSTOP")
        const first = yield* start([...node.agentCommand, "--take-over"])
        yield* first.awaitLine("slappart0 is taken over")
        yield* first.awaitLine("stopping the programs of slappart1")
        const before = yield* node.runningIn(node.partition("slappart0"))
        first.signal("SIGKILL")
        yield* first.exit
        for (const pid of [slow, sleeper, ...before]) assert.isTrue(isAlive(pid))

        const second = yield* start([...node.agentCommand, "--take-over"])
        yield* second.awaitLine("stopping the programs of slappart1")
        process.kill(slow, "SIGCONT")
        yield* second.awaitLine("slapgrid runs this node alone")
        assert.strictEqual((yield* reference.program.exit).code, 0)
        for (const pid of [sleeper, ...webs]) assert.isFalse(isAlive(pid))
        yield* second.awaitLine("nobody wants legacy")
        assert.deepStrictEqual(yield* node.runningIn(node.partition("slappart0")), before)
        yield* node.runningIn(node.partition("slappart1"))
        for (const { path } of node.partitions) assert.isUndefined(textOf(`${path}/web.overlaps`))
        // Neither supervisord's watchdog nor ours saw a death.
        assert.strictEqual(reference.events(), "")
        assert.deepStrictEqual((yield* node.master.scripted.calls).filter(named("softwareInstanceBang")), [])
      }),
    )

    it.effect("with nothing in the way, being told to is no more than a start", () =>
      Effect.gen(function* () {
        const { node } = yield* On
        const agent = yield* start([...node.agentCommand, "--take-over"])
        yield* agent.awaitLine(" runs COMP-1 of ")
        yield* node.runningIn(node.partition("slappart0"))
        assert.notInclude(agent.log, "supervisord")
      }),
    )
  })
})
