// One partition's actor, from wish to wish.
import { describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as fs from "node:fs"
import { expect } from "vitest"
import type { Report } from "../../../src/domain/Report.ts"
import { FileError } from "../../../src/files/FileError.ts"
import { TakeoverError } from "../../../src/process/takeover/Succession.ts"
import { settle } from "../../support/Calls.ts"
import { slappart0 } from "../../support/facts.ts"
import { unreachable } from "../support.ts"

import { broken, nothingToCheck, running, statusOf, web } from "./running.ts"

describe("an operator's order", () => {
  it.effect("is over when there is nothing to do", () =>
    Effect.gen(function* () {
      const { instances, orders, outcome, wants } = yield* running({ timestamp: "1" })
      yield* wants({}, { order: orders() })
      expect(yield* outcome(1)).toStrictEqual({
        requested: "started",
        state: "started",
        error: undefined,
        isByPromises: false,
        waitingFor: undefined,
      })
      expect(instances.installs.inputs).toStrictEqual([])
    }),
  )

  it.effect("forces a processing, once, and is over with it", () =>
    Effect.gen(function* () {
      const { installs, instances, orders, outcome, services, wants } = yield* running({ timestamp: "1" })
      yield* wants()
      yield* wants({}, { order: orders({ isForced: true, isDebug: true }) })
      const waiting = yield* Effect.forkScoped(outcome(1))
      expect(waiting.pollUnsafe()).toBeUndefined()
      yield* installs(Effect.void)
      expect(yield* Fiber.join(waiting)).toMatchObject({ state: "started", error: undefined })
      expect(instances.installs.inputs).toMatchObject([{ isDebug: true }])
      expect(services.told).toStrictEqual(["web-on-watch for 1", "web-on-watch for 1"])
      yield* wants({}, { order: orders({ isForced: true }), nudge: 1 })
      expect(instances.installs.inputs).toHaveLength(1)
    }),
  )

  it.effect("tells a failure, and tries at once what waits for its next try", () =>
    Effect.gen(function* () {
      const { installs, instances, orders, outcome, wants } = yield* running()
      yield* wants()
      yield* installs(Effect.fail(broken))
      yield* wants({}, { order: orders() })
      yield* installs(Effect.fail(broken))
      expect(yield* outcome(1)).toMatchObject({ state: "failed", error: broken.message })
      yield* wants({}, { order: orders() })
      expect(instances.installs.inputs).toHaveLength(2)
    }),
  )

  it.effect("tells what waits for its release", () =>
    Effect.gen(function* () {
      const { orders, outcome, wants } = yield* running()
      yield* wants({}, { order: orders(), isSoftwareReady: false })
      expect((yield* outcome(1)).waitingFor).toContain("waits for its software release")
    }),
  )

  it.effect("waits for the work that was under way, and a newer wish answers it too", () =>
    Effect.gen(function* () {
      const { installs, instances, orders, outcome, wants } = yield* running()
      yield* wants()
      yield* wants({}, { order: orders() })
      const waiting = yield* Effect.forkScoped(outcome(1))
      yield* wants({ requested: "stopped" }, { order: orders({ id: 2 }) })
      yield* (yield* instances.installs.next).interrupted
      expect(waiting.pollUnsafe()).toBeUndefined()
      yield* installs(Effect.void)
      expect((yield* Fiber.join(waiting)).state).toBe("stopped")
    }),
  )

  it.effect(
    "to stop: it is processed, its programs are held, the master hears nothing, and the next processing starts it",
    () =>
      Effect.gen(function* () {
        const { client, file, installs, instances, orders, outcome, services, wants } = yield* running({
          timestamp: "1",
        })
        yield* wants()
        yield* wants({}, { order: orders({ stops: true }) })
        yield* installs(Effect.void)
        expect((yield* outcome(1)).state).toBe("stopped")
        expect(services.told).toStrictEqual(["web-on-watch for 1", "web-on-watch held", "web-on-watch held"])
        expect([client.told, file(".timestamp")]).toStrictEqual([[], "1"])
        yield* wants({}, { nudge: 1, order: orders({ stops: true }) })
        expect([instances.installs.inputs.length, services.told.length]).toStrictEqual([1, 3])
        yield* wants({ timestamp: "2" }, { order: orders({ stops: true }) })
        yield* installs(Effect.void)
        expect([services.told.at(-1), client.told, file(".timestamp")]).toStrictEqual([
          "web-on-watch for 2",
          ["started"],
          "2",
        ])
      }),
  )
})

describe("started", () => {
  it.effect("is installed, started, told and marked", () =>
    Effect.gen(function* () {
      const { client, file, installs, instances, services, status, wants } = yield* running()
      yield* wants()
      expect([(yield* status)?.state, services.told]).toStrictEqual(["installing", []])
      yield* installs(Effect.void)
      expect(instances.installs.inputs[0]).toMatchObject({ id: "slappart0", requested: "started" })
      expect([(yield* status)?.state, services.told, client.told]).toStrictEqual([
        "started",
        ["web-on-watch for 1"],
        ["started"],
      ])
      expect([file(".timestamp"), file(".slapos-retention-lock-delay")]).toStrictEqual(["1", "0.0"])
      yield* wants()
      yield* wants({}, { nudge: 5 })
      expect(instances.installs.inputs).toHaveLength(1)
    }),
  )

  it.effect("is marked only when the master knows", () =>
    Effect.gen(function* () {
      const { client, file, installs, wants } = yield* running()
      client.reports.reply = () => Effect.fail(unreachable)
      yield* wants()
      yield* installs(Effect.void)
      expect(file(".timestamp")).toBeUndefined()
      client.reports.reply = () => Effect.void
      yield* TestClock.adjust("1 minute")
      yield* settle
      expect(file(".timestamp")).toBe("1")
    }),
  )

  it.effect("the mark goes before a processing and does not come back when it fails", () =>
    Effect.gen(function* () {
      const { file, installs, wants } = yield* running({ timestamp: "1" })
      yield* wants({ timestamp: "2" })
      expect(file(".timestamp")).toBeUndefined()
      yield* installs(Effect.fail(broken))
      expect(file(".timestamp")).toBeUndefined()
    }),
  )

  it.effect("without a timestamp it is processed again and again, and never marked", () =>
    Effect.gen(function* () {
      const { file, installs, wants } = yield* running()
      yield* wants({ timestamp: undefined })
      yield* installs(Effect.void)
      yield* TestClock.adjust(60_000)
      yield* installs(Effect.void)
      expect(file(".timestamp")).toBeUndefined()
    }),
  )

  it.effect("is processed again when it is too old", () =>
    Effect.gen(function* () {
      const { installs, instances, wants } = yield* running({ maximumPeriodicity: 3600_000 })
      yield* wants()
      yield* installs(Effect.void)
      yield* TestClock.adjust(3599_000)
      yield* settle
      expect(instances.installs.untaken).toBe(0)
      yield* TestClock.adjust(1000)
      yield* instances.installs.next
    }),
  )

  it.effect("waits for its release, in words", () =>
    Effect.gen(function* () {
      const { instances, status, wants } = yield* running()
      yield* wants({}, { isSoftwareReady: false })
      expect(instances.installs.inputs).toStrictEqual([])
      expect((yield* status)?.waitingFor).toContain("waits for its software release")
      yield* wants()
      yield* instances.installs.next
      expect((yield* status)?.waitingFor).toBeUndefined()
    }),
  )

  it.effect("that names no release fails in words", () =>
    Effect.gen(function* () {
      const { client, status, wants } = yield* running()
      yield* wants({ software: undefined })
      expect((yield* status)?.error).toBe("the master wants slappart0 started but names no software release")
      expect(client.told).toStrictEqual(["error"])
    }),
  )

  it.effect("a directory that is not there is told", () =>
    Effect.gen(function* () {
      const { client, instances, path, status, wants } = yield* running({ isFormatted: false })
      yield* wants()
      expect((yield* status)?.error).toBe(`${path} does not exist: the computer has to be formatted first`)
      expect([client.told, instances.installs.inputs]).toStrictEqual([["error"], []])
    }),
  )
})

describe("right after the agent's start", () => {
  it.effect("what is up to date is started as it is, without a report", () =>
    Effect.gen(function* () {
      const { client, instances, services, status, wants } = yield* running({ timestamp: "1" })
      yield* wants()
      expect([services.told, client.told, instances.installs.inputs]).toStrictEqual([["web-on-watch for 1"], [], []])
      expect((yield* status)?.state).toBe("started")
    }),
  )

  it.effect("what was never installed is not started while its release is not ready", () =>
    Effect.gen(function* () {
      const { services, wants } = yield* running()
      yield* wants({}, { isSoftwareReady: false })
      expect(services.told).toStrictEqual([])
    }),
  )

  it.effect("a start of it that fails is told once and tried again with backoff", () =>
    Effect.gen(function* () {
      const { client, services, status, wants } = yield* running({ timestamp: "1" })
      const planted = new FileError({ path: "etc/service", operation: "list", reason: "Unsafe", message: "a link" })
      services.listings.reply = () => Effect.fail(planted)
      yield* wants()
      expect([services.listings.inputs.length, client.told]).toStrictEqual([1, ["error"]])
      expect((yield* status)?.error).toBe("a link")
      services.listings.reply = () => Effect.succeed([web])
      yield* TestClock.adjust(6250)
      yield* settle
      expect(services.told).toStrictEqual(["web-on-watch for 1"])
    }),
  )
})

describe("a failed installation", () => {
  it.effect("is told everywhere, touches no service and is tried again with backoff", () =>
    Effect.gen(function* () {
      const { client, file, installs, instances, services, status, wants } = yield* running()
      yield* wants()
      yield* installs(Effect.void)
      yield* wants({ timestamp: "2" })
      for (const delay of [5000, 10_000, 20_000]) {
        yield* installs(Effect.fail(broken))
        expect(yield* status).toMatchObject({ state: "failed", error: broken.message })
        expect(file(".slapgrid-slappart0-error.log")).toBe(`${broken.message}\n`)
        expect(client.reports.inputs.at(-1)).toStrictEqual({
          _tag: "Partition",
          id: "slappart0",
          state: "error",
          log: broken.message,
        })
        yield* TestClock.adjust(delay * 0.74)
        yield* settle
        expect(instances.installs.untaken).toBe(0)
        yield* TestClock.adjust(delay * 0.52)
      }
      expect(services.told).toStrictEqual(["web-on-watch for 1"])
      yield* installs(Effect.void)
      expect([file(".slapgrid-slappart0-error.log"), file(".timestamp")]).toStrictEqual([undefined, "2"])
      expect((yield* status)?.error).toBeUndefined()
    }),
  )

  it.effect("is tried at once when somebody asks, and for another timestamp", () =>
    Effect.gen(function* () {
      const { installs, wants } = yield* running()
      yield* wants()
      yield* installs(Effect.fail(broken))
      yield* wants({}, { nudge: 1 })
      yield* installs(Effect.fail(broken))
      yield* wants({ timestamp: "2" }, { nudge: 1 })
      yield* installs(Effect.void)
    }),
  )

  it.effect("was asked for before it failed: that counts no more", () =>
    Effect.gen(function* () {
      const { installs, instances, wants } = yield* running({ timestamp: "1" })
      yield* wants()
      yield* wants({}, { nudge: 1 })
      yield* wants({ timestamp: "2" }, { nudge: 1 })
      yield* installs(Effect.fail(broken))
      yield* wants({ timestamp: "2" }, { nudge: 1 })
      expect(instances.installs.inputs).toHaveLength(1)
      yield* wants({ timestamp: "2" }, { nudge: 2 })
      expect(instances.installs.inputs).toHaveLength(2)
    }),
  )

  it.effect("a defect in it is a crash: the actor goes on, and its services with it", () =>
    Effect.gen(function* () {
      const { installs, instances, services, wants } = yield* running()
      yield* wants()
      yield* installs(Effect.die("a bug"))
      yield* TestClock.adjust("1 second")
      yield* instances.installs.next
      expect(services.told).not.toContain("closed")
    }),
  )
})

describe("stopped", () => {
  it.effect("is installed even so, then stopped and told", () =>
    Effect.gen(function* () {
      const { client, file, installs, instances, services, status, wants } = yield* running()
      yield* wants({ requested: "stopped" })
      yield* installs(Effect.void)
      expect(instances.installs.inputs[0]?.requested).toBe("stopped")
      expect([services.told, client.told, file(".timestamp")]).toStrictEqual([["stop"], ["stopped"], "1"])
      expect((yield* status)?.state).toBe("stopped")
    }),
  )

  it.effect("is stopped before the installation, which can hang", () =>
    Effect.gen(function* () {
      const { instances, services, wants } = yield* running()
      yield* wants({ requested: "stopped" })
      yield* instances.installs.next
      expect(services.told).toStrictEqual(["stop"])
    }),
  )

  it.effect("is stopped whatever becomes of the installation, and started again when it is wanted", () =>
    Effect.gen(function* () {
      const { installs, services, wants } = yield* running({ timestamp: "1" })
      yield* wants()
      yield* wants({ requested: "stopped", timestamp: "2" })
      yield* installs(Effect.fail(broken))
      expect(services.told).toStrictEqual(["web-on-watch for 1", "stop"])
      // A master that takes its wish back, timestamp and all.
      yield* wants({ timestamp: "1" })
      expect(services.told.at(-1)).toBe("web-on-watch for 1")
    }),
  )
})

describe("told again how it is", () => {
  it.effect("is what the master hears who was told that it cannot be followed", () =>
    Effect.gen(function* () {
      const { client, installs, promises, retell, wants } = yield* running()
      const since = Effect.gen(function* () {
        const before = client.told.length
        yield* retell
        return client.told.slice(before)
      })
      yield* wants()
      expect(yield* since).toStrictEqual([])
      yield* installs(Effect.void)
      expect(yield* since).toStrictEqual(["started"])
      // The next look finds it: the master has heard, and hears it again.
      promises.checks.reply = () =>
        Effect.map(Clock.currentTimeMillis, (now) => ({ ...nothingToCheck, failure: "no", nextAt: now + 120_000 }))
      yield* wants({ timestamp: "2" })
      yield* installs(Effect.void)
      expect(yield* since).toStrictEqual(["error"])
      yield* wants({ requested: "stopped" })
      yield* installs(Effect.void)
      expect(yield* since).toStrictEqual(["stopped"])
      yield* wants({ requested: "destroyed" })
      expect(yield* since).toStrictEqual(["destroyed"])
    }),
  )
})

describe("another wish", () => {
  it.effect("interrupts an installation that has become pointless", () =>
    Effect.gen(function* () {
      const { installs, instances, services, wants } = yield* running()
      yield* wants()
      const { interrupted } = yield* instances.installs.next
      yield* wants({ requested: "stopped", timestamp: "2" })
      yield* interrupted
      yield* installs(Effect.void)
      expect(services.told).toStrictEqual(["stop"])
    }),
  )

  it.effect("a moved timestamp does not: it is worked on next", () =>
    Effect.gen(function* () {
      const { client, file, installs, wants } = yield* running()
      yield* wants()
      yield* wants({ timestamp: "2" })
      yield* wants({ timestamp: "3" })
      yield* installs(Effect.void)
      yield* installs(Effect.void)
      expect([file(".timestamp"), client.told]).toStrictEqual(["3", ["started", "started"]])
    }),
  )

  it.effect("after an interrupted stop the services are what is wanted now", () =>
    Effect.gen(function* () {
      const { instances, services, wants } = yield* running({ timestamp: "1" })
      yield* wants()
      yield* wants({ requested: "stopped", timestamp: "2" })
      const { interrupted } = yield* instances.installs.next
      yield* wants({ timestamp: "1" })
      yield* interrupted
      yield* settle
      expect(services.told).toStrictEqual(["web-on-watch for 1", "stop", "web-on-watch for 1"])
    }),
  )
})

describe("certificates", () => {
  it.effect("are fetched first, in every state, and written only when they changed", () =>
    Effect.gen(function* () {
      const { installs, instances, root, wants } = yield* running({ hasCertificates: true })
      yield* wants({ requested: "stopped" })
      const key = `${root}/certificates/slappart0.key`
      expect(fs.readFileSync(`${root}/certificates/slappart0.crt`, "utf8")).toBe("CERT")
      expect([fs.readFileSync(key, "utf8"), fs.statSync(key).mode & 0o7777]).toStrictEqual(["KEY", 0o400])
      const { ino } = fs.statSync(key)
      yield* installs(Effect.void)
      yield* wants({ timestamp: "2" })
      yield* instances.installs.next
      expect(fs.statSync(key).ino).toBe(ino)
    }),
  )

  it.effect("a master that is away keeps nothing that runs from running", () =>
    Effect.gen(function* () {
      const { client, file, instances, services, wants } = yield* running({ timestamp: "1", hasCertificates: true })
      client.certificates.reply = () => Effect.fail(unreachable)
      yield* wants({ timestamp: "2" })
      expect([services.told, instances.installs.inputs, file(".timestamp")]).toStrictEqual([
        ["web-on-watch for 1"],
        [],
        "1",
      ])
    }),
  )
})

describe("a watched program that ends", () => {
  it.effect("is told to the master once for each deployment", () =>
    Effect.gen(function* () {
      const { bangs, file, installs, services, wants } = yield* running()
      yield* wants()
      yield* installs(Effect.void)
      const alarm = (deployment?: string) =>
        Effect.suspend(() => services.options?.onAlarm(web, deployment) ?? Effect.void)
      yield* alarm("1.5")
      expect(bangs.rung).toStrictEqual([
        {
          id: "slappart0",
          deployment: "1.5",
          message: "web-on-watch process in partition slappart0 encountered a problem",
        },
      ])
      expect(file(".slapos_latest_bang_timestamp")).toBe("1.5")
      yield* alarm()
      expect([bangs.rung.at(-1)?.deployment, file(".slapos_latest_bang_timestamp")]).toStrictEqual(["0", "0"])
    }),
  )

  it.effect("is forgotten with the instance", () =>
    Effect.gen(function* () {
      const { bangs, wants } = yield* running()
      yield* wants({ requested: "destroyed", software: undefined, timestamp: undefined })
      yield* settle
      expect(bangs.forgotten).toStrictEqual(["slappart0"])
    }),
  )
})

describe("what the reference still runs of it", () => {
  const stuck = new TakeoverError({ group: slappart0, message: "supervisord does not let go" })

  it.effect("ends after the installation and before ours start", () =>
    Effect.gen(function* () {
      const { installs, releases, services, wants } = yield* running()
      releases.reply = () => Effect.sync(() => void services.told.push("release"))
      yield* wants()
      expect(services.told).toStrictEqual([])
      yield* installs(Effect.void)
      expect(services.told).toStrictEqual(["release", "web-on-watch for 1"])
    }),
  )

  it.effect.each([
    ["stopped", { requested: "stopped" }],
    ["destroyed", { requested: "destroyed" }],
    ["free", { requested: "destroyed", software: undefined, timestamp: undefined }],
  ] as const)("ends with ours when it is to be %s", ([, wish]) =>
    Effect.gen(function* () {
      const { releases, services, wants } = yield* running({ timestamp: "1" })
      releases.reply = () => Effect.sync(() => void services.told.push("release"))
      yield* wants(wish)
      expect(services.told).toStrictEqual(["release", "stop"])
    }),
  )

  it.effect("and does not end keeps ours from starting; it is told and tried again", () =>
    Effect.gen(function* () {
      const { client, releases, services, status, wants } = yield* running({ timestamp: "1" })
      releases.reply = () => stuck
      yield* wants()
      expect(services.told).toStrictEqual([])
      expect([client.told, (yield* status)?.error]).toStrictEqual([["error"], "supervisord does not let go"])
      releases.reply = () => Effect.void
      yield* TestClock.adjust(6250)
      yield* settle
      expect([services.told, (yield* status)?.state]).toStrictEqual([["web-on-watch for 1"], "started"])
      expect(client.told).toStrictEqual(["error", "started"])
    }),
  )

  it.effect("and does not end keeps ours from nothing when they are to stop", () =>
    Effect.gen(function* () {
      const { instances, path, releases, services, wants } = yield* running({ timestamp: "1" })
      releases.reply = () => stuck
      yield* wants({ requested: "destroyed" })
      expect([services.told, instances.destroyScripts.inputs, fs.existsSync(path)]).toStrictEqual([["stop"], [], true])
      releases.reply = () => Effect.void
      yield* TestClock.adjust(6250)
      yield* settle
      expect(instances.destroyScripts.inputs).toHaveLength(1)
    }),
  )
})

it.effect("the end of the scope interrupts the work first, then closes the group", () =>
  Effect.gen(function* () {
    const { close, instances, services, wants } = yield* running()
    yield* wants()
    const { interrupted } = yield* instances.installs.next
    yield* close
    yield* interrupted
    expect(services.told).toStrictEqual(["closed"])
  }),
)

describe("what its recipes request", () => {
  const file = ".slapos-request-transaction-slappart0"
  const related = (client: { readonly reports: { readonly inputs: ReadonlyArray<Report> } }) =>
    client.reports.inputs.filter(({ _tag }) => _tag === "Related")

  it.effect("is told to the master after the state, all of it, and then the processing is marked", () =>
    Effect.gen(function* () {
      const running_ = yield* running()
      const { client, installs, path, wants } = running_
      fs.writeFileSync(`${path}/${file}`, "of an earlier processing\n")
      yield* wants()
      expect(fs.existsSync(`${path}/${file}`)).toBe(false)
      client.reports.reply = (report) => (report._tag === "Related" ? Effect.fail(unreachable) : Effect.void)
      yield* installs(Effect.sync(() => fs.writeFileSync(`${path}/${file}`, "child one\n\nzweites Kind é\n")))
      expect(client.reports.inputs.map(({ _tag }) => _tag)).toStrictEqual(["Partition", "Related"])
      expect(related(client)).toMatchObject([{ id: "slappart0", references: ["child one", "zweites Kind é"] }])
      expect(running_.file(".timestamp")).toBeUndefined()
      client.reports.reply = () => Effect.void
      yield* TestClock.adjust("1 minute")
      yield* settle
      expect(running_.file(".timestamp")).toBe("1")
    }),
  )

  it.effect("none is told, too; that nobody notes it is not", () =>
    Effect.gen(function* () {
      const { client, installs, path, wants } = yield* running()
      yield* wants()
      yield* installs(Effect.sync(() => fs.writeFileSync(`${path}/${file}`, "")))
      expect(related(client)).toMatchObject([{ references: [] }])
      yield* wants({ timestamp: "2" })
      yield* installs(Effect.void)
      expect(related(client)).toHaveLength(1)
    }),
  )

  it.effect("what cannot be read is not told, and the processing is good", () =>
    Effect.gen(function* () {
      const running_ = yield* running()
      const { client, installs, path, wants } = running_
      yield* wants()
      yield* installs(Effect.sync(() => fs.symlinkSync("/etc/passwd", `${path}/${file}`)))
      expect([related(client), running_.file(".timestamp")]).toStrictEqual([[], "1"])
    }),
  )

  it.effect("a failed processing tells nothing", () =>
    Effect.gen(function* () {
      const { client, installs, path, wants } = yield* running()
      yield* wants()
      fs.writeFileSync(`${path}/${file}`, "half\n")
      yield* installs(Effect.fail(broken))
      expect(related(client)).toStrictEqual([])
    }),
  )
})

describe("a release", () => {
  it.effect("can want its instances processed more often", () =>
    Effect.gen(function* () {
      const { installs, instances, wants } = yield* running()
      instances.periodicity = 60_000
      yield* wants()
      yield* installs(Effect.void)
      yield* TestClock.adjust(60_000)
      yield* instances.installs.next
    }),
  )

  it.effect("that is built again takes an installation from under it, which is done again afterwards", () =>
    Effect.gen(function* () {
      const { installs, instances, services, status, wants } = yield* running({ timestamp: "1" })
      yield* wants({ timestamp: "2" })
      const { interrupted } = yield* instances.installs.next
      yield* wants({ timestamp: "2" }, { isSoftwareReady: false })
      yield* interrupted
      yield* settle
      expect((yield* status)?.waitingFor).toContain("waits for its software release")
      expect(services.told).toStrictEqual(["web-on-watch for 1"])
      yield* wants({ timestamp: "2" })
      yield* installs(Effect.void)
      expect(services.told.at(-1)).toBe("web-on-watch for 2")
    }),
  )
})

describe("a stop by hand", () => {
  it.effect("before a processing ends with it, during one it holds until the next", () =>
    Effect.gen(function* () {
      const { installs, instances, services, wants } = yield* running({ timestamp: "1" })
      services.status = [statusOf("before", { isHeld: true })]
      yield* wants({ timestamp: "2" })
      const { answer } = yield* instances.installs.next
      services.status = [statusOf("before", { isHeld: true }), statusOf("during", { isHeld: true })]
      yield* answer(Effect.void)
      yield* settle
      const isReleased = (name: string) => typeof services.releases === "function" && services.releases(name)
      expect(["before", "during"].map(isReleased)).toStrictEqual([true, false])
      yield* wants({ timestamp: "3" })
      yield* installs(Effect.void)
      expect(isReleased("during")).toBe(true)
    }),
  )
})
