// The calls for other programs: what goes out, what each answer means, and both of them with the embedded master.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Redacted from "effect/Redacted"
import { expect } from "vitest"
import { PartitionId } from "../../../src/domain/ids.ts"
import { LocalMaster } from "../../../src/master/local/LocalMaster.ts"
import type { FormattedComputer, MasterTools } from "../../../src/master/MasterTools.ts"
import { encodeMarshal, SlapTuple } from "../../../src/master/wire/marshal.ts"
import { requestForm } from "../local/master.ts"
import { exchanges } from "../wire/vectors.ts"
import { fakeMaster } from "./server.ts"
import { clientOf, computerId, slappart0, started, toolsOf } from "./support.ts"

type Tools = MasterTools["Service"]

const id = (text: string) => Schema.decodeSync(PartitionId)(text)
const captured = (path: string) => exchanges.find((exchange) => exchange.path === `/${path}`)!
const place = { computer_id: "COMP-1", computer_partition_id: "slappart0" }

/** What the captured session formatted. */
const formatted: FormattedComputer = {
  address: "127.0.0.1",
  netmask: "255.255.255.255",
  partitions: [0, 1, 2, 3, 4].map((number) => ({
    id: id(`slappart${number}`),
    tap: { name: `tap${number}` },
    addresses: [
      { address: "127.0.0.1", netmask: "255.255.255.255" },
      { address: "::1", netmask: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
    ],
  })),
}

const anyCall = (tools: Tools) => ({
  registerComputerPartition: Effect.asVoid(tools.partition(slappart0)),
  loadComputerConfigurationFromXML: tools.format(formatted),
  computerBang: tools.bang("Reboot"),
  softwareInstanceError: tools.sharedInstanceError(slappart0, { reference: "_shared1", log: "no route" }),
  getHostingSubscriptionIpList: Effect.asVoid(tools.treeAddresses(slappart0)),
  getComputerStatus: Effect.asVoid(tools.computerStatus),
  getHateoasUrl: Effect.asVoid(tools.hateoasUrl),
  getRunId: Effect.asVoid(tools.runId),
})
type Method = keyof ReturnType<typeof anyCall>

const methods: ReadonlyArray<Method> = [
  "registerComputerPartition",
  "loadComputerConfigurationFromXML",
  "computerBang",
  "softwareInstanceError",
  "getHostingSubscriptionIpList",
  "getComputerStatus",
  "getHateoasUrl",
  "getRunId",
]
const optional: ReadonlyArray<Method> = ["getComputerStatus", "getHateoasUrl", "getRunId"]

describe("what goes out", () => {
  const cases: ReadonlyArray<
    readonly [method: Method, verb: "GET" | "POST", fields: Readonly<Record<string, string>>]
  > = [
    ["registerComputerPartition", "GET", captured("registerComputerPartition").query],
    ["loadComputerConfigurationFromXML", "POST", captured("loadComputerConfigurationFromXML").form!],
    ["computerBang", "POST", { computer_id: "COMP-1", message: "Reboot" }],
    ["softwareInstanceError", "POST", { ...place, error_log: "no route", slave_reference: "_shared1" }],
    ["getHostingSubscriptionIpList", "GET", place],
    ["getComputerStatus", "GET", { computer_id: "COMP-1" }],
    ["getHateoasUrl", "GET", {}],
    ["getRunId", "GET", {}],
  ]

  it.effect.each(cases)("%s", ([method, verb, fields]) =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({}))
      yield* Effect.ignore(anyCall(yield* toolsOf(master.url))[method])
      const sent = verb === "GET" ? { query: fields, form: {} } : { query: {}, form: fields }
      expect(master.received).toMatchObject([{ verb, path: `/${method}`, ...sent }])
      expect(Object.keys(master.received[0]?.[verb === "GET" ? "query" : "form"] ?? {}).length).toBe(
        Object.keys(fields).length,
      )
    }),
  )

  it.effect("everything that a partition can be formatted with", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ body: "done" }))
      const tap = { name: "tap0", address: "10.0.0.2", netmask: "255.0.0.0", gateway: "10.0.0.1", network: "10.0.0.0" }
      const partitions = [{ id: slappart0, addresses: [], tap, capabilities: ["gpu"] }]
      yield* (yield* toolsOf(master.url)).format({ address: "::1", netmask: "f", partitions })
      const text = (value: string) => `<string>${value}</string>`
      const pairs = (fields: Readonly<Record<string, string>>) =>
        Object.entries(fields)
          .map(([key, value]) => `${text(key)}${text(value)}`)
          .join("")
      expect(master.received[0]?.form["xml"]).toBe(
        `<marshal><dictionary id="i2">${pairs({ address: "::1", netmask: "f" })}${text("partition_list")}<list id="i3">` +
          `<dictionary id="i4">${text("address_list")}<list id="i5"/>` +
          `${text("capability_list")}<list id="i6">${text("gpu")}</list>${pairs({ reference: "slappart0" })}` +
          `${text("tap")}<dictionary id="i7">${pairs({
            ipv4_addr: "10.0.0.2",
            ipv4_gateway: "10.0.0.1",
            ipv4_netmask: "255.0.0.0",
            ipv4_network: "10.0.0.0",
            name: "tap0",
          })}</dictionary></dictionary></list>${pairs({ reference: "COMP-1" })}</dictionary></marshal>`,
      )
    }),
  )
})

/** The tools of a master that gives this answer. */
const answering = (body: string, status = 200) =>
  Effect.flatMap(
    fakeMaster(() => ({ body, status })),
    ({ url }) => toolsOf(url),
  )

describe("what answers mean", () => {
  it.effect("a partition, as slapproxy gives it", () =>
    Effect.gen(function* () {
      const tools = yield* answering(captured("registerComputerPartition").response)
      const partition = yield* tools.partition(slappart0)
      expect(partition).toMatchObject({
        id: "slappart0",
        requested: "started",
        software: "/srv/profiles/software.cfg",
        timestamp: "1795337705.9859207",
        guid: "COMP-1-slappart0",
      })
      expect(Redacted.value(partition.connection)).toStrictEqual({})
      expect(Redacted.value(partition.parameters)).toMatchObject({
        a: "b<c",
        ip_list: [
          ["tap0", "127.0.0.1"],
          ["tap0", "::1"],
        ],
        slave_instance_list: [{ slave_reference: "_shared1", sp: "<v>" }],
      })
    }),
  )

  it.effect("integers of any size, None and what stands there twice", () =>
    Effect.gen(function* () {
      const more =
        "<string>big</string><long>36893488147419103232</long><string>none</string><none/>" +
        '<string>first</string><list id="l"><bool>1</bool></list><string>second</string><reference id="l"/>'
      const { response } = captured("registerComputerPartition")
      const { parameters } = yield* (yield* answering(
        response.replace("<string>a</string>", `${more}<string>a</string>`),
      )).partition(slappart0)
      expect(Redacted.value(parameters)).toMatchObject({ big: 2n ** 65n, none: null, first: [true], second: [true] })
    }),
  )

  it.effect("the addresses of a tree", () =>
    Effect.gen(function* () {
      const list = [new SlapTuple(["tap0", "10.0.0.1"]), new SlapTuple(["tap1", "::1"])]
      const tools = yield* answering(encodeMarshal(list))
      expect(yield* tools.treeAddresses(slappart0)).toStrictEqual([
        { interface: "tap0", address: "10.0.0.1" },
        { interface: "tap1", address: "::1" },
      ])
    }),
  )

  const status = (fields: Readonly<Record<string, string | bigint>>) => encodeMarshal(new Map(Object.entries(fields)))

  it.effect("a computer's status, as the SlapOS Master gives it", () =>
    Effect.gen(function* () {
      const date = "Wed, 25 Nov 2026 08:27:00 GMT"
      const common = { created_at: date, since: date, portal_type: "Compute Node", state: "" }
      const heard = { ...common, text: "#access COMP-1", no_data_since_5_minutes: 0n, user: "COMP-1" }
      const at = Date.UTC(2026, 10, 25, 8, 27)
      expect(yield* (yield* answering(status(heard))).computerStatus).toStrictEqual({
        text: "#access COMP-1",
        at,
        since: at,
        isUnheard: false,
      })
      const unheard = { text: "#error no data found for COMP-1", no_data: 1n, created_at: "soon" }
      expect(yield* (yield* answering(status(unheard))).computerStatus).toMatchObject({
        at: undefined,
        isUnheard: true,
      })
    }),
  )

  it.effect("a URL and a run id", () =>
    Effect.gen(function* () {
      expect(yield* (yield* answering("https://api.example/hateoas\n")).hateoasUrl).toBe("https://api.example/hateoas")
      expect(yield* (yield* answering("5f1c")).runId).toBe("5f1c")
    }),
  )

  it.effect.each(optional)("a master may lack %s", (method) =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ status: 404, body: captured("getHateoasUrl").response }))
      const tools = yield* toolsOf(master.url)
      yield* anyCall(tools)[method]
      expect([yield* tools.computerStatus, yield* tools.hateoasUrl, yield* tools.runId]).toStrictEqual([
        undefined,
        undefined,
        undefined,
      ])
    }),
  )

  it.effect.each([401, 403, 404, 409, 503])(
    "status %s is an error of every call that does not allow for it",
    (status) =>
      Effect.gen(function* () {
        const master = yield* fakeMaster(() => ({ status }))
        for (const method of methods) {
          if (status === 404 && optional.includes(method)) continue
          // A client of its own, or calls after the fifth would be held back.
          const error = yield* Effect.flip(anyCall(yield* toolsOf(master.url))[method])
          expect(error).toMatchObject({ _tag: "MasterError", method, status })
        }
      }),
  )

  const wrong: ReadonlyArray<readonly [method: Method, body: string, problem: string]> = [
    ["registerComputerPartition", "<marshal><none/></marshal>", "not a ComputerPartition"],
    ["registerComputerPartition", "<html></html>", "the document is <html>"],
    [
      "registerComputerPartition",
      captured("registerComputerPartition").response.replaceAll("slappart0", "slappart1"),
      "the document is about partition slappart1, not slappart0",
    ],
    [
      "registerComputerPartition",
      captured("registerComputerPartition").response.replaceAll("COMP-1", "COMP-2"),
      "it is a partition of",
    ],
    [
      "registerComputerPartition",
      captured("registerComputerPartition").response.replace("<string>started</string>", "<string>lost</string>"),
      'partition slappart0: its requested state is "lost"',
    ],
    [
      "registerComputerPartition",
      captured("registerComputerPartition").response.replace('<dictionary id="i4"/>', "<int>1</int>"),
      "its _connection_dict is",
    ],
    ["getHostingSubscriptionIpList", "<marshal><none/></marshal>", "no list of addresses"],
    ["getHostingSubscriptionIpList", encodeMarshal([new SlapTuple(["tap0"])]), "something else than pairs"],
    ["getHostingSubscriptionIpList", encodeMarshal([new SlapTuple(["tap0", "::1", "x"])]), "something else than pairs"],
    ["getHostingSubscriptionIpList", encodeMarshal([new SlapTuple(["tap0", 1n])]), "something else than pairs"],
    ["getComputerStatus", encodeMarshal("ok"), "the document is no status"],
    ["getComputerStatus", status({ text: 1n }), "the document is no status"],
    ["getHateoasUrl", "javascript:alert(1)", "the answer is no URL"],
    ["getHateoasUrl", "", "not one line of text"],
    ["getRunId", "a\nb", "not one line of text"],
    ["getRunId", "x".repeat(5000), "not one line of text"],
  ]

  it.effect.each(wrong)("%s: %s", ([method, body, problem]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(anyCall(yield* answering(body))[method])
      expect(error).toMatchObject({ reason: "InvalidAnswer", method, status: 200 })
      expect(error.message).toContain(problem)
    }),
  )
})

describe("with the embedded master", () => {
  it.effect("a computer is formatted, read, looked at and banged", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(LocalMaster.layer({ database: ":memory:", port: 0 }))
      const { url } = Context.get(context, LocalMaster)
      const tools = yield* toolsOf(url)
      const unknown = yield* Effect.flip(tools.bang("too early"))
      expect(unknown).toMatchObject({ reason: "NotFound", method: "computerBang" })
      yield* tools.format(formatted)
      expect(yield* tools.computerStatus).toMatchObject({ isUnheard: true })
      expect(yield* tools.partition(slappart0)).toMatchObject({ requested: "destroyed", software: undefined })
      expect(yield* tools.treeAddresses(slappart0)).toStrictEqual([])

      const request = (title: string, from?: string) =>
        Effect.promise(() =>
          fetch(`${url}requestComputerPartition`, {
            method: "POST",
            body: new URLSearchParams(requestForm(title, { ...(from && { from }), parameters: { a: "b" } })),
          }),
        )
      yield* request("root")
      yield* request("child", "slappart0")
      const before = yield* tools.partition(slappart0)
      expect(before).toMatchObject({ requested: "started", software: "/sr.cfg" })
      expect(Redacted.value(before.parameters)).toMatchObject({ a: "b" })
      const both = ["tap0", "tap1"].flatMap((name) =>
        ["127.0.0.1", "::1"].map((address) => ({ interface: name, address })),
      )
      expect(yield* tools.treeAddresses(id("slappart1"))).toStrictEqual(both)

      yield* tools.bang("Reboot")
      expect(Number((yield* tools.partition(slappart0)).timestamp)).toBeGreaterThan(Number(before.timestamp))
      yield* tools.sharedInstanceError(slappart0, { reference: "_s", log: "no route" })
      expect((yield* tools.partition(slappart0)).accessStatus).toBeUndefined()
      expect(yield* tools.computerStatus).toMatchObject({ text: "#access COMP-1", isUnheard: false })
      expect([yield* tools.hateoasUrl, yield* tools.runId]).toStrictEqual([undefined, undefined])
      yield* (yield* clientOf(url)).report(started)
      expect(tools.computer).toBe(computerId)
    }),
  )
})
