// Programs that want to get away: all of them are gone when their partition has stopped, in time and whatever holds them
// together, and nobody else notices.
//
// | what                                                             | test                                     |
// | ------------------------------------------------------------------ | ---------------------------------------- |
// | double-forked daemons, setsid children, TERM-ignoring trees gone | one each, in a cgroup and without        |
// | also those that an earlier agent started                         | `adopted`                                |
// | as an ordinary user without cgroups best effort, and status says | as an ordinary user                      |
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { rmSync, statSync, writeFileSync } from "node:fs"
import type { ContainmentKind } from "../../src/domain/NodeStatus.ts"
import { hostiles, sibling } from "../support/hostile.ts"
import { layOut, logOf, placeOf, prepareRelease, want } from "../support/prepared.ts"
import { leadersBelow, workingDirectoryOf } from "../support/leaders.ts"
import { belongingTo } from "../support/processes.ts"
import type { Program } from "../support/Program.ts"
import { isRoot, runsRootTests } from "../support/ScratchMachine.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type NodeOptions, type TestNode, type TestPartition } from "../support/TestNode.ts"
import { awaitFile, eventually, inTime } from "../support/waiting.ts"

interface Machine {
  readonly node: TestNode<ScriptedTestMaster>
  readonly agent: Program
  /** Leaders by program, when all had begun. */
  readonly leaders: ReadonlyMap<string, ReadonlyArray<number>>
}

class Hostiles extends Context.Service<Hostiles, Machine>()("test/e2e/escapes/Hostiles") {}

const logLimit = 64 * 1024
/** Seconds that a stop may take: the grace time is one of them. */
const stopLimit = 12

/** What runs as a partition's user, or in its directory where that user has others. */
const livingIn = ({ path, uid }: TestPartition, hasOwnUid: boolean): ReadonlyArray<number> =>
  hasOwnUid
    ? belongingTo({ hasUid: (one) => one === uid })
    : belongingTo({ path, hasUid: () => false }).filter((pid) => workingDirectoryOf(pid) === path)

/** One partition for each program, and a last one that is no part of it. */
const makeMachine = (options: Omit<NodeOptions, "partitions">, isAdopted: boolean) =>
  Effect.gen(function* () {
    const settings = { stop_timeout: "1", service_log_max_size: "64K" }
    const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), {
      partitions: hostiles.length + 1,
      settings,
      ...options,
    })
    const software = prepareRelease(node)
    for (const [index, partition] of node.partitions.entries()) {
      const wanted = { "service/sibling": sibling, ...(hostiles[index] && { "service/it": hostiles[index].program }) }
      layOut(partition, wanted, "1000")
      writeFileSync(`${partition.path}/stay`, "")
      want(node, partition, wanted)
      yield* node.master.change(partition.id, { software, timestamp: "1000" })
    }
    yield* Effect.addFinalizer(() => giveUp(node))
    const first = yield* node.startAgent
    const settled = Effect.forEach(node.partitions, ({ path }, index) =>
      awaitFile(`${path}/${index < hostiles.length ? "ready" : "sibling"}`, (text) => text),
    )
    yield* settled
    const leaders = leadersBelow(node.instanceRoot)
    if (!isAdopted) return Hostiles.of({ node, agent: first, leaders })
    first.signal("SIGKILL")
    yield* first.exit
    return Hostiles.of({ node, agent: yield* node.startAgent, leaders })
  })

/** Lets what nobody ended go. */
const giveUp = (node: TestNode) =>
  Effect.gen(function* () {
    for (const { path } of node.partitions) rmSync(`${path}/stay`)
    yield* eventually(
      "the end of what was left",
      Effect.sync(() => (node.partitions.every((one) => livingIn(one, false).length === 0) ? true : undefined)),
    )
  })

const suite = (
  name: string,
  kind: ContainmentKind,
  { isAdopted = false, ...options }: Omit<NodeOptions, "partitions"> & { readonly isAdopted?: boolean },
) => {
  const isOrdinary = options.isOrdinary === true || !isRoot
  const machine = Layer.effect(Hostiles, makeMachine(options, isAdopted))
  layer(machine, { excludeTestServices: true, timeout: "2 minutes" })(name, (it) => {
    it.effect(`the status says that they are kept together by ${kind}, and they run`, () =>
      Effect.gen(function* () {
        const { leaders, node } = yield* Hostiles
        assert.strictEqual((yield* node.status).containment, kind)
        const now = leadersBelow(node.instanceRoot)
        for (const [index, partition] of node.partitions.entries()) {
          const paths = ["service/sibling", ...(hostiles[index]?.stays ? ["service/it"] : [])]
          for (const place of paths.map((one) => placeOf(partition, one))) {
            assert.lengthOf(leaders.get(place) ?? [], 1, place)
            assert.deepStrictEqual(now.get(place), leaders.get(place), place)
          }
        }
      }),
    )

    it.effect("the log of the one that writes 50 MB is bounded, and that is told", () =>
      Effect.gen(function* () {
        const { agent, node } = yield* Hostiles
        const partition = node.partitions[hostiles.findIndex((one) => one.name === "writes 50 MB at once")]!
        const log = logOf(partition, "service/it")
        yield* eventually(
          "a bounded log",
          Effect.sync(() => (statSync(log).size <= logLimit ? true : undefined)),
        )
        assert.isAtMost(statSync(`${log}.1`).size, logLimit)
        if (!isAdopted) yield* agent.awaitLine(`${partition.id}:it-on-watch floods its log`)
      }),
    )

    it.effect.each(hostiles.map(({ name }, index) => ({ name, index })))("one that $name ends", ({ index }) =>
      Effect.gen(function* () {
        const { node } = yield* Hostiles
        const partition = node.partitions[index]!
        const after = yield* node.master.lastReport
        yield* node.master.change(partition.id, { requested: "stopped", timestamp: "1001" })
        yield* node.ask
        yield* node.master.awaitReport(partition.id, "stopped", { after }).pipe(inTime("the stop", stopLimit))
        // Whoever leaves an ordinary user's sessions and parents cannot be told from others of that user.
        if (isOrdinary && !hostiles[index]!.isKin) return
        assert.deepStrictEqual(livingIn(partition, !isOrdinary), [])
      }),
    )

    it.effect("nobody else was touched, and nothing moved itself elsewhere", () =>
      Effect.gen(function* () {
        const { leaders, node } = yield* Hostiles
        const path = placeOf(node.partitions.at(-1)!, "service/sibling")
        assert.deepStrictEqual(leadersBelow(node.instanceRoot).get(path), leaders.get(path))
        const mover = node.partitions[hostiles.findIndex((one) => one.name === "wants to be in another cgroup")]!
        assert.strictEqual(yield* awaitFile(`${mover.path}/ready`, (text) => text), "moved")
      }),
    )
  })
}

describe.runIf(runsRootTests)("hostile programs of partitions with users of their own", () => {
  suite("in cgroups", "cgroup", {})
  suite("in cgroups, adopted", "cgroup", { isAdopted: true })
  suite("without cgroups", "session", { isWithoutCgroups: true })
  suite("without cgroups, adopted", "session", { isWithoutCgroups: true, isAdopted: true })
})

suite("hostile programs as an ordinary user", "session", { isOrdinary: true })
