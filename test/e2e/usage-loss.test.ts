// Kills the agent again and again in the middle of its usage cycle, and holds what a counting master has in its books
// against what the report scripts wrote.
//
// | what holds in the end                                             | seen by                                      |
// | ------------------------------------------------------------------ | -------------------------------------------- |
// | nothing is lost, also of partitions that are gone                 | movements, each by its name                  |
// | what is sent again is the same, byte for byte                     | no movement is in two different journals     |
// | totals are equal, once equal journals are counted once            | sums of quantities                           |
// | … as they are, but for the journals named as possibly doubled     | the master's books, the log and the status   |
// | nothing is left                                                   | both folders of reports, the ledger          |
import { createHash } from "node:crypto"
import { existsSync, readdirSync, rmSync, watch } from "node:fs"
import { assert, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Effect from "effect/Effect"
import { seedFor, soaks } from "../support/fuzz.ts"
import { layOut, prepareRelease } from "../support/prepared.ts"
import type { Program } from "../support/Program.ts"
import { named } from "../support/ScriptedMaster.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode } from "../support/TestNode.ts"
import {
  behaviours,
  countedIn,
  layOutUsage,
  leave,
  leftReports,
  type Movement,
  movementsOf,
  type Round,
  sorted,
  usageRounds,
  writtenBy,
} from "../support/usage.ts"
import { eventually } from "../support/waiting.ts"

const kills = soaks ? 400 : 40
const lasting = 2
/** Partitions that are destroyed while all this goes on, one after the other. */
const leaving = 4

type Node = TestNode<ScriptedTestMaster>

const ledgerOf = ({ instanceRoot }: Node): string => `${instanceRoot}/var/run/slapgrid/usage`

/** The first agent makes it shortly after it is up. */
const ledgerMade = (node: Node): Effect.Effect<true> =>
  eventually(
    "the ledger",
    Effect.sync(() => (existsSync(ledgerOf(node)) ? true : undefined)),
  )

/** Waits until a file with such a name comes or goes. */
const change = (folder: string, suffix: string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const watcher = watch(folder, (_, name) => {
      if (name?.endsWith(suffix) === true && !name.startsWith(".")) resume(Effect.void)
    })
    return Effect.sync(() => watcher.close())
  })

/** Some moments never come with some masters: then any other is as good. */
const momentOf = (node: Node, { longPause, moment, pause }: Round): Effect.Effect<void> =>
  Effect.gen(function* () {
    if (moment === "Start") return yield* Effect.sleep(longPause)
    const { index } = (yield* node.master.scripted.calls).at(-1) ?? { index: -1 }
    const event =
      moment === "Call"
        ? node.master.scripted.awaitCall(named("useComputer"), { after: index })
        : moment === "Report"
          ? change(`${node.partition("slappart0").path}/var/xml_report`, "")
          : Effect.andThen(ledgerMade(node), change(ledgerOf(node), moment))
    yield* Effect.timeoutOrElse(Effect.asVoid(event), { duration: 1500, orElse: () => Effect.void })
    yield* Effect.sleep(pause)
  })

const live = (node: Node, round: Round): Effect.Effect<Program> =>
  Effect.gen(function* () {
    const fault = behaviours[round.master]
    if (fault !== undefined) yield* node.master.scripted.inject("useComputer", fault)
    const agent = yield* node.startAgent
    yield* momentOf(node, round)
    agent.signal("SIGKILL")
    yield* agent.exit
    yield* node.master.scripted.clearFaults
    return agent
  }).pipe(Effect.scoped)

const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex")

/** Hashes of the journals that an agent said may have been counted twice. */
const toldOf = ({ lines }: Program): ReadonlyArray<string> =>
  lines.flatMap(
    ({ message }) => /may have counted journal .* twice \(SHA-256 ([0-9a-f]{64})\)/.exec(message)?.[1] ?? [],
  )

const checkLog = ({ lines }: Program): void => {
  const told = lines.filter(({ level, message }) => level === "error" || /damaged|no usage reports/.test(message))
  assert.deepStrictEqual(told, [])
}

const sum = (movements: ReadonlyArray<Movement>): number => movements.reduce((all, { quantity }) => all + quantity, 0)

const checkBooks = (counted: ReadonlyArray<string>, written: ReadonlyArray<Movement>, told: ReadonlySet<string>) => {
  const journals = [...new Set(counted)]
  const once = journals.flatMap(movementsOf)
  assert.deepStrictEqual(sorted(once), sorted(written))
  assert.strictEqual(sum(once), sum(written))
  const timesOf = (journal: string) => counted.filter((one) => one === journal).length
  for (const journal of journals) {
    if (!told.has(hashOf(journal))) assert.strictEqual(timesOf(journal), 1, `counted twice, and not told: ${journal}`)
  }
  // Else nothing of the sort was tried.
  assert.isAbove(journals.filter((journal) => timesOf(journal) > 1).length, 0)
  assert.isAbove(journals.filter((journal) => timesOf(journal) === 1).length, kills / 4)
}

it.live(
  `no usage is lost or doubled when the agent is killed ${kills} times`,
  () =>
    Effect.gen(function* () {
      const settings = { report_interval: "1", stop_timeout: "5" }
      const partitions = lasting + leaving
      const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions, settings })
      const software = prepareRelease(node)
      for (const partition of node.partitions) {
        layOut(partition, {}, "1")
        layOutUsage(node, partition)
        yield* node.master.change(partition.id, { software, timestamp: "1" })
      }
      const told = new Set<string>()
      const written: Array<Movement> = []
      const look = (agent: Program) => {
        checkLog(agent)
        for (const hash of toldOf(agent)) told.add(hash)
      }
      const rounds = fc.sample(usageRounds(lasting), { seed: seedFor(76), numRuns: kills })
      for (const [index, round] of rounds.entries()) {
        written.push(...round.leavings.flatMap((leaving, at) => leave(node, leaving, index * 10 + at)))
        const gone = Math.floor((index * (leaving + 1)) / kills)
        if (gone > 0) yield* node.master.change(`slappart${lasting + gone - 1}`, { requested: "destroyed" })
        look(yield* live(node, round))
      }

      for (const { path } of node.partitions) rmSync(`${path}/etc/report/usage`, { force: true })
      const last = yield* node.startAgent
      const usage = yield* eventually(
        "the end of all that was to be sent",
        Effect.map(node.status, ({ partitions, usage }) =>
          usage.pending.length === 0 &&
          leftReports(node).length === 0 &&
          partitions.filter(({ state }) => state === "destroyed" || state === "free").length === leaving
            ? usage
            : undefined,
        ),
      )
      last.signal("SIGTERM")
      assert.deepStrictEqual(yield* last.exit, { code: 0, signal: null })
      look(last)
      written.push(...node.partitions.flatMap((partition) => writtenBy(node, partition)))
      checkBooks(countedIn(yield* node.master.scripted.calls), written, told)
      const shown = new Set(usage.possiblyDoubled.map(({ hash }) => hash))
      for (const hash of shown) assert.isTrue(told.has(hash))
      assert.strictEqual(shown.size, Math.min(told.size, 20))
      assert.deepStrictEqual(readdirSync(ledgerOf(node)), ["book.json"])
    }),
  // A round takes about a second.
  { timeout: 60_000 + kills * 3000 },
)
