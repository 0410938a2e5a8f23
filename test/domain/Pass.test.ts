// The rules of passes as tables.
import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import type { DesiredSoftware } from "../../src/domain/DesiredState.ts"
import {
  contradictionIn,
  garbageOutcome,
  type PartitionRest,
  partitionOutcome,
  passEnd,
  passKind,
  type PassOutcome,
  promisesOutcome,
  selectSubjects,
  unusableOutcomes,
  softwareOutcome,
  type SoftwareRequest,
  type WorkRequest,
} from "../../src/domain/Pass.ts"
import {
  desiredPartition,
  desiredSoftware,
  desiredState,
  release,
  slappart0,
  slappart1,
  softwareUrl,
} from "../support/facts.ts"

const keyOf = ({ url }: DesiredSoftware): string => `key of ${url}`

const outcome = (result: PassOutcome["result"]): PassOutcome => ({
  subject: "slappart0",
  result,
  state: "",
  problem: undefined,
})

describe("the end of a pass", () => {
  it.each([
    [[], 0, undefined],
    [["Done"], 0, undefined],
    [["Done", "Failed", "Done"], 1, "1 of 3 failed"],
    [["PromisesFailed", "Done"], 2, "promises of 1 of 2 failed"],
    [["PromisesFailed", "Failed"], 1, "1 of 2 failed"],
  ] as const)("%j: status %d", (results, status, message) => {
    expect(passEnd(results.map(outcome))).toStrictEqual({ _tag: "Ended", status, message })
  })
})

describe("a partition with nothing more to do", () => {
  const rest: PartitionRest = {
    requested: "started",
    state: "started",
    error: undefined,
    isByPromises: false,
    waitingFor: undefined,
  }
  it.each([
    ["is as it should be", {}, "Done", "started", undefined],
    ["failed", { state: "failed", error: "why" }, "Failed", "failed", "why"],
    ["waits for something", { waitingFor: "waits for it" }, "Failed", "started", "waits for it"],
    [
      "failed and waits for its next try: why it failed counts",
      { state: "failed", error: "why", waitingFor: "a while" },
      "Failed",
      "failed",
      "why",
    ],
    [
      "is kept although it is to be removed",
      { requested: "destroyed", state: "stopped", waitingFor: "it is retained" },
      "Done",
      "stopped, it is retained",
      undefined,
    ],
    ["could not be removed", { requested: "destroyed", state: "failed", error: "why" }, "Failed", "failed", "why"],
  ] as const)("%s", (_, changes, result, state, problem) => {
    expect(partitionOutcome("slappart0", { ...rest, ...changes })).toStrictEqual({
      subject: "slappart0",
      result,
      state,
      problem,
    })
  })
})

describe("what an instance pass is about", () => {
  const state = desiredState({ partitions: [desiredPartition(), desiredPartition({ id: slappart1 })] })
  const request = (only: ReadonlyArray<string>): WorkRequest => ({
    _tag: "Instance",
    only,
    isForced: false,
    stops: false,
    isDebug: false,
  })
  it.each([
    [[], [slappart0, slappart1], []],
    [["slappart1"], [slappart1], []],
    [["slappart1", "slappart1"], [slappart1], []],
    [
      ["slappart0", "slappart7", "", "slappart7"],
      [slappart0],
      [
        "the master names no partition slappart7 for this computer; it names: slappart0, slappart1",
        "the master names no partition  for this computer; it names: slappart0, slappart1",
      ],
    ],
  ] as const)("%j", (only, ids, problems) => {
    const selection = selectSubjects(request(only), state, keyOf)
    expect(selection.partitions.map(({ id }) => id)).toStrictEqual(ids)
    expect(selection.problems).toStrictEqual(problems)
  })

  it("a computer without partitions knows none", () => {
    const { problems } = selectSubjects(request(["slappart0"]), desiredState(), keyOf)
    expect(problems).toStrictEqual(["the master names no partition slappart0 for this computer; it names: none"])
  })
})

it.each([
  [{ skipped: undefined, failure: undefined, hasSome: true }, "Done", "promises kept", undefined],
  [{ skipped: undefined, failure: undefined, hasSome: false }, "Done", "has no promises", undefined],
  [{ skipped: undefined, failure: "why", hasSome: true }, "PromisesFailed", "promises failing", "why"],
  [{ skipped: "it goes", failure: undefined, hasSome: false }, "Failed", "promises not checked", "it goes"],
] as const)("promises: %j", (rest, result, shown, problem) => {
  expect(promisesOutcome("slappart0", rest)).toMatchObject({ subject: "slappart0", result, state: shown, problem })
})

it("promises are the instances' pass, like the reference's", () => {
  const tags = ([{ _tag: "Promise", only: [] }, { _tag: "Report" }, { _tag: "Sync" }] as const).map(passKind)
  expect(tags).toStrictEqual(["instance", "report", "sync"])
})

describe("a software pass", () => {
  const gone = softwareUrl("/gone.cfg")
  const state = desiredState({
    software: [desiredSoftware(), desiredSoftware({ url: gone, requested: "destroyed" })],
    partitions: [desiredPartition()],
  })
  const request = (changes: Partial<SoftwareRequest>): SoftwareRequest => ({
    _tag: "Software",
    only: [],
    isForced: false,
    collectsGarbage: false,
    isDebug: false,
    ...changes,
  })
  it.each([
    [[], [release, gone], []],
    [[gone], [gone], []],
    [[`key of ${release}`, release], [release], []],
    [
      [release, "/nowhere.cfg"],
      [release],
      [`the master names no software release /nowhere.cfg for this computer; it names: ${[gone, release].join(", ")}`],
    ],
  ] as const)("about %j", (only, urls, problems) => {
    const selection = selectSubjects(request({ only }), state, keyOf)
    expect(selection.software.map(({ url }) => url)).toStrictEqual(urls)
    expect([selection.partitions, selection.problems]).toStrictEqual([[], problems])
  })

  it.each([
    [{ collectsGarbage: true, only: [release] }, true],
    [{ collectsGarbage: true }, false],
    [{ only: [release] }, false],
  ] as const)("%j contradicts itself: %j", (changes, contradicts) => {
    expect(contradictionIn(request(changes)) !== undefined).toBe(contradicts)
  })

  it.each([
    [{ requested: "available", error: undefined }, "Done", "available"],
    [{ requested: "destroyed", error: undefined }, "Done", "destroyed"],
    [{ requested: undefined, error: undefined }, "Done", "no longer named by the master"],
    [{ requested: "available", error: "why" }, "Failed", "failed"],
  ] as const)("leaves a release with %j", (rest, result, shown) => {
    expect(softwareOutcome(release, rest)).toStrictEqual({
      subject: release,
      result,
      state: shown,
      problem: rest.error,
    })
  })

  it.each([
    [[], [], "Done", "0 releases removed", undefined],
    [["/a", "/b"], [], "Done", "2 releases removed: /a, /b", undefined],
    [["/a"], ["x", "y"], "Failed", "1 release removed: /a", "x\ny"],
  ] as const)("garbage: %j removed, %j failed", (removed, problems, result, shown, problem) => {
    expect(garbageOutcome(removed, problems)).toMatchObject({ result, state: shown, problem })
  })
})

it.each([
  ["Software", [], ["software /x", "x"]],
  ["Instance", [], ["partition y", "x"]],
  ["Promise", [], ["partition y", "x"]],
  ["Instance", ["slappart0"], []],
] as const)("records that cannot be used fail a pass about all of their kind: %s %j", (_tag, only, failed) => {
  const rejected = ["software /x", "partition y", "x"].map((subject) => ({ subject, reason: "why" }))
  const request = { _tag, only, isForced: false, collectsGarbage: false, stops: false, isDebug: false }
  expect(unusableOutcomes(request, rejected).map(({ subject }) => subject)).toStrictEqual(failed)
})
