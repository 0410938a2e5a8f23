// Real logs of real writers, kept bounded: what is left is exactly an end of what was written. And hostile owners.
import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import { loggingTo } from "../../../src/cli/logging.ts"
import { inCi, isRoot, openBelow, scratchDirectory, stranger } from "../../support/scratch.ts"
import { eventually, textOf } from "../../support/waiting.ts"
import { canCollapse, hasCgroups, linesOf, makeKeepers, scratchCgroup, write } from "./writers.ts"

const limit = 100 * 1024
const name = ".slappart0_web.log"

/** A partition, and a log in it that nobody keeps yet. */
const partition = Effect.gen(function* () {
  const root = yield* scratchDirectory
  const path = `${root}/slappart0`
  fs.mkdirSync(path)
  fs.chownSync(path, stranger.uid, stranger.gid)
  const messages: Array<string> = []
  const logging = loggingTo(({ level, message }) => void (level !== "Debug" && messages.push(message)))
  const keepers = yield* makeKeepers(logging)
  /** Gives what ends the keeping; the end of the test does, too. */
  const keep = (cgroup?: string) =>
    Effect.map(
      Effect.acquireRelease(
        keepers
          .keep({ directory: path, name, limit, cgroup, subject: "slappart0:web-on-watch" })
          .pipe(Effect.provide(logging)),
        (end) => end,
      ),
      (end) => ({ end }),
    )
  return { root, path, log: `${path}/${name}`, backup: `${path}/${name}.1`, messages, keep }
})

/** A log as the programs of the partition have it. */
const writeOwned = (path: string, text: string, options?: { readonly mode: number }): void => {
  fs.writeFileSync(path, text, options)
  fs.chownSync(path, stranger.uid, stranger.gid)
}

const sizeOf = (path: string) => fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0

/** inotify watches of this process. */
const watches = (): number =>
  fs
    .readdirSync("/proc/self/fdinfo")
    .map((fd) => textOf(`/proc/self/fdinfo/${fd}`)?.match(/^inotify wd:/gm)?.length ?? 0)
    .reduce((sum, count) => sum + count, 0)

/** Waits until the keeper has done what there was to do, and waits for a change; `before`: the watches without it. */
const isIdle = (before: number) =>
  eventually(
    "a watch",
    Effect.sync(() => (watches() > before ? true : undefined)),
  )

const isBounded = (path: string, before = 0) =>
  Effect.andThen(
    eventually(
      "a bounded log",
      Effect.sync(() => (sizeOf(path) <= limit ? true : undefined)),
    ),
    // The end of the cut line is blanked after the cut.
    isIdle(before),
  )

/** What is left, blanks aside, is an end of what was written, and not a small one. */
const assertSuffix = (log: string, written: string): void => {
  const both = `${textOf(`${log}.1`) ?? ""}${textOf(log) ?? ""}`.replaceAll(" ", "")
  assert.isTrue(written.endsWith(both), `not an end of what was written: ${both.slice(0, 300)}`)
  assert.isAtLeast(both.length, limit * 0.9)
  assert.isAtMost(sizeOf(`${log}.1`), limit)
}

describe("what is left is exactly an end of what was written", () => {
  const paces = {
    "1 MB/s": { count: 30_000, atOnce: 100, pause: 10 },
    bursts: { count: 50_000, atOnce: 8_000, pause: 150 },
    "one line at a time, as fast as possible": { count: 20_000, atOnce: 1, pause: 0 },
  }
  // Elsewhere see the tests about tmpfs below.
  const keepsTheEnd = it.live.runIf(inCi || canCollapse)
  for (const [kind, pace] of Object.entries(paces)) {
    keepsTheEnd(kind, () =>
      Effect.gen(function* () {
        const { keep, log, messages, path, root } = yield* partition
        writeOwned(log, "", { mode: 0o640 })
        const inode = fs.statSync(log).ino
        const keeper = yield* keep()
        yield* write(log, pace)
        yield* isBounded(log)
        assertSuffix(log, linesOf(pace.count))
        assert.strictEqual(fs.statSync(log).ino, inode)
        const { gid, mode, uid } = fs.statSync(`${log}.1`)
        assert.deepStrictEqual([uid, gid, mode & 0o777], [stranger.uid, stranger.gid, 0o640])
        yield* keeper.end
        assert.deepStrictEqual(fs.readdirSync(path).sort(), [name, `${name}.1`])
        assert.deepStrictEqual([openBelow(root), messages], [[], []])
      }),
    )
  }

  it.live.runIf(inCi || canCollapse)("lines are cut at their ends", () =>
    Effect.gen(function* () {
      const { keep, log } = yield* partition
      writeOwned(log, linesOf(2000))
      yield* keep()
      yield* isBounded(log)
      yield* eventually(
        "the blanks",
        Effect.sync(() => (textOf(log)?.startsWith(" ") ? true : undefined)),
      )
      const [blank = "", first = ""] = (textOf(log) ?? "").split("\n")
      const last = textOf(`${log}.1`)?.split("\n").at(-1) ?? ""
      assert.match(blank, /^ +$/)
      const at = linesOf(2000).split("\n").indexOf(last)
      assert.strictEqual(linesOf(2000).split("\n")[at + 1], first)
    }),
  )
})

describe("a log that is larger than anybody wrote while we looked", () => {
  it.live("is trimmed at once, and never more than the limit is copied", () =>
    Effect.gen(function* () {
      const { keep, log, messages } = yield* partition
      writeOwned(log, linesOf(200_000))
      yield* keep()
      yield* isBounded(log)
      assert.isAtMost(sizeOf(`${log}.1`), limit)
      assert.deepStrictEqual(messages, [])
    }),
  )

  it.live.runIf(inCi || hasCgroups)("a flood is told, its writer is held and goes on", () =>
    Effect.gen(function* () {
      const { keep, log, messages } = yield* partition
      const cgroup = yield* scratchCgroup
      writeOwned(log, "")
      const before = watches()
      yield* keep(cgroup)
      yield* isIdle(before)
      const pace = { count: 400_000, atOnce: 400_000, pause: 0 }
      yield* write(log, pace, cgroup)
      yield* isBounded(log)
      assertSuffix(log, linesOf(pace.count))
      yield* eventually(
        "the message",
        Effect.sync(() => messages[0]),
      )
      assert.match(
        messages.join("\n"),
        /^slappart0:web-on-watch floods its log: \d+ MB at once.*; it was held for a moment$/,
      )
      assert.strictEqual(fs.readFileSync(`${cgroup}/cgroup.freeze`, "utf8"), "0\n")
    }),
  )
})

describe("a file system that does not collapse", () => {
  const mounted = (path: string) =>
    Effect.acquireRelease(
      Effect.sync(
        () =>
          void execFileSync("mount", [
            "-t",
            "tmpfs",
            "-o",
            `size=40m,mode=755,uid=${stranger.uid},gid=${stranger.gid}`,
            "tmpfs",
            path,
          ]),
      ),
      () => Effect.sync(() => void execFileSync("umount", ["--lazy", path])),
    )

  it.live.runIf(inCi || (isRoot && hasCgroups))("loses nothing while the writer can be held", () =>
    Effect.gen(function* () {
      const { keep, log, messages, path } = yield* partition
      yield* mounted(path)
      const cgroup = yield* scratchCgroup
      writeOwned(log, "")
      const keeper = yield* keep(cgroup)
      const pace = { count: 20_000, atOnce: 100, pause: 3 }
      yield* write(log, pace, cgroup)
      yield* isBounded(log)
      const both = `${textOf(`${log}.1`) ?? ""}${textOf(log) ?? ""}`
      assert.isTrue(linesOf(pace.count).endsWith(both))
      assert.isAtLeast(both.length, limit)
      yield* keeper.end
      assert.deepStrictEqual([messages, openBelow(path)], [[], []])
    }),
  )

  it.live.runIf(inCi || isRoot)("is bounded where nothing can be held", () =>
    Effect.gen(function* () {
      const { keep, log, path } = yield* partition
      yield* mounted(path)
      writeOwned(log, "")
      const keeper = yield* keep()
      const pace = { count: 20_000, atOnce: 100, pause: 3 }
      yield* write(log, pace)
      yield* isBounded(log)
      assert.isAtMost(sizeOf(`${log}.1`), limit)
      assert.isTrue(`${textOf(`${log}.1`)}${textOf(log)}`.endsWith(linesOf(pace.count).slice(-1000)))
      yield* keeper.end
    }),
  )
})

describe("hostile owners", () => {
  const planted: Readonly<Record<string, (path: string, secret: string) => void>> = {
    "a link": (path, secret) => fs.symlinkSync(secret, path),
    "a hard link": (path, secret) => fs.linkSync(secret, path),
    "a FIFO": (path) => void execFileSync("mkfifo", [path]),
  }
  const secretIn = (root: string): string => {
    fs.writeFileSync(`${root}/secret`, "secret", { mode: 0o600 })
    return `${root}/secret`
  }

  it.live.each(Object.keys(planted))("%s for the backup is replaced, and not followed", (kind) =>
    Effect.gen(function* () {
      const { backup, keep, log, messages, root } = yield* partition
      const secret = secretIn(root)
      planted[kind]!(backup, secret)
      writeOwned(log, linesOf(3000))
      yield* keep()
      yield* isBounded(log)
      assertSuffix(log, linesOf(3000))
      const { ino, mode, size, uid } = fs.statSync(secret)
      assert.deepStrictEqual([textOf(secret), size, mode & 0o777, uid], ["secret", 6, 0o600, process.geteuid?.()])
      assert.notStrictEqual(fs.lstatSync(backup).ino, ino)
      assert.deepStrictEqual([fs.lstatSync(backup).isFile(), messages], [true, []])
    }),
  )

  it.live("a backup that cannot be written is told once, and the log is bounded all the same", () =>
    Effect.gen(function* () {
      const { backup, keep, log, messages } = yield* partition
      fs.mkdirSync(backup)
      writeOwned(log, "")
      yield* keep()
      yield* write(log, { count: 20_000, atOnce: 2_000, pause: 100 })
      yield* isBounded(log)
      assert.deepStrictEqual(messages, [
        `slappart0:web-on-watch: older lines of its log are lost, because its backup cannot be written: cannot write ${backup}: EISDIR`,
      ])
      assert.deepStrictEqual(fs.readdirSync(backup), [])
    }),
  )

  it.live.each(Object.keys(planted))("%s for the log is refused, and told", (kind) =>
    Effect.gen(function* () {
      const { keep, log, messages, root } = yield* partition
      const secret = secretIn(root)
      planted[kind]!(log, secret)
      yield* keep()
      assert.match(messages.join("\n"), /^slappart0:web-on-watch: its log is not bounded: .*\.slappart0_web\.log/)
      assert.strictEqual(textOf(secret), "secret")
      assert.deepStrictEqual(openBelow(root), [])
    }),
  )

  it.live.each(["renamed", "removed"])("a log that is %s stays bounded, because it still takes room", (how) =>
    Effect.gen(function* () {
      const { keep, log, messages, path } = yield* partition
      writeOwned(log, "")
      const fd = fs.openSync(log, "a+")
      yield* Effect.addFinalizer(() => Effect.sync(() => fs.closeSync(fd)))
      const before = watches()
      const keeper = yield* keep()
      yield* isIdle(before)
      if (how === "renamed") fs.renameSync(log, `${path}/elsewhere`)
      else fs.rmSync(log)
      fs.writeFileSync(fd, linesOf(3000))
      yield* eventually(
        "a bounded file",
        Effect.sync(() => (fs.fstatSync(fd).size <= limit ? true : undefined)),
      )
      yield* keeper.end
      assert.deepStrictEqual(messages, [])
      assert.strictEqual(fs.existsSync(log), false)
    }),
  )
})

describe("what a keeper holds", () => {
  it.live("one descriptor and one watch while nothing changes, nothing after its end", () =>
    Effect.gen(function* () {
      const { keep, log, root } = yield* partition
      writeOwned(log, "")
      const before = watches()
      for (let round = 0; round < 20; round++) {
        const keeper = yield* keep()
        yield* isIdle(before)
        assert.deepStrictEqual([openBelow(root), watches()], [[log], before + 1])
        yield* keeper.end
        assert.deepStrictEqual([openBelow(root), watches()], [[], before])
      }
    }),
  )
})
