// One-shot passes over partitions, their promises and their usage, in the running agent and without one.
//
// | what                                                                     | test                                |
// | ------------------------------------------------------------------------ | ----------------------------------- |
// | all is up to date: status 0; --force processes it again, with progress   | an instance pass …                  |
// | one that fails: status 1, and the others are done                        | a partition that fails …            |
// | unknown and empty names are refused before anything runs                 | names that the master …             |
// | two at once: status 10; Ctrl-C ends the command, not the work            | a second pass …                     |
// | the agent ends during a pass: told, status 1                             | an agent that is killed …           |
// | --force-stop stops until the next processing                             | a forced stop …                     |
// | the master away or refusing: status 3, what runs goes on                 | a master that is away …             |
// | not root: status 5                                                       | somebody who is not root …          |
// | promises are checked now: status 2 when they fail                        | promises are checked …              |
// | usage is reported now; a master that is away gets it later: status 3     | usage is reported …                 |
// | without an agent: services run on, nobody supervises them, adopted later | without an agent …                  |
import { assert, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { plain } from "../report/usage/examples.ts"
import { isAlive } from "../support/processes.ts"
import { runToEnd, start } from "../support/Program.ts"
import { prepareRelease, want } from "../support/prepared.ts"
import { isRoot } from "../support/ScratchMachine.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, makeRunning, type Running, type TestNode, type TestPartition } from "../support/TestNode.ts"
import { awaitFile, eventually, textOf } from "../support/waiting.ts"

class Node extends Context.Service<Node, Running<ScriptedTestMaster>>()("test/Node") {
  static readonly layer = Layer.effect(
    Node,
    makeRunning((_, ids) => makeScriptedTestMaster(ids), { partitions: 3 }),
  )
}

const live = { excludeTestServices: true, timeout: 120_000 }

const words = (node: TestNode, ...[action = "", ...others]: ReadonlyArray<string>) =>
  [...node.slapgrid, action, "--configuration-file", node.configFile, ...others] as const

const pass = (node: TestNode, ...what: ReadonlyArray<string>) => runToEnd(words(node, ...what))

const question = "getFullComputerInformation"

const lines = (text: string): ReadonlyArray<string> => text.trimEnd().split("\n")

const processings = ({ path }: TestPartition): number =>
  (readFileSync(`${path}/.slapgrid/log/instance.log`, "utf8").match(/ processing: /g) ?? []).length

layer(Node.layer, live)("in the agent", (it) => {
  it.effect("an instance pass tells how each partition is, and works on what is up to date only when forced", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const first = yield* node.run("first")
      const second = yield* node.run("second")
      const pids = yield* node.runningIn(first)
      const all = yield* pass(node, "instance")
      assert.strictEqual(all.ended.code, 0, all.log)
      assert.sameMembers(lines(all.stdout).slice(-4, -1), [
        "slappart0: started",
        "slappart1: started",
        "slappart2: free",
      ])
      assert.deepStrictEqual([lines(all.stdout).at(-1), processings(first), processings(second)], ["done", 1, 1])
      const forced = yield* pass(node, "instance", "--only_cp", " slappart0 ,", "--all")
      assert.deepStrictEqual(
        [forced.ended.code, lines(forced.stdout)[0], lines(forced.stdout).slice(-2)],
        [0, "working on slappart0", ["slappart0: started", "done"]],
      )
      assert.include(forced.stdout, "slappart0: installing\n")
      assert.deepStrictEqual([processings(first), processings(second)], [2, 1])
      assert.deepStrictEqual(yield* node.runningIn(first), pids)
      const json = yield* pass(node, "instance", "--only", "slappart1", "--json")
      const events = lines(json.stdout).map((line) => JSON.parse(line) as Record<string, unknown>)
      assert.deepStrictEqual(events.at(-1), { _tag: "Ended", status: 0 })
      assert.deepInclude(events, { _tag: "Settled", subject: "slappart1", result: "Done", state: "started" })
    }),
  )

  it.effect("a partition that fails gives status 1, in words, and the others are done", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      yield* node.request("second", { parameters: { fail: "no such luck" } })
      yield* node.master.awaitReport("slappart1", "error")
      const { ended, log, stdout } = yield* pass(node, "instance")
      assert.deepStrictEqual([ended.code, log], [1, "slapgrid: 1 of 3 failed"])
      assert.match(stdout, /^slappart1: failed: [^\n]*(\n {4}[^\n]*)*no such luck/m)
      assert.include(stdout, "slappart0: started\n")
      const after = yield* node.master.lastReport
      yield* node.master.change("slappart1", { parameters: {} })
      assert.strictEqual((yield* pass(node, "instance", "--only-cp", "slappart1")).ended.code, 0)
      yield* node.master.awaitReport("slappart1", "started", { after })
    }),
  )

  it.effect("names that the master does not know are refused before anything is done", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const before = processings(node.partition("slappart0"))
      const unknown = yield* pass(node, "instance", "--only-cp", "slappart0,slappart9", "--force")
      assert.strictEqual(unknown.ended.code, 1)
      assert.include(
        unknown.log,
        "nothing is done: the master names no partition slappart9 for this computer; it names: slappart0, slappart1, slappart2",
      )
      const empty = yield* pass(node, "instance", "--only-cp", ",", "--force")
      assert.deepStrictEqual([empty.ended.code, empty.stdout], [1, ""])
      assert.include(empty.log, "--only-cp names nothing")
      assert.strictEqual(processings(node.partition("slappart0")), before)
    }),
  )

  it.effect("a second pass has status 10; Ctrl-C ends the command and not the work", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const marker = `${node.partition("slappart1").path}/blocked`
      yield* node.request("second", { parameters: { block: marker } })
      yield* awaitFile(marker, (text) => (text === "" ? undefined : text))
      const first = yield* start(words(node, "instance"))
      yield* eventually(
        "what is under way",
        Effect.sync(() => (first.stdout.includes("slappart1: installing") ? true : undefined)),
      )
      const second = yield* pass(node, "instance")
      assert.deepStrictEqual([second.ended.code, second.stdout], [10, ""])
      assert.include(second.log, "another instance pass is under way: wait for its end")
      assert.strictEqual((yield* pass(node, "sync")).ended.code, 0)
      first.signal("SIGINT")
      assert.strictEqual((yield* first.exit).code, 130)
      assert.include(first.log, "the agent goes on with it")
      assert.strictEqual((yield* pass(node, "instance")).ended.code, 10)
      rmSync(marker)
      yield* node.request("second", { parameters: {}, state: "stopped" })
      yield* node.master.awaitReport("slappart1", "stopped")
      yield* eventually(
        "room for a pass",
        Effect.map(pass(node, "instance", "--only-cp", "slappart1"), ({ ended }) =>
          ended.code === 0 ? true : undefined,
        ),
      )
    }),
  )

  it.effect("a forced stop processes and stops, until the next processing", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const partition = node.partition("slappart0")
      const [web] = yield* node.runningIn(partition)
      const [before, reports] = [processings(partition), yield* node.master.lastReport]
      const { ended, stdout } = yield* pass(node, "instance", "--only-cp", "slappart0", "--force-stop")
      assert.deepStrictEqual([ended.code, lines(stdout).slice(-2)], [0, ["slappart0: stopped", "done"]])
      assert.deepStrictEqual([processings(partition), isAlive(web)], [before + 1, false])
      assert.strictEqual((yield* pass(node, "instance")).ended.code, 0)
      const status = yield* node.status
      const services = status.partitions.find(({ id }) => id === "slappart0")?.services ?? []
      assert.deepStrictEqual(
        services.map(({ isHeld, pid }) => [isHeld, pid]),
        Array.from({ length: 3 }, () => [true, undefined]),
      )
      assert.strictEqual(yield* node.master.lastReport, reports)
      assert.strictEqual((yield* pass(node, "instance", "--only-cp", "slappart0", "--force")).ended.code, 0)
      yield* node.runningIn(partition)
    }),
  )

  it.effect("a master that is away, or refuses, gives status 3, and what runs goes on", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const [web] = yield* node.runningIn(node.partition("slappart0"))
      const { scripted } = node.master
      const reset = yield* scripted.inject(question, { _tag: "Reset" })
      const away = yield* pass(node, "instance", "--force")
      assert.strictEqual(away.ended.code, 3)
      assert.include(away.log, "the master is away, nothing is processed and what runs goes on")
      assert.strictEqual((yield* pass(node, "sync")).ended.code, 3)
      yield* reset.clear
      const forbidden = yield* scripted.inject(question, { _tag: "Status", status: 403 })
      const refused = yield* pass(node, "instance")
      assert.strictEqual(refused.ended.code, 3)
      assert.include(refused.log, "the master refuses this computer")
      yield* forbidden.clear
      assert.strictEqual((yield* pass(node, "sync")).ended.code, 0)
      assert.isTrue(isAlive(web))
    }),
  )

  it.effect("promises are checked now: kept, failing with status 2, and not of what is not to run", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const partition = node.partition("slappart0")
      addProgram(partition, "promise/kept", "#!/bin/sh\nexit 0\n")
      const kept = yield* pass(node, "promise")
      assert.strictEqual(kept.ended.code, 0, kept.log)
      assert.include(lines(kept.stdout), "slappart0: promises kept")
      addProgram(partition, "promise/web", "#!/bin/sh\necho nobody answers\nexit 1\n")
      const failing = yield* pass(node, "promise", "--only-cp", "slappart0")
      assert.deepStrictEqual([failing.ended.code, failing.log], [2, "slapgrid: promises of 1 of 1 failed"])
      assert.match(failing.stdout, /^slappart0: promises failing: .*nobody answers/m)
      const unknown = yield* pass(node, "promise", "--only-cp", "slappart8")
      assert.deepStrictEqual([unknown.ended.code, unknown.stdout], [1, ""])
      rmSync(`${partition.path}/etc/promise/web`)
      assert.strictEqual((yield* pass(node, "promise")).ended.code, 0)
    }),
  )

  it.effect("usage is reported now; what is wrong with it is told, and what is away is kept", () =>
    Effect.gen(function* () {
      const { node } = yield* Node
      const partition = node.partition("slappart0")
      const { scripted } = node.master
      addProgram(partition, "report/usage", reportScript)
      const sent = yield* pass(node, "report")
      assert.strictEqual(sent.ended.code, 0, sent.log)
      assert.include(lines(sent.stdout), "slappart0: 1 report script ran")
      assert.strictEqual(lines(sent.stdout).at(-1), "1 report collected, 1 journal sent")
      yield* scripted.awaitCall(
        ({ form, name }) => name === "useComputer" && Object.values(form).join().includes("42.42"),
      )
      const reset = yield* scripted.inject("useComputer", { _tag: "Reset" })
      const away = yield* pass(node, "report")
      assert.strictEqual(away.ended.code, 3)
      assert.include(away.log, "the master is away or refuses this computer: 1 journal kept and sent later")
      yield* reset.clear
      addProgram(partition, "report/usage", "#!/bin/sh\necho nonsense > $1\n")
      const invalid = yield* pass(node, "report")
      assert.strictEqual(invalid.ended.code, 1)
      assert.include(invalid.log, "1 file is no usage report")
      assert.match(invalid.stdout, /xml_report\/slapreport\.[^\n]*: no usage report, left where it is: /)
      rmSync(`${partition.path}/var/xml_report`, { recursive: true })
      rmSync(`${partition.path}/etc/report`, { recursive: true })
    }),
  )

  it.effect("an agent that is killed during a pass is told, with status 1", () =>
    Effect.gen(function* () {
      const { agent, node } = yield* Node
      const marker = `${node.partition("slappart1").path}/blocked`
      yield* node.request("second", { parameters: { block: marker } })
      const client = yield* Effect.forkScoped(pass(node, "instance"))
      yield* awaitFile(marker, (text) => (text === "" ? undefined : text))
      agent.signal("SIGKILL")
      const { ended, log } = yield* Fiber.join(client)
      assert.strictEqual(ended.code, 1)
      assert.include(log, "the agent ended before the pass did")
      yield* agent.exit
      // Its successor adopts what runs, and ends it with the test.
      yield* node.startAgent
      yield* node.runningIn(node.partition("slappart0"))
    }),
  )
})

/** Puts a program into a partition as its instance would. */
const addProgram = (partition: TestPartition, place: string, text: string): void => {
  const path = `${partition.path}/etc/${place}`
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  chmodSync(path, 0o755)
  if (isRoot) for (const one of [dirname(path), path]) chownSync(one, partition.uid, partition.gid)
}

const reportScript = `#!/bin/sh
cat > "$1" <<'END'
<consumption>${plain}</consumption>
END
`

const program = "#!/bin/sh\necho $$ >> web.starts\nexec sleep infinity\n"

/** A release that is built, and partitions to be started with one program, without an agent. */
const prepared = Effect.gen(function* () {
  const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 2 })
  const software = prepareRelease(node)
  for (const partition of node.partitions) {
    want(node, partition, { "service/web": program })
    yield* node.master.request(partition.id, { software })
  }
  return { node, software }
})

const pidsOf = ({ path }: TestPartition): ReadonlyArray<number> =>
  (textOf(`${path}/web.starts`) ?? "").trim().split("\n").map(Number)

const unsupervised = "services run, and nobody supervises them until slapgrid is started"

it.live(
  "without an agent partitions are processed, their services run on, and the next agent adopts them",
  () =>
    Effect.gen(function* () {
      const { node } = yield* prepared
      const [first, second] = node.partitions as [TestPartition, TestPartition]
      const some = yield* pass(node, "instance", "--only-cp", "slappart0")
      assert.strictEqual(some.ended.code, 0, some.log)
      assert.deepStrictEqual(lines(some.stdout).slice(-2), ["slappart0: started", unsupervised])
      const pid = yield* awaitFile(`${first.path}/web.starts`, (text) => (text === "" ? undefined : Number(text)))
      assert.deepStrictEqual([isAlive(pid), textOf(`${second.path}/.timestamp`)], [true, undefined])
      assert.isDefined(textOf(`${first.path}/.timestamp`))
      yield* node.master.awaitReport("slappart0", "started")
      const all = yield* pass(node, "instance")
      assert.strictEqual(all.ended.code, 0, all.log)
      yield* awaitFile(`${second.path}/web.starts`, (text) => (text === "" ? undefined : text))
      assert.deepStrictEqual(pidsOf(first), [pid])
      addProgram(first, "promise/web", "#!/bin/sh\nexit 1\n")
      assert.strictEqual((yield* pass(node, "promise", "--only-cp", "slappart1")).ended.code, 0)
      const failing = yield* pass(node, "promise")
      assert.strictEqual(failing.ended.code, 2, failing.log)
      assert.include(lines(failing.stdout), "slappart1: has no promises")
      rmSync(`${first.path}/etc/promise/web`)
      addProgram(first, "report/usage", reportScript)
      const report = yield* pass(node, "report")
      assert.strictEqual(report.ended.code, 0, report.log)
      assert.deepStrictEqual(lines(report.stdout).at(-1), "1 report collected, 1 journal sent")
      assert.deepStrictEqual(pidsOf(first), [pid])
      const agent = yield* node.startAgent
      yield* agent.awaitLine("2 services of an earlier agent run on and are adopted")
      assert.isTrue(isAlive(pid))
    }).pipe(Effect.scoped),
  120_000,
)

it.live(
  "without an agent: a release that is not built, a failure, unknown names, a second pass, an interruption",
  () =>
    Effect.gen(function* () {
      const { node, software } = yield* prepared
      const [first] = node.partitions as [TestPartition, TestPartition]
      const other = node.writeProfile("other.cfg", "[buildout]\n")
      yield* node.master.supply(other)
      yield* node.master.change("slappart1", { software: other })
      const unready = yield* pass(node, "instance")
      assert.deepStrictEqual([unready.ended.code, unready.log.includes(`1 of 2 failed\n${unsupervised}`)], [1, true])
      assert.include(unready.stdout, `slappart1: waiting: waits for its software release ${other}`)
      const [pid = 0] = pidsOf(first)
      const unknown = yield* pass(node, "instance", "--only-cp", "slappart7")
      assert.strictEqual(unknown.ended.code, 1)
      assert.include(unknown.log, "the master names no partition slappart7")

      // A release whose buildout never ends.
      const marker = `${first.path}/blocked`
      writeFileSync(
        `${node.releaseDirectory(software)}/bin/buildout`,
        `#!/bin/sh\necho $$ > blocked\nexec sleep infinity\n`,
      )
      const blocked = yield* start(words(node, "instance", "--only-cp", "slappart0", "--force"))
      const build = yield* awaitFile(marker, (text) => (text === "" ? undefined : Number(text)))
      assert.strictEqual((yield* pass(node, "instance")).ended.code, 10)
      assert.strictEqual((yield* runToEnd(node.agentCommand)).ended.code, 10)
      blocked.signal("SIGINT")
      assert.strictEqual((yield* blocked.exit).code, 130)
      assert.deepStrictEqual([isAlive(build), isAlive(pid)], [false, true])
      yield* node.startAgent
      yield* eventually(
        "the agent",
        Effect.map(node.status, ({ partitions }) => partitions[0]?.services[0]),
      )
    }).pipe(Effect.scoped),
  120_000,
)

it.live(
  "without an agent and without a master what should run is started, and nothing is processed",
  () =>
    Effect.gen(function* () {
      const { node } = yield* prepared
      const [first] = node.partitions as [TestPartition, TestPartition]
      yield* node.master.scripted.inject(question, { _tag: "Reset" }, 1)
      const never = yield* pass(node, "instance")
      assert.deepStrictEqual([never.ended.code, never.stdout], [3, ""])
      assert.strictEqual((yield* pass(node, "instance")).ended.code, 0)
      const [pid = 0] = pidsOf(first)
      process.kill(pid, "SIGKILL")
      const away = yield* node.master.scripted.inject(question, { _tag: "Reset" })
      const offline = yield* pass(node, "instance", "--force")
      assert.strictEqual(offline.ended.code, 3, offline.log)
      assert.include(offline.log, `the master is away, nothing is processed and what runs goes on`)
      yield* awaitFile(`${first.path}/web.starts`, (text) => text.trim().split("\n")[1])
      assert.strictEqual(processings(first), 1)
      yield* away.clear
      yield* node.startAgent
      yield* eventually(
        "the agent",
        Effect.map(node.status, ({ partitions }) => partitions[0]?.services[0]),
      )
    }).pipe(Effect.scoped),
  120_000,
)

it.live(
  "somebody who is not root is refused with status 5 while root_check is on",
  () =>
    Effect.gen(function* () {
      const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), {
        partitions: 0,
        isOrdinary: true,
        settings: { root_check: "true" },
      })
      const { ended, log } = yield* pass(node, "instance")
      assert.strictEqual(ended.code, 5)
      assert.include(log, "slapgrid has to be run as root")
    }).pipe(Effect.scoped),
  120_000,
)
