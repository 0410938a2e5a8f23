// What `slapgrid tail` reads: backup and log as one text, across what a keeper does to them meanwhile.
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import { findLog, LogReader, tail } from "../../../src/process/logs/LogReader.ts"
import { openBelow, scratchDirectory } from "../../support/scratch.ts"
import { eventually } from "../../support/waiting.ts"
import { linesOf, makeKeepers } from "./writers.ts"

const name = ".slappart0_web.log"
const limit = 100 * 1024

const instances = Effect.gen(function* () {
  const root = yield* scratchDirectory
  for (const folder of ["etc", "var", "slappart0", "slappart1"]) fs.mkdirSync(`${root}/${folder}`)
  fs.writeFileSync(`${root}/slapos.xml`, "")
  const log = `${root}/slappart0/${name}`
  fs.writeFileSync(log, "")
  const shown = Effect.fnUntraced(function* (lines: number) {
    let text = ""
    yield* tail(yield* findLog(root, "slappart0:web"), {
      lines,
      isFollowing: false,
      show: (more) => Effect.sync(() => void (text += more)),
    })
    return text
  })
  /** Has a log trimmed once. */
  const trim = Effect.scoped(
    Effect.gen(function* () {
      const size = fs.statSync(log).size
      const { keep } = yield* makeKeepers()
      const end = yield* keep({
        directory: `${root}/slappart0`,
        name,
        limit,
        cgroup: undefined,
        subject: "slappart0:web",
      })
      yield* Effect.addFinalizer(() => end)
      yield* eventually(
        "a trimmed log",
        Effect.sync(() => (fs.statSync(log).size < size ? true : undefined)),
      )
    }),
  )
  return { root, log, shown, trim }
})

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

describe("findLog", () => {
  it.effect("names what there is", () =>
    Effect.gen(function* () {
      const { root } = yield* instances
      const messages = yield* Effect.forEach(
        ["slappart0:db", "slappart1:web", "slappart7:web", "etc:x", "..:web", "web", "a:b:c", "slappart0:"],
        (one) => Effect.map(Effect.flip(findLog(root, one)), ({ message }) => message),
      )
      const form = "does not name a program: write PARTITION:PROGRAM, such as slappart0:web"
      const known = `in ${root}; there are: slappart0, slappart1`
      assert.deepStrictEqual(messages, [
        "slappart0 has no log of a program db; it has: web",
        "slappart1 has no log of a program web; it has: none",
        `there is no partition slappart7 ${known}`,
        `there is no partition etc ${known}`,
        `there is no partition .. ${known}`,
        `web ${form}`,
        `a:b:c ${form}`,
        `slappart0: ${form}`,
      ])
      for (const one of ["slappart0:web", "slappart0:web-on-watch"]) {
        assert.strictEqual((yield* findLog(root, one)).name, name)
      }
    }),
  )
})

describe("tail", () => {
  it.effect("shows the last lines, and controls as escapes", () =>
    Effect.gen(function* () {
      const { log, root, shown } = yield* instances
      fs.writeFileSync(log, "one\ntwo\n\u001b[31mthree\u0007\u009b\tx\né")
      assert.strictEqual(yield* shown(2), "\\x1b[31mthree\\x07\\x9b\tx\né")
      assert.deepStrictEqual(openBelow(root), [])
    }),
  )

  it.live("shows backup and log as the one text that they are", () =>
    Effect.gen(function* () {
      const { log, shown, trim } = yield* instances
      fs.writeFileSync(log, linesOf(2000))
      yield* trim
      assert.isAbove(fs.statSync(`${log}.1`).size, limit / 2)
      const lines = linesOf(2000).split("\n")
      assert.strictEqual(yield* shown(500), lines.slice(-501).join("\n"))
    }),
  )

  it.effect.each(["log", "backup"])("does not follow a link that stands for the %s", (which) =>
    Effect.gen(function* () {
      const { log, root, shown } = yield* instances
      fs.writeFileSync(`${root}/secret`, "secret\n")
      fs.writeFileSync(log, "mine\n")
      const planted = which === "log" ? log : `${log}.1`
      fs.rmSync(planted, { force: true })
      fs.symlinkSync(`${root}/secret`, planted)
      if (which === "backup") assert.strictEqual(yield* shown(20), "mine\n")
      else assert.include((yield* Effect.flip(shown(20))).message, `${name}: ELOOP`)
    }),
  )
})

describe("following", () => {
  const reading = Effect.gen(function* () {
    const { log, root, trim } = yield* instances
    fs.writeFileSync(log, linesOf(2000))
    const reader = new LogReader(yield* findLog(root, "slappart0:web"))
    yield* reader.all
    return { log, trim, reader, news: Effect.map(reader.news, text) }
  })

  it.effect("nothing new, then what is new", () =>
    Effect.gen(function* () {
      const { log, news } = yield* reading
      assert.strictEqual(yield* news, "")
      fs.appendFileSync(log, "a\n")
      assert.strictEqual(yield* news, "a\n")
      assert.strictEqual(yield* news, "")
    }),
  )

  it.live("goes on where it was when the head is gone, once and again", () =>
    Effect.gen(function* () {
      const { log, news, trim } = yield* reading
      yield* trim
      fs.appendFileSync(log, "a\n")
      assert.strictEqual(yield* news, "a\n")
      fs.appendFileSync(log, linesOf(2000))
      yield* trim
      fs.appendFileSync(log, "b\n")
      // Of what came meanwhile the backup has the end: nothing older is shown twice.
      const more = yield* news
      assert.isTrue(`a\n${linesOf(2000)}b\n`.endsWith(more.replaceAll(" ", "").trimStart()))
      assert.strictEqual(yield* news, "")
    }),
  )

  it.live("what was cut before it was read is read from the backup", () =>
    Effect.gen(function* () {
      const { log, news, trim } = yield* reading
      fs.appendFileSync(log, "marker\n")
      fs.appendFileSync(log, linesOf(500))
      yield* trim
      assert.strictEqual(yield* news, `marker\n${linesOf(500)}`)
    }),
  )

  it.effect("a log that was emptied, or put away and begun anew", () =>
    Effect.gen(function* () {
      const { log, news } = yield* reading
      fs.truncateSync(log)
      fs.appendFileSync(log, "new\n")
      assert.strictEqual(yield* news, "new\n")
      assert.strictEqual(yield* news, "")
      fs.rmSync(log)
      assert.strictEqual(yield* news, "")
      fs.writeFileSync(log, "other\n")
      assert.strictEqual(yield* news, "other\n")
      assert.strictEqual(yield* news, "")
    }),
  )
})
