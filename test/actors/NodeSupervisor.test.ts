// The supervisor with actors that only remember what they were told.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { expect } from "vitest"
import { NodeSupervisor } from "../../src/actors/NodeSupervisor.ts"
import type { PartitionWish } from "../../src/actors/partition/decide.ts"
import { PartitionActors } from "../../src/actors/partition/PartitionActor.ts"
import type { SoftwareWish } from "../../src/actors/software/decide.ts"
import { SoftwareActors, type SoftwareOptions } from "../../src/actors/software/SoftwareActor.ts"
import { Inheritances } from "../../src/process/Inheritances.ts"
import type { DesiredState } from "../../src/domain/DesiredState.ts"
import type { MasterError } from "../../src/master/MasterError.ts"
import type { PlannedPartition } from "../../src/domain/Plan.ts"
import { Containment } from "../../src/process/containment/Containment.ts"
import { WarmHelpers } from "../../src/process/warm/WarmHelper.ts"
import { type Planner, Plans } from "../../src/desired/Plans.ts"
import { MasterSync, type Update } from "../../src/desired/MasterSync.ts"
import { Passes, type PassOrder } from "../../src/desired/Passes.ts"
import type { PartitionRest, PassOutcome, SoftwareRest } from "../../src/domain/Pass.ts"
import { FileError } from "../../src/files/FileError.ts"
import { Takeover } from "../../src/process/takeover/Takeover.ts"
import type { DesiredPartition, DesiredSoftware } from "../../src/domain/DesiredState.ts"
import type { HealthCheck } from "../../src/actors/partition/Health.ts"
import type { Check } from "../../src/health/PartitionPromises.ts"
import { PromiseError, Promises } from "../../src/health/Promises.ts"
import { BuildError } from "../../src/build/BuildError.ts"
import { type Collection, SoftwareBuild } from "../../src/build/SoftwareBuild.ts"
import type { PartitionId, SoftwareUrl } from "../../src/domain/ids.ts"
import type { MasterStanding } from "../../src/domain/NodeStatus.ts"
import { Calls, settle } from "../support/Calls.ts"
import {
  desiredPartition,
  desiredSoftware,
  desiredState,
  nodeConfig,
  release,
  slappart0,
  slappart1,
  softwareUrl,
} from "../support/facts.ts"
import { ScriptedClient, unreachable } from "./support.ts"

const other = softwareUrl("/other.cfg")

/** What an actor says it would do, with what it was asked in the reason. */
const planned = ({
  isSoftwareReady,
  partition: { id, requested, software },
  standing,
}: PartitionWish): PlannedPartition => ({
  id,
  requested,
  software,
  action: "process",
  reason: `${isSoftwareReady ? "ready" : "unready"} ${standing}`,
  at: undefined,
  processed: undefined,
  failures: 0,
  services: [],
})

const making = Effect.fnUntraced(function* (layer: typeof NodeSupervisor.layer) {
  const updates = yield* Queue.sliding<Update>(1)
  const orders = yield* Queue.unbounded<PassOrder>()
  /** What actors have to say about orders. */
  const rests = new Calls<readonly [id: PartitionId, order: number], PartitionRest>()
  const softwareRests = new Calls<readonly [url: SoftwareUrl, order: number], SoftwareRest>()
  /** Those that have not marked yet what they did. */
  const unmarked = new Set<string>()
  const checks = new Calls<PartitionId, HealthCheck>()
  /** Checks without an actor. */
  const lonelyChecks = new Calls<PartitionId, Check, PromiseError>()
  const collections = new Calls<() => ReadonlyArray<SoftwareUrl>, Collection, BuildError>()
  /** Everything that was told to anybody, and every end, in order. */
  const told: Array<string> = []
  const software = new Map<SoftwareUrl, SoftwareOptions>()
  const makes = new Calls<PartitionId, void, FileError>(() => Effect.void)
  /** What the end of a partition waits for. */
  const ends = new Map<PartitionId, Deferred.Deferred<void>>()
  /** Whom the take-over was told to be wanted. */
  const followed: Array<ReadonlyArray<PartitionId>> = []
  const foreign = new Set<PartitionId>()

  const softwareActors = SoftwareActors.of({
    make: (options) =>
      Effect.gen(function* () {
        software.set(options.url, options)
        yield* Effect.addFinalizer(() => Effect.sync(() => void told.push(`${options.url} closed`)))
        return {
          tell: ({ nudge, order, software }: SoftwareWish) =>
            Effect.sync(
              () =>
                void told.push(
                  `${software.url} ${software.requested} ${nudge}${order === undefined ? "" : ` order ${order.id}${order.isForced ? " forced" : ""}`}`,
                ),
            ),
          outcome: (order: number) => softwareRests.call([options.url, order]),
          isUnmarked: () => unmarked.has(options.url),
        }
      }),
  })
  const partitionActors = PartitionActors.of({
    assign: () => Effect.void,
    make: (id) =>
      Effect.gen(function* () {
        yield* Effect.addFinalizer(() =>
          Effect.gen(function* () {
            told.push(`${id} closing`)
            const end = ends.get(id)
            if (end !== undefined) yield* Deferred.await(end)
            told.push(`${id} closed`)
          }),
        )
        yield* makes.call(id)
        return {
          tell: ({ isSoftwareReady, nudge, order, partition, standing }: PartitionWish) =>
            Effect.sync(
              () =>
                void told.push(
                  `${partition.id} ${partition.requested} ${partition.timestamp} ${isSoftwareReady ? "ready" : "unready"} ${nudge}${standing === "Answers" ? "" : ` ${standing}`}${order === undefined ? "" : ` order ${order.id}`}`,
                ),
            ),
          outcome: (order: number) => rests.call([id, order]),
          isUnmarked: () => unmarked.has(id),
          plan: (wish: PartitionWish) => Effect.succeed(planned(wish)),
          retell: Effect.sync(() => void told.push(`${id} told again`)),
          checkPromises: checks.call(id),
        }
      }),
  })
  const takeover = Takeover.of({
    release: () => Effect.void,
    isForeign: (id) => foreign.has(id),
    follow: (named) => Effect.sync(() => void followed.push(named)),
  })
  const planners: Array<Planner> = []
  const client = new ScriptedClient()
  const scope = yield* Scope.make()
  const context = yield* Layer.build(
    layer.pipe(
      Layer.provide(
        Layer.mergeAll(
          Layer.succeed(
            Promises,
            Promises.of({
              of: (id) => ({ check: () => lonelyChecks.call(id), wereFailing: Effect.succeed(false) }),
            }),
          ),
          Layer.succeed(
            SoftwareBuild,
            SoftwareBuild.of({
              isCompleted: (url) => Effect.succeed(url === release),
              build: () => Effect.never,
              complete: () => Effect.never,
              reopen: () => Effect.never,
              destroy: () => Effect.never,
              collect: collections.call,
            }),
          ),
          Layer.succeed(SoftwareActors, softwareActors),
          Containment.layerSession,
          WarmHelpers.layer,
          Layer.succeed(Takeover, takeover),
          Layer.succeed(Inheritances, Inheritances.of({ partitions: [], take: () => [], remember: () => Effect.void })),
          Layer.succeed(PartitionActors, partitionActors),
          Layer.succeed(
            MasterSync,
            MasterSync.of({ updates, syncNow: Effect.void, ask: Effect.never, remembered: undefined }),
          ),
          Layer.succeed(Passes, Passes.of({ orders, begin: () => Effect.never })),
          Layer.succeed(
            Plans,
            Plans.of({ get: Effect.never, provide: (given) => Effect.sync(() => void planners.push(given)) }),
          ),
          client.layer(nodeConfig({ softwareRoot: "/nowhere" })),
        ),
      ),
    ),
  ).pipe(Scope.provide(scope))
  const update = (changes: Parameters<typeof desiredState>[0], nudge = 0, standing: MasterStanding = "Answers") =>
    Effect.andThen(Queue.offer(updates, { state: desiredState(changes), standing, nudge }), settle)
  /** What was told since the last look. */
  const news = Effect.sync(() => told.splice(0))
  const ready = (url: SoftwareUrl, isReady: boolean) =>
    Effect.andThen(
      Effect.suspend(() => software.get(url)?.onReady(isReady) ?? Effect.void),
      settle,
    )
  const { isHealthy, isUnmarked } = Context.get(context, NodeSupervisor)
  /** Gives the supervisor an order; what it settles is gathered. */
  const give = Effect.fnUntraced(function* (
    what: Pick<PassOrder, "id" | "request"> & Partial<PassOrder>,
    changes: Partial<DesiredState>,
  ) {
    const settled: Array<PassOutcome> = []
    yield* Queue.offer(orders, {
      state: desiredState(changes),
      standing: "Answers",
      software: [],
      partitions: [],
      problems: [],
      settle: (outcome) => Effect.sync(() => void settled.push(outcome)),
      ...what,
    })
    yield* settle
    return settled
  })
  /** About these partitions. */
  const order = (
    id: number,
    partitions: ReadonlyArray<DesiredPartition>,
    software: ReadonlyArray<DesiredSoftware> = [],
  ) => {
    const request = { _tag: "Instance", only: [], isForced: true, stops: false, isDebug: false } as const
    return give({ id, request, partitions }, { partitions, software })
  }
  /** About these releases, with a garbage collection. */
  const orderSoftware = (id: number, software: ReadonlyArray<DesiredSoftware>, changes: Partial<DesiredState> = {}) => {
    const request = { _tag: "Software", only: [], isForced: true, collectsGarbage: true, isDebug: false } as const
    return give({ id, request, software }, { software, ...changes })
  }
  const orderPromises = (id: number, partitions: ReadonlyArray<DesiredPartition>) =>
    give({ id, request: { _tag: "Promise", only: [] }, partitions }, { partitions })
  return {
    orderPromises,
    checks,
    lonelyChecks,
    orderSoftware,
    softwareRests,
    collections,
    unmarked,
    isUnmarked,
    plan: (answer: DesiredState | MasterError) => planners[0]!(answer),
    order,
    client,
    rests,
    software,
    update,
    news,
    ready,
    makes,
    ends,
    followed,
    foreign,
    isHealthy,
    close: Scope.close(scope, Exit.void),
  }
})

const supervised = Effect.suspend(() => making(NodeSupervisor.layer))
/** In a process that runs one pass. */
const passing = Effect.suspend(() => making(NodeSupervisor.layerForPasses))

it.effect("a release that goes is told who uses it", () =>
  Effect.gen(function* () {
    const { software, update } = yield* supervised
    yield* update({
      software: [desiredSoftware({ requested: "destroyed" })],
      partitions: [desiredPartition(), desiredPartition({ id: slappart1, requested: "destroyed" })],
    })
    expect(yield* software.get(release)?.users ?? Effect.succeed([])).toStrictEqual([slappart0])
  }),
)

const both = { software: [desiredSoftware()], partitions: [desiredPartition(), desiredPartition({ id: slappart1 })] }

describe("tell", () => {
  it.effect("each release and partition gets its actor, and hears only of its own changes", () =>
    Effect.gen(function* () {
      const { news, update } = yield* supervised
      yield* update(both)
      expect(yield* news).toStrictEqual([
        `${release} available 0`,
        "slappart0 started 1 unready 0",
        "slappart1 started 1 unready 0",
      ])
      yield* update(both)
      expect(yield* news).toStrictEqual([])
      yield* update({ ...both, partitions: [desiredPartition(), desiredPartition({ id: slappart1, timestamp: "2" })] })
      expect(yield* news).toStrictEqual(["slappart1 started 2 unready 0"])
    }),
  )

  it.effect("everybody hears when somebody asked, once", () =>
    Effect.gen(function* () {
      const { news, update } = yield* supervised
      yield* update(both)
      yield* news
      yield* update(both, 1)
      expect(yield* news).toStrictEqual([
        `${release} available 1`,
        "slappart0 started 1 unready 1",
        "slappart1 started 1 unready 1",
      ])
      yield* update(both, 1)
      expect(yield* news).toStrictEqual([])
    }),
  )
})

describe("an order about releases", () => {
  const gone = softwareUrl("/gone.cfg")
  const rest: SoftwareRest = { requested: "available", error: undefined }

  it.effect("is told to those that it is about; garbage is collected when all are done", () =>
    Effect.gen(function* () {
      const { collections, news, orderSoftware, softwareRests, update } = yield* supervised
      yield* update({ ...both, software: [desiredSoftware(), desiredSoftware({ url: other })] })
      yield* news
      const destroyed = desiredSoftware({ url: gone, requested: "destroyed" })
      const settled = yield* orderSoftware(2, [desiredSoftware(), destroyed])
      expect(yield* news).toStrictEqual([`${release} available 0 order 2 forced`, `${gone} destroyed 0 order 2 forced`])
      const first = yield* softwareRests.next
      expect(first.input).toStrictEqual([release, 2])
      yield* first.answer(Effect.succeed({ ...rest, error: "no disk" }))
      yield* settle
      expect(collections.inputs).toStrictEqual([])
      yield* (yield* softwareRests.next).answer(Effect.succeed({ ...rest, requested: "destroyed" }))
      const collection = yield* collections.next
      // Also what only the newest answer names, and what a partition has.
      expect(new Set(collection.input())).toStrictEqual(new Set([release, gone, other]))
      yield* collection.answer(
        Effect.succeed({ removed: ["/software/1"], failures: [new BuildError({ reason: "Failed", message: "busy" })] }),
      )
      yield* settle
      expect(settled).toStrictEqual([
        { subject: release, result: "Failed", state: "failed", problem: "no disk" },
        { subject: gone, result: "Done", state: "destroyed", problem: undefined },
        {
          subject: "garbage collection",
          result: "Failed",
          state: "1 release removed: /software/1",
          problem: "busy",
        },
      ])
      // What the master wants is followed under the order from now on.
      yield* update({ software: [desiredSoftware({ requested: "destroyed" })] })
      expect(yield* news).toContain(`${release} destroyed 0 order 2 forced`)
    }),
  )

  it.effect("keeps releases that a partition has and that are not offered", () =>
    Effect.gen(function* () {
      const { collections, orderSoftware } = yield* passing
      yield* orderSoftware(1, [], {
        partitions: [
          desiredPartition({ software: gone }),
          desiredPartition({ software: other, requested: "destroyed" }),
        ],
      })
      expect((yield* collections.next).input()).toStrictEqual([gone])
    }),
  )

  it.effect("collects nothing where records of the answer cannot be read", () =>
    Effect.gen(function* () {
      const { collections, orderSoftware } = yield* supervised
      const settled = yield* orderSoftware(1, [], { rejected: [{ subject: "x", reason: "y" }] })
      expect(collections.inputs).toStrictEqual([])
      expect(settled).toMatchObject([{ result: "Failed", state: "nothing is removed" }])
    }),
  )

  it.effect("a collection that fails is told", () =>
    Effect.gen(function* () {
      const { collections, orderSoftware } = yield* supervised
      const settled = yield* orderSoftware(1, [])
      yield* (yield* collections.next).answer(
        Effect.fail(new BuildError({ reason: "Failed", message: "no software root" })),
      )
      yield* settle
      const second = yield* orderSoftware(2, [])
      yield* (yield* collections.next).answer(Effect.die(new Error("a bug")))
      yield* settle
      expect(second).toMatchObject([{ result: "Failed", problem: expect.stringContaining("see its log") }])
      expect(settled).toMatchObject([{ result: "Failed", state: "0 releases removed", problem: "no software root" }])
    }),
  )
})

describe("an order about promises", () => {
  it.effect("has the actors check them; what is not to run is not checked", () =>
    Effect.gen(function* () {
      const { checks, orderPromises, update } = yield* supervised
      yield* update(both)
      const settled = yield* orderPromises(1, [
        desiredPartition(),
        desiredPartition({ id: slappart1, requested: "stopped" }),
      ])
      yield* (yield* checks.next).answer(
        Effect.succeed({ skipped: undefined, failure: "web: no answer", hasSome: true }),
      )
      yield* settle
      const skipped = yield* orderPromises(2, [desiredPartition()])
      yield* (yield* checks.next).answer(
        Effect.succeed({ skipped: "it is being processed", failure: undefined, hasSome: false }),
      )
      yield* settle
      expect([...settled, ...skipped]).toMatchObject([
        { subject: slappart1, result: "Done", state: "stopped: promises are not checked" },
        { subject: slappart0, result: "PromisesFailed", problem: "web: no answer" },
        { subject: slappart0, result: "Failed", problem: "it is being processed" },
      ])
    }),
  )

  it.effect("checks them itself where there is no actor", () =>
    Effect.gen(function* () {
      const { lonelyChecks, makes, orderPromises } = yield* passing
      const settled = yield* orderPromises(1, [desiredPartition(), desiredPartition({ id: slappart1 })])
      const kept: Check = { promises: [], failure: undefined, bang: undefined, nextAt: 0 }
      yield* (yield* lonelyChecks.next).answer(Effect.succeed(kept))
      yield* (yield* lonelyChecks.next).answer(Effect.fail(new PromiseError({ message: "no such directory" })))
      yield* settle
      const crashed = yield* orderPromises(2, [desiredPartition()])
      yield* (yield* lonelyChecks.next).answer(Effect.die(new Error("a bug")))
      yield* settle
      expect([...settled, ...crashed]).toMatchObject([
        { subject: slappart0, result: "Done", state: "has no promises" },
        { subject: slappart1, result: "PromisesFailed", problem: "no such directory" },
        { subject: slappart0, result: "Failed", problem: expect.stringContaining("see its log") },
      ])
      expect(makes.inputs).toStrictEqual([])
    }),
  )
})

describe("in a process that runs one pass", () => {
  it.effect("releases are as they are on the disk; nothing is adopted or followed", () =>
    Effect.gen(function* () {
      const { makes, news, order, update } = yield* passing
      yield* update(both)
      expect([yield* news, makes.inputs]).toStrictEqual([[], []])
      const partitions = [desiredPartition(), desiredPartition({ id: slappart1, software: other })]
      yield* order(1, partitions, [desiredSoftware(), desiredSoftware({ url: other })])
      expect(yield* news).toStrictEqual([
        "slappart0 started 1 ready 0 order 1",
        "slappart1 started 1 unready 0 order 1",
      ])
    }),
  )

  it.effect("it is known whether something still waits to be marked as done", () =>
    Effect.gen(function* () {
      const { isUnmarked, order, orderSoftware, unmarked } = yield* passing
      yield* order(1, [desiredPartition()])
      yield* orderSoftware(2, [desiredSoftware()])
      const seen = [isUnmarked()]
      for (const one of [release, slappart0]) {
        unmarked.add(one)
        seen.push(isUnmarked())
        unmarked.delete(one)
      }
      expect(seen).toStrictEqual([false, true, true])
    }),
  )
})

describe("an order", () => {
  const rest = {
    requested: "started",
    state: "started",
    error: undefined,
    isByPromises: false,
    waitingFor: undefined,
  } as const

  it.effect("reaches the partitions that it is about, and is settled when each has nothing more to do", () =>
    Effect.gen(function* () {
      const { news, order, rests, update } = yield* supervised
      yield* update(both)
      yield* news
      const settled = yield* order(1, [desiredPartition({ id: slappart1 })])
      expect(yield* news).toStrictEqual(["slappart1 started 1 unready 0 order 1"])
      const { answer, input } = yield* rests.next
      expect([input, settled]).toStrictEqual([[slappart1, 1], []])
      // The master is followed meanwhile, and what changes does not make the order forgotten.
      yield* update({ ...both, partitions: [desiredPartition(), desiredPartition({ id: slappart1, timestamp: "2" })] })
      expect(yield* news).toStrictEqual(["slappart1 started 2 unready 0 order 1"])
      yield* answer(Effect.succeed(rest))
      yield* settle
      expect(settled).toStrictEqual([{ subject: "slappart1", result: "Done", state: "started", problem: undefined }])
    }),
  )

  it.effect("makes actors that there are not yet; what has none is told, and the others go on", () =>
    Effect.gen(function* () {
      const { makes, news, order, rests } = yield* supervised
      const broken = new FileError({ operation: "open", path: "/x", reason: "Unsafe", message: "cannot be opened" })
      makes.reply = (id) => (id === slappart0 ? Effect.fail(broken) : Effect.void)
      const settled = yield* order(3, both.partitions)
      expect(yield* news).toContain("slappart1 started 1 ready 0 order 3")
      expect(settled).toMatchObject([{ subject: "slappart0", result: "Failed", problem: "cannot be opened" }])
      yield* (yield* rests.next).answer(Effect.succeed(rest))
      yield* settle
      expect(settled).toMatchObject([{ subject: "slappart0" }, { subject: "slappart1", result: "Done" }])
      makes.reply = () => Effect.die(new Error("a bug"))
      expect(yield* order(4, [desiredPartition()])).toMatchObject([{ result: "Failed" }])
    }),
  )
})

describe("readiness", () => {
  it.effect("of a release is passed on to those who use it, once", () =>
    Effect.gen(function* () {
      const { news, ready, update } = yield* supervised
      const partitions = [desiredPartition(), desiredPartition({ id: slappart1, software: other })]
      yield* update({ software: [desiredSoftware(), desiredSoftware({ url: other })], partitions })
      yield* news
      yield* ready(release, true)
      expect(yield* news).toStrictEqual(["slappart0 started 1 ready 0"])
      yield* ready(release, true)
      expect(yield* news).toStrictEqual([])
      yield* ready(release, false)
      expect(yield* news).toStrictEqual(["slappart0 started 1 unready 0"])
    }),
  )

  it.effect("is known to a partition that comes later", () =>
    Effect.gen(function* () {
      const { news, ready, update } = yield* supervised
      yield* update({ software: [desiredSoftware()] })
      yield* ready(release, true)
      yield* news
      yield* update({ software: [desiredSoftware()], partitions: [desiredPartition()] })
      expect(yield* news).toStrictEqual(["slappart0 started 1 ready 0"])
    }),
  )

  it.effect.each([
    ["no longer named", []],
    ["to be destroyed", [desiredSoftware({ requested: "destroyed" })]],
  ] as const)("a release %s is not waited for", ([, software]) =>
    Effect.gen(function* () {
      const { news, update } = yield* supervised
      yield* update({ software: [desiredSoftware()], partitions: [desiredPartition()] })
      yield* news
      yield* update({ software, partitions: [desiredPartition()] })
      expect(yield* news).toContain("slappart0 started 1 ready 0")
    }),
  )

  it.effect("a release that was never named is not waited for either", () =>
    Effect.gen(function* () {
      const { news, update } = yield* supervised
      yield* update({ partitions: [desiredPartition()] })
      expect(yield* news).toStrictEqual(["slappart0 started 1 ready 0"])
    }),
  )
})

describe("what cannot be followed", () => {
  const unusable = (reason: string, id = slappart1) => ({ subject: `partition ${id}`, reason, partition: id })
  const named = { ...both, partitions: [desiredPartition()] }

  it.effect("is told to the master once for each reason, and what was wanted before stays in force", () =>
    Effect.gen(function* () {
      const { client, news, update } = yield* supervised
      yield* update(both)
      yield* news
      for (const reason of ["state paused", "state paused", "state lost"]) {
        yield* update({ ...named, rejected: [unusable(reason), { subject: "partition ../x", reason: "no name" }] })
      }
      yield* update(both)
      yield* update({ ...named, rejected: [unusable("state lost")] })
      const log = (reason: string) => `what is wanted of slappart1 cannot be followed: ${reason}`
      expect(client.reports.inputs).toStrictEqual(
        ["state paused", "state lost", "state lost"].map((reason) => ({
          _tag: "Partition",
          id: slappart1,
          state: "error",
          log: log(reason),
        })),
      )
      expect(yield* news).toStrictEqual(["slappart1 told again"])
    }),
  )

  it.effect("and can be again is told again how it is, unless something else is wanted of it", () =>
    Effect.gen(function* () {
      const { news, update } = yield* supervised
      const rejected = [unusable("state paused")]
      const others = (changes: Partial<DesiredPartition>) => ({
        ...both,
        partitions: [desiredPartition(), desiredPartition({ id: slappart1, ...changes })],
      })
      yield* update(others({}))
      yield* news
      yield* update({ ...named, rejected })
      yield* update(others({ timestamp: "2" }))
      yield* update({ ...named, rejected })
      yield* update({ partitions: [desiredPartition()] })
      yield* update(others({ timestamp: "2" }))
      expect((yield* news).filter((line) => line.includes("again"))).toStrictEqual([])
      yield* update({ ...named, rejected })
      // It comes with news of what the master has heard.
      yield* update(others({ timestamp: "2", accessStatus: "#error what is wanted of it" }))
      expect((yield* news).at(-1)).toBe("slappart1 told again")
    }),
  )

  it.effect("beside a record that can is nothing to tell", () =>
    Effect.gen(function* () {
      const { client, update } = yield* supervised
      yield* update({ ...both, rejected: [unusable("state paused")] })
      expect(client.reports.inputs).toStrictEqual([])
    }),
  )
})

describe("what the master no longer names", () => {
  it.effect("a release is retired; named again it begins anew", () =>
    Effect.gen(function* () {
      const { news, ready, update } = yield* supervised
      yield* update({ software: [desiredSoftware()] })
      yield* ready(release, true)
      yield* update({})
      expect(yield* news).toStrictEqual([`${release} available 0`, `${release} closed`])
      yield* update({ software: [desiredSoftware()], partitions: [desiredPartition()] })
      expect(yield* news).toStrictEqual([`${release} available 0`, "slappart0 started 1 unready 0"])
    }),
  )

  it.effect("a partition is left as it is; named again it is told even when nothing changed", () =>
    Effect.gen(function* () {
      const { makes, news, update } = yield* supervised
      yield* update(both)
      yield* news
      yield* update({ software: both.software })
      yield* update({ software: both.software })
      expect(yield* news).toStrictEqual([])
      yield* update(both)
      expect(yield* news).toStrictEqual(["slappart0 started 1 unready 0", "slappart1 started 1 unready 0"])
      expect(makes.inputs).toHaveLength(2)
    }),
  )
})

describe("a master that does not answer", () => {
  it.effect("what an earlier agent heard is told to partitions alone, and takes nothing over", () =>
    Effect.gen(function* () {
      const { followed, foreign, news, update } = yield* supervised
      foreign.add(slappart1)
      yield* update(both, 0, "NotAsked")
      expect(yield* news).toStrictEqual(["slappart0 started 1 ready 0 NotAsked"])
      expect(followed).toStrictEqual([])
      yield* update(both)
      expect(yield* news).toStrictEqual([
        `${release} available 0`,
        "slappart0 started 1 unready 0",
        "slappart1 started 1 unready 0",
      ])
    }),
  )

  it.effect("everybody hears of it, and of its return", () =>
    Effect.gen(function* () {
      const { news, update } = yield* supervised
      yield* update(both)
      yield* news
      yield* update(both, 0, "Away")
      expect(yield* news).toStrictEqual(["slappart0 started 1 unready 0 Away", "slappart1 started 1 unready 0 Away"])
      yield* update(both)
      expect(yield* news).toStrictEqual(["slappart0 started 1 unready 0", "slappart1 started 1 unready 0"])
    }),
  )
})

it.effect("a take-over hears whom the master names, unless some of that could not be understood", () =>
  Effect.gen(function* () {
    const { followed, update } = yield* supervised
    yield* update({ ...both, rejected: [{ subject: "partition", reason: "no name" }] })
    expect(followed).toStrictEqual([])
    yield* update(both)
    expect(followed).toStrictEqual([[slappart0, slappart1]])
  }),
)

describe("failures", () => {
  it.effect.each([
    [
      "an error",
      Effect.fail(new FileError({ path: "x", operation: "make FIFO", reason: "NoSpace", message: "no space" })),
    ],
    ["a defect", Effect.die(new Error("a bug"))],
  ] as const)("%s of one partition's making is nothing to the others, and is tried again", ([, how]) =>
    Effect.gen(function* () {
      const { makes, news, update } = yield* supervised
      makes.reply = (id) => (id === slappart0 ? how : Effect.void)
      yield* update(both)
      const first = yield* news
      expect(first).toContain("slappart1 started 1 unready 0")
      // What the failed making had acquired is given back.
      expect(first).toContain("slappart0 closed")
      makes.reply = () => Effect.void
      yield* update(both)
      const said = yield* news
      expect(said).toContain("slappart0 started 1 unready 0")
    }),
  )
})

describe("the end", () => {
  it.effect("partitions first and side by side, releases after them", () =>
    Effect.gen(function* () {
      const { close, ends, news, update } = yield* supervised
      yield* update(both)
      yield* news
      ends.set(slappart0, yield* Deferred.make<void>())
      ends.set(slappart1, yield* Deferred.make<void>())
      const closing = yield* Effect.forkChild(close)
      yield* settle
      expect((yield* news).sort()).toStrictEqual(["slappart0 closing", "slappart1 closing"])
      for (const end of ends.values()) yield* Deferred.succeed(end, undefined)
      yield* Fiber.join(closing)
      expect((yield* news).at(-1)).toBe(`${release} closed`)
    }),
  )

  it.effect("an answer that comes meanwhile starts nothing", () =>
    Effect.gen(function* () {
      const { close, ends, makes, update } = yield* supervised
      yield* update({ partitions: [desiredPartition()] })
      ends.set(slappart0, yield* Deferred.make<void>())
      const closing = yield* Effect.forkChild(close)
      yield* settle
      yield* update(both)
      expect(makes.inputs).toStrictEqual([slappart0])
      for (const end of ends.values()) yield* Deferred.succeed(end, undefined)
      yield* Fiber.join(closing)
    }),
  )
})

describe("health", () => {
  it.effect(
    "is lost while an answer of the master is not passed on for minutes, and when the supervision has ended",
    () =>
      Effect.gen(function* () {
        const { close, isHealthy, makes, update } = yield* supervised
        expect(yield* isHealthy).toBe(true)
        makes.reply = undefined
        yield* update({ partitions: [desiredPartition()] })
        const making = yield* makes.next
        yield* TestClock.adjust(299_999)
        expect(yield* isHealthy).toBe(true)
        yield* TestClock.adjust(1)
        expect(yield* isHealthy).toBe(false)
        yield* making.answer(Effect.void)
        yield* settle
        expect(yield* isHealthy).toBe(true)
        // However long it waits for news.
        yield* TestClock.adjust("1 day")
        expect(yield* isHealthy).toBe(true)
        yield* close
        expect(yield* isHealthy).toBe(false)
      }),
  )
})

describe("a plan", () => {
  it.effect("asks each actor what it would do, and looks at the disk for what is new; nobody is told anything", () =>
    Effect.gen(function* () {
      const { news, plan, update } = yield* supervised
      yield* update({ software: [desiredSoftware()], partitions: [desiredPartition()] })
      yield* news
      const made = yield* plan(desiredState(both))
      expect(made).toMatchObject({
        standing: "Answers",
        isSupervised: true,
        software: [{ url: release, action: "build" }],
        partitions: [
          { id: "slappart0", action: "process", reason: "unready Answers" },
          { id: "slappart1", action: "wait", reason: `waits for its software release ${release}` },
        ],
      })
      expect(yield* news).toStrictEqual([])
    }),
  )

  it.effect("while the master is away is about what it said last", () =>
    Effect.gen(function* () {
      const { plan, update } = yield* supervised
      yield* update({ partitions: [desiredPartition()] })
      expect(yield* plan(unreachable)).toMatchObject({
        standing: "Away",
        error: "the master is away",
        partitions: [{ id: "slappart0", reason: "ready Away" }],
      })
    }),
  )
})
