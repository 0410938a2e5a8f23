import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as fc from "fast-check"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { parseRecords, type TarEntry, TarError, TarReader } from "../../../src/files/archive/tar.ts"
import { fuzz } from "../../support/fuzz.ts"
import { header, member, record, tarball } from "../../support/tarball.ts"

interface Told extends TarEntry {
  readonly content: string
}

/** What a reader tells of an archive that comes in pieces of these sizes, over and over. */
const read = (archive: Buffer, sizes: ReadonlyArray<number> = [archive.length]): ReadonlyArray<Told> => {
  const told: Array<Told> = []
  let parts: Array<Buffer> = []
  const reader = new TarReader({
    entry: (entry) => void told.push({ ...entry, content: "" }),
    data: (bytes) => void parts.push(Buffer.from(bytes)),
    end: () => {
      const last = told.pop()
      if (last !== undefined) told.push({ ...last, content: Buffer.concat(parts).toString() })
      parts = []
    },
  })
  for (let from = 0, turn = 0; from < archive.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    reader.feed(archive.subarray(from, from + size))
    from += size
  }
  reader.close()
  return told
}

const refusal = (archive: Buffer): string => {
  try {
    read(archive)
  } catch (error) {
    if (error instanceof TarError) return error.message
    throw error
  }
  return "none"
}

let folder: string
const long = `${"deep/".repeat(30)}${"x".repeat(120)}`

beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "slapgrid-tar-"))
  const top = join(folder, "release")
  fs.mkdirSync(join(top, "deep/".repeat(30)), { recursive: true })
  fs.writeFileSync(join(top, long), "long")
  fs.writeFileSync(join(top, "empty"), "")
  fs.writeFileSync(join(top, "ünïcode 雪"), "snow")
  fs.writeFileSync(join(top, "big"), "0123456789".repeat(20_000))
  fs.chmodSync(join(top, "big"), 0o750)
  fs.symlinkSync("big", join(top, "short link"))
  fs.symlinkSync(long, join(top, "long link"))
  fs.linkSync(join(top, "big"), join(top, "second"))
})

afterAll(() => fs.rmSync(folder, { recursive: true }))

const gnuTar = (format: string): Buffer =>
  execFileSync("tar", ["--create", `--format=${format}`, "--sort=name", "release"], { cwd: folder })

const pythonTar = (format: string): Buffer =>
  execFileSync("/usr/bin/python3", [
    "-c",
    `import sys, tarfile
tar = tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.${format}_FORMAT)
tar.add(sys.argv[1], arcname="release")
tar.close()`,
    join(folder, "release"),
  ])

describe("an archive of", () => {
  it.each([
    ["GNU tar (gnu)", () => gnuTar("gnu")],
    ["GNU tar (pax)", () => gnuTar("pax")],
    ["Python (GNU)", () => pythonTar("GNU")],
    ["Python (PAX)", () => pythonTar("PAX")],
  ])("%s is read: long names, links, times, other scripts", (_, make) => {
    const told = new Map(read(make()).map((entry) => [entry.path.replace(/\/$/, ""), entry]))
    const at = (name: string) => told.get(Buffer.from(`release/${name}`).toString("latin1"))
    expect(told.get("release")?.type).toBe("directory")
    expect(at(long)).toMatchObject({ type: "file", size: 4, content: "long" })
    expect(at("empty")).toMatchObject({ type: "file", size: 0, content: "" })
    expect(at("ünïcode 雪")).toMatchObject({ content: "snow" })
    expect(at("short link")).toMatchObject({ type: "symlink", target: "big" })
    expect(at("long link")).toMatchObject({ type: "symlink", target: long })
    // Which of the two comes first is the tool's choice.
    const [file, link] = [at("big"), at("second")].sort((one) => (one?.type === "file" ? -1 : 1))
    expect(file).toMatchObject({ type: "file", mode: 0o750, size: 200_000, content: "0123456789".repeat(20_000) })
    expect(link).toMatchObject({ type: "link", target: file?.path })
    const { mtimeMs } = fs.statSync(join(folder, "release/big"))
    expect(Math.abs((file?.mtime ?? 0) * 1000 - mtimeMs)).toBeLessThan(1000)
  })

  it("old tars and split ustar names are read", () => {
    const told = read(
      tarball(
        { name: "old/", type: "\0", magic: "" },
        { name: "old/file", type: "\0", magic: "", content: "text" },
        { name: "name", prefix: "some/where", type: "7", content: "x" },
        // GNU has times in the place of ustar's prefix.
        { name: "gnu", magic: "ustar  \0", prefix: "14000000000", content: "y" },
      ),
    )
    expect(told.map(({ content, path, type }) => [path, type, content])).toStrictEqual([
      ["old/", "directory", ""],
      ["old/file", "file", "text"],
      ["some/where/name", "file", "x"],
      ["gnu", "file", "y"],
    ])
  })

  it("a name in an extended header is for the next entry only, and a comment for none", () => {
    const told = read(
      tarball(
        { name: "pax_global_header", type: "g", content: record("comment", "0123") },
        { name: "x", type: "x", content: record("path", "long name") + record("mtime", "1600000000.5") },
        { name: "short", content: "1" },
        { name: "next", content: "2", mtime: 1_500_000_000 },
      ),
    )
    expect(told.map(({ mtime, path }) => [path, mtime])).toStrictEqual([
      ["long name", 1_600_000_000.5],
      ["next", 1_500_000_000],
    ])
  })
})

describe("refused with its cause is", () => {
  const large = Buffer.from(header({ name: "x" }))
  large.fill(0xff, 124, 136)

  it.each([
    ["a device", tarball({ name: "d", type: "3" }), 'holds a device: "d"'],
    ["a block device", tarball({ name: "d", type: "4" }), 'holds a device: "d"'],
    ["a FIFO", tarball({ name: "f", type: "6" }), 'holds a FIFO: "f"'],
    ["a sparse file of GNU's", tarball({ name: "s", type: "S" }), "holds a sparse file"],
    [
      "a sparse file of pax's",
      tarball({ name: "x", type: "x", content: record("GNU.sparse.major", "1") }, { name: "s" }),
      "holds a sparse file",
    ],
    ["an unknown type", tarball({ name: "z", type: "Z" }), "unknown type"],
    ["a directory with content", tarball({ name: "d/", type: "5", content: "x" }), "is no file and has content"],
    [
      "a name for all entries",
      tarball({ name: "g", type: "g", content: record("path", "p") }),
      "gives one path to all",
    ],
    [
      "a record that lies about its length",
      tarball({ name: "x", type: "x", content: "99 path=a\n" }),
      "cannot be read",
    ],
    ["a size that is no number", tarball({ name: "x", type: "x", content: record("size", "-1") }), "no valid size"],
    ["endless records", tarball({ name: "x", type: "x", size: 2 ** 30 }), "has an extended header of 1073741824 bytes"],
    ["a wrong checksum", Buffer.concat([large, Buffer.alloc(1024)]), "wrong checksum"],
    ["something else", Buffer.from("<html>".repeat(200)), "no valid checksum"],
    ["an archive without an end", member({ name: "x", content: "y" }), "is cut off"],
    ["half a header", header({ name: "x" }).subarray(0, 300), "is cut off"],
    ["half a file", member({ name: "x", content: "y".repeat(2000) }).subarray(0, 1000), "is cut off"],
    ["nothing at all", Buffer.alloc(0), "is cut off"],
  ])("%s", (_, archive, message) => {
    expect(refusal(archive)).toContain(message)
  })

  it("a size beyond what a number holds", () => {
    const block = Buffer.from(header({ name: "x" }))
    block.fill(0x7f, 125, 136)
    block[124] = 0x80
    block.write("        ", 148, "latin1")
    const sum = block.reduce((total, byte) => total + byte, 0)
    block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1")
    expect(refusal(block)).toContain("no valid size")
  })
})

describe("whatever comes", () => {
  const name = fc.string({ minLength: 1, maxLength: 90, unit: "grapheme-ascii" })

  it("the pieces in which an archive comes make no difference", () => {
    const members = fc.array(
      fc.record({ name, content: fc.string({ maxLength: 1500 }), type: fc.constantFrom("0", "0", "0", "\0", "7") }),
      { maxLength: 8 },
    )
    const sizes = fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(members, sizes, (members, sizes) => {
        const files = members.map((one) => ({ ...one, name: one.name.replace(/\/+$/, "_") }))
        const archive = tarball(...files)
        const told = read(archive, sizes)
        expect(told.map(({ content, path }) => [path, content])).toStrictEqual(
          files.map(({ content, name }) => [name, content]),
        )
        expect(told).toStrictEqual(read(archive))
      }),
      fuzz(7_340_033, 100),
    )
  })

  it("records are read back as they were written", () => {
    const pairs = fc.uniqueArray(fc.tuple(fc.stringMatching(/^[a-zA-Z.]{1,12}$/), fc.string({ unit: "binary" })), {
      selector: ([key]) => key,
      maxLength: 6,
    })
    fc.assert(
      fc.property(pairs, (pairs) => {
        const bytes = Buffer.from(pairs.map(([key, value]) => record(key, value)).join(""))
        const read = [...parseRecords(bytes)].map(([key, value]) => [key, Buffer.from(value, "latin1").toString()])
        expect(read).toStrictEqual(pairs.map(([key, value]) => [key, Buffer.from(value).toString()]))
      }),
      fuzz(11, 200),
    )
  })

  it("damage and noise end in a TarError or in other entries, never in anything else", () => {
    const sound = gnuTar("pax").subarray(0, 16 * 512)
    const damage = fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(damage, (damage) => {
        const archive = Buffer.from(sound)
        for (const [at, byte] of damage) archive[at] = byte
        refusal(archive)
      }),
      fuzz(23, 500),
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096 }), (noise) => void refusal(Buffer.from(noise))),
      fuzz(29, 200),
    )
  })
})
