// What nodes and instances report, and what becomes of it.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { messageKept, reportsKept } from "../../../src/master/local/tables.ts"
import { attributesOf, formatted } from "./master.ts"

const busy = Effect.tap(formatted(["slappart0", "slappart1"]), (master) => master.request("a"))
const release = { computer_id: "COMP-1", url: "/sr.cfg" }
const supplied = Effect.tap(busy, (master) => master.post("supplySupply", { ...release, state: "available" }))

describe("reports about a release", () => {
  it.effect("are logged, and the newest is shown with the supply", () =>
    Effect.gen(function* () {
      const master = yield* supplied
      yield* master.post("buildingSoftwareRelease", release)
      yield* master.post("softwareReleaseError", { ...release, error_log: "no space" })
      const failed = (yield* master.status).computers[0]!.software[0]!
      assert.deepInclude(failed.lastReport, { state: "error", message: "no space" })
      yield* master.post("availableSoftwareRelease", release)
      const { computers, reports } = yield* master.status
      assert.deepInclude(computers[0]!.software[0]!.lastReport, { state: "available" })
      assert.deepStrictEqual(
        reports.map(({ subject, name, state }) => [subject, name, state]),
        [
          ["software", "/sr.cfg", "building"],
          ["software", "/sr.cfg", "error"],
          ["software", "/sr.cfg", "available"],
        ],
      )
    }),
  )

  it.effect("remove a supply that is wanted destroyed, and no other", () =>
    Effect.gen(function* () {
      const master = yield* supplied
      yield* master.post("destroyedSoftwareRelease", release)
      assert.strictEqual((yield* master.status).computers[0]!.software.length, 1)
      yield* master.post("supplySupply", { ...release, state: "destroyed" })
      assert.strictEqual((yield* master.post("destroyedSoftwareRelease", release)).body, "OK")
      assert.strictEqual((yield* master.status).computers[0]!.software.length, 0)
      assert.strictEqual((yield* master.post("destroyedSoftwareRelease", release)).status, 200)
      assert.strictEqual((yield* master.post("buildingSoftwareRelease", release)).status, 404)
    }),
  )

  it.effect("answer getSoftwareInstallationStatus", () =>
    Effect.gen(function* () {
      const master = yield* supplied
      assert.include((yield* master.get("getSoftwareInstallationStatus", release)).body, "no_data")
      yield* master.post("availableSoftwareRelease", release)
      assert.include((yield* master.get("getSoftwareInstallationStatus", release)).body, "#access available")
    }),
  )

  it.effect.each(["", "wanted", "started"])("a supply cannot be asked to be '%s'", (state) =>
    Effect.gen(function* () {
      const master = yield* busy
      assert.strictEqual((yield* master.post("supplySupply", { ...release, state })).status, 400)
    }),
  )
})

describe("reports about a partition", () => {
  it.effect("become the access status that the node reads back", () =>
    Effect.gen(function* () {
      const master = yield* busy
      const accessStatus = Effect.map(
        master.get("registerComputerPartition", {
          computer_reference: "COMP-1",
          computer_partition_reference: "slappart0",
        }),
        (answer) => attributesOf(answer).get("_access_status"),
      )
      assert.isUndefined(yield* accessStatus)
      yield* master.about("softwareInstanceError", "slappart0", { error_log: "promise 'x' failed" })
      assert.strictEqual(yield* accessStatus, "#error promise 'x' failed")
      assert.deepInclude((yield* master.partition("slappart0")).lastReport, { state: "error" })
      yield* master.about("startedComputerPartition", "slappart0")
      assert.strictEqual(yield* accessStatus, "#access instance started")
      yield* master.about("stoppedComputerPartition", "slappart0")
      const about = { computer_id: "COMP-1", computer_partition_id: "slappart0" }
      assert.include((yield* master.get("getComputerPartitionStatus", about)).body, "#access stopped")
    }),
  )

  it.effect("leave the access status alone when they are about a shared instance", () =>
    Effect.gen(function* () {
      const master = yield* busy
      yield* master.about("softwareInstanceError", "slappart0", { error_log: "bad", slave_reference: "_s" })
      const { accessStatus, lastReport } = yield* master.partition("slappart0")
      assert.isNull(accessStatus)
      assert.deepInclude(lastReport, { message: "shared instance _s: bad" })
    }),
  )

  it.effect("keep the end of a text that is too long, and the newest of too many", () =>
    Effect.gen(function* () {
      const master = yield* busy
      const error_log = `${"x".repeat(messageKept)}the cause`
      for (let sent = 0; sent < reportsKept + 5; sent += 1) {
        yield* master.about("softwareInstanceError", "slappart0", { error_log })
      }
      yield* master.about("startedComputerPartition", "slappart1")
      const { reports } = yield* master.status
      assert.strictEqual(reports.length, reportsKept + 1)
      assert.strictEqual(reports[0]!.seq, 6)
      assert.strictEqual(reports[0]!.message.length, messageKept)
      assert.isTrue(reports[0]!.message.endsWith("the cause"))
    }),
  )

  it.effect("free it when its instance is wanted destroyed, and not otherwise", () =>
    Effect.gen(function* () {
      const master = yield* busy
      yield* master.about("destroyedComputerPartition", "slappart0")
      assert.isFalse((yield* master.partition("slappart0")).free)
      yield* master.request("a", { state: "destroyed" })
      const before = yield* master.partition("slappart0")
      assert.strictEqual((yield* master.about("destroyedComputerPartition", "slappart0")).body, "OK")
      assert.isTrue((yield* master.partition("slappart0")).free)
      assert.strictEqual((yield* master.about("destroyedComputerPartition", "slappart0")).status, 200)
      yield* master.request("b")
      const after = yield* master.partition("slappart0")
      assert.deepInclude(after, { title: "b", accessStatus: null })
      assert.isAbove(Number(after.timestamp), Number(before.timestamp))
    }),
  )

  it.effect("free a root only when its children are gone", () =>
    Effect.gen(function* () {
      const master = yield* busy
      yield* master.request("child", { from: "slappart0" })
      yield* master.request("a", { state: "destroyed" })
      const answer = yield* master.about("destroyedComputerPartition", "slappart0")
      assert.strictEqual(answer.status, 200)
      assert.include(answer.body, "child")
      assert.isFalse((yield* master.partition("slappart0")).free)
      assert.strictEqual((yield* master.partition("slappart1")).requested, "destroyed")
      yield* master.about("destroyedComputerPartition", "slappart1")
      yield* master.about("destroyedComputerPartition", "slappart0")
      assert.deepStrictEqual(
        [(yield* master.partition("slappart0")).free, (yield* master.partition("slappart1")).free],
        [true, true],
      )
    }),
  )

  it.effect("take the tree's shared instances from their hosts when the root is freed", () =>
    Effect.gen(function* () {
      const master = yield* busy
      yield* master.request("client", { software: "/client.cfg" })
      yield* master.request("s", { shared: true, from: "slappart1" })
      yield* master.request("client", { software: "/client.cfg", state: "destroyed" })
      yield* master.about("destroyedComputerPartition", "slappart1")
      assert.deepInclude(yield* master.partition("slappart0"), { shared: [] })
    }),
  )
})

describe("bangs", () => {
  it.effect("of an instance move the timestamps of its tree and of no other", () =>
    Effect.gen(function* () {
      const master = yield* formatted(["slappart0", "slappart1", "slappart2"])
      yield* master.request("root")
      yield* master.request("child", { from: "slappart0" })
      yield* master.request("other")
      const timestamps = Effect.map(master.status, ({ computers }) => computers[0]!.partitions.map((p) => p.timestamp))
      const before = yield* timestamps
      yield* master.about("softwareInstanceBang", "slappart1", { message: "m" })
      const after = yield* timestamps
      assert.deepStrictEqual(
        after.map((timestamp, index) => timestamp !== before[index]),
        [true, true, false],
      )
      assert.deepInclude((yield* master.status).reports.at(-1), { name: "slappart1", state: "bang", message: "m" })
    }),
  )

  it.effect("of a computer move those of all its instances", () =>
    Effect.gen(function* () {
      const master = yield* busy
      const before = yield* master.partition("slappart0")
      assert.strictEqual(
        (yield* master.post("computerBang", { computer_id: "COMP-1", message: "m" })).body,
        "<marshal><string></string></marshal>",
      )
      assert.notStrictEqual((yield* master.partition("slappart0")).timestamp, before.timestamp)
      assert.isNull((yield* master.partition("slappart1")).timestamp)
    }),
  )
})

describe("other calls", () => {
  it.effect.each([
    ["GET", "/getHateoasUrl", 404],
    ["GET", "/supplySupply", 405],
    ["POST", "/getFullComputerInformation", 405],
    ["PUT", "/status.json", 405],
    ["GET", "/constructor", 404],
    ["GET", "/", 200],
  ] as const)("%s %s is answered with %d", ([method, path, status]) =>
    Effect.gen(function* () {
      const master = yield* busy
      assert.strictEqual((yield* master.call(method, path, {})).status, status)
    }),
  )

  it.effect("updateComputerPartitionRelatedInstanceList takes a list and removes nothing", () =>
    Effect.gen(function* () {
      const master = yield* busy
      const instance_reference_xml = '<marshal><list id="i2"/></marshal>'
      const answer = yield* master.about("updateComputerPartitionRelatedInstanceList", "slappart0", {
        instance_reference_xml,
      })
      assert.strictEqual(answer.body, "OK")
      const damaged = { instance_reference_xml: "<marshal>" }
      const refused = yield* master.about("updateComputerPartitionRelatedInstanceList", "slappart0", damaged)
      assert.strictEqual(refused.status, 400)
    }),
  )
})
