// 200 partitions of one node: what happens to one of them touches none of the others, neither their processes nor one of
// their files.
import { assert, layer } from "@effect/vitest"
import { lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { SlapValue } from "../../src/master/wire/marshal.ts"
import { prepareRelease, want } from "../support/prepared.ts"
import { isAlive } from "../support/processes.ts"
import { named } from "../support/ScriptedMaster.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type Running, type TestNode, type TestPartition } from "../support/TestNode.ts"
import { awaitFile, eventually, textOf } from "../support/waiting.ts"

const count = 200
const retained = "slappart10"

const web = (greeting: string): string => `#!/bin/sh\n# ${greeting}\nexec sleep infinity\n`

/** Each has one service and was processed for timestamp 1. */
const makeMany = Effect.gen(function* () {
  const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), {
    partitions: count,
    settings: { partition_timeout: "8" },
    // A user for all of them: there is not room for that many.
    identities: (scratch, many) =>
      Effect.succeed(Array.from({ length: many }, (_, index) => scratch.identity(Math.min(index, 1)))),
  })
  const software = prepareRelease(node)
  for (const partition of node.partitions) {
    want(node, partition, { "service/web": web("hello") })
    const filter = partition.id === retained ? { retention_delay: "1" } : {}
    yield* node.master.change(partition.id, { software, timestamp: "1", filter })
  }
  const agent = yield* node.startAgent
  yield* Effect.forEach(node.partitions, (partition) => awaitProcessed(partition, "1"))
  return { node, agent }
})

class Many extends Context.Service<Many, Running<ScriptedTestMaster>>()("test/e2e/many-partitions/Many") {
  static readonly layer = Layer.effect(Many, makeMany)
}

const awaitProcessed = ({ id, path }: TestPartition, timestamp: string) =>
  eventually(
    `${id} processed for ${timestamp}`,
    Effect.sync(() => (textOf(`${path}/.timestamp`) === timestamp ? true : undefined)),
  )

/** What lies in a partition and when it was touched last. */
const filesOf = ({ path }: TestPartition): ReadonlyArray<string> =>
  [".", ...readdirSync(path, { recursive: true, encoding: "utf8" })].map((entry) => {
    const { ctimeMs, ino, mtimeMs, size } = lstatSync(`${path}/${entry}`)
    return [entry, ino, size, mtimeMs, ctimeMs].join(" ")
  })

const pidsOf = (node: TestNode) =>
  Effect.map(
    node.status,
    ({ partitions }) =>
      new Map(partitions.map(({ id, services }) => [id as string, services.map(({ pid }) => pid)] as const)),
  )

/** How every partition but one is: its files and its processes. */
const othersThan = Effect.fnUntraced(function* (node: TestNode, id: string) {
  const pids = yield* pidsOf(node)
  return node.partitions
    .filter((one) => one.id !== id)
    .map((one) => ({ id: one.id, files: filesOf(one), pids: pids.get(one.id) }))
})

/** Does something to one partition; the others are what they were afterwards. */
const alone = Effect.fnUntraced(function* <A>(id: string, what: Effect.Effect<A>) {
  const { node } = yield* Many
  const before = yield* othersThan(node, id)
  const result = yield* what
  assert.deepStrictEqual(yield* othersThan(node, id), before)
  return result
})

const reportsSince = (node: TestNode<ScriptedTestMaster>, after: number) =>
  Effect.map(node.master.reports, (reports) =>
    reports.filter(({ seq }) => seq > after).map(({ name, state }) => `${name} ${state}`),
  )

/** Parameters as somebody could write them who wants to break what reads them. */
const malformed: Readonly<Record<string, SlapValue>> = {
  nested: new Map<SlapValue, SlapValue>([["list", [1n, 1.5, null, true, [[["deep"]]], new Map([["a", "b"]])]]]),
  _: JSON.stringify({ nested: { deep: ["\u2028", "\ud83d\udc1f"] } }),
  unicode: "ünïcödé \u{1f41f} \u202e\u0000\u007f".replace("\u0000", ""),
  large: "x".repeat(1_000_000),
  newlines: "one\n[buildout]\nparts = evil\n\r\n two\r",
  interpolation: "%(x)s %s %% ${x:y} ${buildout:directory} $$ $(id) `id`",
  quotes: `' " \\ ''' """ <&>;]]> --`,
  "${key:of}\n[x]": "%(computer_id)s",
}

layer(Many.layer, { excludeTestServices: true, timeout: "4 minutes" })("200 partitions", (it) => {
  it.effect("one whose parameter changes is processed alone, and no other is touched", () =>
    Effect.gen(function* () {
      const { node } = yield* Many
      const partition = node.partition("slappart100")
      const [pid] = (yield* pidsOf(node)).get(partition.id) ?? []
      const after = yield* node.master.lastReport
      yield* alone(
        partition.id,
        Effect.gen(function* () {
          want(node, partition, { "service/web": web("good evening") })
          yield* node.master.change(partition.id, { timestamp: "2", parameters: { greeting: "good evening" } })
          yield* node.ask
          yield* awaitProcessed(partition, "2")
        }),
      )
      assert.deepStrictEqual(yield* reportsSince(node, after), ["slappart100 started"])
      const [now] = (yield* pidsOf(node)).get(partition.id) ?? []
      assert.isFalse(isAlive(pid ?? 0))
      assert.isTrue(isAlive(now ?? 0))
    }),
  )

  it.effect("one whose installation hangs is ended with all that it started, told, and runs on", () =>
    Effect.gen(function* () {
      const { node } = yield* Many
      const partition = node.partition("slappart7")
      const pids = (yield* pidsOf(node)).get(partition.id)
      const before = "setsid sleep 1000 > /dev/null 2>&1 &\necho $! $$ > hanging\nsleep 1000\n"
      const { message } = yield* alone(
        partition.id,
        Effect.gen(function* () {
          want(node, partition, { "service/web": web("hello"), before })
          yield* node.master.change(partition.id, { timestamp: "2" })
          yield* node.ask
          const report = yield* node.master.awaitReport(partition.id, "error")
          // So that it is not tried again.
          want(node, partition, { "service/web": web("hello") })
          return report
        }),
      )
      assert.match(message, /bin\/buildout in .*slappart7: .*took longer than 8 s/)
      const hanging = (textOf(`${partition.path}/hanging`) ?? "").split(" ").map(Number)
      assert.lengthOf(hanging, 2)
      assert.deepStrictEqual(hanging.filter(isAlive), [])
      assert.deepStrictEqual((yield* pidsOf(node)).get(partition.id), pids)
      yield* awaitProcessed(partition, "2")
    }),
  )

  it.effect("one that is to be what nobody knows is told to the master, and stays as it is", () =>
    Effect.gen(function* () {
      const { node } = yield* Many
      const partition = node.partition("slappart8")
      const [files, pids] = [filesOf(partition), (yield* pidsOf(node)).get(partition.id)]
      yield* node.master.change(partition.id, { requested: "paused", timestamp: "2" })
      yield* node.ask
      const { message, seq } = yield* node.master.awaitReport(partition.id, "error")
      assert.isTrue(
        message.endsWith('its requested state is "paused", not one of started, stopped, destroyed'),
        message,
      )
      assert.include((yield* node.status).sync.error, "partition slappart8: its requested state is")
      yield* node.master.change(partition.id, { requested: "started", timestamp: "1" })
      yield* node.ask
      // Nothing is to be done, but what the master has heard last is no longer true.
      yield* node.master.awaitReport(partition.id, "started", { after: seq })
      assert.deepStrictEqual([filesOf(partition), (yield* pidsOf(node)).get(partition.id)], [files, pids])
    }),
  )

  it.effect("one whose parameters are malformed is processed, and they get nowhere on the node", () =>
    Effect.gen(function* () {
      const { node } = yield* Many
      const partition = node.partition("slappart9")
      const profile = readFileSync(`${partition.path}/buildout.cfg`, "utf8")
      yield* alone(
        partition.id,
        Effect.gen(function* () {
          yield* node.master.change(partition.id, { timestamp: "2", parameters: malformed })
          yield* node.ask
          yield* awaitProcessed(partition, "2")
        }),
      )
      assert.strictEqual(readFileSync(`${partition.path}/buildout.cfg`, "utf8"), profile)
      assert.isUndefined((yield* node.status).sync.error)
    }),
  )

  it.effect("one that its SLA retains is stopped, and not removed before its time", () =>
    Effect.gen(function* () {
      const { node } = yield* Many
      const partition = node.partition(retained)
      assert.strictEqual(textOf(`${partition.path}/.slapos-retention-lock-delay`), "1.0")
      const pids = (yield* pidsOf(node)).get(retained) ?? []
      yield* node.master.change(retained, { requested: "destroyed", timestamp: "2" })
      yield* node.ask
      yield* node.master.awaitReport(retained, "stopped")
      assert.deepStrictEqual(
        pids.filter((pid) => pid !== undefined && isAlive(pid)),
        [],
      )
      const dateFile = `${partition.path}/.slapos-retention-lock-date`
      const date = Number(yield* awaitFile(dateFile, (text) => text || undefined))
      assert.approximately(date, (yield* Clock.currentTimeMillis) / 1000 + 86_400, 600)
      yield* eventually(
        "the retention in the status",
        Effect.map(node.status, ({ partitions }) =>
          partitions.find(({ id, waitingFor }) => id === retained && waitingFor === "its retention delay is not over"),
        ),
      )
      assert.include(readdirSync(`${partition.path}/etc/service`), "web")
      writeFileSync(dateFile, "1.0")
      yield* node.ask
      yield* node.master.awaitReport(retained, "destroyed")
      assert.deepStrictEqual(readdirSync(partition.path), [])
    }),
  )

  it.effect("what one has requested is told to the master", () =>
    Effect.gen(function* () {
      const { node } = yield* Many
      const partition = node.partition("slappart11")
      const before = "printf 'first\\nsecond one\\n' > .slapos-request-transaction-slappart11\n"
      want(node, partition, { "service/web": web("hello"), before })
      yield* node.master.change(partition.id, { timestamp: "2" })
      yield* node.ask
      const { form } = yield* node.master.scripted.awaitCall(
        named("updateComputerPartitionRelatedInstanceList", { computer_partition_id: partition.id }),
      )
      assert.match(
        form["instance_reference_xml"] ?? "",
        /<list[^>]*>\s*<string>first<\/string>\s*<string>second one<\/string>\s*<\/list>/,
      )
      yield* awaitProcessed(partition, "2")
    }),
  )
})
