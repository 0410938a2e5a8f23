// Attacks by partitions on the agent, the machine and each other, all on one node that runs as root. Each of them is
// first seen to succeed against a careless agent (test/support/attacks); the last test prints what came of each.
//
// | SECURITY.md, what is promised                        | tests                             |
// | ---------------------------------------------------- | --------------------------------- |
// | nobody's files but a partition's own are touched     | in files: …                       |
// | its programs have nothing of the agent's             | a program …                       |
// | what must not change is the same after all of it     | nothing that is not theirs …      |
//
// | attack                                                       | tests                                              |
// | ------------------------------------------------------------ | -------------------------------------------------- |
// | symbolic and hard links, FIFOs, devices, sparse files        | in files: … is a link, a hard link, a FIFO, …      |
// | report files as links to secrets                             | in files: a report is …                            |
// | chmod 000                                                    | in files: … has mode 000                           |
// | setuid programs, LD_PRELOAD, signals, ptrace, keys           | a program that …                                   |
// | leaving the cgroup; hundreds of daemons; processes elsewhere | a program leaves its cgroup; every instance is …   |
// | swapped directories, 5 s each; the control socket            | attacks-races.test.ts                              |
// | XML, tar, output of promises, names, log bombs, the master   | attacks-words.test.ts                              |
// | plugins of promises                                          | test/health/hostilePlugins.test.ts                 |
// | keys that take minutes to sign with                          | test/files/certificates.test.ts                    |
// | secrets in what is said                                      | secrets.test.ts                                    |
// | texts that take the square of their length                   | test/parsers.test.ts                               |
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { spawn } from "node:child_process"
import { chmodSync, mkdirSync, readdirSync, readFileSync } from "node:fs"
import { findMount, ownGroup } from "../../src/process/containment/cgroup.ts"
import { fileAttacks } from "../support/attacks/files.ts"
import {
  fateOf,
  makeRelease,
  makeSetuid,
  type Node,
  type Outcome,
  plantAll,
  type Planted,
  put,
  roles,
  table,
  toldBy,
} from "../support/attacks/machine.ts"
import {
  agentEnvironment,
  inAgentSession,
  probe,
  processAttacks,
  runCarelessly,
  type Targets,
} from "../support/attacks/processes.ts"
import { makeFile, type Victim } from "../support/attacks/victims.ts"
import { belongingTo, childOf, isAlive } from "../support/processes.ts"
import type { Program } from "../support/Program.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import { makeScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestPartition } from "../support/TestNode.ts"
import { awaitFile, eventually } from "../support/waiting.ts"

/** Directory of a process's cgroup. */
const cgroupOf = (pid: number): string => {
  const mount = findMount(readFileSync("/proc/self/mountinfo", "utf8"))
  return (mount && ownGroup(mount, readFileSync(`/proc/${pid}/cgroup`, "utf8"))) ?? ""
}

/** A process of a user's that no agent has started, as ssh or a timer starts one. */
const runElsewhere = ({ gid, uid }: TestPartition) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { pid = 0 } = spawn("sleep", ["1000"], { detached: true, gid, stdio: "ignore", uid })
      return pid
    }),
    (pid) => Effect.sync(() => (isAlive(pid) ? process.kill(pid, "SIGKILL") : undefined)),
  )

const crowdSize = 200
/** Starts so many daemons that have left its session and its group. */
const crowd = `#!/bin/sh
i=0
while [ $i -lt ${crowdSize} ]; do setsid sleep 10000 >/dev/null 2>&1 & i=$((i+1)); done
echo ready >crowd
exec sleep 10000
`
const crowdOf = ({ uid }: { readonly uid: number }) => belongingTo({ hasUid: (one) => one === uid })

/** What is left of such a crowd when an agent ends the group that it has started, as the reference does. */
const endCarelessly = (control: { readonly path: string; readonly uid: number; readonly gid: number }) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      put(control, "crowd.sh", crowd)
      chmodSync(control.path, 0o777)
      const options = {
        cwd: control.path,
        detached: true,
        gid: control.gid,
        stdio: "ignore",
        uid: control.uid,
      } as const
      return spawn(`${control.path}/crowd.sh`, [], options)
    }),
    ({ pid = 0 }) =>
      Effect.gen(function* () {
        yield* awaitFile(`${control.path}/crowd`, (text) => text || undefined)
        process.kill(-pid, "SIGKILL")
        return yield* eventually(
          "the end of the leader",
          Effect.sync(() => (isAlive(pid) ? undefined : crowdOf(control).length)),
        )
      }),
    () => Effect.sync(() => crowdOf(control).forEach((pid) => process.kill(pid, "SIGKILL"))),
  )

/** What partitions held before they were removed. */
let told = ""

interface Battle {
  readonly node: Node
  readonly agent: Program
  readonly planted: ReadonlyArray<Planted>
  /** What must be the same at the end: root's, another partition's and the agent's own. */
  readonly canaries: ReadonlyArray<Victim>
  readonly prober: TestPartition
  readonly neighbour: TestPartition
  readonly outcomes: Array<Outcome>
}

class Battlefield extends Context.Service<Battlefield, Battle>()("test/e2e/attacks/Battlefield") {}

const talks = `#!/bin/sh
head -c 300000 /dev/zero | tr '\\0' x
exec sleep infinity
`
const sleeps = "#!/bin/sh\nexec sleep infinity\n"

/** Programs beside the traps: what makes the agent come by. */
const companions: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  processed: {
    "etc/service/linked": sleeps,
    "etc/service/hard": sleeps,
    "etc/service/fifo": sleeps,
    "etc/service/well": sleeps,
  },
  crashing: { "etc/service/talks": talks, "etc/service/dies": "#!/bin/sh\nexit 1\n" },
  "linked-reports": { "etc/report/own": '#!/bin/sh\n: >"$1"\n' },
  "linked-report-log": { "etc/report/own": '#!/bin/sh\n: >"$1"\n' },
}

const failing = new Set<string>(["linked-folder", "linked-logs", "linked-log", "hard-linked-log", "fifo-log"])

const makeBattle = Effect.gen(function* () {
  const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), {
    partitions: roles.length + 2,
    settings: { service_log_max_size: "64K", stop_timeout: "2", instance_storage_home: "" },
  })
  mkdirSync(`${node.scratch.path}/storage`)
  node.configure({ instance_storage_home: `${node.scratch.path}/storage` })
  const [prober, neighbour, ...others] = node.partitions
  assert.isDefined(prober)
  assert.isDefined(neighbour)
  const partitionOf = (role: string): TestPartition => others[roles.findIndex((one) => one === role)]!
  for (const role of roles) {
    for (const [place, text] of Object.entries(companions[role] ?? {})) put(partitionOf(role), place, text)
  }
  const planted = plantAll(node, partitionOf)
  const software = makeRelease(node)

  const own = `${node.instanceRoot}/var/run/slapgrid`
  for (const path of [`${node.instanceRoot}/var`, `${node.instanceRoot}/var/run`, own]) mkdirSync(path, { mode: 0o755 })
  for (const path of [`${node.instanceRoot}/var/run`, own]) chmodSync(path, 0o700)
  const canaries = [
    makeFile(`${node.scratch.path}/outside/canary`),
    makeFile(`${neighbour.path}/canary`, neighbour),
    makeFile(`${own}/canary`),
  ]
  put(neighbour, "etc/service/web", sleeps)
  put(prober, "etc/service/probe", probe(`${prober.path}/targets`))
  put(prober, "etc/service/crowd", crowd)

  const wants = (partition: TestPartition) => node.master.change(partition.id, { software, timestamp: "1000" })
  yield* Effect.forEach([neighbour, ...others], wants)
  const agent = yield* node.startAgentWith(agentEnvironment, inAgentSession)
  yield* Effect.forEach([neighbour, ...others], ({ id }, index) =>
    node.master.awaitReport(id, failing.has(roles[index - 1] ?? "") ? "error" : "started"),
  )
  return Battlefield.of({ node, agent, planted, canaries, prober, neighbour, outcomes: [] })
})

describe.runIf(runsRootTests)("attacks", () => {
  layer(Layer.effect(Battlefield, makeBattle), { excludeTestServices: true, timeout: "2 minutes" })((it) => {
    it.effect("a partition's program runs, and tries what it can", () =>
      Effect.gen(function* () {
        const { agent, neighbour, node, outcomes, prober } = yield* Battlefield
        const { partitions } = yield* node.status
        const theirs = partitions
          .find(({ id }) => id === neighbour.id)
          ?.services.find(({ name }) => name === "web-on-watch")?.pid
        const setuid = makeSetuid(`${node.scratch.path}/outside/setuid`)
        const own = `${node.instanceRoot}/var/run/slapgrid`
        const targets: Targets = {
          agent: agent.pid,
          launcher: childOf(agent.pid) ?? 0,
          neighbour: theirs ?? 0,
          theirs: `${neighbour.path}/canary`,
          state: `${own}/canary`,
          socket: `${own}/control.sock`,
          roots: node.instanceRoot,
          setuid: [setuid],
          cgroup: cgroupOf(theirs ?? 0),
          results: `${prober.path}/results`,
          stays: true,
        }
        const write = (
          partition: { readonly path: string; readonly uid: number; readonly gid: number },
          said: Targets,
        ) => put(partition, "targets", JSON.stringify(said))

        // The control: a program of a careless agent's.
        const control = { path: `${node.instanceRoot}/control`, uid: prober.uid, gid: prober.gid }
        mkdirSync(control.path)
        put(control, "probe", probe(`${control.path}/targets`))
        const asOther = ["setpriv", `--reuid=${prober.uid}`, `--regid=${prober.gid}`, "--clear-groups", "--", setuid]
        write(control, { ...targets, setuid: asOther, results: `${control.path}/results`, stays: false })
        runCarelessly(`${control.path}/probe`, control.path)
        const careless = JSON.parse(readFileSync(`${control.path}/results`, "utf8")) as Record<string, string>

        write(prober, targets)
        const { software } = { software: `${node.scratch.path}/hostile/software.cfg` }
        yield* node.master.change(prober.id, { software, timestamp: "1000" })
        yield* node.ask
        const results = JSON.parse(yield* awaitFile(`${prober.path}/results`, (text) => text)) as Record<string, string>
        for (const { name, tries } of processAttacks) {
          outcomes.push({
            attack: `a program ${name}`,
            careless: careless[tries] ?? "not tried",
            slapgrid: results[tries] ?? "not tried",
          })
        }
      }),
    )

    it.effect.each(processAttacks)("a program that $name does not get there", ({ name }) =>
      Effect.gen(function* () {
        const { outcomes } = yield* Battlefield
        const outcome = outcomes.find(({ attack }) => attack === `a program ${name}`)
        assert.strictEqual(outcome?.careless, "succeeded")
        assert.match(outcome?.slapgrid ?? "", /^(?:PermissionError|OSError|KeyError|FileNotFoundError)/)
      }),
    )

    it.effect("every instance is destroyed, and nothing of it is left", () =>
      Effect.gen(function* () {
        const { agent, neighbour, node, outcomes, prober } = yield* Battlefield
        const escaped = yield* runElsewhere(prober)
        yield* awaitFile(`${prober.path}/crowd`, (text) => text || undefined)
        assert.isAbove(crowdOf(prober).length, crowdSize)
        const { scratch } = node
        const control = { path: `${scratch.path}/crowd`, ...scratch.identity(roles.length + 3) }
        mkdirSync(control.path)
        const left = yield* endCarelessly(control)
        const doomed = node.partitions.filter(({ id }) => id !== neighbour.id)
        const after = yield* node.master.lastReport
        told = yield* toldBy(node, agent, doomed)
        yield* Effect.forEach(doomed, ({ id }) => node.master.change(id, { requested: "destroyed", timestamp: "1001" }))
        yield* node.ask
        yield* Effect.forEach(doomed, ({ id }) => node.master.awaitReport(id, "destroyed", { after }))
        for (const { path } of doomed) assert.deepStrictEqual(readdirSync(path), [], path)
        assert.isFalse(agent.hasEnded)
        // A careless agent ends what it has started.
        outcomes.push({ attack: "a process of its user's elsewhere", careless: "lives on", slapgrid: "ended" })
        assert.isFalse(isAlive(escaped))
        outcomes.push({
          attack: `a program starts ${crowdSize} daemons`,
          careless: `${left} live on`,
          slapgrid: "ended",
        })
        // Those that had led no session yet were in the group.
        assert.isAbove(left, crowdSize / 2)
        assert.deepStrictEqual(crowdOf(prober), [])
      }).pipe(Effect.scoped),
    )

    it.effect.each(fileAttacks)("in files: $name, and it does no harm", ({ name }) =>
      Effect.gen(function* () {
        const { agent, node, outcomes, planted } = yield* Battlefield
        const { careless, trap } = planted.find(({ attack }) => attack.name === name)!
        assert.isDefined(careless, "the careless agent was not harmed")
        const harm = trap.victim.harm(told + (yield* toldBy(node, agent, [])))
        outcomes.push({ attack: name, careless, slapgrid: harm ?? fateOf(trap, agent.log) })
        assert.isUndefined(harm)
      }),
    )

    it.effect("nothing that is not theirs has changed, and the agent goes on", () =>
      Effect.gen(function* () {
        const { agent, canaries, neighbour, node } = yield* Battlefield
        for (const canary of canaries) assert.isUndefined(canary.harm(yield* toldBy(node, agent, [])), canary.path)
        const { partitions } = yield* node.status
        const service = partitions.find(({ id }) => id === neighbour.id)?.services[0]
        assert.deepStrictEqual([service?.state, service?.restarts, isAlive(service?.pid ?? 0)], ["running", 0, true])
        assert.deepStrictEqual(
          agent.lines
            .filter(({ level }) => level === "fatal" || level === "")
            .map(({ message }) => message)
            .filter((message) => !message.includes("LD_PRELOAD")),
          [],
        )
      }),
    )

    it.effect("the table", () =>
      Effect.gen(function* () {
        const { outcomes } = yield* Battlefield
        process.stdout.write(`\n${table(outcomes)}\n\n`)
        assert.isAtLeast(outcomes.length, 40)
      }),
    )
  })
})
