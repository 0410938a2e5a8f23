import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { expect, vi } from "vitest"
import { errnoOf, FileError, fromErrno } from "../../src/files/FileError.ts"
import {
  followText,
  freeSpace,
  inheritedEnvironment,
  makeOwnedDirectory,
  md5Hex,
  readEnd,
} from "../../src/files/machine.ts"
import { openBelow, scratchDirectory, stranger } from "../support/scratch.ts"

it("md5Hex is that of the UTF-8 bytes, as the reference's", () => {
  expect(md5Hex("https://é/software.cfg")).toBe(
    execFileSync("md5sum", { input: "https://é/software.cfg", encoding: "utf8" }).slice(0, 32),
  )
})

describe("readEnd", () => {
  it.effect.each([
    [0, 100, "one\ntwö"],
    [4, 100, "twö"],
    [0, 4, "twö"],
    [0, 1, "\uFFFD"],
    [8, 100, ""],
    [100, 100, ""],
  ] as const)("from %d, at most %d bytes", ([from, limit, text]) =>
    Effect.gen(function* () {
      const root = yield* scratchDirectory
      fs.writeFileSync(`${root}/log`, "one\ntwö")
      const fd = fs.openSync(`${root}/log`, "r")
      expect(yield* readEnd(fd, from, limit)).toBe(text)
      fs.closeSync(fd)
    }),
  )
})

describe("makeOwnedDirectory", () => {
  it.effect("gives owner and mode, and to one that is there the owner alone", () =>
    Effect.gen(function* () {
      const root = yield* scratchDirectory
      yield* makeOwnedDirectory(`${root}/x`, 0o755, stranger)
      const { gid, mode, uid } = fs.statSync(`${root}/x`)
      expect([uid, gid, mode & 0o7777]).toStrictEqual([stranger.uid, stranger.gid, 0o755])
      fs.chmodSync(`${root}/x`, 0o700)
      fs.chownSync(`${root}/x`, process.geteuid!(), process.getegid!())
      yield* makeOwnedDirectory(`${root}/x`, 0o755, stranger)
      const again = fs.statSync(`${root}/x`)
      expect([again.uid, again.gid, again.mode & 0o7777]).toStrictEqual([stranger.uid, stranger.gid, 0o700])
      expect(openBelow(root)).toStrictEqual([])
    }),
  )

  it.effect("a dangling link in its place is refused, and nothing is made where it leads", () =>
    Effect.gen(function* () {
      const root = yield* scratchDirectory
      fs.symlinkSync(`${root}/elsewhere`, `${root}/x`)
      yield* Effect.flip(makeOwnedDirectory(`${root}/x`, 0o755, stranger))
      expect(fs.existsSync(`${root}/elsewhere`)).toBe(false)
    }),
  )
})

it("children inherit the path, locale, time zone and proxies, and nothing else", () => {
  for (const [name, value] of Object.entries({
    PATH: "/p",
    LC_ALL: "C",
    TZ: "UTC",
    https_proxy: "h",
    NO_PROXY: "n",
    PYTHONPATH: "x",
    LANG: "x",
    SECRET: "x",
    MY_PROXY: "x",
  })) {
    vi.stubEnv(name, value)
  }
  const inherited = inheritedEnvironment()
  vi.unstubAllEnvs()
  expect(inherited).toMatchObject({ PATH: "/p", LC_ALL: "C", TZ: "UTC", https_proxy: "h", NO_PROXY: "n" })
  for (const name of ["PYTHONPATH", "LANG", "SECRET", "MY_PROXY", "HOME"]) expect(inherited).not.toHaveProperty(name)
})

it.effect("freeSpace is what is left, or an error with the path", () =>
  Effect.gen(function* () {
    expect(yield* freeSpace("/")).toBeGreaterThan(0)
    expect((yield* Effect.flip(freeSpace("/none"))).message).toContain("/none")
  }),
)

it.effect("an open log is read as it grows, also when it is trimmed, and of much the end", () =>
  Effect.gen(function* () {
    const path = `${yield* scratchDirectory}/log`
    fs.writeFileSync(path, "before ")
    const fd = fs.openSync(path, "a+")
    const next = followText(fd, 7)
    const bytes = Buffer.from("é")
    fs.writeSync(fd, "one")
    fs.writeSync(fd, bytes.subarray(0, 1))
    expect(yield* next).toBe("one")
    fs.writeSync(fd, bytes.subarray(1))
    expect([yield* next, yield* next]).toStrictEqual(["é", ""])
    fs.ftruncateSync(fd, 0)
    fs.writeSync(fd, "anew")
    expect(yield* next).toBe("anew")
    fs.writeSync(fd, `${"x".repeat(3 * 1024 * 1024)}end`)
    const much = yield* next
    expect([much.length, much.slice(-4)]).toStrictEqual([1024 * 1024, "xend"])
    fs.closeSync(fd)
  }),
)

describe("fromErrno", () => {
  it.each([
    ["ENOENT", "NotFound"],
    ["ELOOP", "Unsafe"],
    ["ENXIO", "Unsafe"],
    ["ENOTDIR", "Unsafe", " (it is not a directory)"],
    ["ENOSPC", "NoSpace", " (no space left)"],
    ["EDQUOT", "NoSpace", " (the disk quota is used up)"],
    ["EACCES", "Failed", " (permission denied)"],
    ["EROFS", "Failed", " (the file system is read-only)"],
  ] as ReadonlyArray<readonly [string, string, string?]>)("%s is %s", (code, reason, words = "") => {
    const cause = Object.assign(new Error("x"), { code })
    expect(fromErrno("read", "/x", cause)).toMatchObject({ reason, message: `cannot read /x: ${code}${words}` })
    expect(errnoOf(cause)).toBe(code)
  })

  it("a FileError stays itself, anything else is told as it is", () => {
    const error = new FileError({ path: "/x", operation: "read", reason: "Unsafe", message: "m" })
    expect(fromErrno("write", "/y", error)).toBe(error)
    expect(fromErrno("read", "/x", new Error("odd"))).toMatchObject({
      reason: "Failed",
      message: "cannot read /x: Error: odd",
    })
  })
})
