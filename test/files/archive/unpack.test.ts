// Archives against a real directory, with a directory beside it that nothing may reach.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as fc from "fast-check"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { gzipSync } from "node:zlib"
import { expect } from "vitest"
import { TarError, TarReader } from "../../../src/files/archive/tar.ts"
import { unpack } from "../../../src/files/archive/unpack.ts"
import { SpaceError, Unpacker, type UnpackTarget } from "../../../src/files/archive/Unpacker.ts"
import { fuzz } from "../../support/fuzz.ts"
import { inCi, isRoot, openBelow, scratchDirectory, stranger } from "../../support/scratch.ts"
import { gzipped, type Member, record, tarball } from "../../support/tarball.ts"

const folder = "0123456789abcdef0123456789abcdef"

const place = Effect.gen(function* () {
  const root = yield* scratchDirectory
  const top = `${root}/top`
  fs.mkdirSync(top, { mode: 0o700 })
  fs.mkdirSync(`${root}/outside`)
  fs.writeFileSync(`${root}/outside/precious`, "precious")
  fs.writeFileSync(`${root}/archive`, "")
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => fs.openSync(top, "r")),
    (fd) => Effect.sync(() => fs.closeSync(fd)),
  )
  const target: UnpackTarget = {
    directory,
    folder,
    homes: [`/opt/slapgrid/${folder}`],
    owner: isRoot ? stranger : undefined,
    minFreeSpace: 0,
    leftOut: [".completed", ".netrc"],
  }
  const unpackBytes = (bytes: Uint8Array, changes: Partial<UnpackTarget> = {}) =>
    Effect.scoped(
      Effect.gen(function* () {
        fs.writeFileSync(`${root}/archive`, bytes)
        const archive = yield* Effect.acquireRelease(
          Effect.sync(() => fs.openSync(`${root}/archive`, "r")),
          (fd) => Effect.sync(() => fs.closeSync(fd)),
        )
        yield* unpack({ ...target, ...changes, archive })
      }),
    )
  return { root, top, target, unpackBytes }
})

const folderEntry: Member = { name: `${folder}/`, type: "5", mode: 0o755 }
const inside = (one: Member): Member => ({ ...one, name: `${folder}/${one.name}` })
const archiveOf = (...members: ReadonlyArray<Member>): Buffer => gzipped(folderEntry, ...members.map(inside))

const modeOf = (path: string): string => (fs.lstatSync(path).mode & 0o7777).toString(8)

describe("a release", () => {
  it.effect("is unpacked as it was packed: contents, modes, times, links", () =>
    Effect.gen(function* () {
      const { root, top, unpackBytes } = yield* place
      const source = `${root}/${folder}`
      fs.mkdirSync(`${source}/parts/python/bin`, { recursive: true })
      fs.writeFileSync(`${source}/parts/python/bin/python3.11`, "elf".repeat(300_000))
      fs.chmodSync(`${source}/parts/python/bin/python3.11`, 0o750)
      fs.linkSync(`${source}/parts/python/bin/python3.11`, `${source}/parts/python/bin/python3`)
      fs.symlinkSync("python3", `${source}/parts/python/bin/python`)
      fs.symlinkSync(`/opt/slapgrid/${folder}/parts/python/bin`, `${source}/bin`)
      fs.writeFileSync(`${source}/${"n".repeat(200)}`, "a long name")
      fs.writeFileSync(Buffer.from(`${source}/caf\xe9`, "latin1"), "no UTF-8")
      fs.mkdirSync(`${source}/read-only`)
      fs.writeFileSync(`${source}/read-only/module.py`, "x = 1")
      fs.utimesSync(`${source}/read-only/module.py`, 1_600_000_000, 1_600_000_000)
      fs.chmodSync(`${source}/read-only`, 0o555)
      fs.utimesSync(`${source}/read-only`, 1_500_000_000, 1_500_000_000)
      yield* unpackBytes(execFileSync("tar", ["--create", "--gzip", folder], { cwd: root, maxBuffer: 2 ** 26 }))
      const list = (path: string) =>
        execFileSync("find", [".", "-mindepth", "1", "-printf", "%p %y %m %s %T@ %l %n\n"], { cwd: path })
          .toString("latin1")
          .replaceAll(/(\d{10})\.\d+/g, "$1")
          // A directory's own size is the file system's business.
          .replaceAll(/( d \d+) \d+/g, "$1")
          .split("\n")
          .sort()
      expect(list(top)).toStrictEqual(list(source))
      expect(fs.readFileSync(`${top}/parts/python/bin/python3`, "utf8")).toBe("elf".repeat(300_000))
      expect(fs.statSync(`${top}/parts/python/bin/python3`).ino).toBe(
        fs.statSync(`${top}/parts/python/bin/python3.11`).ino,
      )
    }),
  )

  it.effect.runIf(inCi || isRoot)("belongs to the software owner, links and directories too", () =>
    Effect.gen(function* () {
      const { top, unpackBytes } = yield* place
      yield* unpackBytes(
        archiveOf(
          { name: "a/b/file", content: "x" },
          { name: "a/link", type: "2", target: "b/file" },
          { name: "a/hard", type: "1", target: `${folder}/a/b/file` },
        ),
      )
      for (const name of ["a", "a/b", "a/b/file", "a/link", "a/hard"]) {
        const { gid, uid } = fs.lstatSync(`${top}/${name}`)
        expect([name, uid, gid]).toStrictEqual([name, stranger.uid, stranger.gid])
      }
    }),
  )

  it.effect("gets no setuid bits and nothing that its group or others could write", () =>
    Effect.gen(function* () {
      const { top, unpackBytes } = yield* place
      yield* unpackBytes(
        archiveOf(
          { name: "suid", mode: 0o4755, content: "x" },
          { name: "sgid", mode: 0o2775, content: "x" },
          { name: "open", mode: 0o666, content: "x" },
          { name: "private", mode: 0o600, content: "x" },
          { name: "dir/", type: "5", mode: 0o3777 },
        ),
      )
      const modes = ["suid", "sgid", "open", "private", "dir"].map((name) => modeOf(`${top}/${name}`))
      expect(modes).toStrictEqual(["755", "755", "644", "600", "755"])
    }),
  )

  it.effect("comes without what is not a release's own", () =>
    Effect.gen(function* () {
      const { top, unpackBytes } = yield* place
      yield* unpackBytes(
        archiveOf(
          { name: ".completed", content: "earlier" },
          { name: ".netrc", content: "secret" },
          { name: "a", content: "x" },
          { name: "etc/.netrc", content: "kept" },
        ),
      )
      expect(fs.readdirSync(top).sort()).toStrictEqual(["a", "etc"])
      expect(fs.readdirSync(`${top}/etc`)).toStrictEqual([".netrc"])
    }),
  )

  it.effect("can name a directory again, and after what is in it", () =>
    Effect.gen(function* () {
      const { top, unpackBytes } = yield* place
      yield* unpackBytes(
        archiveOf({ name: "a/file", content: "x" }, { name: "a/", type: "5", mode: 0o500, mtime: 1_000_000_000 }),
      )
      expect(modeOf(`${top}/a`)).toBe("500")
      expect(fs.statSync(`${top}/a`).mtimeMs).toBe(1_000_000_000_000)
    }),
  )

  it.effect("can have links that turn back, wherever their directories stand in the archive", () =>
    Effect.gen(function* () {
      const { top, unpackBytes } = yield* place
      yield* unpackBytes(archiveOf({ name: "l", type: "2", target: "d/../f" }, { name: "d/f" }, { name: "f" }))
      expect(fs.readlinkSync(`${top}/l`)).toBe("d/../f")
    }),
  )
})

describe("refused is", () => {
  const long = "x".repeat(300)
  const hostile: ReadonlyArray<readonly [string, ReadonlyArray<Member>, string]> = [
    ["'..' in a name", [{ name: "../../outside/evil" }], "leads out with '..'"],
    ["a link out", [{ name: "l", type: "2", target: "../../outside" }], "outside its folder"],
    ["an absolute link", [{ name: "l", type: "2", target: "/etc/passwd" }], "outside its folder"],
    [
      "a file through a link",
      [{ name: "d/f" }, { name: "l", type: "2", target: "d" }, { name: "l/g", content: "x" }],
      "lies below a link or a file",
    ],
    [
      "a file through a link to the system",
      [
        { name: "l", type: "2", target: "/usr/bin" },
        { name: "l/evil", content: "x" },
      ],
      "lies below a link or a file",
    ],
    [
      "a directory through a link",
      [
        { name: "l", type: "2", target: "." },
        { name: "l/d/", type: "5" },
      ],
      "lies below a link or a file",
    ],
    [
      "a directory in a link's place",
      [
        { name: "l", type: "2", target: "." },
        { name: "l/", type: "5" },
      ],
      "twice",
    ],
    ["a file below a file", [{ name: "f" }, { name: "f/g" }], "lies below a link or a file"],
    [
      "a file in a link's place",
      [
        { name: "l", type: "2", target: "f" },
        { name: "l", content: "x" },
      ],
      "twice",
    ],
    [
      "a link that turns back through a link",
      [
        { name: "here", type: "2", target: "." },
        { name: "l", type: "2", target: "here/../outside" },
      ],
      "outside its folder",
    ],
    ["a hard link out", [{ name: "h", type: "1", target: "../outside/precious" }], "leads out with '..'"],
    ["an absolute hard link", [{ name: "h", type: "1", target: "/etc/passwd" }], "has an absolute name"],
    ["a hard link to what is not there", [{ name: "h", type: "1", target: `${folder}/f` }], "is a hard link to"],
    [
      "a hard link to a link",
      [
        { name: "l", type: "2", target: "/usr/bin/env" },
        { name: "h", type: "1", target: `${folder}/l` },
      ],
      "is a hard link to",
    ],
    [
      "a hard link through a link",
      [
        { name: "l", type: "2", target: "/usr/bin" },
        { name: "h", type: "1", target: `${folder}/l/env` },
      ],
      "is a hard link to",
    ],
    ["a hard link to a directory", [{ name: "d/f" }, { name: "h", type: "1", target: `${folder}/d` }], "hard link to"],
    ["a device", [{ name: "d", type: "3" }], "holds a device"],
    ["a FIFO", [{ name: "p", type: "6" }], "holds a FIFO"],
    ["a file in a directory's place", [{ name: "d/f" }, { name: "d", content: "x" }], "twice"],
  ]

  it.effect.each(hostile)("%s", ([, members, message]) =>
    Effect.gen(function* () {
      const { root, unpackBytes } = yield* place
      const error = yield* Effect.flip(unpackBytes(archiveOf(...members)))
      expect(error).toMatchObject({ reason: "Refused" })
      expect(error.message).toContain(message)
      expect(fs.readdirSync(root).sort()).toStrictEqual(["archive", "outside", "top"])
      expect(fs.readdirSync(`${root}/outside`)).toStrictEqual(["precious"])
      expect(fs.statSync(`${root}/outside/precious`).nlink).toBe(1)
      expect(fs.existsSync("/usr/bin/evil")).toBe(false)
    }),
  )

  it.effect.each([
    ["another folder", gzipped({ name: "other/f", content: "x" }), "is not in the folder"],
    ["an absolute name", gzipped({ name: `/${folder}/f`, content: "x" }), "has an absolute name"],
    ["a link as the folder", gzipped({ name: folder, type: "2", target: "/tmp" }), "takes the place of the folder"],
    ["an empty archive", gzipped(), "does not hold the folder"],
    ["no gzip", tarball(folderEntry), "is no gzip file"],
    ["half a gzip", archiveOf({ name: "f", content: "x" }).subarray(0, 60), "is no gzip file, or a damaged one"],
    ["half a tar", gzipSync(tarball(folderEntry, inside({ name: "f", content: "x" })).subarray(0, 1400)), "is cut off"],
    [
      "a name that is too long",
      gzipped(folderEntry, { name: "x", type: "x", content: record("path", `${folder}/${long}`) }, { name: "x" }),
      "ENAMETOOLONG",
    ],
  ] as const)("%s", ([, bytes, message]) =>
    Effect.gen(function* () {
      const { unpackBytes } = yield* place
      const error = yield* Effect.flip(unpackBytes(bytes))
      expect(error).toMatchObject({ reason: "Refused" })
      expect(error.message).toContain(message)
    }),
  )

  it.effect("more than may be used of the disk, before it is used", () =>
    Effect.gen(function* () {
      const { top, unpackBytes } = yield* place
      const { bavail, bsize } = fs.statfsSync(top)
      const bytes = archiveOf({ name: "small", content: "x" }, { name: "large", content: Buffer.alloc(1024 * 1024) })
      const error = yield* Effect.flip(unpackBytes(bytes, { minFreeSpace: bavail * bsize * 2 }))
      expect(error).toMatchObject({ reason: "NoSpace" })
      expect(error.message).toContain("does not fit")
      // What a header says is enough.
      const size = { name: "x", type: "x", content: record("size", "900000000000000") }
      const bomb = gzipped(folderEntry, size, inside({ name: "bomb" }))
      expect(yield* Effect.flip(unpackBytes(bomb))).toMatchObject({ reason: "NoSpace" })
      expect(fs.readdirSync(top)).toStrictEqual([])
    }),
  )
})

it.effect("an interruption ends the thread before it returns, and leaves nothing open", () =>
  Effect.gen(function* () {
    const { root, top, unpackBytes } = yield* place
    const files = Array.from({ length: 20_000 }, (_, index) => ({ name: `d/f${index}`, content: "x" }))
    const fiber = yield* Effect.forkChild(unpackBytes(archiveOf(...files)))
    yield* Effect.promise(async () => {
      for await (const _ of fs.promises.watch(top)) break
    })
    yield* Fiber.interrupt(fiber)
    const count = fs.readdirSync(`${top}/d`).length
    expect(openBelow(root).filter((path) => path !== top)).toStrictEqual([])
    yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
    expect(fs.readdirSync(`${top}/d`)).toHaveLength(count)
  }),
)

describe("whatever an archive says", () => {
  const word = fc.constantFrom("a", "b", "c", "..", ".", "", "top", "outside", "precious")
  const name = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join("/"))
  const target = fc.oneof(
    name,
    name.map((one) => `/opt/slapgrid/${folder}/${one}`),
    name.map((one) => `${folder}/${one}`),
    fc.constantFrom("/", "/etc", "/usr/bin", "/tmp", "/usr/../tmp"),
  )
  const members = fc.array(
    fc.record({
      name: fc.oneof({ weight: 5, arbitrary: name.map((one) => `${folder}/${one}`) }, { weight: 1, arbitrary: name }),
      type: fc.constantFrom("0", "1", "2", "2", "5", "5", "3", "6"),
      target,
      mode: fc.constantFrom(0o644, 0o4755, 0o777),
      content: fc.constantFrom("", "evil"),
    }),
    { maxLength: 10 },
  )

  /** Where a link leads when the folder is in its place, as the kernel would go; undefined: nowhere. */
  const endOf = (path: string): string | undefined => {
    try {
      return fs.realpathSync(path)
    } catch {
      return undefined
    }
  }

  /** Everything below, through no link. */
  const walk = (path: string): ReadonlyArray<string> =>
    fs.readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
      const below = `${path}/${entry.name}`
      return entry.isDirectory() ? [below, ...walk(below)] : [below]
    })

  it.effect("nothing outside is made or changed, and no link leads there", () =>
    Effect.gen(function* () {
      const { root, target, top } = yield* place
      const before = JSON.stringify(fs.lstatSync(`${root}/outside`))
      fc.assert(
        fc.property(members, (members) => {
          const unpacker = new Unpacker({ ...target, homes: [top] })
          const reader = new TarReader(unpacker)
          let isTaken = true
          try {
            const own = members.map((one) => {
              const target = one.target.replace(`/opt/slapgrid/${folder}`, top)
              return { ...one, target, content: one.type === "0" ? one.content : "" }
            })
            reader.feed(tarball(...own))
            reader.close()
            unpacker.finish()
          } catch (error) {
            if (!(error instanceof TarError) && !(error instanceof SpaceError)) throw error
            isTaken = false
          }
          for (const path of walk(top)) {
            const stats = fs.lstatSync(path)
            if (!stats.isSymbolicLink()) expect(stats.mode & 0o7022).toBe(0)
            // Links that turn back are looked at when all of it is there; what is refused is never in its place.
            const end = isTaken ? endOf(path) : undefined
            expect(end === undefined || `${end}/`.startsWith(`${top}/`) || end.startsWith("/usr")).toBe(true)
          }
          for (const entry of fs.readdirSync(top)) fs.rmSync(`${top}/${entry}`, { recursive: true })
        }),
        fuzz(47, 400),
      )
      expect(JSON.stringify(fs.lstatSync(`${root}/outside`))).toBe(before)
      expect(fs.readFileSync(`${root}/outside/precious`, "utf8")).toBe("precious")
      expect(fs.readdirSync(root).sort()).toStrictEqual(["archive", "outside", "top"])
    }),
  )
})
