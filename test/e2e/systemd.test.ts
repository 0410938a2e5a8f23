// The agent as a service of a real systemd, by the unit file that the package brings. What differs from it for the tests
// is the program's path, where its log goes, and shorter times.
//
// | rule                                                               | test                                   |
// | ------------------------------------------------------------------ | -------------------------------------- |
// | ready when it supervises and answers; its state is shown           | the unit is started when …             |
// | services know nothing of the service manager                       | (the same)                             |
// | kill -9 of the agent and the unit's restart keep every pid         | a killed agent …                       |
// | an agent that hangs is killed, with the same end                   | an agent that hangs …                  |
// | an upgrade: slapgrid detach, and systemd starts the next           | an agent that was told to leave …      |
// | systemctl reload asks the master                                   | a reload …                             |
// | systemctl stop ends everything in order                            | a stop …                               |
// | without any init: a warning                                        | as the first process …                 |
import { assert, layer } from "@effect/vitest"
import { mkdirSync } from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { childOf } from "../support/processes.ts"
import { runToEnd, start } from "../support/Program.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import { makeSystemd, type Systemd } from "../support/Systemd.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode } from "../support/TestNode.ts"
import { awaitFile, eventually, textOf } from "../support/waiting.ts"

/** Seconds without a sign of life after which systemd kills the agent: much more than a busy machine makes it wait. */
const watchdog = 6

/** Seconds that a service may take to end, and what systemd gives the whole unit unless the agent asks for more. */
const [stopTimeout, unitTimeout] = [6, 3]

interface Unit {
  readonly node: TestNode<ScriptedTestMaster>
  readonly systemd: Systemd
  /** What the agent says. */
  readonly log: string
}

class Machine extends Context.Service<Machine, Unit>()("test/e2e/systemd/Machine") {
  static readonly layer = Layer.effect(
    Machine,
    Effect.gen(function* () {
      const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), {
        partitions: 2,
        settings: { stop_timeout: String(stopTimeout) },
      })
      const directory = `${node.scratch.path}/systemd`
      const log = `${directory}/agent.log`
      mkdirSync(directory)
      yield* node.supply(node.release)
      yield* node.request("steady")
      const systemd = yield* makeSystemd({
        directory,
        changes: [
          "ExecStart=",
          `ExecStart=${node.agentCommand.join(" ")}`,
          `StandardOutput=append:${log}`,
          `StandardError=append:${log}`,
          "RestartSec=100ms",
          `WatchdogSec=${watchdog}s`,
          `TimeoutStopSec=${unitTimeout}s`,
        ],
      })
      return { node, systemd, log }
    }),
  )
}

const live = { excludeTestServices: true, timeout: "2 minutes" } as const

/** The pids of the services that run, as systemd's pid namespace numbers them. */
const running = Effect.flatMap(Machine, ({ node }) =>
  eventually(
    "three running services",
    node.status.pipe(
      Effect.map(({ partitions }) => partitions.flatMap((one) => one.services)),
      // Between two agents nobody answers.
      Effect.catchDefect(() => Effect.succeed([])),
      Effect.map((services) =>
        services.length === 3 && services.every(({ state }) => state === "running")
          ? Object.fromEntries(services.map(({ name, pid = 0 }) => [name, pid]))
          : undefined,
      ),
    ),
  ),
)

const mainPid = Effect.flatMap(Machine, ({ systemd }) => Effect.map(systemd.property("MainPID"), Number))

/** Waits until systemd has started another agent, which is ready. */
const nextAgent = (before: number) =>
  Effect.gen(function* () {
    const { systemd } = yield* Machine
    return yield* eventually(
      "the next agent",
      Effect.gen(function* () {
        const pid = yield* mainPid
        return pid !== 0 && pid !== before && (yield* systemd.property("ActiveState")) === "active" ? pid : undefined
      }),
    )
  })

layer(Machine.layer, live)("a unit of systemd", (it) => {
  const rooted = it.effect.runIf(runsRootTests)

  rooted("the unit is started when the agent supervises and answers, and shows how it is", () =>
    Effect.gen(function* () {
      const { node, systemd } = yield* Machine
      yield* systemd.systemctl("start", "slapgrid")
      const { pid } = yield* node.status
      assert.strictEqual(pid, yield* mainPid)
      const { "web-on-watch": web } = yield* running
      yield* eventually(
        "its state in the unit's",
        Effect.map(systemd.property("StatusText"), (text) =>
          /^1 partition started, 3 services running, last sync \d\d:\d\d UTC$/.test(text) ? true : undefined,
        ),
      )
      // Neither the agent's children nor anybody who reads a service's environment can speak for the agent.
      const environment = (yield* systemd.run("cat", `/proc/${web}/environ`)).stdout
      assert.include(environment, "SUPERVISOR_GROUP_NAME=slappart0")
      assert.notMatch(environment, /NOTIFY_SOCKET|WATCHDOG|INVOCATION_ID/)
    }),
  )

  rooted("a killed agent is started again, and every service keeps its pid", () =>
    Effect.gen(function* () {
      const { systemd } = yield* Machine
      const [agent, pids] = [yield* mainPid, yield* running]
      yield* systemd.systemctl("kill", "--kill-whom=main", "--signal=KILL", "slapgrid")
      yield* nextAgent(agent)
      assert.deepStrictEqual(yield* running, pids)
      assert.strictEqual(yield* systemd.property("NRestarts"), "1")
    }),
  )

  rooted("an agent that hangs is killed by the watchdog, and every service keeps its pid", () =>
    Effect.gen(function* () {
      const { systemd } = yield* Machine
      const [agent, pids] = [yield* mainPid, yield* running]
      yield* systemd.systemctl("kill", "--kill-whom=main", "--signal=STOP", "slapgrid")
      yield* nextAgent(agent)
      assert.deepStrictEqual(yield* running, pids)
      assert.include(textOf(systemd.log), `slapgrid.service: Watchdog timeout (limit ${watchdog}s)!`)
      assert.strictEqual(yield* systemd.property("NRestarts"), "2")
    }),
  )

  rooted("an agent that was told to leave is followed by the next, and every service keeps its pid", () =>
    Effect.gen(function* () {
      const { log, node, systemd } = yield* Machine
      const [agent, pids] = [yield* mainPid, yield* running]
      const { ended } = yield* runToEnd([...node.slapgrid, "detach", "--configuration-file", node.configFile])
      assert.strictEqual(ended.code, 0)
      yield* nextAgent(agent)
      assert.deepStrictEqual(yield* running, pids)
      assert.strictEqual(yield* systemd.property("NRestarts"), "3")
      assert.include(textOf(log), "leaving, services run on")
    }),
  )

  rooted("a reload asks the master at once", () =>
    Effect.gen(function* () {
      const { node, systemd } = yield* Machine
      const agent = yield* mainPid
      const { id, path } = yield* node.request("deaf", { parameters: { trap: "trap '' TERM" } })
      yield* systemd.systemctl("reload", "slapgrid")
      yield* node.master.awaitReport(id, "started")
      yield* awaitFile(`${path}/.timestamp`, (text) => text)
      assert.strictEqual(yield* mainPid, agent)
    }),
  )

  rooted("a stop ends everything in order, however long a service takes", () =>
    Effect.gen(function* () {
      const { log, systemd } = yield* Machine
      yield* systemd.systemctl("stop", "slapgrid")
      assert.strictEqual(yield* systemd.property("ActiveState"), "inactive")
      assert.strictEqual(yield* systemd.property("Result"), "success")
      assert.strictEqual(yield* systemd.property("ExecMainStatus"), "0")
      assert.include(textOf(log), "stopping")
      // Nobody but systemd itself and whoever asks.
      const { stdout } = yield* systemd.run("ps", "-e", "-o", "comm=")
      assert.deepStrictEqual(stdout.split("\n").filter(Boolean), ["systemd", "ps"])
    }),
  )

  rooted("as the first process of a container the agent says what it needs", () =>
    Effect.gen(function* () {
      const { node } = yield* Machine
      const words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"] as const
      const container = yield* start([...words, ...node.agentCommand])
      assert.strictEqual((yield* container.awaitLine("slapgrid is PID 1 here")).level, "warn")
      yield* container.awaitLine(" runs COMP-1 of ")
      process.kill(childOf(container.pid) ?? 0, "SIGTERM")
      assert.deepStrictEqual(yield* container.exit, { code: 0, signal: null })
    }),
  )
})
