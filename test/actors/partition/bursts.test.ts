import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import { expect } from "vitest"
import { BurstWatch } from "../../../src/actors/partition/bursts.ts"
import type { DesiredPartition } from "../../../src/domain/DesiredState.ts"
import type { PartitionId, SoftwareUrl } from "../../../src/domain/ids.ts"
import { desiredPartition, release } from "../../support/facts.ts"
import { scratchDirectory } from "../../support/scratch.ts"

const other = "https://example.org/other.cfg" as SoftwareUrl
const idOf = (index: number) => `slappart${index}` as PartitionId

/** Partitions of the timestamp 2, and a watch over them; `processed` tells for which one each was processed. */
const watching = Effect.fnUntraced(function* (processed: ReadonlyArray<string | undefined>) {
  const root = yield* scratchDirectory
  for (const [index, timestamp] of processed.entries()) {
    fs.mkdirSync(`${root}/${idOf(index)}`)
    if (timestamp !== undefined) fs.writeFileSync(`${root}/${idOf(index)}/.timestamp`, timestamp)
  }
  const watch = new BurstWatch(root)
  const wanted = (changes: (index: number) => Partial<DesiredPartition> = () => ({})) =>
    processed.map((_, index) => desiredPartition({ id: idOf(index), timestamp: "2", ...changes(index) }))
  return { watch, wanted }
})

describe("a burst", () => {
  it.effect.each<
    readonly [
      what: string,
      processed: ReadonlyArray<string | undefined>,
      changes: (index: number) => Partial<DesiredPartition>,
      found: ReadonlyArray<readonly [SoftwareUrl, ReadonlyArray<number>]>,
    ]
  >([
    ["two that are new", [undefined, undefined, undefined], () => ({}), [[release, [0, 1]]]],
    ["two that changed", ["2", "1", "2", "1"], () => ({}), [[release, [1, 3]]]],
    ["two that are always processed", ["1", "1"], () => ({ timestamp: undefined }), [[release, [0, 1]]]],
    ["one of two releases", ["1", "1", "1"], (index) => (index === 1 ? { software: other } : {}), [[release, [0, 2]]]],
    [
      "each of two releases",
      ["1", "1", "1", "1"],
      (index) => (index % 2 === 1 ? { software: other } : {}),
      [
        [release, [0, 2]],
        [other, [1, 3]],
      ],
    ],
    ["nothing: one alone", ["1", "2", "2"], () => ({}), []],
    ["nothing: those that go", ["1", "1"], () => ({ requested: "destroyed" }), []],
    ["nothing: free ones", [undefined, undefined], () => ({ requested: "destroyed", software: undefined }), []],
    [
      "nothing: those that are far behind many others",
      [...Array.from({ length: 20 }, () => "2"), "1", "1"],
      () => ({}),
      [],
    ],
  ])("is %s", ([, processed, changes, found]) =>
    Effect.gen(function* () {
      const { wanted, watch } = yield* watching(processed)
      expect(yield* watch.look(wanted(changes))).toStrictEqual(
        found.map(([software, indexes]) => ({ software, ids: indexes.map(idOf) })),
      )
    }),
  )

  it.effect("is told once, and again when the master wants something else", () =>
    Effect.gen(function* () {
      const { wanted, watch } = yield* watching(["1", "1"])
      const found = []
      for (const timestamp of ["2", "2", "3"]) found.push((yield* watch.look(wanted(() => ({ timestamp })))).length)
      expect(found).toStrictEqual([1, 0, 1])
    }),
  )
})
