// Reports in the folders of a partition and of the node, among everything that a hostile owner could put there.
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import {
  collect,
  deleteSources,
  maximumFiles,
  maximumReport,
  placesOf,
  placesOfComputer,
} from "../../../src/report/usage/collect.ts"
import { computerId, slappart0 } from "../../support/facts.ts"
import { inCi, isRoot, scratchDirectory, stranger } from "../../support/scratch.ts"
import { journals, plain } from "./examples.ts"

const report = (title: string) => `<consumption>${plain.replace("Line 1", title)}</consumption>`

const node = Effect.gen(function* () {
  const root = yield* scratchDirectory
  const own = `${root}/slappart0/var/xml_report`
  const shared = `${root}/var/xml_report/slappart0`
  for (const path of [own, shared, `${root}/var/xml_report/COMP-1`]) fs.mkdirSync(path, { recursive: true })
  /** As the partition's user. */
  const give = (path: string) => {
    if (isRoot) fs.lchownSync(path, stranger.uid, stranger.gid)
  }
  for (const path of ["slappart0", "slappart0/var", "slappart0/var/xml_report"]) give(`${root}/${path}`)
  const put = (name: string, text: string | Uint8Array) => {
    fs.writeFileSync(`${own}/${name}`, text)
    give(`${own}/${name}`)
  }
  const places = placesOf(root, slappart0)
  const gather = collect(places, () => false)
  const names = Effect.map(gather, ({ reports }) =>
    reports.map(({ sources }) => sources.map(({ folder, name }) => `${folder}/${name}`)),
  )
  return { root, own, shared, give, put, places, gather, names }
})

describe("reports", () => {
  it.effect("are found in both folders; the same one in both is one", () =>
    Effect.gen(function* () {
      const { gather, names, put, shared } = yield* node
      put("a", report("1"))
      put("b", report("2"))
      put("c", report("1"))
      fs.writeFileSync(`${shared}/a`, report("1"))
      fs.writeFileSync(`${shared}/b`, report("3"))
      expect(yield* names).toStrictEqual([["partition/a", "node/a"], ["partition/b"], ["partition/c"], ["node/b"]])
      const { reports, unusable } = yield* gather
      expect([reports[0]?.movements.length, unusable]).toStrictEqual([1, []])
    }),
  )

  it.effect("that are being written, under a name with a dot, are not looked at", () =>
    Effect.gen(function* () {
      const { names, put } = yield* node
      put(".a", report("1"))
      expect(yield* names).toStrictEqual([])
    }),
  )

  it.effect("that are in a journal already are not found again", () =>
    Effect.gen(function* () {
      const { places, put } = yield* node
      put("a", report("1"))
      put("b", report("2"))
      const found = yield* collect(places, ({ name }) => name === "a")
      expect(found.reports.map(({ sources }) => sources[0]?.name)).toStrictEqual(["b"])
    }),
  )

  it.effect("of nobody are none", () =>
    Effect.gen(function* () {
      const { root } = yield* node
      const nobody = placesOf(`${root}/nowhere`, slappart0)
      expect(yield* collect(nobody, () => false)).toStrictEqual({ reports: [], unusable: [] })
      yield* deleteSources(nobody, [])
    }),
  )

  it.effect("are bounded in number and size; the rest is for the next time", () =>
    Effect.gen(function* () {
      const { gather, own, put, root } = yield* node
      for (let index = 0; index < maximumFiles + 5; index++) put(`a${index}`, report("1"))
      expect((yield* gather).reports).toHaveLength(maximumFiles)
      fs.rmSync(own, { recursive: true })
      fs.mkdirSync(own)
      if (isRoot) fs.chownSync(own, stranger.uid, stranger.gid)
      const large = report("x".repeat(maximumReport - 1000))
      for (let index = 0; index < 8; index++) put(`a${index}`, large)
      expect((yield* gather).reports.length).toBeLessThan(8)
      expect(fs.existsSync(root)).toBe(true)
    }),
  )

  it.effect("of the computer are journals", () =>
    Effect.gen(function* () {
      const { root } = yield* node
      const whole = journals[0]?.xml ?? ""
      fs.writeFileSync(`${root}/var/xml_report/COMP-1/a`, whole)
      fs.writeFileSync(`${root}/var/xml_report/COMP-1/b`, report("1"))
      const { reports, unusable } = yield* collect(placesOfComputer(root, computerId), () => false)
      expect(reports.map(({ text }) => text)).toStrictEqual([whole])
      expect(unusable.map(({ path, reason }) => `${path.slice(root.length)}: ${reason.slice(0, 27)}`)).toStrictEqual([
        "/var/xml_report/COMP-1/b: the document is no <journal",
      ])
    }),
  )
})

describe("what is no report", () => {
  it.effect("stays, is named, and keeps no other from being found", () =>
    Effect.gen(function* () {
      const { gather, give, names, own, put, root } = yield* node
      fs.writeFileSync(`${root}/secret`, report("secret"))
      put("b-invalid", report("1").replace("42.42", "x"))
      put("c-empty", "")
      put("d-binary", Buffer.from([0x3c, 0xff, 0xfe]))
      put("e-large", report("x".repeat(maximumReport)))
      fs.symlinkSync(`${root}/secret`, `${own}/f-link`)
      fs.symlinkSync("/etc/shadow", `${own}/g-shadow`)
      spawnSync("mkfifo", [`${own}/h-fifo`])
      fs.linkSync(`${root}/secret`, `${own}/i-hard`)
      fs.mkdirSync(`${own}/j-directory`)
      put("k-sparse", "")
      fs.truncateSync(`${own}/k-sparse`, 1024 ** 4)
      put("l-bomb", '<!DOCTYPE a [<!ENTITY b "bbbb">]><consumption/>')
      for (const name of ["f-link", "g-shadow", "h-fifo", "j-directory"]) give(`${own}/${name}`)
      put("a-good", report("1"))
      put("z-good", report("2"))
      const before = fs.readdirSync(own)
      expect(yield* names).toStrictEqual([["partition/a-good"], ["partition/z-good"]])
      const { unusable } = yield* gather
      expect(unusable.map(({ path }) => path.slice(own.length + 1, own.length + 2)).join("")).toBe("bcdefghijkl")
      expect(unusable.every(({ canPass }) => !canPass)).toBe(true)
      expect(unusable.find(({ path }) => path.endsWith("b-invalid"))?.reason).toContain(
        "movement 1: <quantity> is no number",
      )
      expect(unusable.find(({ path }) => path.endsWith("k-sparse"))?.reason).toContain("more than the limit")
      expect(fs.readdirSync(own)).toStrictEqual(before)
    }),
  )

  it.effect.runIf(inCi || isRoot)("a file of somebody else's", () =>
    Effect.gen(function* () {
      const { gather, own } = yield* node
      fs.writeFileSync(`${own}/a`, report("root's"))
      const { reports, unusable } = yield* gather
      expect([reports, unusable[0]?.reason]).toStrictEqual([
        [],
        `refused to read ${own}/a: it belongs to somebody else`,
      ])
    }),
  )

  it.effect("a folder that is a link, of the partition or above it", () =>
    Effect.gen(function* () {
      const { gather, own, root } = yield* node
      fs.mkdirSync(`${root}/elsewhere`)
      fs.writeFileSync(`${root}/elsewhere/a`, report("1"))
      for (const folder of [own, `${root}/slappart0/var`]) {
        fs.rmSync(folder, { recursive: true })
        fs.symlinkSync(`${root}/elsewhere`, folder)
        const { reports, unusable } = yield* gather
        expect([reports, unusable.map(({ canPass }) => canPass)]).toStrictEqual([
          [],
          folder === own ? [false] : [false],
        ])
      }
    }),
  )
})

describe("deletion", () => {
  it.effect("takes every file of the report, renamed or copied, and nothing else", () =>
    Effect.gen(function* () {
      const { gather, own, places, put, shared } = yield* node
      for (const name of ["a", "b", "c", "d"]) put(name, report("1"))
      fs.writeFileSync(`${shared}/x`, report("2"))
      const { reports } = yield* gather
      const sources = reports.flatMap(({ sources }) => sources).filter(({ name }) => name !== "d")
      fs.renameSync(`${own}/a`, `${own}/renamed`)
      fs.copyFileSync(`${own}/b`, `${shared}/b`)
      fs.rmSync(`${own}/c`)
      put("c", report("1"))
      put("new", report("3"))
      fs.utimesSync(`${own}/c`, 1, 1)
      fs.writeFileSync(`${shared}/x`, report("4"))
      yield* deleteSources(places, sources)
      expect([fs.readdirSync(own), fs.readdirSync(shared)]).toStrictEqual([["c", "d", "new"], ["x"]])
      yield* deleteSources(places, sources)
    }),
  )

  it.effect("touches nothing through a link that was put there meanwhile", () =>
    Effect.gen(function* () {
      const { gather, own, places, put, root } = yield* node
      put("a", report("1"))
      const { reports } = yield* gather
      fs.renameSync(own, `${root}/moved`)
      fs.symlinkSync(`${root}/moved`, own)
      yield* deleteSources(places, reports[0]!.sources)
      expect(fs.readdirSync(`${root}/moved`)).toStrictEqual(["a"])
    }),
  )
})
