// Every state of a partition and every way from one to the next, with a release as real ones are: as root with real
// partition users, and as one ordinary user.
// Which rule each shows: test/rules.test.ts.
import { assert, describe, layer } from "@effect/vitest"
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { isAlive, statusOf } from "../support/processes.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import type { EmbeddedMaster } from "../support/TestMaster.ts"
import type { Running, TestNode, TestPartition } from "../support/TestNode.ts"
import { makeTree, storageOf, treeRelease, volumeOf } from "../support/tree.ts"
import { awaitFile, eventually, textOf } from "../support/waiting.ts"

const services = ["web", "worker", "monitor"] as const

/** Pids of the services, which all run. */
const pidsOf = (node: TestNode, partition: TestPartition) =>
  eventually(
    `the services of ${partition.id}`,
    Effect.map(node.status, ({ partitions }) => {
      const running = partitions.find(({ id }) => id === partition.id)?.services ?? []
      const pids = services.map((name) => running.find((one) => one.name === `${name}-on-watch`)?.pid)
      return pids.every((pid) => pid !== undefined && isAlive(pid)) ? (pids as ReadonlyArray<number>) : undefined
    }),
  )

const statesOf = (node: TestNode, { id }: TestPartition) =>
  Effect.map(node.status, ({ partitions }) => partitions.find((one) => one.id === id))

const awaitState = (node: TestNode, partition: TestPartition, state: string) =>
  eventually(
    `${partition.id} ${state}`,
    Effect.map(statesOf(node, partition), (status) => (status?.state === state ? status : undefined)),
  )

/** Wants a tree and waits until it runs. */
const grow = Effect.fnUntraced(function* (
  node: TestNode<EmbeddedMaster>,
  title: string,
  parameters: Readonly<Record<string, string>> = {},
) {
  const after = yield* node.master.lastReport
  const partition = yield* node.request(title, { software: treeRelease(node), parameters })
  yield* node.master.awaitReport(partition.id, "started", { after })
  return partition
})

/** Wants it as it is, and waits for nothing. */
const find = (node: TestNode<EmbeddedMaster>, title: string, parameters: Readonly<Record<string, string>> = {}) =>
  node.request(title, { software: treeRelease(node), parameters })

/** The partition of the one requested by that instance. */
const leafOf = Effect.fnUntraced(function* (node: TestNode<EmbeddedMaster>, { id }: TestPartition) {
  const { connection } = yield* node.master.partition(id)
  const url = (connection as { readonly url: string }).url
  return node.partition(url.slice(url.lastIndexOf("/") + 1))
})

const uidOf = (pid: number): number => Number(statusOf(pid)?.["Uid"]?.split("\t")[1])

const isEmpty = ({ path }: TestPartition): boolean => readdirSync(path).length === 0

const states = (isOrdinary: boolean) => {
  class Tree extends Context.Service<Tree, Running<EmbeddedMaster>>()(`test/e2e/partitions/${isOrdinary}`) {
    static readonly layer = Layer.effect(Tree, makeTree({ partitions: 4, isOrdinary }))
  }
  layer(Tree.layer, { excludeTestServices: true, timeout: "2 minutes" })("a partition", (it) => {
    it.effect("an instance and the one that it requests run as their users, with all that belongs to them", () =>
      Effect.gen(function* () {
        const { node } = yield* Tree
        const root = yield* grow(node, "tree")
        yield* node.ask
        const leaf = yield* leafOf(node, root)
        assert.notStrictEqual(leaf.id, root.id)
        yield* node.master.awaitReport(leaf.id, "started")
        for (const partition of [root, leaf]) {
          const { path, uid } = partition
          for (const pid of yield* pidsOf(node, partition)) assert.strictEqual(uidOf(pid), uid)
          for (const file of ["etc/promise/listening", "etc/plugin/agrees.py", "etc/report/usage", "sbin/destroy"]) {
            assert.strictEqual(statSync(`${path}/${file}`).uid, uid, file)
          }
          assert.strictEqual(readFileSync(`${path}/etc/greeting`, "utf8"), "hello")
          yield* awaitFile(`${path}/setup.starts`, (text) => (text.endsWith("once\n") ? text : undefined))
          assert.strictEqual(lstatSync(`${path}/buildout.cfg`).mode & 0o777, 0o640)
          assert.strictEqual(readFileSync(`${storageOf(node, partition)}/data`, "utf8"), "kept on another volume")
        }
        const note = (partition: TestPartition) =>
          textOf(`${partition.path}/.slapos-request-transaction-${partition.id}`)
        assert.deepStrictEqual([note(root), note(leaf)], ["leaf of the tree\n", ""])
      }),
    )

    it.effect("another parameter restarts what depends on it alone, and runs the one-shot again", () =>
      Effect.gen(function* () {
        const { node } = yield* Tree
        const root = yield* find(node, "tree")
        const leaf = yield* leafOf(node, root)
        const [before, others] = [yield* pidsOf(node, root), yield* pidsOf(node, leaf)]
        const starts = (textOf(`${root.path}/setup.starts`) ?? "").length
        yield* grow(node, "tree", { greeting: "good evening" })
        const after = yield* pidsOf(node, root)
        assert.notStrictEqual(after[0], before[0])
        assert.deepStrictEqual(after.slice(1), before.slice(1))
        assert.deepStrictEqual(yield* pidsOf(node, leaf), others)
        yield* awaitFile(`${root.path}/setup.starts`, (text) => (text.length > starts ? text : undefined))
        assert.strictEqual(readFileSync(`${root.path}/etc/greeting`, "utf8"), "good evening")
      }),
    )

    it.effect("a parameter reaches the instance as it was written, whatever is in it", () =>
      Effect.gen(function* () {
        const { node } = yield* Tree
        const { path } = yield* find(node, "tree")
        const odd = `%(x)s %% \${x:y} \${buildout:directory} $$ ' " \\\\ <&>; # ünïcödé \u{1f41f}\n[buildout]\nparts =\n  two`
        for (const greeting of [odd, JSON.stringify({ nested: [{ deep: odd }] }), "x".repeat(1_000_000)]) {
          yield* grow(node, "tree", { greeting })
          assert.strictEqual(readFileSync(`${path}/etc/greeting`, "utf8"), greeting)
        }
      }),
    )

    it.effect("stopped, its child too, and started again with new processes", () =>
      Effect.gen(function* () {
        const { node } = yield* Tree
        const root = yield* grow(node, "tree")
        const leaf = yield* leafOf(node, root)
        const pids = [...(yield* pidsOf(node, root)), ...(yield* pidsOf(node, leaf))]
        const after = yield* node.master.lastReport
        yield* node.request("tree", { software: treeRelease(node), state: "stopped" })
        yield* node.master.awaitReport(root.id, "stopped", { after })
        // It requests its child anew, as it is itself.
        yield* node.ask
        yield* node.master.awaitReport(leaf.id, "stopped", { after })
        for (const pid of pids) assert.isFalse(isAlive(pid))
        assert.include(readFileSync(`${root.path}/buildout.cfg`, "utf8"), "requested-state = stopped")
        yield* grow(node, "tree")
        yield* node.ask
        yield* node.master.awaitReport(leaf.id, "started", { after })
        for (const pid of [...(yield* pidsOf(node, root)), ...(yield* pidsOf(node, leaf))]) {
          assert.notInclude(pids, pid)
        }
      }),
    )

    it.effect("destroyed: its scripts run and are waited for, then everything goes but the directories", () =>
      Effect.gen(function* () {
        const { node } = yield* Tree
        const root = yield* find(node, "tree")
        const leaf = yield* leafOf(node, root)
        const pids = [...(yield* pidsOf(node, root)), ...(yield* pidsOf(node, leaf))]
        writeFileSync(`${leaf.path}/hold`, "")
        const after = yield* node.master.lastReport
        yield* node.request("tree", { software: treeRelease(node), state: "destroyed" })
        // The master frees a root only when its children are gone.
        yield* node.master.awaitReport(root.id, "destroyed", { after })
        yield* node.ask
        const stopped = yield* node.master.awaitReport(leaf.id, "stopped", { after })
        for (const pid of pids.slice(3)) assert.isFalse(isAlive(pid))
        const waiting = yield* eventually(
          "removal that waits",
          Effect.map(statesOf(node, leaf), (status) => status?.waitingFor),
        )
        assert.strictEqual(waiting, "its removal waits for export-prerm")
        yield* awaitFile(`${leaf.path}/export.starts`, (text) => text || undefined)
        assert.isTrue(existsSync(`${storageOf(node, leaf)}/data`))
        rmSync(`${leaf.path}/hold`)
        yield* node.master.awaitReport(leaf.id, "destroyed", { after: stopped.seq })
        yield* node.ask
        yield* eventually(
          "the root's partition free for others",
          Effect.map(node.master.partition(root.id), (known) => (known["free"] === true ? true : undefined)),
        )
        for (const pid of pids) assert.isFalse(isAlive(pid))
        for (const partition of [root, leaf]) {
          assert.isTrue(isEmpty(partition), readdirSync(partition.path).join())
          assert.deepStrictEqual(readdirSync(storageOf(node, partition)), [])
          assert.strictEqual(statSync(partition.path).mode & 0o7777, 0o750)
          // After the script before it, and as the partition's user.
          assert.strictEqual(textOf(`${volumeOf(node)}/${partition.id}.ended`)?.trim(), String(partition.uid))
          assert.strictEqual(statSync(`${volumeOf(node)}/${partition.id}.exported`).uid, partition.uid)
        }
      }),
    )

    it.effect(
      "the next instance gets a free partition, and a wish that changes while it is installed is followed",
      () =>
        Effect.gen(function* () {
          const { node } = yield* Tree
          const marker = `${node.scratch.path}/storage/fast/blocked`
          rmSync(marker, { force: true })
          const after = yield* node.master.lastReport
          const parameters = { role: "leaf", block: marker }
          const partition = yield* node.request("changing", { software: treeRelease(node), parameters })
          yield* awaitState(node, partition, "installing")
          const pid = Number(yield* awaitFile(marker, (text) => text || undefined))
          assert.strictEqual(uidOf(pid), partition.uid)
          yield* node.request("changing", {
            software: treeRelease(node),
            parameters: { role: "leaf" },
            state: "stopped",
          })
          yield* node.master.awaitReport(partition.id, "stopped", { after })
          assert.isFalse(isAlive(pid), "the installation under way was ended")
          yield* grow(node, "changing", { role: "leaf" })
          yield* pidsOf(node, partition)
        }),
    )

    it.effect("a profile that fails is told once, keeps what runs running, and is good again when it is repaired", () =>
      Effect.gen(function* () {
        const { node } = yield* Tree
        const partition = yield* find(node, "changing", { role: "leaf" })
        const pids = yield* pidsOf(node, partition)
        const after = yield* node.master.lastReport
        const wanted = { software: treeRelease(node), parameters: { role: "leaf", fail: "out of order" } }
        yield* node.request("changing", wanted)
        const { message } = yield* node.master.awaitReport(partition.id, "error", { after })
        assert.match(message, /out of order\s*$/)
        assert.include(textOf(`${partition.path}/.slapgrid-${partition.id}-error.log`), "out of order")
        assert.deepStrictEqual(yield* pidsOf(node, partition), pids)
        yield* grow(node, "changing", { role: "leaf" })
        assert.isUndefined(textOf(`${partition.path}/.slapgrid-${partition.id}-error.log`))
        assert.deepStrictEqual(yield* pidsOf(node, partition), pids)
      }),
    )

    it.effect("what was stopped is destroyed", () =>
      Effect.gen(function* () {
        const { node } = yield* Tree
        const partition = yield* find(node, "changing", { role: "leaf" })
        const after = yield* node.master.lastReport
        yield* node.request("changing", {
          software: treeRelease(node),
          parameters: { role: "leaf" },
          state: "stopped",
        })
        yield* node.master.awaitReport(partition.id, "stopped", { after })
        yield* node.request("changing", { software: treeRelease(node), state: "destroyed" })
        yield* node.master.awaitReport(partition.id, "destroyed", { after })
        assert.isTrue(isEmpty(partition))
      }),
    )
  })
}

describe.skipIf(!runsRootTests)("as root with partition users", () => {
  states(false)
})
describe("as one ordinary user", () => {
  states(true)
})
