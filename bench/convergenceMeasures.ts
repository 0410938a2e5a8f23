// What the bench of buildouts measures, each bounded in time. Cold runs are made between the others, so that a busy
// minute of the machine meets both. Nothing is deleted before all is measured: for minutes after that, ext4 looks through
// what was deleted for each file that it makes, as no fresh node does.
import { existsSync } from "node:fs"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { getStatus } from "../src/control/ControlClient.ts"
import { commandOf } from "../test/support/processes.ts"
import { memoryOf, say, within } from "./measures.ts"
import {
  type Agent,
  awaitStarted,
  type BenchNode,
  empty,
  lastCall,
  layOut,
  logText,
  makeBenchNode,
  pathOf,
  runCold,
  startAgent,
  stopAgent,
  want,
} from "./node.ts"
import { childFaults, descendants, ownChildrenTime, threadsTime, treeTime } from "./processorTime.ts"

/** Seconds. */
export interface Cost {
  readonly wall: number
  readonly processor: number
}

export interface Point {
  readonly count: number
  /** Undefined: not in time, or not by forks alone. */
  readonly cost: Cost | undefined
  readonly problem: string | undefined
}

export interface Curve {
  readonly points: ReadonlyArray<Point>
  readonly cold: ReadonlyArray<Cost>
  /** Milliseconds from the master's answer with a change to the report. */
  readonly changes: ReadonlyArray<number>
  /** MB. */
  readonly helperMemory: number | undefined
}

const idsOf = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, index) => `slappart${index}`)

const limitFor = (count: number): number => 60 + count * 0.6

const helpersOf = (node: BenchNode, { pid }: Agent): ReadonlyArray<number> =>
  descendants(pid).filter((one) => commandOf(one).includes(`exec(open(3).read()) ${node.releaseDirectory}/`))

/** Runs the release's buildout in partitions that are processed already, one after the other. */
const coldRuns = (node: BenchNode, indexes: ReadonlyArray<number>) =>
  Effect.forEach(indexes, (index) =>
    Effect.gen(function* () {
      const before = ownChildrenTime()
      const from = performance.now()
      yield* runCold(node, index)
      const cost: Cost = { wall: (performance.now() - from) / 1000, processor: ownChildrenTime() - before }
      if (!existsSync(`${pathOf(node, index)}/etc/service/sleeper`)) throw new Error("a cold buildout did nothing")
      return cost
    }),
  )

/** The agent meets that many fresh partitions; gives what that took until all were reported started. */
const converge = (node: BenchNode, count: number) =>
  Effect.gen(function* () {
    empty(node, count)
    yield* want(node, count, () => "1")
    const after = yield* lastCall(node)
    const logged = logText(node).length
    const agent = yield* startAgent(node)
    const { at, count: started, failure } = yield* awaitStarted(node, idsOf(count), after, limitFor(count))
    const cost: Cost = { wall: (at - agent.since) / 1000, processor: treeTime(agent.pid) }
    const trouble = /.*without a warm helper.*/.exec(logText(node).slice(logged))?.[0]
    const missing = started < count ? `${started} of ${count} in time` : undefined
    const problem = failure ?? trouble ?? missing
    yield* say(`${count} partitions: ${cost.wall.toFixed(2)} s, ${cost.processor.toFixed(2)} s CPU ${problem ?? ""}`)
    const point: Point = { count, cost: problem === undefined ? cost : undefined, problem }
    return { agent, point }
  })

const changeOne = (node: BenchNode, agent: Agent, count: number, round: number) =>
  Effect.gen(function* () {
    const changed = round % count
    const after = yield* lastCall(node)
    yield* want(node, count, (index) =>
      index === changed ? `changed ${round}` : index < round ? `changed ${index}` : "1",
    )
    process.kill(agent.pid, "SIGHUP")
    const answered = yield* node.master.awaitCall(({ name }) => name === "getFullComputerInformation", { after })
    const { at } = yield* awaitStarted(node, [`slappart${changed}`], after, 30)
    return at - answered.at
  })

export interface CurvePlan {
  readonly counts: ReadonlyArray<number>
  readonly cold: number
  readonly changes: number
  /** At which count the changes are made. */
  readonly changesAt: number
}

/** Fresh partitions of a release whose recipes import nothing. */
export const measureCurve = (plan: CurvePlan): Effect.Effect<Curve, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { changesAt, counts } = plan
    const node = yield* makeBenchNode("software.cfg", Math.max(...counts))
    const points: Array<Point> = []
    const cold: Array<Cost> = []
    const changes: Array<number> = []
    let helperMemory: number | undefined
    for (const [index, count] of counts.entries()) {
      const one = Effect.gen(function* () {
        const { agent, point } = yield* converge(node, count)
        points.push(point)
        helperMemory = Math.max(helperMemory ?? 0, ...helpersOf(node, agent).map((pid) => memoryOf(pid, "VmRSS")))
        if (count === changesAt && point.problem === undefined) {
          for (let round = 0; round < plan.changes; round++) changes.push(yield* changeOne(node, agent, count, round))
        }
        yield* stopAgent(agent)
      })
      yield* Effect.scoped(one)
      const share = Math.ceil((plan.cold * (index + 1)) / counts.length) - cold.length
      empty(node, count, ["buildout.cfg"])
      cold.push(
        ...(yield* coldRuns(
          node,
          Array.from({ length: share }, (_, place) => place % count),
        )),
      )
    }
    return { points, cold, changes, helperMemory: helperMemory === 0 ? undefined : helperMemory }
  })

export interface Clients {
  /** With recipes that nobody has heard of, and with those that an earlier agent has found. */
  readonly fresh: Point
  readonly known: Point
  readonly cold: ReadonlyArray<Cost>
}

/** Fresh partitions of a release whose recipes import much, and call the master twice. */
export const measureClients = (count: number, cold: number): Effect.Effect<Clients, never, Scope.Scope> =>
  Effect.gen(function* () {
    const node = yield* makeBenchNode("client.cfg", count)
    const once = Effect.scoped(
      Effect.flatMap(converge(node, count), ({ agent, point }) => Effect.as(stopAgent(agent), point)),
    )
    const runs = Effect.suspend(() => {
      empty(node, count, ["buildout.cfg"])
      return coldRuns(node, [...idsOf(Math.ceil(cold / 2)).keys()])
    })
    const fresh = yield* once
    const before = yield* runs
    const known = yield* once
    return { fresh, known, cold: [...before, ...(yield* runs)] }
  })

export interface Quiet {
  /** Seconds from the agent's start until it has the master's first answer, and the processor time of that. */
  readonly first: Cost | undefined
  /** The same until every partition is started. */
  readonly started: Cost | undefined
  /** Milliseconds of processor time of each sync. */
  readonly syncs: ReadonlyArray<number>
  readonly spawned: boolean
}

/** Seconds; and within how many a sync is over. */
const syncInterval = 5
const syncWindow = 2

/** What one sync takes, from the question on. */
const measureSync = ({ master }: BenchNode, { pid }: Agent) =>
  Effect.gen(function* () {
    const after = (yield* master.calls).length - 1
    const held = yield* master.inject("getFullComputerInformation", { _tag: "Held" }, 1)
    yield* master.awaitCall(({ name }) => name === "getFullComputerInformation", { after })
    const before = threadsTime(pid)
    yield* held.release
    yield* Effect.sleep(syncWindow * 1000)
    return (threadsTime(pid) - before) * 1000
  })

/** Partitions that are as the master wants them: what a start and what the syncs after it take. */
export const measureQuiet = (count: number, rounds: number): Effect.Effect<Quiet, never, Scope.Scope> =>
  Effect.gen(function* () {
    const node = yield* makeBenchNode("software.cfg", count)
    yield* want(node, count, () => "1")
    for (let index = 0; index < count; index++) layOut(node, index)
    const agent = yield* startAgent(node, { sync_interval: String(syncInterval) })
    const root = `${node.machine.path}/instance`
    const until = Effect.fnUntraced(function* (what: string, look: Effect.Effect<boolean>, limit: number) {
      const found = yield* within(limit, Effect.repeat(look, { until: Boolean }))
      const cost: Cost = {
        wall: ((yield* Clock.currentTimeMillis) - agent.since) / 1000,
        processor: threadsTime(agent.pid),
      }
      yield* say(`${count} partitions ${what} after ${cost.wall.toFixed(2)} s, ${cost.processor.toFixed(2)} s CPU`)
      return found === true ? cost : undefined
    })
    const isKept = Effect.sync(() => existsSync(`${root}/var/run/slapgrid/desired.json`))
    const first = yield* until("are known", Effect.delay(isKept, 5), 60)
    const areStarted = getStatus(root).pipe(
      Effect.map(
        ({ partitions }) =>
          partitions.length === count &&
          partitions.every(({ services }) => services.some(({ state }) => state === "running")),
      ),
      Effect.orElseSucceed(() => false),
    )
    // Rarely: the answer is work for the agent, too.
    const started = yield* until("are started", Effect.delay(areStarted, 500), 120)
    yield* Effect.sleep(syncInterval * 1000)
    const faults = childFaults(agent.pid)
    const children = descendants(agent.pid).join()
    const syncs = yield* Effect.replicateEffect(measureSync(node, agent), rounds)
    const spawned = childFaults(agent.pid) !== faults || descendants(agent.pid).join() !== children
    yield* stopAgent(agent)
    return { first, started, syncs, spawned }
  })
