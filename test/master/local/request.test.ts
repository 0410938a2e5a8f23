// Requests of users and of instances: who gets which partition, and when the timestamp moves.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { SlapValue } from "../../../src/master/wire/marshal.ts"
import { encodeMarshal } from "../../../src/master/wire/marshal.ts"
import type { Wanted } from "./master.ts"
import { attributesOf, formatted, formatXml, makeMaster, requestForm } from "./master.ts"

const two = formatted(["slappart0", "slappart1"])
const three = formatted(["slappart0", "slappart1", "slappart2"])

const parametersOf = (attributes: ReadonlyMap<string, SlapValue>): ReadonlyMap<SlapValue, SlapValue> => {
  const parameters = attributes.get("_parameter_dict")
  if (!(parameters instanceof Map)) throw new Error("no parameters")
  return parameters
}

describe("a request for an instance", () => {
  it.effect("gets the first free partition, and the same one when it is repeated", () =>
    Effect.gen(function* () {
      const master = yield* two
      const first = attributesOf(yield* master.request("a"))
      const again = attributesOf(yield* master.request("a"))
      const other = attributesOf(yield* master.request("b"))
      assert.strictEqual(first.get("slap_computer_partition_id"), "slappart0")
      assert.deepStrictEqual(again, first)
      assert.strictEqual(other.get("slap_computer_partition_id"), "slappart1")
    }),
  )

  it.effect("is refused with 404 when no partition is free", () =>
    Effect.gen(function* () {
      const master = yield* formatted(["slappart0"])
      yield* master.request("a")
      const refused = yield* master.request("b")
      assert.strictEqual(refused.status, 404)
      assert.include(refused.body, "no free partition on computer COMP-1 for instance b")
    }),
  )

  it.effect("goes to the computer that the filter names", () =>
    Effect.gen(function* () {
      const master = yield* two
      yield* master.post("loadComputerConfigurationFromXML", { xml: formatXml(["p"], { computer: "COMP-2" }) })
      const answer = attributesOf(yield* master.request("a", { filter: { computer_guid: "COMP-2" } }))
      assert.strictEqual(answer.get("slap_computer_id"), "COMP-2")
    }),
  )

  const changes: ReadonlyArray<[name: string, wanted: Wanted, moves: boolean]> = [
    ["nothing", {}, false],
    ["the state", { state: "stopped" }, true],
    ["no state at all", { state: null }, false],
    ["the release", { software: "/other.cfg" }, true],
    ["the type", { type: "other" }, true],
    ["a parameter", { parameters: { k: "w" } }, true],
    ["only the filter", { filter: { retention_delay: "3" } }, false],
  ]
  it.effect.each(changes)("that changes %s", ([, wanted, moves]) =>
    Effect.gen(function* () {
      const master = yield* two
      yield* master.request("a", { parameters: { k: "v" } })
      const before = yield* master.partition("slappart0")
      yield* master.request("a", { parameters: { k: "v" }, ...wanted })
      const after = yield* master.partition("slappart0")
      assert.strictEqual(after.timestamp !== before.timestamp, moves)
    }),
  )

  it.effect("keeps the filter for the node", () =>
    Effect.gen(function* () {
      const master = yield* two
      yield* master.request("a", { filter: { retention_delay: 3n } })
      const answer = yield* master.get("registerComputerPartition", {
        computer_reference: "COMP-1",
        computer_partition_reference: "slappart0",
      })
      assert.deepStrictEqual(attributesOf(answer).get("_filter_dict"), new Map([["retention_delay", "3"]]))
    }),
  )

  const bad: ReadonlyArray<[name: string, field: string, value: string | undefined, status: number]> = [
    ["without a title", "partition_reference", undefined, 400],
    ["without a release", "software_release", undefined, 400],
    ["with a release that is no URL", "software_release", "a b", 400],
    ["with an unknown state", "state", encodeMarshal("paused"), 400],
    ["with a damaged document", "partition_parameter_xml", "<marshal><dictionary", 400],
    ["with parameters that are no dictionary", "partition_parameter_xml", encodeMarshal("x"), 400],
  ]
  it.effect.each(bad)("%s is refused and takes no partition", ([, field, value, status]) =>
    Effect.gen(function* () {
      const master = yield* two
      const form = Object.entries({ ...requestForm("a"), [field]: value ?? "" })
      const answer = yield* master.post("requestComputerPartition", Object.fromEntries(form))
      assert.strictEqual(answer.status, status)
      assert.include(answer.body, field)
      assert.isTrue((yield* master.partition("slappart0")).free)
    }),
  )

  it.effect("needs neither type nor state nor any marshalled field", () =>
    Effect.gen(function* () {
      const master = yield* two
      const answer = yield* master.post("requestComputerPartition", {
        software_release: "/sr.cfg",
        partition_reference: "a",
      })
      const attributes = attributesOf(answer)
      assert.strictEqual(attributes.get("slap_software_type"), "default")
      assert.strictEqual(attributes.get("_requested_state"), "started")
    }),
  )

  it.effect("whose references stand for more than a machine holds is refused", () =>
    Effect.gen(function* () {
      const master = yield* two
      let doubled = `<list id="i3"><int>1</int></list>`
      for (let id = 4; id < 60; id += 1) {
        doubled += `<list id="i${id}"><reference id="i${id - 1}"/><reference id="i${id - 1}"/></list>`
      }
      const xml = `<marshal><dictionary id="i2"><string>a</string><list id="i1">${doubled}</list></dictionary></marshal>`
      const form = { ...requestForm("a"), partition_parameter_xml: xml }
      assert.strictEqual((yield* master.post("requestComputerPartition", form)).status, 400)
    }),
  )
})

describe("an instance tree", () => {
  it.effect("knows its root, however deep", () =>
    Effect.gen(function* () {
      const master = yield* three
      yield* master.request("root")
      yield* master.request("child", { from: "slappart0" })
      yield* master.request("grandchild", { from: "slappart1" })
      const { title, root, requester } = yield* master.partition("slappart2")
      assert.deepStrictEqual(
        { title, root, requester },
        {
          title: "grandchild",
          root: "root",
          requester: "COMP-1/slappart1",
        },
      )
    }),
  )

  it.effect("may use the title of its root for a child", () =>
    Effect.gen(function* () {
      const master = yield* two
      yield* master.request("same")
      const child = attributesOf(yield* master.request("same", { from: "slappart0" }))
      assert.strictEqual(child.get("slap_computer_partition_id"), "slappart1")
    }),
  )

  it.effect("draws a child after its root when the child is requested again, not at its first allocation", () =>
    Effect.gen(function* () {
      const master = yield* two
      yield* master.request("root", { state: "stopped" })
      const first = attributesOf(yield* master.request("child", { from: "slappart0" }))
      const again = attributesOf(yield* master.request("child", { from: "slappart0" }))
      assert.deepStrictEqual(
        [first, again].map((a) => a.get("_requested_state")),
        ["started", "stopped"],
      )
    }),
  )

  it.effect("cannot be asked for by a partition that is free or unknown", () =>
    Effect.gen(function* () {
      const master = yield* two
      assert.strictEqual((yield* master.request("child", { from: "slappart0" })).status, 404)
      assert.strictEqual((yield* master.request("child", { from: "nowhere" })).status, 404)
    }),
  )
})

describe("a shared request", () => {
  const hosted = Effect.tap(three, (master) => master.request("host"))

  it.effect("is listed at its host, whose timestamp moves only when it changed", () =>
    Effect.gen(function* () {
      const master = yield* hosted
      const timestamps: Array<string | null> = []
      for (const value of ["v", "v", "w"]) {
        const answer = yield* master.request("s", { shared: true, parameters: { k: value, n: 1n } })
        assert.strictEqual(attributesOf(answer).get("slap_computer_partition_id"), "slappart0")
        timestamps.push((yield* master.partition("slappart0")).timestamp)
      }
      assert.strictEqual(timestamps[0], timestamps[1])
      assert.notStrictEqual(timestamps[1], timestamps[2])
      const host = yield* master.get("registerComputerPartition", {
        computer_reference: "COMP-1",
        computer_partition_reference: "slappart0",
      })
      assert.deepStrictEqual(parametersOf(attributesOf(host)).get("slave_instance_list"), [
        new Map<string, SlapValue>([
          ["k", "w"],
          ["n", 1n],
          ["slap_software_type", "default"],
          ["slave_reference", "_s"],
          ["slave_title", "_s"],
        ]),
      ])
    }),
  )

  it.effect("gets the connection parameters that its host published for it", () =>
    Effect.gen(function* () {
      const master = yield* hosted
      yield* master.request("s", { shared: true })
      const connection_xml = encodeMarshal(new Map([["url", "http://[::1]/s"]]))
      yield* master.about("setComputerPartitionConnectionXml", "slappart0", { connection_xml, slave_reference: "_s" })
      const answer = attributesOf(yield* master.request("s", { shared: true }))
      assert.deepStrictEqual(answer.get("_connection_dict"), new Map([["url", "http://[::1]/s"]]))
      const foreign = { connection_xml, slave_reference: "_t" }
      assert.strictEqual((yield* master.about("setComputerPartitionConnectionXml", "slappart0", foreign)).status, 404)
    }),
  )

  it.effect("leaves its host when it is destroyed", () =>
    Effect.gen(function* () {
      const master = yield* hosted
      yield* master.request("s", { shared: true })
      const before = yield* master.partition("slappart0")
      yield* master.request("s", { shared: true, state: "destroyed" })
      const after = yield* master.partition("slappart0")
      assert.deepInclude(after, { shared: [] })
      assert.notStrictEqual(after.timestamp, before.timestamp)
    }),
  )

  const filters: ReadonlyArray<[name: string, wanted: Wanted, status: number]> = [
    ["by guid", { filter: { instance_guid: "COMP-1-slappart1" } }, 200],
    ["by partition id", { filter: { instance_guid: "slappart1" } }, 200],
    ["by the type's old name", { type: "RootSoftwareInstance" }, 200],
    ["of another guid", { filter: { instance_guid: "COMP-1-slappart2" } }, 404],
    ["of another release", { software: "/other.cfg" }, 404],
    ["of another type", { type: "other" }, 404],
  ]
  it.effect.each(filters)("finds its host %s", ([, wanted, status]) =>
    Effect.gen(function* () {
      const master = yield* hosted
      yield* master.request("second host")
      assert.strictEqual((yield* master.request("s", { shared: true, ...wanted })).status, status)
    }),
  )

  it.effect("stays with its host when another one could serve it, and moves when it is told to", () =>
    Effect.gen(function* () {
      const master = yield* hosted
      yield* master.request("second host")
      const placeOf = (filter: Wanted["filter"] = {}) =>
        Effect.map(master.request("s", { shared: true, filter }), (answer) =>
          attributesOf(answer).get("slap_computer_partition_id"),
        )
      assert.strictEqual(yield* placeOf({ instance_guid: "slappart1" }), "slappart1")
      assert.strictEqual(yield* placeOf(), "slappart1")
      assert.strictEqual(yield* placeOf({ instance_guid: "slappart0" }), "slappart0")
      assert.deepInclude(yield* master.partition("slappart1"), { shared: [] })
    }),
  )

  it.effect("cannot take the reference of another one", () =>
    Effect.gen(function* () {
      const master = yield* hosted
      yield* master.request("a_b")
      yield* master.request("a")
      assert.strictEqual((yield* master.request("c", { shared: true, from: "slappart1" })).status, 200)
      assert.strictEqual((yield* master.request("b_c", { shared: true, from: "slappart2" })).status, 409)
    }),
  )
})

describe("softwareInstanceRename", () => {
  it.effect("keeps instance and tree together under the new title", () =>
    Effect.gen(function* () {
      const master = yield* three
      yield* master.request("old")
      yield* master.request("child", { from: "slappart0" })
      yield* master.request("s", { shared: true, from: "slappart0" })
      assert.strictEqual((yield* master.about("softwareInstanceRename", "slappart0", { new_name: "new" })).body, "done")
      assert.strictEqual(attributesOf(yield* master.request("new")).get("slap_computer_partition_id"), "slappart0")
      yield* master.request("child", { from: "slappart0" })
      yield* master.request("s", { shared: true, from: "slappart0" })
      assert.isTrue((yield* master.partition("slappart2")).free)
      const host = yield* master.partition("slappart0")
      assert.deepStrictEqual(host.shared.length, 1)
    }),
  )

  it.effect("renames a shared instance, which keeps its reference", () =>
    Effect.gen(function* () {
      const master = yield* two
      yield* master.request("host")
      yield* master.request("s", { shared: true })
      const rename = { new_name: "t", slave_reference: "_s" }
      assert.strictEqual((yield* master.about("softwareInstanceRename", "slappart0", rename)).status, 200)
      yield* master.request("t", { shared: true })
      const host = yield* master.partition("slappart0")
      assert.deepStrictEqual(host.shared, [{ reference: "_s", title: "t", connection: {} }])
    }),
  )

  it.effect("is refused when the title is taken", () =>
    Effect.gen(function* () {
      const master = yield* two
      yield* master.request("a")
      yield* master.request("b")
      assert.strictEqual((yield* master.about("softwareInstanceRename", "slappart0", { new_name: "b" })).status, 409)
    }),
  )
})

describe("loadComputerConfigurationFromXML", () => {
  it.effect("keeps instances, adds and removes partitions, and gives the tap's route", () =>
    Effect.gen(function* () {
      const master = yield* two
      yield* master.request("a")
      yield* master.request("b")
      const tap = {
        ipv4_addr: "10.1.0.2",
        ipv4_netmask: "255.255.255.0",
        ipv4_gateway: "10.1.0.1",
        ipv4_network: "10.1.0.0",
      }
      yield* master.post("loadComputerConfigurationFromXML", { xml: formatXml(["slappart0", "slappart2"], { tap }) })
      const { computers } = yield* master.status
      assert.deepStrictEqual(
        computers[0]!.partitions.map(({ id, free }) => [id, free]),
        [
          ["slappart0", false],
          ["slappart2", true],
        ],
      )
      const answer = yield* master.get("registerComputerPartition", {
        computer_reference: "COMP-1",
        computer_partition_reference: "slappart0",
      })
      assert.include(
        answer.body,
        '<string>full_ip_list</string><list id="i7"><tuple><string>route_tap-slappart0</string><string>10.1.0.2</string>' +
          "<string>10.1.0.1</string><string>255.255.255.0</string><string>10.1.0.0</string></tuple></list>",
      )
    }),
  )

  it.effect.each([
    ["no document", "", 400],
    ["a partition that names no directory", formatXml(["../x"]), 400],
    ["a partition that is the node's own directory", formatXml(["etc"]), 400],
    ["a computer id with a slash", formatXml([], { computer: "a/b" }), 400],
  ] as const)("refuses %s", ([, xml, status]) =>
    Effect.gen(function* () {
      const master = yield* makeMaster
      assert.strictEqual((yield* master.post("loadComputerConfigurationFromXML", { xml })).status, status)
      assert.deepStrictEqual((yield* master.status).computers, [])
    }),
  )
})
