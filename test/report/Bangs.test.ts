// Bangs across the ends of agents: two layers, one after the other, on one directory.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as fs from "node:fs"
import { expect } from "vitest"
import { NodeConfig } from "../../src/config/NodeConfig.ts"
import type { Report } from "../../src/domain/Report.ts"
import { Bangs } from "../../src/report/Bangs.ts"
import { type Delivery, Outbox } from "../../src/report/Outbox.ts"
import { settle } from "../support/Calls.ts"
import { nodeConfig, slappart0 } from "../support/facts.ts"
import { scratchDirectory } from "../support/scratch.ts"
import { eventually, textOf } from "../support/waiting.ts"

const bang = { id: slappart0, deployment: "1700000000.5", message: "web-on-watch died" }

const node = Effect.gen(function* () {
  const root = yield* scratchDirectory
  const directory = `${root}/var/run/slapgrid`
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
  const sent: Array<{ readonly report: Report; readonly delivery: Deferred.Deferred<Delivery> }> = []
  const withdrawn: Array<string> = []
  const outbox = Outbox.of({
    offer: () => Effect.void,
    pending: Effect.succeed(0),
    withdraw: (subject) => Effect.sync(() => void withdrawn.push(subject)),
    deliver: (report) =>
      Effect.suspend(() => {
        const delivery = Deferred.makeUnsafe<Delivery>()
        sent.push({ report, delivery })
        return Deferred.await(delivery)
      }),
  })
  /** An agent; `kill` ends it as it is. */
  const start = Effect.gen(function* () {
    const scope = yield* Scope.make()
    const context = yield* Layer.build(
      Bangs.layer.pipe(
        Layer.provide([Layer.succeed(Outbox, outbox), Layer.succeed(NodeConfig, nodeConfig({ instanceRoot: root }))]),
      ),
    ).pipe(Scope.provide(scope))
    return { ...Context.get(context, Bangs), kill: Scope.close(scope, Exit.void) }
  })
  const answer = (index: number, delivery: Delivery) =>
    Effect.andThen(Deferred.succeed(sent[index]!.delivery, delivery), settle)
  /** Waits until that is kept: files are synced by other threads, whose end is nobody's clock's. */
  const settled = TestClock.withLive(
    eventually(
      "a bang that is kept as done with",
      Effect.sync(() => (textOf(`${directory}/bangs/slappart0.json`)?.includes('"isSettled":true') ? true : undefined)),
    ),
  )
  const reports = () => sent.map(({ report }) => (report._tag === "Bang" ? `${report.id} ${report.message}` : ""))
  return { directory, folder: `${directory}/bangs`, start, answer, settled, reports, withdrawn }
})

describe("a bang", () => {
  it.effect("is sent once for each deployment, by this agent and the next", () =>
    Effect.gen(function* () {
      const { answer, reports, settled, start } = yield* node
      const first = yield* start
      expect(yield* first.ring(bang)).toBe(true)
      expect(yield* first.ring({ ...bang, message: "another died" })).toBe(false)
      yield* answer(0, "Taken")
      yield* settled
      expect(yield* first.ring(bang)).toBe(false)
      yield* first.kill
      const second = yield* start
      expect(yield* second.ring(bang)).toBe(false)
      expect(reports()).toStrictEqual(["slappart0 web-on-watch died"])
      expect(yield* second.ring({ ...bang, deployment: "1700000001" })).toBe(true)
      expect(reports()).toHaveLength(2)
    }),
  )

  it.effect("that the master has not taken is sent again by the next agent", () =>
    Effect.gen(function* () {
      const { answer, reports, settled, start } = yield* node
      const first = yield* start
      yield* first.ring(bang)
      yield* first.kill
      const second = yield* start
      expect(reports()).toStrictEqual(["slappart0 web-on-watch died", "slappart0 web-on-watch died"])
      yield* answer(1, "Refused")
      yield* settled
      yield* second.kill
      yield* start
      expect(reports()).toHaveLength(2)
    }),
  )

  it.effect("of an instance that is gone is not sent again", () =>
    Effect.gen(function* () {
      const { answer, folder, reports, start, withdrawn } = yield* node
      const first = yield* start
      yield* first.ring(bang)
      yield* first.forget(slappart0)
      expect(withdrawn).toStrictEqual(["bang slappart0"])
      // The answer to what was under way brings nothing back.
      yield* answer(0, "Taken")
      expect(fs.readdirSync(folder)).toStrictEqual([])
      yield* first.kill
      yield* start
      expect(reports()).toHaveLength(1)
    }),
  )
})

describe("what is kept", () => {
  it.effect("is the newest, however the changes overlap", () =>
    Effect.gen(function* () {
      const { folder, reports, start } = yield* node
      const { forget, ring } = yield* start
      const one = (deployment: string) => ring({ ...bang, deployment, message: deployment })
      yield* Effect.all([one("1"), forget(slappart0), one("2"), forget(slappart0)], { concurrency: "unbounded" })
      expect([fs.readdirSync(folder), reports()]).toStrictEqual([[], []])
      yield* Effect.all([one("3"), forget(slappart0), one("4")], { concurrency: "unbounded" })
      expect(fs.readdirSync(folder)).toStrictEqual(["slappart0.json"])
      expect(fs.readFileSync(`${folder}/slappart0.json`, "utf8")).toContain('"deployment":"4"')
      expect(reports()).toStrictEqual(["slappart0 4"])
    }),
  )
})

describe("files", () => {
  it.effect("that are no bangs are told and removed; the others are used", () =>
    Effect.gen(function* () {
      const { folder, reports, start } = yield* node
      const first = yield* start
      yield* first.ring(bang)
      yield* first.kill
      const good = fs.readFileSync(`${folder}/slappart0.json`, "utf8")
      fs.mkdirSync(`${folder}/directory.json`)
      fs.symlinkSync(`${folder}/slappart0.json`, `${folder}/link.json`)
      fs.writeFileSync(`${folder}/huge.json`, good + " ".repeat(100_000))
      for (const [name, text] of [
        [".slapgrid-0123", good.slice(0, 9)],
        ["a.json", "{"],
        ["b.json", ""],
        ["slappart1.json", good],
        ["c.json", good.replace("slappart0", "../x")],
      ] as const) {
        fs.writeFileSync(`${folder}/${name}`, text)
      }
      yield* start
      // What cannot be read is nobody's to remove.
      const left = ["directory.json", "huge.json", "link.json", "slappart0.json"]
      expect(fs.readdirSync(folder)).toStrictEqual(left)
      expect(reports()).toHaveLength(2)
    }),
  )

  it.effect("that cannot be written keep no bang from being sent, still once", () =>
    Effect.gen(function* () {
      const { folder, reports, start } = yield* node
      const first = yield* start
      fs.rmSync(folder, { recursive: true })
      fs.writeFileSync(folder, "")
      expect([yield* first.ring(bang), yield* first.ring(bang)]).toStrictEqual([true, false])
      expect(reports()).toHaveLength(1)
    }),
  )

  it.effect("a directory that is not there keeps no agent from starting, and is used when it is back", () =>
    Effect.gen(function* () {
      const { directory, folder, reports, start } = yield* node
      fs.rmSync(directory, { recursive: true })
      const first = yield* start
      expect([yield* first.ring(bang), yield* first.ring(bang)]).toStrictEqual([true, false])
      expect(reports()).toHaveLength(1)
      fs.mkdirSync(directory, { mode: 0o700 })
      yield* first.ring({ ...bang, deployment: "2" })
      expect(fs.readdirSync(folder)).toStrictEqual(["slappart0.json"])
    }),
  )
})
