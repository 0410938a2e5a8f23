import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { ComputerId } from "../../../src/domain/ids.ts"
import { decodeComputer } from "../../../src/master/wire/computer.ts"
import { decodeMarshal, SlapObject, SlapTuple, type SlapValue } from "../../../src/master/wire/marshal.ts"
import { computerAsErp5, exchanges } from "./vectors.ts"

const computerId = Schema.decodeSync(ComputerId)
const comp1 = computerId("COMP-1")

const state = (value: SlapValue, computer = comp1) => Result.getOrThrow(decodeComputer(value, computer))
const failure = (value: SlapValue, computer = comp1) => {
  const result = decodeComputer(value, computer)
  return Result.isFailure(result) ? result.failure.message : result.success
}

type Attributes = Record<string, SlapValue>

const object = (className: SlapObject["className"], args: ReadonlyArray<SlapValue>, attributes: Attributes) =>
  new SlapObject(className, args, new Map(Object.entries(attributes)))

const release = (url: SlapValue, attributes: Attributes = {}) =>
  object("SoftwareRelease", [url, "COMP-1"], { _software_release: url, ...attributes })

const partition = (id: SlapValue, attributes: Attributes = {}) =>
  object("ComputerPartition", ["COMP-1", id, null], {
    _partition_id: id,
    _computer_id: "COMP-1",
    _requested_state: "started",
    _software_release_document: release("https://x/software.cfg"),
    _parameter_dict: new Map([["timestamp", "7"]]),
    ...attributes,
  })

const computer = (
  partitions: ReadonlyArray<SlapValue>,
  software: ReadonlyArray<SlapValue> = [],
  attributes: Attributes = {},
) =>
  object("Computer", ["COMP-1"], {
    _computer_id: "COMP-1",
    _computer_partition_list: partitions,
    _software_release_list: software,
    ...attributes,
  })

const usable = {
  id: "slappart0",
  requested: "started",
  software: "https://x/software.cfg",
  timestamp: "7",
  filter: {},
  accessStatus: undefined,
}

describe("whole documents", () => {
  const answers = exchanges.filter(({ path }) => path === "/getFullComputerInformation")
  const answer = (index: number) => state(Result.getOrThrow(decodeMarshal(answers.at(index)?.response ?? "")))
  const software = "/srv/profiles/software.cfg"
  const common = { software, filter: {}, accessStatus: undefined }

  it("what slapproxy last said", () => {
    expect(answer(-1)).toStrictEqual({
      computer: "COMP-1",
      software: [
        { url: software, requested: "available" },
        { url: "/srv/profiles/missing.cfg", requested: "available" },
      ],
      partitions: [
        { ...common, id: "slappart0", requested: "started", timestamp: "1795337705.9859207" },
        { ...common, id: "slappart1", requested: "started", timestamp: "1795337705.9790962" },
        { ...common, id: "slappart2", requested: "destroyed", software: undefined, timestamp: undefined },
        { ...common, id: "slappart3", requested: "started", timestamp: "1795337705.9977157" },
        { ...common, id: "slappart4", requested: "started", timestamp: "1795337706.0028284" },
      ],
      rejected: [],
    })
  })

  it("what slapproxy said first", () => {
    expect(answer(0).partitions.map(({ id, requested }) => [id, requested])).toStrictEqual([
      ["slappart0", "started"],
      ["slappart1", "started"],
      ["slappart2", "stopped"],
      ["slappart3", "destroyed"],
      ["slappart4", "destroyed"],
    ])
  })

  it("what ERP5 adds", () => {
    const url = "https://profiles.example/1.0.400/software/helloworld/software.cfg"
    expect(state(Result.getOrThrow(decodeMarshal(computerAsErp5)), computerId("COMP-2"))).toStrictEqual({
      computer: "COMP-2",
      software: [
        { url, requested: "available" },
        { url: "https://profiles.example/old/software.cfg", requested: "destroyed" },
      ],
      partitions: [
        {
          id: "slappart0",
          requested: "started",
          software: url,
          timestamp: "1700000001",
          filter: { fw_restricted_access: "off", retention_delay: "7.0" },
          accessStatus: "#error no data found for SOFTINST-9",
        },
        {
          id: "slappart1",
          requested: "destroyed",
          software: undefined,
          timestamp: undefined,
          filter: {},
          accessStatus: undefined,
        },
      ],
      rejected: [],
    })
  })

  const foreign: ReadonlyArray<readonly [what: string, value: SlapValue, message: string]> = [
    ["a text", "Ignored", 'the document is "Ignored", not a Computer'],
    ["a partition", partition("slappart0"), "the document is a ComputerPartition, not a Computer"],
    ["another computer", computer([], [], { _computer_id: "COMP-9" }), 'about computer "COMP-9", not COMP-1'],
    ["no partition list", object("Computer", ["COMP-1"], {}), "the Computer has no _computer_partition_list"],
    ["a partition list that is none", computer([], [], { _computer_partition_list: "x" }), 'is "x", not a list'],
    [
      "a release list that is none",
      computer([], [], { _software_release_list: new Map() }),
      "is a dictionary, not a list",
    ],
  ]

  it.each(foreign)("%s is an error", (_, value, message) => {
    expect(failure(value)).toContain(message)
  })

  it("the constructor's argument names the computer when no attribute does; no release list is an empty one", () => {
    const value = object("Computer", ["COMP-1"], { _computer_partition_list: [], _software_release_list: null })
    expect(state(value)).toStrictEqual({ computer: "COMP-1", software: [], partitions: [], rejected: [] })
  })
})

describe("partitions", () => {
  const cases: ReadonlyArray<readonly [what: string, attributes: Attributes, expected: Record<string, unknown>]> = [
    ["an integer timestamp", { _parameter_dict: new Map([["timestamp", 1700000000n]]) }, { timestamp: "1700000000" }],
    ["a float timestamp", { _parameter_dict: new Map([["timestamp", 1700000000]]) }, { timestamp: "1700000000.0" }],
    ["an empty timestamp", { _parameter_dict: new Map([["timestamp", ""]]) }, { timestamp: undefined }],
    ["no timestamp", { _parameter_dict: new Map() }, { timestamp: undefined }],
    ["no parameters", { _parameter_dict: null }, { timestamp: undefined }],
    [
      "an SLA with odd values",
      {
        _filter_dict: new Map<SlapValue, SlapValue>([
          ["retention_delay", 7],
          ["a", null],
          ["b", []],
          [1n, "c"],
          ["__proto__", "p"],
        ]),
      },
      {
        filter: Object.fromEntries([
          ["retention_delay", "7.0"],
          ["__proto__", "p"],
        ]),
      },
    ],
    ["no SLA", { _filter_dict: null }, { filter: {} }],
    ["no access status", { _access_status: null }, { accessStatus: undefined }],
    ["names in the constructor only", { _partition_id: null, _computer_id: null }, {}],
    ["unknown attributes", { _later: [new SlapTuple([])] }, {}],
    ["stopped", { _requested_state: "stopped" }, { requested: "stopped" }],
    ["destroyed", { _requested_state: "destroyed" }, { requested: "destroyed" }],
  ]

  it.each(cases)("%s", (_, attributes, expected) => {
    expect(state(computer([partition("slappart0", attributes)]))).toStrictEqual({
      computer: "COMP-1",
      software: [],
      partitions: [{ ...usable, ...expected }],
      rejected: [],
    })
  })

  const rejected: ReadonlyArray<readonly [record: SlapValue, subject: string, reason: string]> = [
    ["x", "partition", 'is "x", not a ComputerPartition'],
    [release("https://x/"), "partition", "is a SoftwareRelease, not a ComputerPartition"],
    [partition("../etc"), "partition ../etc", "a plain directory name"],
    [partition("etc"), "partition etc", "a plain directory name"],
    [partition("a\nb"), String.raw`partition "a\nb"`, "a plain directory name"],
    [partition(5n), 'partition "5"', "string"],
    [partition("p", { _computer_id: "COMP-9" }), "partition p", 'a partition of "COMP-9", not of COMP-1'],
    [partition("slappart0", { _requested_state: "stopped" }), "partition slappart0", "the master names it twice"],
  ]

  const unusable: typeof rejected = [
    [partition("p", { _requested_state: "paused" }), "partition p", 'requested state is "paused", not one of'],
    [partition("p", { _requested_state: null }), "partition p", "requested state is missing"],
    [partition("p", { _software_release_document: null }), "partition p", "no software release is named"],
    [partition("p", { _software_release_document: "x" }), "partition p", 'is "x", not a SoftwareRelease'],
    [partition("p", { _software_release_document: release("a b") }), "partition p", "without spaces"],
    [partition("p", { _parameter_dict: [] }), "partition p", "_parameter_dict is a list, not a dictionary"],
    [partition("p", { _parameter_dict: new Map([["timestamp", []]]) }), "partition p", "timestamp is a list"],
    [
      partition("p", { _parameter_dict: new Map([["timestamp", "1\n2"]]) }),
      "partition p",
      "not a number or a short text",
    ],
    [partition("p", { _filter_dict: "x" }), "partition p", '_filter_dict is "x", not a dictionary'],
    [partition("p", { _access_status: 1n }), "partition p", '_access_status is "1", not a text'],
  ]

  it.each([
    ...rejected.map((row) => [...row, {}] as const),
    // The partition is ours: its master can be told.
    ...unusable.map((row) => [...row, { partition: "p" }] as const),
  ])("a bad record beside good ones: %#", (record, subject, reason, known) => {
    const found = state(computer([partition("slappart0"), record, partition("slappart1")]))
    expect(found.partitions).toStrictEqual([usable, { ...usable, id: "slappart1" }])
    expect(found.rejected).toStrictEqual([{ subject, reason: expect.stringContaining(reason), ...known }])
  })
})

describe("software releases", () => {
  const good = release("https://x/software.cfg", { _requested_state: "destroyed" })

  it("are wanted when no state is named", () => {
    expect(state(computer([], [release("/srv/software.cfg"), good])).software).toStrictEqual([
      { url: "/srv/software.cfg", requested: "available" },
      { url: "https://x/software.cfg", requested: "destroyed" },
    ])
  })

  const rejected: ReadonlyArray<readonly [record: SlapValue, subject: string, reason: string]> = [
    [null, "software", 'is "None", not a SoftwareRelease'],
    [release("a b"), 'software "a b"', "without spaces"],
    [release(null), "software", "string"],
    [release("/y", { _requested_state: "started" }), "software /y", 'requested state is "started", not one of'],
    [release("https://x/software.cfg"), "software https://x/software.cfg", "the master names it twice"],
  ]

  it.each(rejected)("a bad record beside a good one: %#", (record, subject, reason) => {
    const found = state(computer([partition("slappart0")], [good, record]))
    expect(found.software).toStrictEqual([{ url: "https://x/software.cfg", requested: "destroyed" }])
    expect(found.partitions).toStrictEqual([usable])
    expect(found.rejected).toStrictEqual([{ subject, reason: expect.stringContaining(reason) }])
  })
})
