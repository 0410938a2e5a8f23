// Reading and writing in a directory whose owner is hostile. As root the owner is a stranger, as anybody else oneself.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import { once } from "node:events"
import { expect } from "vitest"
import { FileError } from "../../src/files/FileError.ts"
import { OwnedDirectory } from "../../src/files/OwnedDirectory.ts"
import { checkOnlyName } from "../../src/files/reading.ts"
import { inCi, isRoot, openBelow, scratchDirectory, stranger } from "../support/scratch.ts"

/** A stranger's directory, and beside it what nobody may touch. */
const owned = Effect.gen(function* () {
  const root = yield* scratchDirectory
  const path = `${root}/slappart0`
  fs.mkdirSync(path, { mode: 0o750 })
  fs.chownSync(path, stranger.uid, stranger.gid)
  const outside = `${root}/outside`
  fs.mkdirSync(outside)
  fs.writeFileSync(`${outside}/secret`, "secret")
  const before = fs.statSync(`${outside}/secret`)
  const untouched = () => {
    const after = fs.statSync(`${outside}/secret`)
    expect([after.uid, after.gid, after.mode, after.size]).toStrictEqual([
      before.uid,
      before.gid,
      before.mode,
      before.size,
    ])
    expect([fs.readFileSync(`${outside}/secret`, "utf8"), fs.readdirSync(outside)]).toStrictEqual([
      "secret",
      ["secret"],
    ])
    expect(openBelow(root)).toStrictEqual([])
  }
  const directory = yield* OwnedDirectory.open(path)
  return { root, path, outside, directory, untouched }
})

const options = { mode: 0o640, owner: stranger }

/** Things that a hostile owner puts where the node reads or writes `name`. */
const planted: Readonly<Record<string, (path: string, outside: string) => void>> = {
  "a link": (path, outside) => fs.symlinkSync(`${outside}/secret`, path),
  "a link within": (path) => {
    fs.writeFileSync(`${path}.real`, "x")
    fs.symlinkSync(`${path}.real`, path)
  },
  "a dangling link": (path, outside) => fs.symlinkSync(`${outside}/new`, path),
  "a hard link": (path, outside) => fs.linkSync(`${outside}/secret`, path),
  "a FIFO": (path) => void execFileSync("mkfifo", [path]),
  "a directory": (path) => fs.mkdirSync(path),
}

describe("open", () => {
  it.effect("tells owner and mode", () =>
    Effect.gen(function* () {
      const { directory } = yield* owned
      expect([directory.owner, directory.mode]).toStrictEqual([stranger, 0o750])
    }),
  )

  it.effect("nothing, a link and a file are no directory", () =>
    Effect.gen(function* () {
      const { outside, root } = yield* owned
      fs.symlinkSync(outside, `${root}/link`)
      const reasons = yield* Effect.forEach([`${root}/none`, `${root}/link`, `${outside}/secret`], (path) =>
        Effect.map(Effect.flip(OwnedDirectory.open(path)), ({ message, reason }) => [reason, message.includes(path)]),
      )
      expect(reasons).toStrictEqual([
        ["NotFound", true],
        ["Unsafe", true],
        ["Unsafe", true],
      ])
      expect(openBelow(root)).toStrictEqual([])
    }),
  )
})

describe("read", () => {
  it.effect.each(Object.keys(planted))("refuses %s", (kind) =>
    Effect.gen(function* () {
      const { directory, outside, path, untouched } = yield* owned
      planted[kind]!(`${path}/x`, outside)
      const error = yield* Effect.flip(directory.read("x"))
      expect([error.reason, error.path]).toStrictEqual(["Unsafe", `${path}/x`])
      expect((yield* Effect.flip(directory.readIfPresent("x"))).reason).toBe("Unsafe")
      untouched()
    }),
  )

  it.effect("nothing is not found, or undefined", () =>
    Effect.gen(function* () {
      const { directory } = yield* owned
      expect((yield* Effect.flip(directory.read("x"))).reason).toBe("NotFound")
      expect(yield* directory.readIfPresent("x")).toBeUndefined()
      expect(yield* directory.readIfPresent("none/x")).toBeUndefined()
      expect(yield* directory.exists("none/x")).toBe(false)
    }),
  )

  it.effect("no more than the limit", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* owned
      fs.writeFileSync(`${path}/x`, "12345")
      expect(yield* directory.read("x", 5)).toBe("12345")
      const error = yield* Effect.flip(directory.read("x", 4))
      expect([error.reason, error.message]).toStrictEqual([
        "TooLarge",
        `cannot read ${path}/x: 5 bytes, more than the limit of 4`,
      ])
      fs.truncateSync(`${path}/x`, 1024 ** 4)
      expect((yield* Effect.flip(directory.read("x"))).reason).toBe("TooLarge")
    }),
  )

  it.effect.each(["../outside/secret", "/etc/passwd", "a/../../outside/secret", "", ".", "..", "a//b", "a\0b"])(
    "%j is no path within",
    (relative) =>
      Effect.gen(function* () {
        const { directory, untouched } = yield* owned
        for (const use of [
          directory.read(relative),
          directory.write(relative, "x", options),
          directory.remove(relative),
        ]) {
          expect((yield* Effect.flip(Effect.asVoid(use))).reason).toBe("Unsafe")
        }
        untouched()
      }),
  )

  it.effect("a linked directory on the way is refused for everything", () =>
    Effect.gen(function* () {
      const { directory, outside, path, untouched } = yield* owned
      fs.symlinkSync(outside, `${path}/etc`)
      const uses: ReadonlyArray<Effect.Effect<unknown, { readonly reason: string }>> = [
        directory.read("etc/secret"),
        directory.write("etc/new", "x", options),
        directory.link("etc/new", "/x"),
        directory.makeDirectory("etc/new", 0o700),
        directory.makeDirectory("etc", 0o700),
        directory.remove("etc/secret"),
        directory.programs("etc"),
        directory.programs("etc/run"),
        directory.names("etc"),
        directory.exists("etc/secret"),
        Effect.scoped(directory.openLog("etc/secret", 1)),
        Effect.scoped(directory.openPresent("etc/secret")),
        directory.replace("etc/new", options, () => Effect.void),
      ]
      const reasons = yield* Effect.forEach(uses, (use) => Effect.map(Effect.flip(use), ({ reason }) => reason))
      expect(new Set(reasons)).toStrictEqual(new Set(["Unsafe"]))
      untouched()
    }),
  )
})

it.effect("what was opened by another name is known by its only name", () =>
  Effect.gen(function* () {
    const { directory, outside, path } = yield* owned
    const parent = fs.openSync(path, "r")
    fs.linkSync(`${outside}/secret`, `${path}/x`)
    const opened = fs.openSync(`${path}/x`, "r")
    // What a stranger does after the opening: the file has one name now, and it is not this one.
    fs.rmSync(`${path}/x`)
    expect(() => checkOnlyName(opened, parent, "x", "x")).toThrow("meanwhile")
    fs.writeFileSync(`${path}/x`, "own")
    expect(() => checkOnlyName(opened, parent, "x", "x")).toThrow("meanwhile")
    fs.closeSync(opened)
    fs.closeSync(parent)
    expect(yield* directory.read("x")).toBe("own")
  }),
)

describe("write", () => {
  it.effect("gives owner and mode, whatever the umask", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* owned
      yield* directory.write("x", "text é", options)
      const { gid, mode, uid } = fs.statSync(`${path}/x`)
      expect([uid, gid, mode & 0o7777, fs.readFileSync(`${path}/x`, "utf8")]).toStrictEqual([
        stranger.uid,
        stranger.gid,
        0o640,
        "text é",
      ])
      yield* directory.write("x", new Uint8Array([0, 255]), { mode: 0o666 })
      expect([fs.statSync(`${path}/x`).uid, fs.statSync(`${path}/x`).mode & 0o7777]).toStrictEqual([
        process.geteuid?.(),
        0o666,
      ])
      expect([...fs.readFileSync(`${path}/x`)]).toStrictEqual([0, 255])
    }),
  )

  it.effect.each(["a link", "a link within", "a dangling link", "a hard link", "a FIFO"])("replaces %s", (kind) =>
    Effect.gen(function* () {
      const { directory, outside, path, untouched } = yield* owned
      planted[kind]!(`${path}/x`, outside)
      yield* directory.write("x", "new", options)
      const stats = fs.lstatSync(`${path}/x`)
      expect([stats.isFile(), stats.nlink, fs.readFileSync(`${path}/x`, "utf8")]).toStrictEqual([true, 1, "new"])
      untouched()
    }),
  )

  it.effect("a directory in its place is an error, and nothing else is left behind", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* owned
      fs.mkdirSync(`${path}/x`)
      const error = yield* Effect.flip(directory.write("x", "new", options))
      expect([error.reason, error.message]).toStrictEqual(["Failed", `cannot write ${path}/x: EISDIR`])
      expect(fs.readdirSync(path)).toStrictEqual(["x"])
    }),
  )

  it.effect("is atomic: a reader sees the old text or the new one", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* owned
      yield* directory.write("x", "a".repeat(100_000), options)
      const old = fs.openSync(`${path}/x`, "r")
      yield* directory.write("x", "b", options)
      expect([fs.fstatSync(old).size, fs.readFileSync(`${path}/x`, "utf8")]).toStrictEqual([100_000, "b"])
      fs.closeSync(old)
      expect(fs.readdirSync(path)).toStrictEqual(["x"])
    }),
  )

  it.effect("a parent that is swapped for a link all the time leads nowhere", () =>
    Effect.gen(function* () {
      const { directory, outside, path, untouched } = yield* owned
      fs.mkdirSync(`${path}/real`)
      const code = `const fs = require("fs"), at = ${JSON.stringify(path)}, outside = ${JSON.stringify(outside)}
        for (let n = 0; ; n++) {
          fs.renameSync(at + "/real", at + "/sub"); if (n === 0) fs.writeSync(1, "swapping")
          fs.renameSync(at + "/sub", at + "/real")
          fs.symlinkSync(outside, at + "/sub"); fs.unlinkSync(at + "/sub")
        }`
      const swapper = yield* Effect.acquireRelease(
        Effect.sync(() => spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"] })),
        (child) => Effect.promise(async () => child.kill("SIGKILL") && once(child, "exit")),
      )
      yield* Effect.promise(() => once(swapper.stdout, "data"))
      const met = new Set<string>()
      for (let n = 0; n < 5000; n++) {
        const outcome = yield* Effect.result(directory.write("sub/x", "x", options))
        met.add(outcome._tag === "Success" ? "Success" : outcome.failure.reason)
        yield* Effect.ignore(directory.remove("sub/secret"))
      }
      // Otherwise nothing was swapped while something was written.
      expect(met.size).toBeGreaterThan(1)
      untouched()
    }),
  )
})

describe("link", () => {
  it.effect("makes a link of the owner's, and replaces an older one", () =>
    Effect.gen(function* () {
      const { directory, path, untouched } = yield* owned
      yield* directory.link("software_release", "/opt/a")
      yield* directory.link("software_release", "/opt/b")
      const stats = fs.lstatSync(`${path}/software_release`)
      expect([fs.readlinkSync(`${path}/software_release`), stats.uid, stats.gid]).toStrictEqual([
        "/opt/b",
        stranger.uid,
        stranger.gid,
      ])
      yield* directory.link("software_release", "/opt/b")
      expect(fs.lstatSync(`${path}/software_release`).ino).toBe(stats.ino)
      expect(fs.readdirSync(path)).toStrictEqual(["software_release"])
      untouched()
    }),
  )

  it.effect("anything else that has the name stays", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* owned
      fs.writeFileSync(`${path}/software_release`, "mine")
      yield* directory.link("software_release", "/opt/a")
      expect(fs.readFileSync(`${path}/software_release`, "utf8")).toBe("mine")
    }),
  )
})

describe("makeDirectory", () => {
  it.effect("with owner and mode; one that is there stays as it is", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* owned
      yield* directory.makeDirectory("x", 0o700)
      const { gid, mode, uid } = fs.statSync(`${path}/x`)
      expect([uid, gid, mode & 0o7777]).toStrictEqual([stranger.uid, stranger.gid, 0o700])
      fs.chmodSync(`${path}/x`, 0o755)
      yield* directory.makeDirectory("x", 0o700)
      expect(fs.statSync(`${path}/x`).mode & 0o7777).toBe(0o755)
    }),
  )

  it.effect.each(["a link", "a dangling link", "a hard link", "a FIFO"])("refuses %s in its place", (kind) =>
    Effect.gen(function* () {
      const { directory, outside, path, untouched } = yield* owned
      planted[kind]!(`${path}/x`, outside)
      expect((yield* Effect.flip(directory.makeDirectory("x", 0o700))).reason).toBe("Unsafe")
      untouched()
    }),
  )
})

describe("programs", () => {
  it.effect("more of them than any instance has are refused, and large ones are not read", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* owned
      fs.mkdirSync(`${path}/run`)
      fs.writeFileSync(`${path}/run/large`, "")
      fs.truncateSync(`${path}/run/large`, 2 ** 40)
      const [large] = yield* directory.programs("run")
      fs.truncateSync(`${path}/run/large`, 2 ** 41)
      expect((yield* directory.programs("run"))[0]?.hash).not.toBe(large?.hash)
      for (let n = 0; n < 2000; n++) fs.writeFileSync(`${path}/run/${n}`, "")
      const error = yield* Effect.flip(directory.programs("run"))
      expect([error.reason, error.message]).toStrictEqual([
        "TooLarge",
        `cannot list ${path}/run: more entries than the limit of 2000 programs`,
      ])
    }),
  )

  it.effect("are known by content; directories are none, an absent folder has none", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* owned
      expect(yield* directory.programs("etc/run")).toStrictEqual([])
      fs.mkdirSync(`${path}/run/sub`, { recursive: true })
      fs.writeFileSync(`${path}/run/b`, "1")
      fs.writeFileSync(`${path}/run/a`, "1")
      const [a, b, ...others] = yield* directory.programs("run")
      expect([a?.name, b?.name, others]).toStrictEqual(["a", "b", []])
      expect(a?.hash).toBe(b?.hash)
      fs.writeFileSync(`${path}/run/a`, "2")
      expect((yield* directory.programs("run"))[0]?.hash).not.toBe(a?.hash)
    }),
  )

  it.effect("whatever lies there is listed without being followed or read", () =>
    Effect.gen(function* () {
      const { directory, outside, path, untouched } = yield* owned
      fs.mkdirSync(`${path}/run`)
      for (const [kind, plant] of Object.entries(planted)) {
        if (kind !== "a directory") plant(`${path}/run/${kind.replaceAll(" ", "-")}`, outside)
      }
      fs.writeFileSync(`${path}/run/large`, "")
      fs.truncateSync(`${path}/run/large`, 1024 ** 3)
      fs.writeFileSync(`${path}/run/closed`, "", { mode: 0o111 })
      expect((yield* directory.programs("run")).map(({ name }) => name)).toStrictEqual([
        "a-FIFO",
        "a-dangling-link",
        "a-hard-link",
        "a-link",
        "a-link-within",
        "a-link-within.real",
        "closed",
        "large",
      ])
      fs.unlinkSync(`${path}/run/a-hard-link`)
      untouched()
    }),
  )

  it.effect("one that goes away meanwhile does not take the others with it", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* owned
      fs.mkdirSync(`${path}/run`)
      // Others come first, so that there is time for one to go between being listed and being looked at.
      for (let n = 100; n < 200; n++) fs.writeFileSync(`${path}/run/${n}`, "")
      const code = `const fs = require("fs"), at = ${JSON.stringify(path)} + "/run/"
        for (let n = 0; ; n++) { fs.writeFileSync(at + "z", ""); if (n === 0) fs.writeSync(1, "go"); fs.unlinkSync(at + "z") }`
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"] })),
        (child) => Effect.promise(async () => child.kill("SIGKILL") && once(child, "exit")),
      )
      yield* Effect.promise(() => once(child.stdout, "data"))
      for (let n = 0; n < 100; n++) {
        expect((yield* directory.programs("run")).filter(({ name }) => name !== "z")).toHaveLength(100)
      }
    }),
  )
})

const read = (path: string) => (fs.existsSync(path) ? fs.readFileSync(path, "utf8") : undefined)

describe("openLog", () => {
  const append = (directory: OwnedDirectory, text: string, rotateAt: number) =>
    Effect.scoped(Effect.map(directory.openLog("x.log", rotateAt), (fd) => fs.writeSync(fd, text)))

  it.effect("appends, keeps the owner, rotates once it is too large, and is closed with its scope", () =>
    Effect.gen(function* () {
      const { directory, path, root } = yield* owned
      const texts = () =>
        [`${path}/x.log`, `${path}/x.log.1`].map((file) => fs.existsSync(file) && fs.readFileSync(file, "utf8"))
      yield* append(directory, "a", 2)
      yield* append(directory, "bc", 2)
      expect(texts()).toStrictEqual(["abc", false])
      yield* append(directory, "d", 2)
      expect(texts()).toStrictEqual(["d", "abc"])
      yield* append(directory, "efg", 2)
      yield* append(directory, "h", 2)
      expect(texts()).toStrictEqual(["h", "defg"])
      const { gid, mode, uid } = fs.statSync(`${path}/x.log`)
      expect([uid, gid, mode & 0o777]).toStrictEqual([stranger.uid, stranger.gid, 0o600])
      expect(openBelow(root)).toStrictEqual([])
    }),
  )

  it.effect.each(Object.keys(planted))("refuses %s", (kind) =>
    Effect.gen(function* () {
      const { directory, outside, path, untouched } = yield* owned
      planted[kind]!(`${path}/x.log`, outside)
      const { reason } = yield* Effect.flip(append(directory, "x", 100))
      expect(reason).toBe(kind === "a directory" ? "Failed" : "Unsafe")
      untouched()
    }),
  )

  it.effect("a log of the agent's own, as the reference leaves them, is put aside for one of the owner's", () =>
    Effect.gen(function* () {
      const { directory, path } = yield* owned
      fs.writeFileSync(`${path}/x.log`, "old ")
      yield* append(directory, "new", 100)
      const left = isRoot ? ["new", "old "] : ["old new", undefined]
      expect([read(`${path}/x.log`), read(`${path}/x.log.1`)]).toStrictEqual(left)
      expect(fs.statSync(`${path}/x.log`).uid).toBe(isRoot ? stranger.uid : process.geteuid?.())
    }),
  )
})

describe("remove", () => {
  it.effect.each(["a link", "a dangling link", "a hard link", "a FIFO"])("removes %s itself", (kind) =>
    Effect.gen(function* () {
      const { directory, outside, path, untouched } = yield* owned
      planted[kind]!(`${path}/x`, outside)
      expect(yield* directory.exists("x")).toBe(true)
      yield* directory.remove("x")
      yield* directory.remove("x")
      expect(fs.readdirSync(path)).toStrictEqual([])
      untouched()
    }),
  )

  it.effect("removeContents leaves the directory", () =>
    Effect.gen(function* () {
      const { directory, outside, path, untouched } = yield* owned
      fs.mkdirSync(`${path}/a/b`, { recursive: true })
      fs.symlinkSync(outside, `${path}/a/link`)
      yield* directory.removeContents
      expect(fs.readdirSync(path)).toStrictEqual([])
      untouched()
    }),
  )
})

it.effect.runIf(inCi || isRoot)("root writes where the owner has no permission at all", () =>
  Effect.gen(function* () {
    const { directory, path } = yield* owned
    fs.chmodSync(path, 0)
    yield* directory.write("x", "x", options)
    expect(yield* directory.read("x")).toBe("x")
  }),
)

describe("openPresent", () => {
  it.effect("opens a file at any place of it, and is closed with its scope", () =>
    Effect.gen(function* () {
      const { directory, path, root } = yield* owned
      fs.writeFileSync(`${path}/x`, "abc")
      fs.chownSync(`${path}/x`, stranger.uid, stranger.gid)
      yield* Effect.scoped(Effect.map(directory.openPresent("x"), (fd) => fs.writeSync(fd, "-", 1)))
      expect(fs.readFileSync(`${path}/x`, "utf8")).toBe("a-c")
      const write = Effect.map(directory.openPresent("x", "read"), (fd) =>
        expect(() => fs.writeSync(fd, "-")).toThrow("EBADF"),
      )
      yield* Effect.scoped(write)
      expect((yield* Effect.flip(Effect.scoped(directory.openPresent("y")))).reason).toBe("NotFound")
      expect([fs.readdirSync(path), openBelow(root)]).toStrictEqual([["x"], []])
    }),
  )

  it.effect.each(Object.keys(planted))("refuses %s", (kind) =>
    Effect.gen(function* () {
      const { directory, outside, path, untouched } = yield* owned
      planted[kind]!(`${path}/x`, outside)
      for (const access of ["read", "write"] as const) {
        const { reason } = yield* Effect.flip(Effect.scoped(directory.openPresent("x", access)))
        expect(reason).toBe(kind === "a directory" && access === "write" ? "Failed" : "Unsafe")
      }
      untouched()
    }),
  )
})

describe("replace", () => {
  const fill = (text: string) => (fd: number) => Effect.sync(() => void fs.writeSync(fd, text))

  it.effect("puts what was written in place, with owner and mode, whatever was there", () =>
    Effect.gen(function* () {
      const { directory, outside, path, untouched } = yield* owned
      for (const [kind, plant] of Object.entries(planted)) {
        if (kind === "a directory") continue
        plant(`${path}/x`, outside)
        yield* directory.replace("x", options, fill(kind))
        const { gid, mode, uid } = fs.lstatSync(`${path}/x`)
        expect([fs.readFileSync(`${path}/x`, "utf8"), uid, gid, mode & 0o7777]).toStrictEqual([
          kind,
          stranger.uid,
          stranger.gid,
          0o640,
        ])
        fs.rmSync(`${path}/x`)
      }
      untouched()
    }),
  )

  it.effect("leaves what was there, and nothing else, when it is not filled or cannot be placed", () =>
    Effect.gen(function* () {
      const { directory, path, root } = yield* owned
      fs.writeFileSync(`${path}/x`, "old")
      fs.mkdirSync(`${path}/y`)
      const full = new FileError({ path, operation: "write", reason: "NoSpace", message: "full" })
      expect(yield* Effect.flip(directory.replace("x", options, () => Effect.fail(full)))).toBe(full)
      expect((yield* Effect.flip(directory.replace("y", options, fill("new")))).reason).toBe("Failed")
      expect([fs.readFileSync(`${path}/x`, "utf8"), fs.readdirSync(path).sort()]).toStrictEqual(["old", ["x", "y"]])
      expect(openBelow(root)).toStrictEqual([])
    }),
  )
})
