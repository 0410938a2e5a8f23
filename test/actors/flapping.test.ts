// A node with a master that fails in every way, again and again, for ten minutes of virtual time: the real followers,
// actors, outbox and bangs speak the real protocol to a real port, and only builds and processes are scripted.
import * as fs from "node:fs"
import { it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { NodeSupervisor } from "../../src/actors/NodeSupervisor.ts"
import { PartitionActors } from "../../src/actors/partition/PartitionActor.ts"
import { SoftwareActors } from "../../src/actors/software/SoftwareActor.ts"
import { InstanceBuild } from "../../src/build/InstanceBuild.ts"
import { SoftwareBuild } from "../../src/build/SoftwareBuild.ts"
import { NodeConfig } from "../../src/config/NodeConfig.ts"
import { DesiredCache } from "../../src/desired/DesiredCache.ts"
import { MasterSync } from "../../src/desired/MasterSync.ts"
import { Passes } from "../../src/desired/Passes.ts"
import { Plans } from "../../src/desired/Plans.ts"
import { Containment } from "../../src/process/containment/Containment.ts"
import { WarmHelpers } from "../../src/process/warm/WarmHelper.ts"
import { Inheritances } from "../../src/process/Inheritances.ts"
import { type GroupOptions, PartitionServices } from "../../src/process/PartitionServices.ts"
import { Takeover } from "../../src/process/takeover/Takeover.ts"
import { Bangs } from "../../src/report/Bangs.ts"
import { Outbox } from "../../src/report/Outbox.ts"
import { StatusBoard } from "../../src/report/StatusBoard.ts"
import { UsageReports } from "../../src/report/usage/UsageReports.ts"
import { countedClient } from "../support/countedClient.ts"
import { nodeConfig, program, release } from "../support/facts.ts"
import { seedFor, soaks } from "../support/fuzz.ts"
import { scratchDirectory } from "../support/scratch.ts"
import { type Call, type Fault, makeScriptedMaster, named } from "../support/ScriptedMaster.ts"
import { ScriptedPromises } from "./partition/running.ts"

const minutes = soaks ? 120 : 10
/** The last one is never changed: nothing may happen to it. */
const ids = ["slappart0", "slappart1", "slappart2", "slappart3"] as const
const steady = ids[3]
/** The one that the master says it does not know, at times. */
const unknown = ids[1]

/** Seconds that a master in trouble asks for. */
const asksFor = 7

const web = program("web-on-watch")

/** Groups of services that remember what they were told. */
class Groups {
  readonly told = new Map<string, Array<string>>()
  readonly options = new Map<string, GroupOptions>()

  get layer() {
    return Layer.succeed(
      PartitionServices,
      PartitionServices.of({
        group: (options) =>
          Effect.sync(() => {
            const told: Array<string> = []
            this.told.set(options.id, told)
            this.options.set(options.id, options)
            return {
              apply: (_, deployment) => Effect.sync(() => void told.push(`start for ${deployment}`)),
              hold: () => Effect.sync(() => void told.push("hold")),
              stopAll: Effect.sync(() => void told.push("stop")),
              status: () => [],
              processes: () => [],
              program: () => undefined,
            }
          }),
        groups: new Map(),
        programsOf: () => Effect.succeed([web]),
        prermOf: () => Effect.succeed([]),
        endUser: () => Effect.void,
      }),
    )
  }
}

const completed = new Set<string>()
const software = SoftwareBuild.of({
  isCompleted: (url) => Effect.sync(() => completed.has(url)),
  build: () => Effect.void,
  complete: (url) => Effect.sync(() => void completed.add(url)),
  reopen: () => Effect.void,
  destroy: () => Effect.void,
  collect: () => Effect.succeed({ removed: [], failures: [] }),
})
const instances = InstanceBuild.of({
  credentials: () => Effect.undefined,
  periodicity: () => Effect.undefined,
  assign: () => Effect.void,
  expect: () => Effect.void,
  prepare: () => Effect.void,
  install: () => Effect.void,
  runDestroyScript: () => Effect.void,
})

const scripted = Layer.mergeAll(
  Layer.succeed(SoftwareBuild, software),
  Layer.succeed(InstanceBuild, instances),
  Layer.succeed(UsageReports, UsageReports.of({ run: () => Effect.never, seal: () => Effect.void })),
  Layer.succeed(
    Takeover,
    Takeover.of({ release: () => Effect.void, isForeign: () => false, follow: () => Effect.void }),
  ),
  Layer.succeed(Inheritances, Inheritances.of({ partitions: [], take: () => [], remember: () => Effect.void })),
  new ScriptedPromises().layer,
  Containment.layerSession,
  WarmHelpers.layer,
)

const node = Effect.gen(function* () {
  const root = yield* scratchDirectory
  fs.mkdirSync(`${root}/var/run/slapgrid`, { recursive: true, mode: 0o700 })
  for (const id of ids) fs.mkdirSync(`${root}/${id}`, { mode: 0o750 })
  const master = yield* makeScriptedMaster()
  const client = countedClient(master.url)
  const groups = new Groups()
  yield* TestClock.setTime(yield* TestClock.withLive(Clock.currentTimeMillis))
  const context = yield* Layer.build(
    NodeSupervisor.layer.pipe(
      Layer.provide(Passes.layer),
      Layer.provide(Layer.succeed(Plans, Plans.of({ get: Effect.never, provide: () => Effect.void }))),
      Layer.provide(Layer.provide(MasterSync.layer, DesiredCache.layer)),
      Layer.provide([SoftwareActors.layer, PartitionActors.layer]),
      Layer.provide(groups.layer),
      Layer.provideMerge(Bangs.layer),
      Layer.provideMerge(Outbox.layer),
      Layer.provideMerge([StatusBoard.layer, scripted]),
      Layer.provide(client.layer),
      Layer.provide(Layer.succeed(NodeConfig, nodeConfig({ instanceRoot: root, syncInterval: 5000 }))),
    ),
  )
  const board = Context.get(context, StatusBoard)
  const outbox = Context.get(context, Outbox)
  return { root, master, rest: client.rest, groups, board, outbox }
})

/** What the master does for some seconds. */
interface Weather {
  readonly fault: (Fault & { readonly only?: string }) | undefined
  readonly seconds: number
  /** Partitions whose wish changes, at the beginning. */
  readonly changes: ReadonlyArray<{ readonly partition: number; readonly isStarted: boolean }>
  /** One of whose programs dies. */
  readonly dies: number | undefined
}

const faults: ReadonlyArray<Weather["fault"]> = [
  undefined,
  { _tag: "Reset" },
  { _tag: "Status", status: 503 },
  { _tag: "Status", status: 429, headers: { "Retry-After": String(asksFor) } },
  // Its certificate, say.
  { _tag: "Status", status: 403 },
  // Slow: the answers come when the weather changes, or too late.
  { _tag: "Held" },
  { _tag: "Garbage" },
  { _tag: "Truncated" },
  { _tag: "CutOff" },
  { _tag: "Status", status: 404, only: unknown },
]

const seconds = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 7, max: 20 }) },
  { weight: 1, arbitrary: fc.integer({ min: 60, max: 80 }) },
)

const weatherOf = (fault: Weather["fault"]): fc.Arbitrary<Weather> =>
  fc.record({
    fault: fc.constant(fault),
    seconds,
    changes: fc.array(fc.record({ partition: fc.nat(2), isStarted: fc.boolean() }), { maxLength: 2 }),
    dies: fc.option(fc.nat(3), { nil: undefined }),
  })

/** Each trouble once, in any order. */
const rounds = fc
  .shuffledSubarray([...faults], { minLength: faults.length })
  .chain((order) => fc.tuple(...order.map(weatherOf)))

/** What was held is answered in the end; and of a report's answer only the status counts, whatever comes with it. */
const isTaken = (call: Call | undefined): boolean =>
  call !== undefined && [undefined, "Held", "Garbage", "Truncated"].includes(call.fault)

const reportsOf = (calls: ReadonlyArray<Call>, id: string) =>
  calls.filter(({ form, name }) => form["computer_partition_id"] === id && /^(started|stopped)Computer/.test(name))

/** Whoever was asked for time gives it: reports all together, the question for the desired state by itself. */
const checkRetryAfter = (calls: ReadonlyArray<Call>, seen: ReadonlyArray<number>): void => {
  const isSync = ({ name }: Call) => name === "getFullComputerInformation"
  const asked = seen.flatMap((end, second) => calls.slice(seen[second - 1] ?? 0, end).map((call) => ({ call, second })))
  const refusals = asked.filter(({ call }) => call.faultStatus === 429)
  expect(refusals.length).toBeGreaterThan(0)
  for (const { call, second } of refusals) {
    const tooEarly = asked.filter(
      (one) => one.second > second && one.second < second + asksFor && (isSync(call) ? true : !isSync(one.call)),
    )
    expect([call.index, tooEarly.map((one) => one.call.name)]).toStrictEqual([call.index, []])
  }
}

it.effect(
  `all states converge and each report arrives after ${minutes} minutes with a master that fails in every way`,
  () =>
    Effect.gen(function* () {
      const { board, groups, master, outbox, rest, root } = yield* node
      const wanted = ids.map((id) => ({ id, software: release, requested: "started", timestamp: "1" }))
      const publish = master.script({ software: [{ url: release }], partitions: wanted })
      yield* publish

      /** How many calls there had been at the end of each second. */
      const seen: Array<number> = []
      const pass = Effect.fnUntraced(function* (seconds: number, holds = false) {
        for (let second = 0; second < seconds; second++) {
          yield* TestClock.adjust(1000)
          yield* rest(holds)
          seen.push((yield* master.calls).length)
        }
      })
      const rung = new Map<string, number>()
      const die = Effect.fnUntraced(function* (id: string) {
        const { timestamp = "" } = wanted.find((one) => one.id === id) ?? {}
        if (fs.existsSync(`${root}/${id}/.timestamp`) && !rung.has(`${id} ${timestamp}`)) {
          rung.set(`${id} ${timestamp}`, (yield* master.calls).length)
          yield* groups.options.get(id)?.onAlarm({ ...web, partition: web.partition }, timestamp) ?? Effect.void
        }
      })

      yield* pass(5)
      let elapsed = 0
      let timestamp = 1
      const met = new Set<Weather["fault"]>([undefined])
      for (const weather of fc.sample(rounds, { seed: seedFor(74), numRuns: minutes }).flat()) {
        if (elapsed > minutes * 60) break
        elapsed += weather.seconds
        for (const { isStarted, partition } of weather.changes) {
          const requested = isStarted ? "started" : "stopped"
          wanted[partition] = { ...wanted[partition]!, requested, timestamp: String(++timestamp) }
        }
        yield* publish
        if (weather.dies !== undefined) yield* die(ids[weather.dies]!)
        const { fault } = weather
        const injection =
          fault &&
          (yield* master.inject(
            fault.only === undefined ? "*" : ({ form }) => form["computer_partition_id"] === fault.only,
            fault,
          ))
        yield* pass(weather.seconds, fault?._tag === "Held")
        if (injection !== undefined && (yield* injection.hits) > 0) met.add(fault)
        yield* master.clearFaults
        yield* rest()
      }
      // Or nothing was tried.
      expect(faults.filter((fault) => !met.has(fault))).toStrictEqual([])

      // Who was refused is tried again after ten minutes and a quarter.
      yield* pass(800)
      expect(yield* outbox.pending).toBe(0)
      const { partitions, sync } = yield* board.get
      expect(partitions.map(({ id, state }) => [id, state])).toStrictEqual(
        wanted.map(({ id, requested }) => [id, requested]),
      )
      expect(sync).toMatchObject({ standing: "Answers", error: undefined })
      const calls = yield* master.calls
      checkRetryAfter(calls, seen)
      for (const { id, requested, timestamp } of wanted) {
        expect(fs.readFileSync(`${root}/${id}/.timestamp`, "utf8")).toBe(timestamp)
        const last = reportsOf(calls, id).at(-1)
        expect([id, last?.name]).toStrictEqual([id, `${requested}ComputerPartition`])
        // Taken, or told to be unknown, which is an answer.
        if (id !== unknown) expect([id, isTaken(last)]).toStrictEqual([id, true])
      }
      const available = calls.findLast(named("availableSoftwareRelease"))
      expect([isTaken(available), completed.has(release)]).toStrictEqual([true, true])
      // The newest bang of each partition.
      for (const id of ids) {
        const since = [...rung].findLast(([key]) => key.startsWith(`${id} `))?.[1]
        const bangs = calls.filter((call) => named("softwareInstanceBang", { computer_partition_id: id })(call))
        const taken = bangs.filter((call) => call.index >= (since ?? 0) && isTaken(call))
        if (since !== undefined && id !== unknown) expect([id, taken.length > 0]).toStrictEqual([id, true])
      }
      expect(groups.told.get(steady)).toStrictEqual(["start for 1"])
    }),
)
