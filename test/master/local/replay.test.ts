// The captured session of the reference's client and node with slapproxy, replayed against the embedded master. Where
// an answer is a document it has to be the same text, but for timestamps and for what is named below.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { ComputerId } from "../../../src/domain/ids.ts"
import { decodeComputer } from "../../../src/master/wire/computer.ts"
import { decodeMarshal } from "../../../src/master/wire/marshal.ts"
import { exchanges } from "../wire/vectors.ts"
import type { Exchange } from "../wire/vectors.ts"
import { formatted, makeMaster, requestForm } from "./master.ts"

const software = "/srv/profiles/software.cfg"

/** Requests whose capture is missing: their results stand in later answers. They came before the first of `before`. */
const missing = {
  before: "<marshal><string>destroyed</string></marshal>",
  requests: [
    requestForm("inst1", { software, parameters: { changed: "1" } }),
    requestForm("shared1", { software, parameters: { sp: "<v>" }, shared: true }),
  ],
}

/** We tell what the node said last (`_access_status`), as the SlapOS Master does and slapproxy does not. */
const comparable = (xml: string): string =>
  xml
    .replaceAll(/<string>timestamp<\/string><string>[^<]*<\/string>/g, "<timestamp/>")
    .replaceAll(/<string>_access_status<\/string><string>[^<]*<\/string>/g, "")

describe("the captured exchanges", () => {
  it.effect("get slapproxy's answers", () =>
    Effect.gen(function* () {
      const master = yield* makeMaster
      let documents = 0
      const replay = (exchange: Exchange, index: number) =>
        Effect.gen(function* () {
          const { method, path, query, form, status, response: expected } = exchange
          if (form?.["state"] === missing.before) {
            for (const request of missing.requests) yield* master.post("requestComputerPartition", request)
          }
          const answer = yield* master.call(method, path, { ...query, ...form })
          const where = `${index} ${method} ${path}`
          assert.strictEqual(answer.status, status, `${where}: ${answer.body}`)
          if (status !== 200) return
          if (expected.startsWith("<marshal")) documents += 1
          assert.strictEqual(comparable(answer.body), comparable(expected), where)
        })
      for (const [index, exchange] of exchanges.entries()) yield* replay(exchange, index)
      assert.strictEqual(documents, 10)
    }),
  )

  it.effect("leave a document that the node accepts whole", () =>
    Effect.gen(function* () {
      const master = yield* formatted(["slappart0", "slappart1", "slappart2"])
      yield* master.post("supplySupply", { computer_id: "COMP-1", url: "/sr.cfg", state: "available" })
      yield* master.request("a", { filter: { retention_delay: "2" } })
      yield* master.request("b", { state: "stopped" })
      yield* master.about("softwareInstanceError", "slappart1", { error_log: "bad" })
      const { body } = yield* master.get("getFullComputerInformation", { computer_id: "COMP-1" })
      const computer = yield* Schema.decodeEffect(ComputerId)("COMP-1")
      const state = Result.getOrThrow(decodeComputer(Result.getOrThrow(decodeMarshal(body)), computer))
      assert.deepStrictEqual(state.rejected, [])
      assert.strictEqual(state.software.length, 1)
      assert.deepStrictEqual(
        state.partitions.map(({ id, requested, software, filter, accessStatus }) => ({
          id: String(id),
          requested,
          software: software === undefined ? undefined : String(software),
          filter: { ...filter },
          accessStatus,
        })),
        [
          {
            id: "slappart0",
            requested: "started",
            software: "/sr.cfg",
            filter: { retention_delay: "2" },
            accessStatus: undefined,
          },
          { id: "slappart1", requested: "stopped", software: "/sr.cfg", filter: {}, accessStatus: "#error bad" },
          { id: "slappart2", requested: "destroyed", software: undefined, filter: {}, accessStatus: undefined },
        ],
      )
    }),
  )

  it.effect("of an unknown computer or partition get 404, where slapproxy fails with 500", () =>
    Effect.gen(function* () {
      const master = yield* makeMaster
      const unknown = { computer_id: "COMP-9", computer_partition_id: "slappart0" }
      const calls = [
        master.get("getFullComputerInformation", unknown),
        master.get("registerComputerPartition", {
          computer_reference: "COMP-9",
          computer_partition_reference: "slappart0",
        }),
        master.post("startedComputerPartition", unknown),
        master.post("softwareInstanceBang", { ...unknown, message: "m" }),
        master.post("supplySupply", { ...unknown, url: "/sr.cfg", state: "available" }),
      ]
      const statuses = (yield* Effect.all(calls)).map(({ status }) => status)
      assert.deepStrictEqual(statuses, [404, 404, 404, 404, 404])
    }),
  )
})
