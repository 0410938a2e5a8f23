// The ledger on the disk, across agents that are killed after each step: a killed agent leaves its files as they are.
import * as fs from "node:fs"
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { NodeConfig } from "../../../src/config/NodeConfig.ts"
import { MasterError } from "../../../src/master/MasterError.ts"
import type { Entry } from "../../../src/report/usage/ledger.ts"
import { type Draft, UsageLedger } from "../../../src/report/usage/UsageLedger.ts"
import { nodeConfig, slappart0 } from "../../support/facts.ts"
import { scratchDirectory } from "../../support/scratch.ts"

const source = { partition: slappart0, folder: "partition" as const, name: "a", hash: "1", modified: "10", inode: "7" }
const draft = (text: string): Draft => ({ sources: [source], movements: 2, journal: (stop) => `${text} ${stop}` })

const machine = Effect.gen(function* () {
  const root = yield* scratchDirectory
  const agent = `${root}/var/run/slapgrid`
  fs.mkdirSync(agent, { recursive: true, mode: 0o700 })
  yield* TestClock.setTime(1_700_000_000_000)
  /** The next agent's ledger. */
  const start = Effect.map(
    Layer.build(UsageLedger.layer.pipe(Layer.provide(Layer.succeed(NodeConfig, nodeConfig({ instanceRoot: root }))))),
    Context.get(UsageLedger),
  )
  const states = Effect.flatMap(start, ({ entries }) => Effect.map(entries, (all) => all.map(({ state }) => state)))
  return { agent, folder: `${agent}/usage`, start, states }
})

const only = (entries: ReadonlyArray<Entry>): Entry => {
  expect(entries).toHaveLength(1)
  return entries[0]!
}

const lost = new MasterError({ method: "m", reason: "Unreachable", status: undefined, message: "reset" })
const busy = new MasterError({ method: "m", reason: "Unavailable", status: 503, message: "busy" })

describe("what the next agent knows of a journal", () => {
  it.effect("it is sealed, with its text and its sources", () =>
    Effect.gen(function* () {
      const { start } = yield* machine
      const sealed = yield* (yield* start).seal(draft("x"))
      const next = yield* start
      const entry = only(yield* next.entries)
      expect(entry).toStrictEqual(sealed)
      expect([entry.state, entry.seal.sources, entry.seal.movements]).toStrictEqual(["sealed", [source], 2])
      expect(yield* next.journal(entry)).toMatch(/^x [0-9]+$/)
    }),
  )

  it.effect("it may have arrived from the moment it is sent, until the master denies it", () =>
    Effect.gen(function* () {
      const { start, states } = yield* machine
      const ledger = yield* start
      const entry = yield* ledger.seal(draft("x"))
      yield* ledger.begin(entry)
      expect(yield* states).toStrictEqual(["in flight"])
      yield* ledger.fail(entry, busy)
      expect([only(yield* ledger.entries).error, yield* states]).toStrictEqual(["busy", ["sealed"]])
      yield* ledger.begin(entry)
      yield* ledger.fail(entry, lost)
      expect(yield* states).toStrictEqual(["in flight"])
      const next = yield* start
      yield* next.begin(only(yield* next.entries))
      // That it is not there now says nothing of the first time.
      yield* next.fail(only(yield* next.entries), busy)
      expect(yield* states).toStrictEqual(["in flight"])
    }),
  )

  it.effect("the master has it; then nothing", () =>
    Effect.gen(function* () {
      const { folder, start, states } = yield* machine
      const ledger = yield* start
      const entry = yield* ledger.seal(draft("x"))
      yield* ledger.begin(entry)
      yield* ledger.acknowledge(entry)
      expect(yield* states).toStrictEqual(["acknowledged"])
      expect((yield* ledger.book).doubled).toStrictEqual([])
      yield* ledger.finish(entry)
      expect([yield* states, fs.readdirSync(folder)]).toStrictEqual([[], ["book.json"]])
    }),
  )

  it.effect("whether it may have been counted twice, by its name and hash", () =>
    Effect.gen(function* () {
      const { start } = yield* machine
      const first = yield* start
      yield* first.begin(yield* first.seal(draft("x")))
      const second = yield* start
      const entry = only(yield* second.entries)
      yield* second.begin(entry)
      yield* second.acknowledge(entry)
      const { doubled } = yield* (yield* start).book
      expect(doubled).toStrictEqual([{ journal: entry.name, hash: entry.seal.hash, at: 1_700_000_000_000 }])
    }),
  )

  it.effect("what an agent that died while it took it off the books left", () =>
    Effect.gen(function* () {
      const { folder, start, states } = yield* machine
      const ledger = yield* start
      const entry = yield* ledger.seal(draft("x"))
      yield* ledger.begin(entry)
      yield* ledger.acknowledge(entry)
      fs.rmSync(`${folder}/${entry.name}.sealed`)
      fs.writeFileSync(`${folder}/.slapgrid-0123`, "half")
      expect([yield* states, fs.readdirSync(folder)]).toStrictEqual([[], ["book.json"]])
    }),
  )

  it.effect("when reports are due", () =>
    Effect.gen(function* () {
      const { start } = yield* machine
      expect((yield* (yield* start).book).nextReport).toBeNull()
      yield* (yield* start).schedule({ lastReport: 1, nextReport: 2 })
      expect(yield* (yield* start).book).toMatchObject({ lastReport: 1, nextReport: 2 })
    }),
  )
})

describe("journals", () => {
  it.effect("of the same movements differ, also after a restart and when the book is lost", () =>
    Effect.gen(function* () {
      const { folder, start } = yield* machine
      const texts = new Set<string>()
      for (let index = 0; index < 6; index++) {
        const ledger = yield* start
        for (const _ of [1, 2]) texts.add(yield* ledger.journal(yield* ledger.seal(draft("x"))))
        if (index === 3) fs.writeFileSync(`${folder}/book.json`, "{")
        if (index === 4) yield* TestClock.adjust("-10 seconds")
      }
      expect(texts.size).toBe(12)
      expect((yield* (yield* start).entries).map(({ name }) => name).sort()).toStrictEqual(
        (yield* (yield* start).entries).map(({ name }) => name),
      )
    }),
  )

  it.effect("one that is damaged is never sent, stays, and costs no other", () =>
    Effect.gen(function* () {
      const { folder, start } = yield* machine
      const ledger = yield* start
      const [cut, changed, good] = yield* Effect.forEach(["a", "b", "c"], (text) => ledger.seal(draft(text)))
      const file = (entry: Entry | undefined) => `${folder}/${entry?.name}.sealed`
      fs.truncateSync(file(cut), 30)
      fs.writeFileSync(file(changed), fs.readFileSync(file(changed), "utf8").replace(/b (\d+)$/, "d $1"))
      expect(Result.isFailure(yield* Effect.result(ledger.journal(changed!)))).toBe(true)
      const next = yield* start
      expect(yield* next.entries).toStrictEqual([good])
      expect(fs.existsSync(file(cut)) && fs.existsSync(file(changed))).toBe(true)
    }),
  )
})

describe("a disk that fails", () => {
  it.effect("keeps what is not there from being sealed, and is looked at again", () =>
    Effect.gen(function* () {
      const { agent, start } = yield* machine
      fs.rmSync(agent, { recursive: true })
      const ledger = yield* start
      expect(Result.isFailure(yield* Effect.result(ledger.seal(draft("x"))))).toBe(true)
      expect(Result.isFailure(yield* Effect.result(ledger.entries))).toBe(true)
      fs.mkdirSync(agent, { mode: 0o700 })
      yield* ledger.seal(draft("x"))
      expect(yield* ledger.entries).toHaveLength(1)
    }),
  )

  it.effect("does not make the agent send again what the master has", () =>
    Effect.gen(function* () {
      const { folder, start } = yield* machine
      const ledger = yield* start
      const entry = yield* ledger.seal(draft("x"))
      yield* ledger.begin(entry)
      fs.renameSync(folder, `${folder}.away`)
      expect(Result.isFailure(yield* Effect.result(ledger.acknowledge(entry)))).toBe(true)
      expect(only(yield* ledger.entries).state).toBe("acknowledged")
    }),
  )
})
