// Kills the agent again and again at moments of a seed's choice, while programs crash, write and change, and looks from
// outside (/proc, and what the programs themselves wrote) at what became of them.
//
// | what holds after each kill                                        | seen by                                      |
// | ------------------------------------------------------------------ | -------------------------------------------- |
// | no program was restarted that nothing had happened to             | its pid, and the starts it wrote             |
// | none runs twice, at any time                                      | leaders of sessions in /proc                 |
// | what should run does, what should not does not                    | same, against the model                      |
// | every record of the process table can be read                     | what the next agent tells of it              |
// | logs are bounded                                                  | their sizes                                  |
// | after the last stop nothing is left                               | /proc, cgroups                               |
import { assert, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Effect from "effect/Effect"
import { existsSync, statSync } from "node:fs"
import { groupName, writableBase } from "../../src/process/containment/cgroup.ts"
import {
  type Change,
  changed,
  initialModel,
  type Model,
  type PartitionModel,
  placeOfProgram,
  processingOf,
  programsOf,
  programsPerPartition,
  type Round,
  rounds,
  shouldRun,
  touchedBy,
} from "../support/churn.ts"
import { seedFor, soaks } from "../support/fuzz.ts"
import { layOut, logOf, placeOf, prepareRelease, want } from "../support/prepared.ts"
import { leadersBelow } from "../support/leaders.ts"
import { belongingTo } from "../support/processes.ts"
import type { Program } from "../support/Program.ts"
import { isRoot } from "../support/ScratchMachine.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode, type TestPartition } from "../support/TestNode.ts"
import { eventually, textOf } from "../support/waiting.ts"

const partitions = 4
const kills = soaks ? 40 : 10
const processings = soaks ? 100 : 15
const logLimit = 16 * 1024

const everyProgram = Array.from({ length: programsPerPartition }, (_, program) => program)

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

/** The node, and what should run there. */
class Soak {
  readonly node: TestNode<ScriptedTestMaster>
  readonly #release: string
  #model: Model = initialModel(partitions)
  /** Programs that something happened to since the last rest: `partition/program`. */
  readonly #touched = new Set<string>()
  /** Pids at the last rest. */
  #atRest: ReadonlyMap<string, number> = new Map()

  constructor(node: TestNode<ScriptedTestMaster>) {
    this.node = node
    this.#release = prepareRelease(node)
  }

  get layOut(): Effect.Effect<void> {
    return this.#eachPartition((partition, model) => {
      layOut(partition, programsOf(model), String(model.timestamp))
      want(this.node, partition, programsOf(model))
      return this.#publish(partition, model)
    })
  }

  /** What a seed's choice does to the node. */
  readonly perform = (change: Change): Effect.Effect<void> =>
    Effect.suspend(() => {
      const partition = this.node.partition(`slappart${change.partition}`)
      const before = this.#model[change.partition]!
      const after = changed(before, change)
      this.#model = this.#model.with(change.partition, after)
      for (const program of touchedBy(change, before)) this.#touched.add(`${partition.id}/${program}`)
      if (change._tag === "Kill") return this.#signal(partition, change.program, "SIGKILL")
      if (change._tag === "Talk") return this.#signal(partition, change.program, "SIGUSR1")
      want(this.node, partition, programsOf(after))
      return Effect.andThen(this.#publish(partition, after), this.node.ask)
    })

  /** Waits until what should run does and everything else is gone; then compares with the last time. */
  get rest(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      yield* this.#eachPartition((partition, { isStarted, timestamp }) =>
        eventually(
          `the end of the processing of ${partition.id} for ${timestamp}`,
          Effect.gen({ self: this }, function* () {
            if (textOf(`${partition.path}/.timestamp`) !== String(timestamp)) return undefined
            const status = (yield* this.node.status).partitions.find(({ id }) => id === partition.id)
            return status?.state === (isStarted ? "started" : "stopped") ? true : undefined
          }),
        ),
      )
      const now = yield* eventually(
        "what should run",
        Effect.sync(() => this.#asTheModelSays()),
      )
      for (const [name, pid] of this.#atRest) {
        if (!this.#touched.has(name)) assert.strictEqual(now.get(name), pid, `${name} was restarted without cause`)
      }
      yield* this.#eachPartition(this.#checkPrograms)
      this.#atRest = now
      this.#touched.clear()
    })
  }

  /** Pids by program, or undefined while something runs that should not or the other way round. */
  #asTheModelSays(): ReadonlyMap<string, number> | undefined {
    const running = this.running
    const fits = this.node.partitions.every(({ id }, index) =>
      everyProgram.every((program) => {
        const should = shouldRun(this.#model[index]!, program)
        return should === undefined || running.has(`${id}/${program}`) === should
      }),
    )
    return fits ? running : undefined
  }

  /** Pids by program, from /proc. */
  get running(): ReadonlyMap<string, number> {
    const leaders = leadersBelow(this.node.instanceRoot)
    return new Map(
      this.node.partitions.flatMap((partition) =>
        everyProgram.flatMap((program) => {
          const pids = leaders.get(placeOf(partition, placeOfProgram(program))) ?? []
          assert.isAtMost(pids.length, 1, `${partition.id}/${program} runs more than once`)
          return pids.map((pid) => [`${partition.id}/${program}`, pid] as const)
        }),
      ),
    )
  }

  /** The last start that a program wrote is the process that runs; its log and backup have their size. */
  readonly #checkPrograms = (partition: TestPartition): Effect.Effect<void> =>
    Effect.asVoid(
      eventually(
        `starts and bounded logs of ${partition.id}`,
        Effect.sync(() => {
          const { running } = this
          const isWell = everyProgram.every((program) => {
            const log = logOf(partition, placeOfProgram(program))
            const pid = running.get(`${partition.id}/${program}`)
            // Nobody trims the log of what does not run.
            if (pid === undefined) return true
            const isTold = pid === this.node.starts(partition, `p${program}`).at(-1)
            return isTold && sizeOf(log) <= logLimit && sizeOf(`${log}.1`) <= logLimit
          })
          return isWell ? true : undefined
        }),
      ),
    )

  #signal(partition: TestPartition, program: number, signal: NodeJS.Signals): Effect.Effect<void> {
    return Effect.sync(() => {
      const pid = this.running.get(`${partition.id}/${program}`)
      // One that has not told of its start yet would not survive SIGUSR1.
      if (pid !== undefined && this.node.starts(partition, `p${program}`).includes(pid)) process.kill(pid, signal)
    })
  }

  #publish({ id }: TestPartition, { isStarted, timestamp }: PartitionModel): Effect.Effect<void> {
    const requested = isStarted ? "started" : "stopped"
    return this.node.master.change(id, { software: this.#release, requested, timestamp: String(timestamp) })
  }

  #eachPartition(use: (partition: TestPartition, model: PartitionModel) => Effect.Effect<void>): Effect.Effect<void> {
    return Effect.forEach(this.node.partitions, (partition, index) => use(partition, this.#model[index]!), {
      discard: true,
    })
  }
}

/** What no agent may have said. */
const checkLog = (agent: Program): void => {
  const told = agent.lines.filter(({ level, message }) => level === "error" || message.includes("is no record"))
  assert.deepStrictEqual(told, [])
}

const live = (soak: Soak, { meanwhile, pause, steps }: Round) =>
  Effect.gen(function* () {
    const agent = yield* soak.node.startAgent
    for (const { change, pause } of steps) yield* Effect.delay(soak.perform(change), pause)
    yield* Effect.sleep(pause)
    agent.signal("SIGKILL")
    yield* agent.exit
    checkLog(agent)
    yield* Effect.forEach(meanwhile, soak.perform)
    // Its successor makes good what was begun; then it is killed in peace, and the next round begins.
    const next = yield* soak.node.startAgent
    yield* soak.rest
    next.signal("SIGKILL")
    yield* next.exit
    checkLog(next)
  }).pipe(Effect.scoped)

it.live(
  `nothing is lost, doubled or restarted when the agent is killed ${kills} times`,
  () =>
    Effect.gen(function* () {
      const settings = { service_log_max_size: "16K", stop_timeout: "5" }
      const soak = new Soak(yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions, settings }))
      const { instanceRoot, partitions: places } = soak.node
      yield* soak.layOut
      for (const round of fc.sample(rounds(partitions), { seed: seedFor(33), numRuns: kills })) yield* live(soak, round)

      const last = yield* soak.node.startAgent
      yield* soak.rest
      last.signal("SIGTERM")
      assert.deepStrictEqual(yield* last.exit, { code: 0, signal: null })
      const uids = new Set(places.map(({ uid }) => uid))
      assert.deepStrictEqual(belongingTo({ path: instanceRoot, hasUid: (uid) => isRoot && uids.has(uid) }), [])
      const base = writableBase()
      const left = places.filter(({ id }) => existsSync(`${base}/${groupName(instanceRoot, id)}`))
      assert.deepStrictEqual(base === undefined ? [] : left, [])
    }),
  kills * 12_000,
)

it.live(`a processing touches only the programs that it adds, changes or removes, ${processings} times`, () =>
  Effect.gen(function* () {
    const soak = new Soak(yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions }))
    yield* soak.layOut
    yield* soak.node.startAgent
    yield* soak.rest
    for (const change of fc.sample(processingOf(partitions), { seed: seedFor(34), numRuns: processings })) {
      const before = soak.running
      yield* soak.perform(change)
      yield* soak.rest
      for (const program of change.programs) {
        const name = `slappart${change.partition}/${program}`
        const [old, now] = [before.get(name), soak.running.get(name)]
        // What was not there cannot be changed.
        assert.isTrue(old === undefined ? change._tag === "Toggle" || now === undefined : old !== now, name)
      }
    }
  }),
)
