// Races of 5 s between the owner of a directory and the agent, each first lost by a careless agent; and, beside them,
// clients of the control socket that send nothing, too much, or do not read.
//
// | SECURITY.md, what is promised               | tests                                        |
// | ------------------------------------------- | -------------------------------------------- |
// | nothing is used that is swapped meanwhile   | exchanging …, a partition that exchanges …   |
// | removal stays inside and ends               | … while it is removed                        |
// | the control socket is bounded               | a client that …                              |
import { assert, describe, layer } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, symlinkSync, lchownSync } from "node:fs"
import { makeRelease, type Node, type Outcome, put, table } from "../support/attacks/machine.ts"
import { type Client, clients, makeCarelessServer } from "../support/attacks/clients.ts"
import { type Arena, type Race, races, swapper, swapping } from "../support/attacks/races.ts"
import { makeDirectory, type Victim } from "../support/attacks/victims.ts"
import type { Program } from "../support/Program.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import { makeScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestPartition } from "../support/TestNode.ts"
import { inTime } from "../support/waiting.ts"

const duration = "5 seconds"

interface Raced {
  readonly race: Race
  readonly careless: string | undefined
  readonly tries: number
  readonly harm: string | undefined
}

interface PartitionRace {
  readonly partition: TestPartition
  readonly victim: Victim
}

interface Results {
  readonly node: Node
  readonly agent: Program
  readonly raced: ReadonlyArray<Raced>
  readonly partitions: ReadonlyArray<PartitionRace>
  readonly processings: number
  /** Bytes of memory that the agent had more when clients had done their worst. */
  readonly growth: number
  /** By client, what the careless server did when ours had cut it off. */
  readonly answered: ReadonlyMap<Client, string>
}

class Raceway extends Context.Service<Raceway, Results>()("test/e2e/attacks-races/Raceway") {}

/** What each partition's own service exchanges: pairs of names, and which of them are links to the victim. */
const partitionRaces = [
  { name: "the folder of its log", pairs: [[".slapgrid", ".evil"]] },
  {
    name: "its profile and its timestamp",
    pairs: [
      ["buildout.cfg", ".evil"],
      [".timestamp", ".evil-too"],
    ],
  },
  {
    name: "its program's folder and log",
    pairs: [
      ["etc", ".evil"],
      [".%_other.log", ".evil-too"],
    ],
  },
] as const

const makeArena = (node: Node, name: string, owner: { readonly uid: number; readonly gid: number }): Arena => {
  const above = `${node.scratch.path}/${name}`
  const root = `${above}/slappart0`
  mkdirSync(root, { recursive: true })
  chownSync(root, owner.uid, owner.gid)
  chmodSync(root, 0o750)
  return { root, owner: { uid: owner.uid, gid: owner.gid }, victim: makeDirectory(`${above}/victim`, "file") }
}

/** Tries until there is harm or `limit` seconds are over; gives what harm was done and how often it was tried. */
const tryOn = Effect.fnUntraced(function* (arena: Arena, attempt: Effect.Effect<string | void>, limit: number) {
  const end = (yield* Clock.currentTimeMillis) + limit * 1000
  let tries = 0
  let harm: string | undefined
  while (harm === undefined && (yield* Clock.currentTimeMillis) < end) {
    const told = yield* attempt
    tries++
    // Looking costs more than trying.
    if (typeof told === "string" || tries % 50 === 0) harm = arena.victim.harm(told ?? "")
    yield* Effect.yieldNow
  }
  return { tries, harm: harm ?? arena.victim.harm() }
})

const loseCarelessly = Effect.fnUntraced(function* (node: Node, race: Race, index: number) {
  const arena = makeArena(node, `careless-${index}`, node.partitions[0]!)
  race.plant(arena)
  yield* swapping(arena.root, arena.owner, [race.swaps])
  const attempt = Effect.sync(() => {
    try {
      return race.control(arena)
    } catch {
      return undefined
    }
  })
  return (yield* tryOn(arena, attempt, 10)).harm
}, Effect.scoped)

const runRace = Effect.fnUntraced(function* (node: Node, race: Race, index: number) {
  const arena = makeArena(node, `race-${index}`, node.partitions[0]!)
  race.plant(arena)
  yield* swapping(arena.root, arena.owner, [race.swaps])
  return yield* tryOn(
    arena,
    Effect.orElseSucceed(race.attempt(arena), () => undefined),
    Number.parseInt(duration),
  )
}, Effect.scoped)

/** Has the agent process every partition again and again. */
const processOn = Effect.fnUntraced(function* (node: Node) {
  const end = (yield* Clock.currentTimeMillis) + Number.parseInt(duration) * 1000
  let count = 0
  while ((yield* Clock.currentTimeMillis) < end) {
    const after = yield* node.master.lastReport
    count++
    yield* Effect.forEach(node.partitions, ({ id }) => node.master.change(id, { timestamp: String(2000 + count) }))
    yield* node.ask
    yield* Effect.forEach(node.partitions, ({ id }) =>
      Effect.raceFirst(
        node.master.awaitReport(id, "started", { after }),
        node.master.awaitReport(id, "error", { after }),
      ),
    )
  }
  return count
})

const residentOf = (pid: number): number =>
  Number(/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024

/** Which of the two servers still has the client when the agent's has none of it any more. */
const hold = Effect.fnUntraced(function* (client: Client, careless: string, slapgrid: string) {
  const [theirs, ours] = [yield* client.hold(careless), yield* client.hold(slapgrid)]
  yield* ours.end.pipe(inTime(`the end of a client that ${client.name}`))
  return [client, theirs.isOpen() ? "let in" : "cut off"] as const
}, Effect.scoped)

const makeRaceway = Effect.gen(function* () {
  const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), {
    partitions: partitionRaces.length,
    settings: { stop_timeout: "2" },
  })
  const software = makeRelease(node)
  const partitions = node.partitions.map((partition, index): PartitionRace => {
    const victim = makeDirectory(`${node.scratch.path}/victim-${index}`, "file")
    const pairs = partitionRaces[index]!.pairs.map(([good, evil]) => [good.replace("%", partition.id), evil] as const)
    for (const [good, evil] of pairs) {
      const target =
        good.includes(".log") || good === "buildout.cfg" || good === ".timestamp" ? `${victim.path}/file` : victim.path
      symlinkSync(target, `${partition.path}/${evil}`)
      lchownSync(`${partition.path}/${evil}`, partition.uid, partition.gid)
    }
    put(partition, "etc/service/swapper", swapper(pairs))
    put(partition, "etc/service/other", "#!/bin/sh\nsleep 0.2\n")
    return { partition, victim }
  })
  const careless = yield* Effect.forEach(races, (race, index) => loseCarelessly(node, race, index), { concurrency: 3 })
  yield* Effect.forEach(node.partitions, ({ id }) => node.master.change(id, { software, timestamp: "1000" }))
  const agent = yield* node.startAgent
  yield* Effect.forEach(node.partitions, ({ id }) => node.master.awaitReport(id, "started"))
  const server = yield* makeCarelessServer(`${node.scratch.path}/careless.sock`)
  const socket = `${node.instanceRoot}/var/run/slapgrid/control.sock`
  const before = residentOf(agent.pid)
  const { answers, processings, run } = yield* Effect.all(
    {
      // Others are answered all the while.
      served: Effect.forEach(Array.from({ length: 20 }), () => node.status),
      run: Effect.forEach(races, (race, index) => runRace(node, race, index), { concurrency: "unbounded" }),
      processings: processOn(node),
      answers: Effect.forEach(clients, (client) => hold(client, server, socket), { concurrency: "unbounded" }),
    },
    { concurrency: "unbounded" },
  ).pipe(inTime("the races", 60))
  const raced = races.map((race, index): Raced => ({
    race,
    careless: careless[index],
    tries: run[index]!.tries,
    harm: run[index]!.harm,
  }))
  const growth = residentOf(agent.pid) - before
  return Raceway.of({ node, agent, raced, partitions, processings, growth, answered: new Map(answers) })
})

const outcomes: Array<Outcome> = []

describe.runIf(runsRootTests)("attacks in races", () => {
  layer(Layer.effect(Raceway, makeRaceway), { excludeTestServices: true, timeout: "2 minutes" })((it) => {
    it.effect.each(races)("exchanging $name all the time", ({ name }) =>
      Effect.gen(function* () {
        const { raced } = yield* Raceway
        const { careless, harm, tries } = raced.find(({ race }) => race.name === name)!
        outcomes.push({
          attack: `exchanging ${name}`,
          careless: careless ?? "unharmed",
          slapgrid: harm ?? `nothing, in ${tries} tries`,
        })
        assert.isDefined(careless, "the careless agent was not harmed")
        assert.isUndefined(harm)
        assert.isAbove(tries, 0)
      }),
    )

    it.effect.each(partitionRaces.map(({ name }, index) => ({ name, index })))(
      "a partition that exchanges $name while it is processed",
      ({ index, name }) =>
        Effect.gen(function* () {
          const { partitions, processings } = yield* Raceway
          const harm = partitions[index]!.victim.harm()
          outcomes.push({
            attack: `a partition exchanges ${name}`,
            careless: "as above",
            slapgrid: harm ?? `nothing, in ${processings} processings`,
          })
          assert.isUndefined(harm)
          assert.isAbove(processings, 0)
        }),
    )

    it.effect.each(clients)("a client that $name", (client) =>
      Effect.gen(function* () {
        const { answered } = yield* Raceway
        outcomes.push({ attack: `a client ${client.name}`, careless: answered.get(client) ?? "", slapgrid: "cut off" })
        assert.strictEqual(answered.get(client), "let in")
      }),
    )

    it.effect("clients that do not end cost no memory that grows", () =>
      Effect.gen(function* () {
        const { growth } = yield* Raceway
        assert.isBelow(growth, 50 * 1024 * 1024)
      }),
    )

    it.effect("is removed while its user goes on exchanging, and nothing else is", () =>
      Effect.gen(function* () {
        const { agent, node, partitions } = yield* Raceway
        const after = yield* node.master.lastReport
        const doomed = partitions.map(({ partition }) => partition)
        yield* Effect.forEach(doomed, (partition) =>
          swapping(partition.path, partition, [
            ["etc", ".evil"],
            ["var", ".slapgrid"],
          ]),
        )
        yield* Effect.forEach(doomed, ({ id }) => node.master.change(id, { requested: "destroyed", timestamp: "9000" }))
        yield* node.ask
        yield* Effect.forEach(doomed, ({ id }) => node.master.awaitReport(id, "destroyed", { after }))
        for (const { partition, victim } of partitions) {
          assert.deepStrictEqual(readdirSync(partition.path), [])
          assert.isUndefined(victim.harm())
        }
        assert.isFalse(agent.hasEnded)
        yield* node.status
        process.stdout.write(`\n${table(outcomes)}\n\n`)
      }).pipe(Effect.scoped),
    )
  })
})
