// The agent is killed at random moments of churn, again and again: partitions stop and start, programs crash, are killed
// and fill their logs. Every time its successor has to find things as they were: no healthy program was started again,
// none runs twice, every line of the table of services can be read, and in the end nothing is left.
// SLAPGRID_SEED repeats a run; `npm run soak` kills 40 times.
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync, statSync } from "node:fs"
import { processFacts } from "../../src/process/procfs.ts"
import {
  laidOutRelease,
  laidOutTimestamp,
  type LaidOutNode,
  makeLaidOutNode,
  put,
  shell,
  startsOf,
} from "../support/Layout.ts"
import { belongingTo, commandOf, isAlive } from "../support/processes.ts"
import type { TestPartition } from "../support/TestNode.ts"
import { eventually } from "../support/waiting.ts"

const kills = process.env["SLAPGRID_SOAK"] === "1" ? 40 : 10
const seed = Number(process.env["SLAPGRID_SEED"] ?? "20261124")

/** Mulberry32: small, and the same everywhere. */
const makeRandom = (from: number) => {
  let state = from
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

const steady = ["steady0", "steady1", "steady2", "steady3"]
const programs: Readonly<Record<string, string>> = {
  ...Object.fromEntries(steady.map((name) => [name, "while :; do sleep 1000; done"])),
  crasher: "sleep 0.4; exit 3",
  talker: "while :; do head -c 30000 /dev/zero | tr '\\0' 'x'; echo; sleep 0.05; done",
  deaf: "trap '' TERM; while :; do sleep 1; done",
}

/** What is known of a partition from what was done to it, not from what the agent says. */
interface Model {
  readonly partition: TestPartition
  requested: "started" | "stopped"
  /** Pids of steady programs that nothing has happened to. */
  pids: Map<string, number>
}

const tell = (node: LaidOutNode, models: ReadonlyArray<Model>) =>
  Effect.andThen(
    node.master.scripted.script({
      partitions: models.map(({ partition, requested }) => ({
        id: partition.id,
        software: laidOutRelease,
        timestamp: laidOutTimestamp,
        requested,
      })),
    }),
    node.ask,
  )

const leadersOf = ({ path }: TestPartition, name: string): ReadonlyArray<number> =>
  belongingTo({ path: `${path}/etc/service/${name}`, hasUid: () => false }).filter(
    (pid) => processFacts(pid)?.session === pid && commandOf(pid).endsWith(`/etc/service/${name}`),
  )

/** Waits until the machine is as the model says; notes the pids of the steady programs that are new. */
const settle = (node: LaidOutNode, models: ReadonlyArray<Model>) =>
  Effect.forEach(models, (model) =>
    eventually(
      `${model.partition.id} ${model.requested}`,
      Effect.map(node.status, ({ partitions }) => {
        const services = partitions.find(({ id }) => id === model.partition.id)?.services
        if (services === undefined) return undefined
        if (model.requested === "stopped") return services.length === 0 ? true : undefined
        return steady.every((name) =>
          services.some((one) => one.name === `${name}-on-watch` && one.state === "running"),
        )
          ? true
          : undefined
      }),
    ).pipe(
      Effect.andThen(
        eventually(
          `what ${model.partition.id} runs`,
          Effect.sync(() => {
            if (model.requested === "stopped") return true
            for (const name of steady) {
              const [pid] = leadersOf(model.partition, name)
              if (pid === undefined || startsOf(model.partition, name).at(-1) !== pid) return undefined
              if (!model.pids.has(name)) model.pids.set(name, pid)
            }
            return true
          }),
        ),
      ),
    ),
  )

/** Seen from outside, whatever moment it is. */
const check = (node: LaidOutNode, models: ReadonlyArray<Model>): void => {
  for (const { partition, pids } of models) {
    for (const [name, pid] of pids) {
      assert.isTrue(isAlive(pid), `${partition.id}:${name} lost its healthy process ${pid}`)
      assert.strictEqual(startsOf(partition, name).at(-1), pid, `${partition.id}:${name} was started again`)
    }
    for (const name of Object.keys(programs)) {
      const leaders = leadersOf(partition, name)
      assert.isAtMost(leaders.length, 1, `${partition.id}:${name} runs as ${leaders.join(" and ")}`)
    }
  }
  const table = readFileSync(`${node.instanceRoot}/var/run/slapgrid/services`, "utf8")
  for (const line of table.split("\n")) if (line !== "") JSON.parse(line)
}

it.live(
  `an agent that is killed ${kills} times restarts nothing that is healthy and leaves nothing (seed ${seed})`,
  () =>
    Effect.gen(function* () {
      const random = makeRandom(seed)
      const node = yield* makeLaidOutNode({
        partitions: 3,
        settings: { stop_timeout: "1", service_log_max_size: "64K" },
      })
      const models = node.partitions.map((partition): Model => {
        for (const [name, code] of Object.entries(programs)) {
          put(partition, `etc/service/${name}`, shell(partition, name, code))
        }
        return { partition, requested: "started", pids: new Map() }
      })
      let agent = yield* node.startAgent
      yield* settle(node, models)
      for (let round = 0; round < kills; round++) {
        const model = models[random(models.length)]!
        switch (random(4)) {
          case 0:
            model.requested = model.requested === "started" ? "stopped" : "started"
            model.pids.clear()
            yield* tell(node, models)
            break
          case 1: {
            const name = steady[random(steady.length)]!
            const pid = model.pids.get(name)
            model.pids.delete(name)
            if (pid !== undefined) process.kill(pid, "SIGKILL")
            break
          }
          case 2:
            yield* node.ask
            break
          default:
        }
        yield* Effect.sleep(random(1200))
        agent.signal("SIGKILL")
        yield* agent.exit
        check(node, models)
        yield* Effect.sleep(random(300))
        agent = yield* node.startAgent
        // Sometimes it is killed again before it has found everything.
        if (random(3) > 0) yield* settle(node, models)
        check(node, models)
      }
      yield* settle(node, models)
      check(node, models)
      for (const { partition, requested } of models) {
        if (requested === "started") {
          const log = `${partition.path}/.${partition.id}_talker.log`
          yield* eventually(
            "a bounded log",
            Effect.sync(() => (statSync(log).size <= 64 * 1024 ? true : undefined)),
          )
        }
      }
      agent.signal("SIGTERM")
      assert.deepStrictEqual(yield* agent.exit, { code: 0, signal: null })
      for (const { partition } of models) {
        assert.deepStrictEqual(
          belongingTo({ path: partition.path, hasUid: (uid) => uid === partition.uid && uid !== 0 }),
          [],
        )
      }
    }),
  600_000,
)
