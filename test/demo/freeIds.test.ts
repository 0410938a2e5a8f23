import { describe, expect, it } from "vitest"
import { chooseIds, entryIds } from "../../src/demo/freeIds.ts"

describe("chooseIds", () => {
  it.each([
    [[1, 2, 3], [], 2, [1, 2]],
    [[1, 2, 3, 4], [1, 3], 2, [2, 4]],
    [[1, 2, 3], [2, 3], 2, undefined],
    [[], [], 1, undefined],
  ])("%j without %j: %i are %j", (candidates, taken, count, chosen) => {
    expect(chooseIds(candidates, new Set(taken), count)).toStrictEqual(chosen)
  })
})

it("entries of passwd and group name an id each", () => {
  expect(entryIds("root:x:0:0:root:/root:/bin/bash\nstaff:x:50:\n")).toStrictEqual([0, 50])
  expect(entryIds("")).toStrictEqual([])
})
