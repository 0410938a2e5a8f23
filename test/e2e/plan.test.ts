// What would be done, told without doing it: by the running agent, and from the disk when there is none.
//
// | partitions                                                               | test                             |
// | ------------------------------------------------------------------------ | -------------------------------- |
// | plan: what the next sync would do to releases, partitions, services, why | without an agent, then with one  |
// | … without doing it                                                       | nothing changes on the machine   |
// | explain: state, last processing, retries, services, logs                 | a failing partition is explained |
import { assert, it } from "@effect/vitest"
import { existsSync, statSync } from "node:fs"
import * as Effect from "effect/Effect"
import type { NodePlan } from "../../src/domain/Plan.ts"
import {
  laidOutRelease,
  laidOutTimestamp,
  type LaidOutNode,
  makeLaidOutNode,
  put,
  shell,
  startsOf,
} from "../support/Layout.ts"
import { named } from "../support/ScriptedMaster.ts"
import { runToEnd } from "../support/Program.ts"
import { eventually } from "../support/waiting.ts"

const run = (node: LaidOutNode, ...words: ReadonlyArray<string>) =>
  runToEnd([...node.slapgrid, ...words, "--configuration-file", node.configFile])

const planOf = (node: LaidOutNode) =>
  Effect.map(run(node, "plan", "--json"), ({ stdout }) => JSON.parse(stdout) as NodePlan)

const summary = ({ partitions, software }: NodePlan) => [
  ...software.map(({ action, url }) => `${url} ${action}`),
  ...partitions.map(({ action, id }) => `${id} ${action}`),
]

it.live("a plan without an agent, then with one, and a partition explained", () =>
  Effect.gen(function* () {
    const node = yield* makeLaidOutNode({ partitions: 4 })
    const [web] = node.partitions
    put(web!, "etc/service/web", shell(web!, "web", "exec sleep infinity"))
    put(web!, "etc/run/odd-on-watch", shell(web!, "odd", "exec sleep infinity"))
    const release = "file:///none/other.cfg"
    yield* node.master.supply(release)
    for (const { id } of node.partitions.slice(0, 2)) {
      yield* node.master.change(id, { software: laidOutRelease, timestamp: laidOutTimestamp })
    }
    yield* node.master.change("slappart2", { software: release, timestamp: "1" })
    const alone = yield* planOf(node)
    assert.isFalse(alone.isSupervised)
    assert.deepStrictEqual(summary(alone), [
      `${release} build`,
      "slappart0 start",
      "slappart1 start",
      "slappart2 start",
      "slappart3 clean",
    ])
    const programs = [
      { name: "odd-on-watch", log: ".slappart0_odd-on-watch.log" },
      { name: "web-on-watch", log: ".slappart0_web.log" },
    ]
    assert.deepStrictEqual(
      alone.partitions[0]?.services,
      programs.map((one) => ({ ...one, action: "start", reason: "its partition is to run" })),
    )
    assert.isFalse(existsSync(`${node.instanceRoot}/var`), "nothing changes on the machine")

    const agent = yield* node.startAgent
    yield* eventually(
      "the start of web",
      Effect.sync(() => startsOf(web!, "web")[0]),
    )
    yield* eventually(
      "the node at rest",
      Effect.map(node.status, ({ partitions, software }) =>
        partitions.length === 4 && partitions[2]?.waitingFor !== undefined && software[0]?.state === "failed"
          ? true
          : undefined,
      ),
    )
    yield* node.master.change("slappart1", { timestamp: "1700000001" })
    const before = statSync(`${node.partition("slappart1").path}/.timestamp`).mtimeMs
    const { now } = agent
    const plan = yield* planOf(node)
    assert.isTrue(plan.isSupervised)
    assert.deepStrictEqual(summary(plan), [
      `${release} build`,
      "slappart0 none",
      "slappart1 process",
      "slappart2 wait",
      "slappart3 none",
    ])
    assert.include(plan.partitions[1]?.reason, "its timestamp is 1700000001, last processed was 1700000000")
    assert.include(plan.partitions[2]?.reason, `waits for its software release ${release}`)
    assert.deepStrictEqual(
      plan.partitions[0]?.services,
      programs.map((one) => ({ ...one, action: "keep", reason: "it runs" })),
    )
    assert.strictEqual(statSync(`${node.partition("slappart1").path}/.timestamp`).mtimeMs, before)
    assert.deepStrictEqual(
      agent.lines.filter(({ index, message }) => index > now && message.startsWith("processing")),
      [],
    )
    const { stdout } = yield* run(node, "plan")
    assert.match(stdout, /^slappart1 +started +process +its timestamp is /m)
    assert.match(stdout, /^slappart0:web-on-watch +keep +it runs$/m)

    yield* node.ask
    yield* node.master.scripted.awaitCall(named("softwareInstanceError", { computer_partition_id: "slappart1" }))
    const explained = yield* run(node, "explain", "slappart1")
    assert.match(explained.stdout, /^slappart1$/m)
    assert.match(explained.stdout, /^failed tries: +1$/m)
    assert.match(explained.stdout, /^next: +wait: it failed and is tried again \(in \d+ s/m)
    assert.include(explained.stdout, `${node.partition("slappart1").path}/.slapgrid-slappart1-error.log`)
    const running = yield* run(node, "explain", "slappart0")
    assert.match(running.stdout, /last processing: +\S+ UTC \(.* ago\), for timestamp 1700000000$/m)
    assert.match(running.stdout, /web-on-watch: running as pid \d+ for .*; keep: it runs$/m)
    for (const { log } of programs) assert.include(running.stdout, `    ${web!.path}/${log}\n`)
    const unknown = yield* run(node, "explain", "slappart9")
    assert.strictEqual(unknown.ended.code, 1)
    assert.include(unknown.log, "the master names no partition slappart9; it names: slappart0, slappart1")
  }),
)
