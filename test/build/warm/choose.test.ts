// Who goes cold, who is forked, and when a helper starts.
import { expect, it } from "vitest"
import {
  choose,
  type Generation,
  isWorthImporting,
  type ReleaseFacts,
  restAfter,
} from "../../../src/build/warm/choose.ts"

const helper = (uids: ReadonlyArray<number> | undefined, changes: Partial<Generation> = {}): Generation => ({
  uids: uids === undefined ? undefined : new Set(uids),
  stamp: "now",
  isRetired: false,
  ...changes,
})
const both = helper([1, 2])
const everybody = helper(undefined)
const old = helper([1, 2], { stamp: "before" })
const retired = helper([1, 2], { isRetired: true })

const facts = (changes: Partial<ReleaseFacts<Generation>>): ReleaseFacts<Generation> => ({
  waiting: [],
  generations: [],
  trouble: undefined,
  ...changes,
})

it.each<[string, Partial<ReleaseFacts<Generation>>, number | undefined, unknown]>([
  ["one alone goes cold", { waiting: [1] }, 1, { _tag: "Cold" }],
  ["two start a helper", { waiting: [1, 2] }, 1, { _tag: "Start", replaces: [] }],
  ["two of an ordinary user do, too", { waiting: [undefined, undefined] }, undefined, { _tag: "Start", replaces: [] }],
  ["one uses a helper that runs", { waiting: [1], generations: [both] }, 1, { _tag: "Use", generation: both }],
  [
    "and the agent's own user any",
    { waiting: [undefined], generations: [everybody] },
    undefined,
    { _tag: "Use", generation: everybody },
  ],
  ["a single new user goes cold", { waiting: [3], generations: [both] }, 3, { _tag: "Cold" }],
  ["though others wait that are served", { waiting: [1, 2, 3], generations: [both] }, 3, { _tag: "Cold" }],
  [
    "two new users get a new helper in the old one's place",
    { waiting: [3, 4], generations: [both] },
    3,
    { _tag: "Start", replaces: [both] },
  ],
  [
    "files that changed mean another helper",
    { waiting: [1, 2], generations: [old] },
    1,
    { _tag: "Start", replaces: [] },
  ],
  ["but not for one alone", { waiting: [1], generations: [old] }, 1, { _tag: "Cold" }],
  ["a retired helper takes nothing", { waiting: [1, 2], generations: [retired] }, 1, { _tag: "Start", replaces: [] }],
  ["after trouble all are cold", { waiting: [1, 2], trouble: "now", generations: [both] }, 1, { _tag: "Cold" }],
  ["until the files change", { waiting: [1, 2], trouble: "before" }, 1, { _tag: "Start", replaces: [] }],
  [
    "the newest of several is used",
    { waiting: [1], generations: [both, helper([1])] },
    1,
    { _tag: "Use", generation: helper([1]) },
  ],
])("%s", (_, changes, uid, expected) => {
  expect(choose(facts(changes), uid, "now")).toStrictEqual(expected)
})

it("a helper that fails again and again is tried ever less often, at least every hour", () => {
  expect([1, 2, 3, 20].map(restAfter)).toStrictEqual([30_000, 60_000, 120_000, 3_600_000])
})

it.each([
  // What twenty instances spend on requests and lxml.
  [{ found: 2, imported: 0, waiting: 17, cost: 0.35 }, true],
  [{ found: 2, imported: 1, waiting: 17, cost: 0.35 }, true],
  // On a fast machine.
  [{ found: 2, imported: 0, waiting: 11, cost: 0.06 }, true],
  [{ found: 2, imported: 0, waiting: 5, cost: 0.06 }, false],
  [{ found: 2, imported: 2, waiting: 17, cost: 0.35 }, false],
  // One more run that imports them is done sooner than an attempt.
  [{ found: 2, imported: 0, waiting: 1, cost: 0.35 }, false],
  // Recipes that import nothing.
  [{ found: 2, imported: 0, waiting: 500, cost: 0.03 }, false],
])("of %j it is worth it to import recipes for all: %s", (facts, isWorth) => {
  expect(isWorthImporting(facts)).toBe(isWorth)
})
