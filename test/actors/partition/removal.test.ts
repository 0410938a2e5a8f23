// The end of a partition, step by step, and what a free one is cleaned of.
import { describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as fs from "node:fs"
import { expect } from "vitest"
import type { ServiceSpec } from "../../../src/domain/ServiceSpec.ts"
import { UsageError } from "../../../src/report/usage/UsageReports.ts"
import { settle } from "../../support/Calls.ts"
import { program } from "../../support/facts.ts"
import { unreachable } from "../support.ts"

import { broken, running, statusOf } from "./running.ts"

describe("destroyed", () => {
  const gone = { requested: "destroyed" } as const

  it.effect("is stopped, its script run, removed and told", () =>
    Effect.gen(function* () {
      const { client, instances, path, services, status, wants } = yield* running({ timestamp: "1" })
      fs.mkdirSync(`${path}/srv/data`, { recursive: true })
      yield* wants(gone)
      expect(instances.destroyScripts.inputs).toHaveLength(1)
      expect([services.told, fs.readdirSync(path)]).toStrictEqual([["stop"], []])
      expect([client.told.at(-1), (yield* status)?.state]).toStrictEqual(["destroyed", "destroyed"])
      yield* wants(gone, { nudge: 1 })
      expect(instances.destroyScripts.inputs).toHaveLength(1)
    }),
  )

  it.effect("nothing is removed before its usage is kept outside", () =>
    Effect.gen(function* () {
      const { client, instances, path, usage, wants } = yield* running({ timestamp: "1" })
      usage.seals.reply = () => new UsageError({ message: "the disk is full" })
      yield* wants(gone)
      expect(usage.seals.inputs).toStrictEqual(["slappart0"])
      expect([fs.existsSync(`${path}/.timestamp`), client.told]).toStrictEqual([true, ["stopped", "error"]])
      expect(instances.destroyScripts.inputs).toHaveLength(0)
      usage.seals.reply = undefined
      yield* TestClock.adjust(6250)
      const seal = yield* usage.seals.next
      expect(fs.existsSync(`${path}/.timestamp`)).toBe(true)
      yield* seal.answer(Effect.void)
      yield* settle
      expect([fs.readdirSync(path), client.told.at(-1)]).toStrictEqual([[], "destroyed"])
    }),
  )

  it.effect("the storage on other volumes that it names is emptied, that of others is not", () =>
    Effect.gen(function* () {
      const { path, root, wants } = yield* running({ timestamp: "1" })
      for (const place of ["fast/slappart0/db", "fast/slappart1/db", "slow/slappart0/db"]) {
        fs.mkdirSync(`${root}/storage/${place}`, { recursive: true })
      }
      fs.mkdirSync(`${path}/DATA`)
      fs.symlinkSync(`${root}/storage/fast/slappart0`, `${path}/DATA/fast`)
      fs.symlinkSync("/nowhere", `${path}/DATA/absent`)
      yield* wants(gone)
      const left = ["fast/slappart0", "fast/slappart1", "slow/slappart0"].map((place) =>
        fs.readdirSync(`${root}/storage/${place}`),
      )
      expect([fs.readdirSync(path), left]).toStrictEqual([[], [[], ["db"], ["db"]]])
    }),
  )

  it.effect.each(["a file", "a link"])("%s in the place of DATA names no storage", (what) =>
    Effect.gen(function* () {
      const { client, path, root, wants } = yield* running({ timestamp: "1" })
      fs.mkdirSync(`${root}/storage/fast/slappart0/db`, { recursive: true })
      if (what === "a file") fs.writeFileSync(`${path}/DATA`, "")
      else fs.symlinkSync(`${root}/storage`, `${path}/DATA`)
      yield* wants(gone)
      expect(fs.readdirSync(`${root}/storage/fast/slappart0`)).toStrictEqual(["db"])
      expect(client.told.at(-1)).toBe("destroyed")
    }),
  )

  it.effect("its certificate goes with it", () =>
    Effect.gen(function* () {
      const { root, wants } = yield* running({ timestamp: "1", hasCertificates: true })
      yield* wants(gone)
      expect(fs.readdirSync(`${root}/certificates`)).toStrictEqual([])
    }),
  )

  it.effect("once something is removed there is no way back, for a successor neither", () =>
    Effect.gen(function* () {
      const first = yield* running({ timestamp: "1" })
      fs.mkdirSync(`${first.root}/var/run/slapgrid/removing`)
      fs.writeFileSync(`${first.root}/var/run/slapgrid/removing/slappart0`, "")
      fs.writeFileSync(`${first.path}/.installed.cfg`, "half")
      // The actor has not looked yet: it does with its first wish.
      yield* first.wants()
      const { input } = yield* first.instances.installs.next
      expect(input.requested).toBe("started")
      expect(fs.existsSync(`${first.path}/.installed.cfg`)).toBe(false)
      expect(fs.readdirSync(`${first.root}/var/run/slapgrid/removing`)).toStrictEqual([])
      expect([first.services.told, first.client.told]).toStrictEqual([["stop"], []])
    }),
  )

  it.effect("nothing is removed when its script fails, and it is tried again", () =>
    Effect.gen(function* () {
      const { client, instances, path, wants } = yield* running({ timestamp: "1" })
      instances.destroyScripts.reply = () => Effect.fail(broken)
      yield* wants(gone)
      expect([fs.existsSync(`${path}/.timestamp`), client.told]).toStrictEqual([true, ["stopped", "error"]])
      instances.destroyScripts.reply = () => Effect.void
      yield* TestClock.adjust(6250)
      yield* settle
      expect([fs.readdirSync(path), client.told.at(-1)]).toStrictEqual([[], "destroyed"])
    }),
  )

  it.effect("is retained for the days that were frozen at its installation", () =>
    Effect.gen(function* () {
      const { client, file, installs, path, services, status, wants } = yield* running()
      yield* wants({ filter: { retention_delay: "2" } })
      yield* installs(Effect.void)
      yield* wants({ ...gone, filter: { retention_delay: "0" } })
      expect([services.told.at(-1), client.told.at(-1), (yield* status)?.waitingFor]).toStrictEqual([
        "stop",
        "stopped",
        "its retention delay is not over",
      ])
      expect(Number(file(".slapos-retention-lock-date"))).toBeGreaterThan(
        (yield* Clock.currentTimeMillis) / 1000 + 2 * 86_400 - 60,
      )
      for (let hour = 0; hour < 47; hour++) yield* TestClock.adjust("1 hour")
      yield* settle
      expect(file(".slapos-retention-lock-date")).toBeDefined()
      yield* TestClock.adjust("2 hours")
      yield* settle
      expect([fs.readdirSync(path), client.told.at(-1)]).toStrictEqual([[], "destroyed"])
    }),
  )

  it.effect("one that the master does not know is not removed", () =>
    Effect.gen(function* () {
      const { client, path, wants } = yield* running({ timestamp: "1", hasCertificates: true })
      client.certificates.reply = () => Effect.fail(unreachable)
      yield* wants(gone)
      expect([fs.existsSync(`${path}/.timestamp`), client.told.at(-1)]).toStrictEqual([true, "error"])
    }),
  )
})

const script = (name: string): ServiceSpec => program(name, { kind: "run", path: `/nowhere/etc/prerm/${name}` })
describe("what removal waits for", () => {
  const gone = { requested: "destroyed" } as const
  const prerm = { timestamp: "1", config: { runsPrerm: true } } as const

  it.effect("scripts of etc/prerm are run once, after everything else has stopped and been told", () =>
    Effect.gen(function* () {
      const { client, instances, path, services, status, wants } = yield* running(prerm)
      services.prerm = [script("export-prerm")]
      const starts = services.onApply(() => {
        services.status = [statusOf("export-prerm", { state: "running" })]
      })
      yield* wants(gone)
      expect([services.told, client.told]).toStrictEqual([["stop", "export-prerm for removal"], ["stopped"]])
      expect([starts(), (yield* status)?.waitingFor]).toStrictEqual([1, "its removal waits for export-prerm"])
      expect([fs.existsSync(`${path}/.timestamp`), instances.destroyScripts.inputs]).toStrictEqual([true, []])
      yield* TestClock.adjust("1 hour")
      yield* settle
      expect(fs.existsSync(`${path}/.timestamp`)).toBe(true)
      services.onApply(() => undefined)
      services.status = [statusOf("export-prerm", { state: "exited" })]
      yield* TestClock.adjust("2 seconds")
      yield* settle
      expect([fs.readdirSync(path), client.told.filter((one) => one !== "stopped")]).toStrictEqual([[], ["destroyed"]])
      expect(client.told).toHaveLength(2)
    }),
  )

  it.effect("scripts that an earlier agent began go on", () =>
    Effect.gen(function* () {
      const { services, status, wants } = yield* running(prerm)
      services.prerm = [script("export-prerm")]
      services.status = [statusOf("export-prerm", { state: "running" })]
      yield* wants(gone)
      expect(services.told).not.toContain("stop")
      expect((yield* status)?.waitingFor).toBe("its removal waits for export-prerm")
    }),
  )

  it.effect("scripts are not run while the partition is retained, nor where nobody configured it", () =>
    Effect.gen(function* () {
      const { path, services, wants } = yield* running(prerm)
      fs.writeFileSync(`${path}/.slapos-retention-lock-delay`, "1.0")
      services.prerm = [script("export-prerm")]
      yield* wants(gone)
      expect(services.told).toStrictEqual(["stop"])
      const other = yield* running({ timestamp: "1" })
      other.services.prerm = [script("export-prerm")]
      yield* other.wants(gone)
      expect([other.services.told, fs.readdirSync(other.path)]).toStrictEqual([["stop"], []])
    }),
  )

  it.effect("programs that the instance names in its list", () =>
    Effect.gen(function* () {
      const { client, path, services, status, wants } = yield* running({ timestamp: "1" })
      fs.writeFileSync(
        `${path}/.slapos-report-wait-service-list`,
        "slappart0:backup-on-watch\nslappart0:unknown\nslappart1:web\n",
      )
      services.status = [statusOf("backup-on-watch", { state: "running" }), statusOf("web", { state: "running" })]
      yield* wants(gone)
      expect((yield* status)?.waitingFor).toBe("its removal waits for backup-on-watch")
      services.status = [statusOf("web", { state: "running" })]
      yield* TestClock.adjust("2 seconds")
      yield* settle
      expect(client.told.at(-1)).toBe("destroyed")
    }),
  )

  it.effect("a list that is none holds nothing up", () =>
    Effect.gen(function* () {
      const { client, path, services, wants } = yield* running({ timestamp: "1" })
      fs.symlinkSync("/etc/passwd", `${path}/.slapos-report-wait-service-list`)
      services.status = [statusOf("web", { state: "running" })]
      yield* wants(gone)
      expect(client.told.at(-1)).toBe("destroyed")
    }),
  )

  it.effect("another wish meanwhile is followed", () =>
    Effect.gen(function* () {
      const { instances, services, wants } = yield* running(prerm)
      services.prerm = [script("export-prerm")]
      services.onApply(() => {
        services.status = [statusOf("export-prerm", { state: "running" })]
      })
      yield* wants(gone)
      yield* wants({ timestamp: "2" })
      const { input } = yield* instances.installs.next
      expect(input.requested).toBe("started")
    }),
  )
})

describe("free", () => {
  it.effect("is stopped and cleaned of the node's own, without a report", () =>
    Effect.gen(function* () {
      const { client, path, services, status, wants } = yield* running({ timestamp: "1" })
      fs.mkdirSync(`${path}/.slapgrid/log`, { recursive: true })
      fs.writeFileSync(`${path}/.slapos-resource`, "")
      fs.writeFileSync(`${path}/leftover`, "")
      yield* wants({ requested: "destroyed", software: undefined, timestamp: undefined })
      expect(fs.readdirSync(path).sort()).toStrictEqual([".slapos-resource", "leftover"])
      expect([services.told, client.told, (yield* status)?.state]).toStrictEqual([["stop"], [], "free"])
    }),
  )
})
