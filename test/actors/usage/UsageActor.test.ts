// The whole cycle of usage on a real directory, with scripts and a master that do what the test says.
import * as fs from "node:fs"
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { UsageActors } from "../../../src/actors/usage/UsageActor.ts"
import { InstanceBuild } from "../../../src/build/InstanceBuild.ts"
import type { PartitionActualState } from "../../../src/domain/NodeStatus.ts"
import { MasterError } from "../../../src/master/MasterError.ts"
import { Accounts } from "../../../src/process/Accounts.ts"
import { Containment } from "../../../src/process/containment/Containment.ts"
import { CommandError } from "../../../src/process/Spawner.ts"
import { StatusBoard } from "../../../src/report/StatusBoard.ts"
import { parseJournal } from "../../../src/report/usage/documents.ts"
import { UsageLedger } from "../../../src/report/usage/UsageLedger.ts"
import { UsageReports } from "../../../src/report/usage/UsageReports.ts"
import { nodeConfig, partitionId, slappart0, slappart1 } from "../../support/facts.ts"
import { scratchDirectory } from "../../support/scratch.ts"
import { ScriptedSpawner } from "../../support/ScriptedSpawner.ts"
import { eventually } from "../../support/waiting.ts"
import { journals, plain } from "../../report/usage/examples.ts"
import { ScriptedClient, unreachable } from "../support.ts"

const hour = 3_600_000
const report = (quantity: number) => `<consumption>${plain.replace("42.42", String(quantity))}</consumption>`

/** Quantities of a journal's movements, by partition. */
const booked = (journal: string): ReadonlyArray<string> =>
  Result.getOrThrow(parseJournal(journal)).map((movement) => {
    const text = (wanted: string) => movement.find(([name]) => name === wanted)?.[1]
    return `${text("reference")} ${text("quantity")}`
  })

const machine = Effect.gen(function* () {
  const root = yield* scratchDirectory
  fs.mkdirSync(`${root}/var/run/slapgrid`, { recursive: true, mode: 0o700 })
  fs.chmodSync(`${root}/var/run/slapgrid`, 0o700)
  yield* TestClock.setTime(1_700_000_000_000)
  const client = new ScriptedClient()
  const spawner = new ScriptedSpawner()
  /** Each script writes what the test put here last, once. */
  let next = 0
  spawner.runs.reply = ({ argv }) => Effect.sync(() => fs.writeFileSync(argv[1] ?? "", report(++next)))
  const account = { uid: 1, gid: 1, groups: [], name: "part", home: "/home/part" }
  const accounts = { isRoot: false, credentialsFor: () => Effect.undefined, describe: () => Effect.succeed(account) }
  const builder = {
    credentials: () => Effect.undefined,
    periodicity: () => Effect.undefined,
    assign: () => Effect.void,
    expect: () => Effect.void,
    prepare: () => Effect.void,
    install: () => Effect.never,
    runDestroyScript: () => Effect.never,
  }
  const config = nodeConfig({ instanceRoot: root, reportInterval: 24 * hour })
  const addPartition = (id: string, script = true) => {
    fs.mkdirSync(`${root}/${id}/etc/report`, { recursive: true })
    if (script) fs.writeFileSync(`${root}/${id}/etc/report/usage`, "", { mode: 0o755 })
  }
  for (const id of [slappart0, slappart1]) addPartition(id)
  /** An agent that knows these partitions. */
  const start = Effect.fnUntraced(function* (...ids: ReadonlyArray<string>) {
    const scope = yield* Scope.make()
    const context = yield* Layer.build(
      UsageActors.layer.pipe(
        Layer.provideMerge(UsageLedger.layer),
        Layer.provide([
          Layer.succeed(Accounts, Accounts.of(accounts)),
          Layer.succeed(InstanceBuild, InstanceBuild.of(builder)),
          spawner.layer,
          Containment.layerSession,
        ]),
        Layer.provideMerge(client.layer(config)),
      ),
    ).pipe(
      Scope.provide(scope),
      // An agent's first report is due at a random moment of the first day, and here not in its first minutes.
      Random.withSeed("noon"),
    )
    const board = Context.get(context, StatusBoard)
    const show = (id: string, state: PartitionActualState = "started") =>
      board.setPartition(partitionId(id), {
        id: partitionId(id),
        requested: "started",
        software: undefined,
        state,
        since: 0,
        waitingFor: undefined,
        error: undefined,
        services: [],
        promises: [],
      })
    yield* Effect.forEach(ids, (id) => show(id))
    const usage = Effect.map(board.get, ({ usage }) => usage)
    const { run: report, seal } = Context.get(context, UsageReports)
    return {
      seal,
      report,
      run: report({ partitions: [], watch: () => Effect.void }),
      show,
      usage,
      kill: Scope.close(scope, Exit.void),
      /** Files are synced by other threads: their end is nobody's clock's. */
      until: (what: string, holds: (status: Effect.Success<typeof usage>) => boolean) =>
        TestClock.withLive(
          eventually(
            what,
            Effect.map(usage, (status) => (holds(status) ? true : undefined)),
          ),
        ),
    }
  })
  const reportsOf = (id: string) => fs.readdirSync(`${root}/${id}/var/xml_report`)
  return { root, client, spawner, addPartition, start, reportsOf }
})

const busy = new MasterError({ method: "useComputer", reason: "Unavailable", status: 503, message: "busy" })
const unauthorised = new MasterError({
  method: "useComputer",
  reason: "Unauthorised",
  status: 403,
  message: "no such certificate",
})
const refused = new MasterError({ method: "useComputer", reason: "Refused", status: 400, message: "no such computer" })

describe("a report on demand", () => {
  it.effect("runs the scripts as their users, books all of it in one journal, and deletes what the master has", () =>
    Effect.gen(function* () {
      const { client, reportsOf, root, spawner, start } = yield* machine
      fs.mkdirSync(`${root}/var/xml_report/slappart1`, { recursive: true })
      fs.writeFileSync(`${root}/var/xml_report/slappart1/x`, report(100))
      fs.mkdirSync(`${root}/var/xml_report/COMP-1`)
      fs.writeFileSync(`${root}/var/xml_report/COMP-1/j`, journals[0]!.xml)
      const agent = yield* start("slappart0", "slappart1")
      expect(yield* agent.run).toMatchObject({
        scripts: 2,
        failed: [],
        reports: 4,
        sent: 2,
        pending: [],
        error: undefined,
      })
      expect(client.journals.inputs.map(booked)).toStrictEqual([
        ["slappart0 1", "slappart1 2", "slappart1 100"],
        ["x 42.42"],
      ])
      expect(client.journals.inputs[1]).toBe(journals[0]!.xml)
      const [command] = spawner.runs.inputs
      expect(command).toMatchObject({
        cwd: `${root}/slappart0/etc/report`,
        env: { HOME: "/home/part" },
        timeout: 300_000,
      })
      expect(command?.argv[0]).toBe(`${root}/slappart0/etc/report/usage`)
      expect(command?.argv[1]).toMatch(new RegExp(`^${root}/slappart0/var/xml_report/slapreport\\.[0-9a-z]+$`))
      const left = [reportsOf("slappart0"), reportsOf("slappart1"), fs.readdirSync(`${root}/var/xml_report/slappart1`)]
      expect([...left, fs.readdirSync(`${root}/var/xml_report/COMP-1`)]).toStrictEqual([[], [], [], []])
      expect(fs.readdirSync(`${root}/var/run/slapgrid/usage`)).toStrictEqual(["book.json"])
    }),
  )

  it.effect("tells of scripts that fail and of files that are no reports, and reports the rest", () =>
    Effect.gen(function* () {
      const { reportsOf, root, spawner, start } = yield* machine
      const write = spawner.runs.reply!
      spawner.runs.reply = (command) =>
        command.argv[0].includes("slappart0")
          ? new CommandError({ command: "x", reason: "Failed", message: "usage: exit status 3" })
          : write(command)
      fs.mkdirSync(`${root}/slappart0/var/xml_report`, { recursive: true })
      fs.writeFileSync(`${root}/slappart0/var/xml_report/odd`, "<consumption/>")
      const agent = yield* start("slappart0", "slappart1")
      const outcome = yield* agent.run
      const path = `${root}/slappart0/var/xml_report/odd`
      expect(outcome).toMatchObject({ scripts: 2, reports: 1, sent: 1, invalid: [{ path }] })
      expect(outcome.failed).toStrictEqual([
        { partition: "slappart0", script: "usage", message: "usage: exit status 3" },
      ])
      expect([reportsOf("slappart0"), (yield* agent.usage).invalid]).toMatchObject([["odd"], [{ path }]])
    }),
  )

  it.effect("asks nothing of partitions that are free or on their way out", () =>
    Effect.gen(function* () {
      const { spawner, start } = yield* machine
      const agent = yield* start("slappart0", "slappart1")
      yield* agent.show("slappart0", "destroying")
      yield* agent.show("slappart1", "free")
      expect((yield* agent.run).scripts).toBe(0)
      expect(spawner.runs.inputs).toStrictEqual([])
    }),
  )
})

describe("a report of partitions that only the caller knows", () => {
  it.effect("tells of each when its scripts have ended, and when it was made", () =>
    Effect.gen(function* () {
      const { addPartition, spawner, start } = yield* machine
      addPartition("slappart2", false)
      const agent = yield* start("slappart0")
      yield* agent.show("slappart0", "destroyed")
      yield* agent.until("a plan", ({ nextReport }) => nextReport !== undefined)
      const { nextReport } = yield* agent.usage
      const seen: Array<readonly [id: string, scripts: number]> = []
      const outcome = yield* agent.report({
        partitions: [slappart0, slappart1, partitionId("slappart2"), partitionId("slappart9")],
        watch: (id, { scripts }) => Effect.sync(() => void seen.push([id, scripts])),
      })
      expect(new Map(seen)).toStrictEqual(
        new Map([
          ["slappart0", 0],
          ["slappart1", 1],
          ["slappart2", 0],
          ["slappart9", 0],
        ]),
      )
      expect([outcome.reports, spawner.runs.inputs.length]).toStrictEqual([1, 1])
      expect(yield* agent.usage).toMatchObject({ lastReport: 1_700_000_000_000, nextReport })
    }),
  )
})

describe("time", () => {
  it.effect("reports come once an interval, jittered, and not anew with each agent", () =>
    Effect.gen(function* () {
      const { client, start } = yield* machine
      const first = yield* start("slappart0")
      yield* first.until("a plan", ({ nextReport }) => nextReport !== undefined)
      const planned = (yield* first.usage).nextReport ?? 0
      expect(planned).toBeLessThan(1_700_000_000_000 + 24 * hour)
      yield* first.kill
      const second = yield* start("slappart0")
      yield* second.until("the same plan", ({ nextReport }) => nextReport === planned)
      for (let day = 1; day <= 3; day++) {
        const { nextReport = 0 } = yield* second.usage
        yield* TestClock.setTime(nextReport - 1)
        expect(client.journals.inputs).toHaveLength(day - 1)
        yield* TestClock.adjust(1)
        yield* second.until(
          `report ${day}`,
          ({ lastReport, pending }) =>
            lastReport === nextReport && pending.length === 0 && client.journals.inputs.length === day,
        )
        const after = ((yield* second.usage).nextReport ?? 0) - nextReport
        expect(Math.abs(after - 24 * hour)).toBeLessThanOrEqual(1.2 * hour)
      }
    }),
  )
})

describe("a master that does not take it", () => {
  it.effect.each([busy, unauthorised])(
    "($reason) gets the very same journal again, and what comes later after it",
    (error) =>
      Effect.gen(function* () {
        const { client, reportsOf, start } = yield* machine
        client.journals.reply = () => Effect.fail(error)
        const agent = yield* start("slappart0")
        const outcome = yield* agent.run
        expect(outcome).toMatchObject({
          reports: 1,
          sent: 0,
          isMasterAway: true,
          pending: [{ state: "sealed", movements: 1, error: error.message }],
        })
        yield* agent.run
        expect(reportsOf("slappart0")).toHaveLength(2)
        const before = client.journals.inputs.length
        client.journals.reply = () => Effect.void
        yield* TestClock.adjust("10 minutes")
        yield* agent.until("the end", ({ pending }) => pending.length === 0)
        const sent = client.journals.inputs.slice(before)
        expect(sent.map(booked)).toStrictEqual([["slappart0 1"], ["slappart0 2"]])
        expect(client.journals.inputs[0]).toBe(sent[0])
        expect([reportsOf("slappart0"), (yield* agent.usage).possiblyDoubled]).toStrictEqual([[], []])
      }),
  )

  it.effect("and does not say so: the journal is marked as possibly doubled when it is taken", () =>
    Effect.gen(function* () {
      const { client, start } = yield* machine
      client.journals.reply = () => Effect.fail(unreachable)
      const first = yield* start("slappart0")
      expect((yield* first.run).pending).toMatchObject([{ state: "in flight" }])
      yield* first.kill
      client.journals.reply = () => Effect.void
      const second = yield* start("slappart0")
      yield* second.until(
        "the end",
        ({ pending, possiblyDoubled }) => pending.length === 0 && possiblyDoubled.length === 1,
      )
      expect(new Set(client.journals.inputs).size).toBe(1)
    }),
  )

  it.effect("because it refuses it: others are sent, and it is tried again with the next report", () =>
    Effect.gen(function* () {
      const { client, reportsOf, start } = yield* machine
      client.journals.reply = (journal) => (booked(journal)[0] === "slappart0 1" ? Effect.fail(refused) : Effect.void)
      const agent = yield* start("slappart0")
      yield* agent.run
      expect(yield* agent.run).toMatchObject({ sent: 1, pending: [{ error: "no such computer" }] })
      expect(reportsOf("slappart0")).toHaveLength(1)
      client.journals.reply = () => Effect.void
      expect(yield* agent.run).toMatchObject({ sent: 2, pending: [] })
      expect(reportsOf("slappart0")).toStrictEqual([])
    }),
  )

  it.effect("a client that fails ends nothing", () =>
    Effect.gen(function* () {
      const { client, start } = yield* machine
      client.journals.reply = () => Effect.die("a bug")
      const agent = yield* start("slappart0")
      expect((yield* agent.run).pending).toMatchObject([{ state: "in flight" }])
    }),
  )
})

describe("an agent that dies", () => {
  it.effect("while the master answers: the next one sends the same again", () =>
    Effect.gen(function* () {
      const { client, reportsOf, start } = yield* machine
      client.journals.reply = undefined
      const first = yield* start("slappart0")
      yield* Effect.forkChild(first.run)
      const call = yield* client.journals.next
      yield* first.kill
      const second = yield* start("slappart0")
      const again = yield* client.journals.next
      expect(again.input).toBe(call.input)
      yield* again.answer(Effect.void)
      yield* second.until(
        "the end",
        ({ pending, possiblyDoubled }) => pending.length === 0 && possiblyDoubled.length === 1,
      )
      expect(reportsOf("slappart0")).toStrictEqual([])
    }),
  )
})

describe("a partition that is to be removed", () => {
  it.effect("makes its last report once, which is sealed outside of it and sent", () =>
    Effect.gen(function* () {
      const { client, root, spawner, start } = yield* machine
      client.journals.reply = () => Effect.fail(busy)
      const agent = yield* start("slappart0")
      yield* agent.show("slappart0", "destroying")
      yield* agent.seal(slappart0)
      yield* agent.seal(slappart0)
      expect(spawner.runs.inputs).toHaveLength(1)
      fs.rmSync(`${root}/slappart0`, { recursive: true })
      client.journals.reply = () => Effect.void
      yield* TestClock.adjust("10 minutes")
      yield* agent.until("the end", ({ pending }) => pending.length === 0 && client.journals.inputs.length > 1)
      expect(booked(client.journals.inputs.at(-1)!)).toStrictEqual(["slappart0 1"])
    }),
  )

  it.effect("waits while its usage cannot be kept, and does not wait for what is no report", () =>
    Effect.gen(function* () {
      const { root, start } = yield* machine
      const agent = yield* start("slappart0")
      fs.mkdirSync(`${root}/slappart0/var/xml_report`, { recursive: true })
      fs.writeFileSync(`${root}/slappart0/var/xml_report/odd`, "<consumption/>")
      yield* agent.until("a plan", ({ nextReport }) => nextReport !== undefined)
      const ledger = `${root}/var/run/slapgrid/usage`
      fs.renameSync(ledger, `${ledger}.away`)
      const failed = yield* Effect.result(agent.seal(slappart0))
      expect(Result.isFailure(failed) && failed.failure.message).toContain("the usage of slappart0 cannot be kept")
      fs.renameSync(`${ledger}.away`, ledger)
      yield* agent.seal(slappart0)
    }),
  )

  it.effect("that is not there has nothing to report", () =>
    Effect.gen(function* () {
      const { start } = yield* machine
      yield* (yield* start()).seal(partitionId("slappart9"))
    }),
  )
})
