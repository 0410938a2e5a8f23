// A start without a master: what should run is started from what the master said last, and nothing else happens.
//
// | node-behaviour.md, Offline                                        | test                                          |
// | ----------------------------------------------------------------- | --------------------------------------------- |
// | everything that should run is started, nothing is processed       | what should run is started, …                 |
// | a reboot without a network brings services back in seconds        | after a reboot …                              |
// | one-shots already done are not run again                          | both                                          |
// | a refused certificate is told apart from a network fault          | a master that refuses …                       |
import { assert, it } from "@effect/vitest"
import { readFileSync, statSync, writeFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import {
  laidOutRelease,
  laidOutTimestamp,
  type LaidOutNode,
  makeLaidOutNode,
  put,
  shell,
  startsOf,
} from "../support/Layout.ts"
import { named, type Fault } from "../support/ScriptedMaster.ts"
import { runToEnd } from "../support/Program.ts"
import { eventually } from "../support/waiting.ts"

const stay = "exec sleep infinity"

/** Two partitions that should run and one that should not, known to an agent that has ended in order. */
const known = Effect.gen(function* () {
  const node = yield* makeLaidOutNode({ partitions: 3 })
  for (const partition of node.partitions) {
    put(partition, "etc/service/web", shell(partition, "web", stay))
    put(partition, "etc/run/once", shell(partition, "once", "exit 0"))
  }
  const stopped = { id: "slappart2", software: laidOutRelease, requested: "stopped", timestamp: laidOutTimestamp }
  yield* node.master.change("slappart0", { software: laidOutRelease, timestamp: laidOutTimestamp })
  yield* node.master.change("slappart1", { software: laidOutRelease, timestamp: laidOutTimestamp })
  yield* node.master.change("slappart2", stopped)
  const agent = yield* node.startAgent
  yield* awaitStarts(node, 1)
  yield* eventually(
    "the end of the one-shots in the status",
    Effect.map(node.status, ({ partitions }) =>
      partitions
        .slice(0, 2)
        .every(({ services }) => services.some(({ name, state }) => name === "once" && state === "exited"))
        ? true
        : undefined,
    ),
  )
  return { node, agent }
})

const awaitStarts = (node: LaidOutNode, count: number) =>
  Effect.forEach(node.partitions.slice(0, 2), (partition) =>
    eventually(
      `start ${count} of web in ${partition.id}`,
      Effect.sync(() => startsOf(partition, "web")[count - 1]),
    ),
  )

const profileTimes = (node: LaidOutNode) => node.partitions.map(({ path }) => statSync(`${path}/.timestamp`).mtimeMs)

const standing = (node: LaidOutNode) => Effect.map(node.status, ({ sync }) => sync.standing)

/** What an agent does that starts while its master fails like this. */
const startsAlone = (node: LaidOutNode, fault: Fault) =>
  Effect.gen(function* () {
    yield* node.master.scripted.inject("*", fault)
    const before = profileTimes(node)
    const agent = yield* node.startAgent
    yield* awaitStarts(node, 2)
    for (const partition of node.partitions.slice(0, 2)) assert.lengthOf(startsOf(partition, "once"), 1)
    assert.deepStrictEqual(startsOf(node.partition("slappart2"), "web"), [])
    assert.deepStrictEqual(profileTimes(node), before)
    assert.notInclude(agent.log, "processing")
    return agent
  })

it.live("what should run is started, and a master that is away is told and followed when it is back", () =>
  Effect.gen(function* () {
    const { agent, node } = yield* known
    agent.signal("SIGTERM")
    yield* agent.exit
    const next = yield* startsAlone(node, { _tag: "Reset" })
    yield* next.awaitLine("what runs goes on")
    assert.strictEqual(yield* standing(node), "Away")
    const { stdout } = yield* runToEnd([...node.slapgrid, "status", "--configuration-file", node.configFile])
    assert.include(stdout, "the master is away; what should run runs on, nothing is processed: ")
    yield* node.master.scripted.clearFaults
    yield* node.master.change("slappart0", { requested: "stopped", timestamp: "1700000001" })
    yield* node.ask
    yield* node.master.scripted.awaitCall(named("softwareInstanceError", { computer_partition_id: "slappart0" }))
    assert.strictEqual(yield* standing(node), "Answers")
  }),
)

it.live("after a reboot without a network what should run is started, and one-shots that are done are not", () =>
  Effect.gen(function* () {
    const { agent, node } = yield* known
    agent.signal("SIGKILL")
    yield* agent.exit
    for (const partition of node.partitions) {
      for (const pid of startsOf(partition, "web")) process.kill(pid, "SIGKILL")
    }
    // Records of another boot.
    const journal = `${node.instanceRoot}/var/run/slapgrid/services`
    writeFileSync(journal, readFileSync(journal, "utf8").replaceAll(/"world":"[^"]+"/g, '"world":"another boot"'))
    const next = yield* startsAlone(node, { _tag: "Reset" })
    assert.include(next.log, "are from another boot")
  }),
)

it.live("a master that refuses the computer is told apart from one that is away", () =>
  Effect.gen(function* () {
    const { agent, node } = yield* known
    agent.signal("SIGTERM")
    yield* agent.exit
    const next = yield* startsAlone(node, { _tag: "Status", status: 403 })
    yield* next.awaitLine("what runs goes on")
    assert.strictEqual(yield* standing(node), "Refuses")
    const { stdout } = yield* runToEnd([...node.slapgrid, "status", "--configuration-file", node.configFile])
    assert.include(stdout, "the master refuses this computer")
  }),
)
