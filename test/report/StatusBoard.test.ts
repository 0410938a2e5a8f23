import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { NodeConfig } from "../../src/config/NodeConfig.ts"
import { type NodeStatus, noUsage, type PartitionStatus } from "../../src/domain/NodeStatus.ts"
import { StatusBoard } from "../../src/report/StatusBoard.ts"
import { settle } from "../support/Calls.ts"
import { computerId, nodeConfig, release, slappart0, slappart1, softwareUrl } from "../support/facts.ts"

const makeBoard = Effect.map(
  Layer.build(StatusBoard.layer.pipe(Layer.provide(Layer.succeed(NodeConfig, nodeConfig())))),
  Context.get(StatusBoard),
)

const partition = (id = slappart0, since = 1): PartitionStatus => ({
  id,
  requested: "started",
  software: release,
  state: "started",
  since,
  waitingFor: undefined,
  error: undefined,
  services: [],
  promises: [],
})

const software = (url = release) => ({
  url,
  requested: "available" as const,
  state: "available" as const,
  since: 1,
  part: undefined,
  lastLines: [],
  error: undefined,
})

describe("get", () => {
  it.effect("gives what was put last, sorted", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(5000)
      const board = yield* makeBoard
      const other = softwareUrl("/a.cfg")
      yield* board.setContainment("cgroup", [])
      yield* board.setSync({ lastSuccess: 7, standing: "Away", error: "x" })
      const trust = { isMasterUnverified: true, certificates: [] }
      yield* board.setTrust(trust)
      const reports = { waiting: 1, error: "status 503" }
      yield* board.setReports(reports)
      yield* board.setUsage({ ...noUsage, lastReport: 8 })
      let memory = 1
      yield* board.showHelpers(Effect.sync(() => [{ release: "/r", pid: 7, memory: memory++ }]))
      // Asked for anew each time.
      yield* board.get
      yield* board.setPartition(slappart1, partition(slappart1))
      yield* board.setPartition(slappart0, partition(slappart0, 1))
      yield* board.setPartition(slappart0, partition(slappart0, 2))
      yield* board.setSoftware(release, software())
      yield* board.setSoftware(other, software(other))
      expect(yield* board.get).toStrictEqual({
        computer: computerId,
        pid: process.pid,
        startedAt: 5000,
        containment: "cgroup",
        limits: [],
        sync: { lastSuccess: 7, standing: "Away", error: "x" },
        trust,
        reports,
        usage: { ...noUsage, lastReport: 8 },
        helpers: [{ release: "/r", pid: 7, memory: 2 }],
        software: [software(other), software()],
        partitions: [partition(slappart0, 2), partition(slappart1)],
      })
      yield* board.setSoftware(release, undefined)
      yield* board.setPartition(slappart0, undefined)
      const { partitions, software: left } = yield* board.get
      expect([partitions.map(({ id }) => id), left.map(({ url }) => url)]).toStrictEqual([[slappart1], [other]])
    }),
  )
})

describe("changes", () => {
  it.effect("begin with the state now, whenever a reader comes", () =>
    Effect.gen(function* () {
      const board = yield* makeBoard
      const first = board.changes.pipe(Stream.take(1), Stream.runCollect)
      expect((yield* first)[0]?.partitions).toStrictEqual([])
      yield* board.setPartition(slappart0, partition())
      expect((yield* first)[0]?.partitions).toStrictEqual([partition()])
    }),
  )

  it.effect("a slow reader sees the newest state and no backlog; a quick one is not held up", () =>
    Effect.gen(function* () {
      const board = yield* makeBoard
      const seen: Array<number | undefined> = []
      const hold = yield* Deferred.make<void>()
      const isHeld = yield* Deferred.make<void>()
      const sinceOf = (status: NodeStatus) => status.partitions[0]?.since
      yield* board.changes.pipe(
        Stream.runForEach((status) =>
          Effect.gen(function* () {
            seen.push(sinceOf(status))
            if (seen.length > 1) return
            yield* Deferred.succeed(isHeld, undefined)
            yield* Deferred.await(hold)
          }),
        ),
        Effect.forkChild,
      )
      yield* Deferred.await(isHeld)
      for (let since = 1; since <= 1000; since++) yield* board.setPartition(slappart0, partition(slappart0, since))
      yield* Deferred.succeed(hold, undefined)
      yield* settle
      expect(seen.at(-1)).toBe(1000)
      expect(new Set(seen)).toStrictEqual(new Set([undefined, 1000]))
      expect(seen.length).toBeLessThanOrEqual(3)
    }),
  )
})
