// What the master wanted, across the ends of agents: two layers, one after the other, on one directory.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as fs from "node:fs"
import { expect } from "vitest"
import { NodeConfig } from "../../src/config/NodeConfig.ts"
import { DesiredCache } from "../../src/desired/DesiredCache.ts"
import type { DesiredState } from "../../src/domain/DesiredState.ts"
import { ComputerId } from "../../src/domain/ids.ts"
import { desiredPartition, desiredSoftware, desiredState, nodeConfig, slappart0, slappart1 } from "../support/facts.ts"
import { scratchDirectory } from "../support/scratch.ts"

const state = desiredState({
  software: [desiredSoftware(), desiredSoftware({ requested: "destroyed" })],
  partitions: [
    desiredPartition({ timestamp: "1700000000.5", filter: { retention_delay: "3" }, accessStatus: "#error no" }),
    desiredPartition({ id: slappart1, requested: "destroyed", software: undefined, timestamp: undefined }),
  ],
})

const node = Effect.gen(function* () {
  const root = yield* scratchDirectory
  const directory = `${root}/var/run/slapgrid`
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
  const told: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => void told.push(`${logLevel} ${String(message)}`))
  const start = (changes: Parameters<typeof nodeConfig>[0] = {}) =>
    Layer.build(
      DesiredCache.layer.pipe(
        Layer.provide([
          Layer.succeed(NodeConfig, nodeConfig({ instanceRoot: root, ...changes })),
          Logger.layer([logger]),
        ]),
      ),
    ).pipe(
      Effect.map((context) => Context.get(context, DesiredCache)),
      Effect.map(({ keep, last }) => ({
        last,
        keep: (of: DesiredState) => Effect.provide(keep(of), Logger.layer([logger])),
      })),
    )
  return { file: `${directory}/desired.json`, directory, start, told }
})

describe("what the master wants", () => {
  it.effect("is known to the next agent, in a file for the agent alone", () =>
    Effect.gen(function* () {
      const { directory, file, start } = yield* node
      const first = yield* start()
      expect(first.last).toBeUndefined()
      yield* first.keep(state)
      expect((yield* start()).last).toMatchObject(JSON.parse(JSON.stringify(state)))
      expect((yield* start()).last?.partitions).toStrictEqual(state.partitions)
      expect(fs.statSync(file).mode & 0o777).toBe(0o600)
      expect(fs.readdirSync(directory)).toStrictEqual(["desired.json"])
    }),
  )

  it.effect("is written only when it changed", () =>
    Effect.gen(function* () {
      const { file, start } = yield* node
      const { keep } = yield* start()
      yield* keep(state)
      const { ino } = fs.statSync(file)
      yield* keep({ ...state })
      expect(fs.statSync(file).ino).toBe(ino)
      const next = yield* start()
      yield* next.keep(state)
      expect(fs.statSync(file).ino).toBe(ino)
      yield* next.keep(desiredState())
      expect((yield* start()).last?.partitions).toStrictEqual([])
    }),
  )

  it.effect("a partition whose record cannot be used is wanted as before", () =>
    Effect.gen(function* () {
      const { start } = yield* node
      const { keep } = yield* start()
      yield* keep(state)
      const stopped = desiredPartition({ requested: "stopped" })
      yield* keep(desiredState({ partitions: [stopped], rejected: [{ subject: "partition slappart1", reason: "?" }] }))
      expect((yield* start()).last?.partitions).toStrictEqual([stopped, state.partitions[1]])
      yield* keep(desiredState({ partitions: [stopped] }))
      expect((yield* start()).last?.partitions.map(({ id }) => id)).toStrictEqual([slappart0])
    }),
  )

  it.effect("of another computer or another master is nothing to this one", () =>
    Effect.gen(function* () {
      const { start, told } = yield* node
      yield* (yield* start()).keep(state)
      expect((yield* start({ computerId: ComputerId.make("COMP-2") })).last).toBeUndefined()
      expect((yield* start({ masterUrl: Redacted.make("http://127.0.0.1:2/") })).last).toBeUndefined()
      expect(told).toStrictEqual([])
    }),
  )
})

describe("a file that cannot be used", () => {
  const partition =
    '{"id":"slappart0","requested":"started","software":null,"timestamp":null,"filter":{},"accessStatus":null}'
  const whole = `{"version":1,"master":"http://127.0.0.1:1/","computer":"COMP-1","software":[],"partitions":[${partition}]}`

  it.effect("is one that differs from this in anything", () =>
    Effect.gen(function* () {
      const { file, start, told } = yield* node
      fs.writeFileSync(file, whole)
      expect((yield* start()).last?.partitions).toHaveLength(1)
      expect(told).toStrictEqual([])
    }),
  )

  it.effect.each([
    ["empty", ""],
    ["cut off", whole.slice(0, -20)],
    ["of another version", whole.replace('"version":1', '"version":2')],
    ["with an id that leads elsewhere", whole.replace("slappart0", "../x")],
    ["with an unknown state", whole.replace("started", "paused")],
    ["that is binary", "\0\xff\xfe"],
  ] as const)("%s: told, and the master is asked first", ([, text]) =>
    Effect.gen(function* () {
      const { file, start, told } = yield* node
      fs.writeFileSync(file, text)
      const { keep, last } = yield* start()
      expect(last).toBeUndefined()
      expect(told).toHaveLength(1)
      expect(told[0]).toContain(`${file} is not used`)
      yield* keep(state)
      expect((yield* start()).last?.partitions).toStrictEqual(state.partitions)
    }),
  )

  it.effect("a link or a directory in its place", () =>
    Effect.gen(function* () {
      const { directory, file, start, told } = yield* node
      fs.symlinkSync("/etc/passwd", file)
      expect((yield* start()).last).toBeUndefined()
      fs.rmSync(file)
      fs.mkdirSync(file)
      const { keep, last } = yield* start()
      expect(last).toBeUndefined()
      expect(told).toHaveLength(2)
      yield* keep(state)
      yield* keep(desiredState())
      expect(told).toHaveLength(3)
      expect(told[2]).toContain("is not kept")
      fs.rmdirSync(file)
      yield* keep(state)
      expect(fs.readdirSync(directory)).toContain("desired.json")
      expect((yield* start()).last?.partitions).toStrictEqual(state.partitions)
    }),
  )
})
