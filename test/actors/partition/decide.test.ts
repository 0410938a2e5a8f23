// The rules of node-behaviour.md (Computer partitions) as tables.
import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import {
  decide,
  type Hold,
  holdOf,
  initialMemory,
  isNews,
  type PartitionMemory,
  type PartitionOrder,
  type PartitionWish,
  processingCause,
  remember,
  rememberDestroyed,
  wishKey,
} from "../../../src/actors/partition/decide.ts"
import { desiredPartition, release, softwareUrl } from "../../support/facts.ts"

const now = 1_000_000
const periods = { maximum: 100_000, sync: 60_000 }

const wish = (
  changes: Parameters<typeof desiredPartition>[0] = {},
  rest: Partial<PartitionWish> = {},
): PartitionWish => ({
  partition: desiredPartition(changes),
  isSoftwareReady: true,
  standing: "Answers",
  nudge: 1,
  order: undefined,
  ...rest,
})

const nothing: PartitionMemory = initialMemory(undefined)
const done = (of: PartitionWish, ago = 1): PartitionMemory => remember(of, now - ago)
const hold = (of: PartitionWish, changes: Partial<Hold> = {}): Hold => ({
  wish: wishKey(of),
  during: "Process",
  nudge: of.nudge,
  failures: 1,
  until: now + 500,
  reason: "it failed",
  ...changes,
})
/** What `.timestamp` alone tells after the agent's start. */
const fromFile = (timestamp: string, ago = 1): PartitionMemory => ({
  ...nothing,
  processed: { timestamp, at: now - ago, wish: undefined },
})

const wait = (until?: number, reason?: string) => ({ _tag: "Wait", until, reason })
const any = expect.any(String)
const enforce = { _tag: "Enforce", reason: any }
const process = { _tag: "Process", reason: any, rank: any }
const destroy = { _tag: "Destroy", reason: any }
const tell = { _tag: "Tell", reason: any }
const clean = { _tag: "Free", reason: any }

describe("a partition is processed when", () => {
  it.each([
    ["it has never been", wish(), nothing, process],
    ["its timestamp differs", wish({ timestamp: "2" }), done(wish()), process],
    ["its timestamp differs from the file's", wish({ timestamp: "2" }), fromFile("1"), process],
    ["its timestamp is gone", wish({ timestamp: undefined }), done(wish()), process],
    ["its timestamp differs in writing only", wish({ timestamp: "1.0" }), done(wish()), process],
    ["its requested state changed without a new timestamp", wish({ requested: "stopped" }), done(wish()), process],
    ["its release changed without a new timestamp", wish({ software: softwareUrl("/b") }), done(wish()), process],
    ["it is too old", wish(), done(wish(), 100_000), process],
    ["the file is too old", wish(), fromFile("1", 100_000), process],
    ["nothing of this", wish(), done(wish(), 1000), wait(now + 99_000)],
    [
      "not for the rest of what the master says",
      wish({ accessStatus: "#error" }),
      done(wish(), 0),
      wait(now + 100_000),
    ],
    ["not because somebody asks", wish({}, { nudge: 9 }), done(wish(), 0), wait(now + 100_000)],
  ])("%s", (_, of, memory, decision) => {
    expect(decide(of, memory, periods, now)).toStrictEqual(decision)
  })

  it.each([
    [0, 59_999, wait(now + 1)],
    [0, 60_000, process],
    [-1, 1e9, wait()],
  ])("periodicity %d, processed %d ms ago", (maximum, ago, decision) => {
    expect(decide(wish(), done(wish(), ago), { ...periods, maximum }, now)).toStrictEqual(decision)
  })

  it("without a timestamp from the master: with every sync, whatever the periodicity", () => {
    const of = wish({ timestamp: undefined })
    for (const maximum of [-1, 0, 1e9]) {
      expect(decide(of, done(of, 59_999), { ...periods, maximum }, now)).toStrictEqual(wait(now + 1))
      expect(decide(of, done(of, 60_000), { ...periods, maximum }, now)).toStrictEqual(process)
    }
  })

  const untimed = wish({ timestamp: undefined })
  const failed = (of: PartitionWish, memory: PartitionMemory) => ({ ...memory, hold: hold(of, { failures: 3 }) })
  it.each([
    [wish(), nothing, "it has not been processed yet", "Changed"],
    [
      wish(),
      { ...fromFile("1"), processed: { timestamp: undefined, at: 0, wish: undefined } },
      "its last processing did not come to its end",
      "Changed",
    ],
    [wish({ timestamp: "2" }), done(wish()), "its timestamp is 2, last processed was 1", "Changed"],
    [untimed, done(wish()), "its timestamp is absent, last processed was 1", "Changed"],
    [wish(), done(untimed), "its timestamp is 1, last processed was none", "Changed"],
    [wish({ requested: "stopped" }), done(wish()), "its requested state or release changed", "Changed"],
    [wish(), done(wish(), 1e6), "its last processing is older than 100 s", "Aged"],
    [untimed, done(untimed, 1e6), "the master gives it no timestamp, so it is processed with every sync", "Aged"],
    [
      wish({ timestamp: "2" }),
      failed(wish({ timestamp: "2" }), done(wish())),
      "its timestamp is 2, last processed was 1; it failed 3 times",
      "Retried",
    ],
    [
      wish(),
      failed(wish(), done(wish(), 1e6)),
      "its last processing is older than 100 s; it failed 3 times",
      "Retried",
    ],
    [
      wish({ timestamp: "3" }),
      failed(wish({ timestamp: "2" }), done(wish())),
      "its timestamp is 3, last processed was 1",
      "Changed",
    ],
    [
      wish({}, { order: { id: 1, isForced: true, stops: false, isDebug: false } }),
      done(wish()),
      "it is forced by an operator",
      "Changed",
    ],
  ] as const)("%#: says why, and how urgent that is", (of, memory, reason, rank) => {
    expect(processingCause(of, memory, periods, now)).toStrictEqual({ reason, rank })
  })

  it("says why not with every sync, either", () => {
    expect(processingCause(wish(), done(wish()), periods, now)).toBeUndefined()
    const reason = "its periodicity is 0, so it is processed with every sync"
    expect(processingCause(wish(), done(wish(), 1e6), { ...periods, maximum: 0 }, now)).toMatchObject({ reason })
  })
})

describe("right after the agent's start", () => {
  it.each([
    ["what is up to date is started as it is", wish(), fromFile("1"), enforce],
    ["or stopped", wish({ requested: "stopped" }), fromFile("1"), enforce],
    ["what is not up to date is processed", wish({ timestamp: "2" }), fromFile("1"), process],
    [
      "but started first while its release is not ready",
      wish({ timestamp: "2" }, { isSoftwareReady: false }),
      fromFile("1"),
      enforce,
    ],
  ])("%s", (_, of, memory, decision) => {
    expect(decide(of, memory, periods, now)).toStrictEqual(decision)
  })
})

describe("a release that is not ready", () => {
  const of = wish({ timestamp: "2" }, { isSoftwareReady: false })
  const reason = `waits for its software release ${release}`
  it.each([
    ["is waited for", { ...nothing, enforced: "started" as const }, wait(undefined, reason)],
    ["is waited for with the old services running", done(wish()), wait(undefined, reason)],
    ["old services follow the requested state meanwhile", done(wish({ requested: "stopped" })), enforce],
  ])("%s", (_, memory, decision) => {
    expect(decide(of, memory, periods, now)).toStrictEqual(decision)
  })

  it("is nothing to a partition that is up to date", () => {
    const current = wish({}, { isSoftwareReady: false })
    expect(decide(current, done(wish(), 0), periods, now)).toStrictEqual(wait(now + 100_000))
  })
})

describe("failed work", () => {
  const of = wish({ timestamp: "2" })
  const held = { ...done(wish()), hold: hold(of) }
  it.each([
    ["waits for its time", of, held, wait(now + 500, "it failed")],
    ["is tried again when it has come", of, { ...held, hold: hold(of, { until: now }) }, process],
    ["at once when somebody asks", { ...of, nudge: 2 }, held, process],
    ["at once for another timestamp", wish({ timestamp: "3" }), held, process],
    ["at once for another requested state", wish({ timestamp: "2", requested: "stopped" }), held, process],
    ["at once for another release", wish({ timestamp: "2", software: softwareUrl("/b") }), held, process],
    ["keeps nobody from starting what an earlier one left", of, { ...held, enforced: undefined }, enforce],
    [
      "waits for its time also while the release is not ready",
      { ...of, isSoftwareReady: false },
      held,
      wait(now + 500, "it failed"),
    ],
  ])("%s", (_, of, memory, decision) => {
    expect(decide(of, memory, periods, now)).toStrictEqual(decision)
  })

  it("a start of old services that failed is not tried in a loop", () => {
    const enforcing = (of: PartitionWish) => ({ ...fromFile("1"), hold: hold(of, { during: "Enforce" }) })
    expect(decide(wish(), enforcing(wish()), periods, now)).toStrictEqual(wait(now + 500, "it failed"))
    expect(decide(of, enforcing(of), periods, now)).toStrictEqual(wait(now + 500, "it failed"))
    expect(decide(wish(), enforcing(wish()), periods, now + 500)).toStrictEqual(enforce)
    const asked = wish({}, { nudge: 2 })
    expect(decide(asked, enforcing(wish()), periods, now)).toStrictEqual(enforce)
  })

  it.each([
    ["in force", hold(wish()), true],
    ["over", hold(wish(), { until: now }), false],
    ["of another wish", hold(wish({ timestamp: "9" })), false],
    ["with an older nudge", hold(wish(), { nudge: 0 }), false],
    ["none", undefined, false],
  ] as const)("a hold %s", (_, of, inForce) => {
    expect(holdOf(wish(), { ...nothing, hold: of }, now)).toBe(inForce ? of : undefined)
  })
})

describe("an operator's order", () => {
  const order = (changes: Partial<PartitionOrder> = {}) => ({
    id: 5,
    isForced: false,
    stops: false,
    isDebug: false,
    ...changes,
  })
  const ordered = (changes: Partial<PartitionOrder>, rest: Parameters<typeof wish>[0] = {}) =>
    wish(rest, { order: order(changes) })
  const held = (of: PartitionWish, tried: number) => ({ ...done(wish()), hold: hold(of), tried })
  const failing = ordered({}, { timestamp: "2" })

  it.each([
    ["processes nothing that is up to date", ordered({}), done(wish(), 0), wait(now + 100_000)],
    ["unless it forces", ordered({ isForced: true }), done(wish(), 0), process],
    ["or stops", ordered({ stops: true }), done(wish(), 0), process],
    [
      "not what is stopped anyway",
      ordered({ stops: true }, { requested: "stopped" }),
      done(wish({ requested: "stopped" }), 0),
      wait(now + 100_000),
    ],
    ["once", ordered({ isForced: true, stops: true }), { ...done(wish(), 0), done: 5 }, wait(now + 100_000)],
    ["and again for a newer one", ordered({ isForced: true }), { ...done(wish(), 0), done: 4 }, process],
    [
      "not before its release is ready",
      { ...ordered({ isForced: true }), isSoftwareReady: false },
      done(wish(), 0),
      wait(undefined, `waits for its software release ${release}`),
    ],
    ["tries at once what failed before", failing, held(failing, 4), process],
    ["and not in a loop what failed under it", failing, held(failing, 5), wait(now + 500, "it failed")],
    [
      "is carried out after a failure, when its time has come",
      ordered({ isForced: true }),
      { ...done(wish(), 0), hold: hold(wish(), { until: now }), tried: 5 },
      process,
    ],
    [
      "looks at once at what is retained",
      ordered({}, { requested: "destroyed" }),
      { ...nothing, hold: hold(wish({ requested: "destroyed" })), tried: 4 },
      destroy,
    ],
    [
      "brings nothing back that was removed",
      ordered({ isForced: true }, { requested: "destroyed" }),
      done(wish({ requested: "destroyed" })),
      tell,
    ],
  ] as const)("%s", (_, of, memory, decision) => {
    expect(decide(of, memory, periods, now)).toStrictEqual(decision)
  })
})

describe("destroyed", () => {
  const of = wish({ requested: "destroyed" })
  it.each([
    ["is removed", of, done(wish()), destroy],
    ["is removed without its release", { ...of, isSoftwareReady: false }, nothing, destroy],
    ["once", of, rememberDestroyed(of, now), wait(now + 600_000)],
    ["and told again while the master names it", of, rememberDestroyed(of, now - 600_000), tell],
    ["or when somebody asks", { ...of, nudge: 2 }, rememberDestroyed(of, now), tell],
    [
      "not while it is retained",
      of,
      { ...nothing, hold: hold(of, { during: "Destroy" }) },
      wait(now + 500, "it failed"),
    ],
    ["after that", of, { ...nothing, hold: hold(of, { during: "Destroy", until: now }) }, destroy],
    ["again for another timestamp", wish({ requested: "destroyed", timestamp: "2" }), done(of), destroy],
    ["and can come back", wish({ timestamp: "2" }), done(of), process],
    ["even with the same timestamp", wish(), done(of), process],
  ])("%s", (_, of, memory, decision) => {
    expect(decide(of, memory, periods, now)).toStrictEqual(decision)
  })
})

describe("a removal that has begun", () => {
  const begun: PartitionMemory = initialMemory(undefined, true)
  it.each([
    ["is ended", wish({ requested: "destroyed" }), begun],
    ["whatever is wanted now", wish(), begun],
    ["whatever runs", wish({ requested: "stopped" }), { ...done(wish()), removal: "Begun" as const }],
    ["without a master, too", { ...wish(), standing: "Away" as const }, begun],
    ["when nobody is served", wish({ requested: "destroyed", software: undefined }), begun],
    ["without its release", wish({}, { isSoftwareReady: false }), begun],
  ])("%s", (_, of, memory) => {
    expect(decide(of, memory, periods, now)).toStrictEqual(destroy)
  })

  it("is tried again in time when it failed", () => {
    const failed = { ...begun, hold: hold(wish(), { during: "Destroy" }) }
    expect(decide(wish(), failed, periods, now)).toStrictEqual(wait(now + 500, "it failed"))
  })
})

describe("free", () => {
  const of = wish({ requested: "destroyed", software: undefined, timestamp: undefined })
  it.each([
    ["is cleaned", of, nothing, clean],
    ["once", of, done(of, 1e9), wait()],
    ["after its removal", of, done(wish({ requested: "destroyed" })), clean],
    ["whatever failed before", of, { ...nothing, hold: hold(of) }, clean],
    ["and can be taken", wish(), done(of), process],
  ])("%s", (_, of, memory, decision) => {
    expect(decide(of, memory, periods, now)).toStrictEqual(decision)
  })
})

describe("while the master does not answer", () => {
  const free = { requested: "destroyed", software: undefined, timestamp: undefined } as const
  const away = (of: PartitionWish): PartitionWish => ({ ...of, standing: "Away" })
  const reason = "waits for the master, which does not answer"
  it.each([
    ["what is installed is started", away(wish({ timestamp: "2" })), fromFile("1"), enforce],
    ["or stopped", away(wish({ requested: "stopped" })), fromFile("1"), enforce],
    ["or stopped for its removal", away(wish({ requested: "destroyed" })), fromFile("1"), enforce],
    ["but not installed", away(wish({ timestamp: "2" })), done(wish()), wait(undefined, reason)],
    [
      "nor removed",
      away(wish({ requested: "destroyed" })),
      { ...nothing, enforced: "destroyed" as const },
      wait(undefined, reason),
    ],
    ["nor cleaned", away(wish(free)), nothing, wait(undefined, reason)],
    ["what is clean waits for nothing", away(wish(free)), done(wish(free)), wait()],
    [
      "a start that failed is tried again in time",
      away(wish()),
      { ...fromFile("1"), hold: hold(wish(), { during: "Enforce" }) },
      wait(now + 500, "it failed"),
    ],
    [
      "a failed installation keeps nothing from starting",
      away(wish()),
      { ...fromFile("1"), hold: hold(wish()) },
      enforce,
    ],
    [
      "it may refuse",
      { ...wish({ timestamp: "2" }), standing: "Refuses" as const },
      done(wish()),
      wait(undefined, "waits for the master, which refuses this computer"),
    ],
    [
      "or may not have been asked",
      { ...wish({ timestamp: "2" }), standing: "NotAsked" as const },
      done(wish()),
      wait(undefined, "waits until the master is asked"),
    ],
  ])("%s", (_, of, memory, decision) => {
    expect(decide(of, memory, periods, now)).toStrictEqual(decision)
  })
})

it("remember: what was done is not done again", () => {
  for (const of of [wish(), wish({ requested: "stopped" })]) {
    expect(decide(of, remember(of, now), periods, now)._tag).toBe("Wait")
  }
})

describe("a wait is ended by a wish that", () => {
  const order: PartitionOrder = { id: 1, isForced: false, stops: false, isDebug: false }
  it.each([
    ["has another timestamp", wish({ timestamp: "2" }), nothing, true],
    ["has another requested state", wish({ requested: "stopped" }), nothing, true],
    ["tells that the master thinks it failed", wish({ accessStatus: "#error" }), nothing, true],
    ["has the release ready, or no longer", wish({}, { isSoftwareReady: false }), nothing, true],
    ["is the master's no longer", wish({}, { standing: "Away" }), nothing, true],
    ["is an operator's", wish({}, { order }), nothing, true],
    ["asks for failed work", wish({}, { nudge: 2 }), { ...nothing, hold: hold(wish()) }, true],
    ["not when no work has failed", wish({}, { nudge: 2 }), nothing, false],
    ["not for what is the same", wish(), done(wish()), false],
  ])("%s", (_, newer, memory, isIt) => {
    expect(isNews(wish(), newer, memory)).toBe(isIt)
  })
})
