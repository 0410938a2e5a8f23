// Many reports wait for a master that is not there: it is left alone, as long as it asks for, and hears all of them when
// it is back. The real outbox and the real client, with a real port and virtual time.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { NodeConfig } from "../../src/config/NodeConfig.ts"
import { PartitionId } from "../../src/domain/ids.ts"
import { Outbox } from "../../src/report/Outbox.ts"
import { StatusBoard } from "../../src/report/StatusBoard.ts"
import { countedClient } from "../support/countedClient.ts"
import { nodeConfig } from "../support/facts.ts"
import { type Fault, makeScriptedMaster } from "../support/ScriptedMaster.ts"

const ids = Array.from({ length: 60 }, (_, number) => Schema.decodeSync(PartitionId)(`slappart${number}`))

/** Seconds that pass at once. */
const step = 5

const sending = Effect.gen(function* () {
  const master = yield* makeScriptedMaster()
  const client = countedClient(master.url)
  const context = yield* Layer.build(
    Outbox.layer.pipe(
      Layer.provideMerge(StatusBoard.layer),
      Layer.provide(client.layer),
      Layer.provide(Layer.succeed(NodeConfig, nodeConfig())),
    ),
  )
  const outbox = Context.get(context, Outbox)
  const board = Context.get(context, StatusBoard)
  const pass = Effect.fnUntraced(function* (seconds: number) {
    for (let second = 0; second < seconds; second += step) {
      yield* TestClock.adjust(step * 1000)
      yield* client.rest()
    }
  })
  return { master, outbox, board, pass }
})

describe("an outage with many reports waiting", () => {
  const troubles: ReadonlyArray<readonly [what: string, fault: Fault, most: number]> = [
    // Five failures, what was under way with them, and one try after 1, 2, 4, 8, 16, 32, 60, 60 … s.
    ["503", { _tag: "Status", status: 503 }, 60 + 5 + 14],
    ["resets", { _tag: "Reset" }, 60 + 5 + 14],
    ["429 with Retry-After", { _tag: "Status", status: 429, headers: { "Retry-After": "300" } }, 60 + 3],
  ]

  it.effect.each(troubles)("%s: few calls in ten minutes, and all reports arrive afterwards", ([, fault, most]) =>
    Effect.gen(function* () {
      const { board, master, outbox, pass } = yield* sending
      yield* master.inject("*", fault)
      for (const id of ids) yield* outbox.offer({ _tag: "Partition", id, state: "started" })
      yield* pass(600)
      expect((yield* master.calls).length).toBeGreaterThan(5)
      expect((yield* master.calls).length).toBeLessThanOrEqual(most)
      expect((yield* board.get).reports.waiting).toBe(ids.length)

      yield* master.clearFaults
      const { length } = yield* master.calls
      yield* pass(160)
      const after = (yield* master.calls).slice(length)
      expect(new Set(after.map(({ form }) => form["computer_partition_id"]))).toStrictEqual(new Set(ids))
      expect(after).toHaveLength(ids.length)
      expect([yield* outbox.pending, (yield* board.get).reports]).toStrictEqual([0, { waiting: 0, error: undefined }])
    }).pipe(Random.withSeed("outage")),
  )
})
