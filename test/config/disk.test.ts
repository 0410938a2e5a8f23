// What is told about paths: the wording for each finding, and the findings on a real directory.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Result from "effect/Result"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { observe, problemOf, readText } from "../../src/config/disk.ts"
import type { Observation, PathNeed } from "../../src/config/disk.ts"

let root = ""
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "slapgrid-config-"))
  mkdirSync(join(root, "directory"))
  writeFileSync(join(root, "file"), "text")
  writeFileSync(join(root, "latin1"), Buffer.from("[s]\na = \xe9", "latin1"))
  writeFileSync(join(root, "marked"), "\ufeff[s]")
  chmodSync(join(root, "file"), 0o644)
})
afterAll(() => rmSync(root, { recursive: true }))

describe("problemOf", () => {
  const file: PathNeed = { option: "key_file", source: "--key-file", path: "/a/b", kind: "file", access: "read" }
  const directory: PathNeed = { ...file, kind: "directory", access: "write" }
  it.each<readonly [need: PathNeed, seen: Observation, problem: string | undefined]>([
    [file, { _tag: "Found", kind: "file", granted: true }, undefined],
    [directory, { _tag: "Found", kind: "directory", granted: true }, undefined],
    [file, { _tag: "Failed", error: "ENOENT" }, "the file /a/b does not exist; create it or correct the path"],
    [
      directory,
      { _tag: "Failed", error: "ENOTDIR" },
      "the directory /a/b does not exist; create it or correct the path",
    ],
    [
      file,
      { _tag: "Failed", error: "EACCES" },
      "this process may not look at /a/b; run slapgrid as root, or correct the modes of the directories above it",
    ],
    [file, { _tag: "Failed", error: "ELOOP" }, "/a/b cannot be looked at (ELOOP); correct the path"],
    [file, { _tag: "Found", kind: "directory", granted: true }, "/a/b is not a file; correct the path"],
    [directory, { _tag: "Found", kind: "other", granted: true }, "/a/b is not a directory; correct the path"],
    [
      file,
      { _tag: "Found", kind: "file", granted: false },
      "this process may not read /a/b; run slapgrid as root or as the file's owner, or correct its mode",
    ],
    [
      directory,
      { _tag: "Found", kind: "directory", granted: false },
      "this process may not write to /a/b; run slapgrid as root or as the directory's owner",
    ],
  ])("%j %j", (need, seen, problem) => {
    expect(problemOf(need, seen)).toBe(problem)
  })
})

describe("observe", () => {
  it.each<readonly [name: string, access: PathNeed["access"], seen: Observation]>([
    ["directory", "write", { _tag: "Found", kind: "directory", granted: true }],
    ["file", "read", { _tag: "Found", kind: "file", granted: true }],
    ["nothing", "none", { _tag: "Failed", error: "ENOENT" }],
    ["file/below", "none", { _tag: "Failed", error: "ENOTDIR" }],
    // Nobody may execute it, so this fails for root too.
    ["file", "write", { _tag: "Found", kind: "file", granted: false }],
  ])("%s for %s", (name, access, seen) => {
    expect(observe({ path: join(root, name), access })).toStrictEqual(seen)
  })

  it("knows what is neither file nor directory", () => {
    expect(observe({ path: "/dev/null", access: "read" })).toStrictEqual({
      _tag: "Found",
      kind: "other",
      granted: true,
    })
  })
})

describe("readText", () => {
  it("gives the text, with a byte order mark if there is one", () => {
    expect(readText(join(root, "file"))).toStrictEqual(Result.succeed("text"))
    expect(readText(join(root, "marked"))).toStrictEqual(Result.succeed("\ufeff[s]"))
  })

  it.each<readonly [name: string, problem: string]>([
    ["nothing", "does not exist; create it or name another"],
    ["directory", "is a directory; name the file in it"],
    ["latin1", "is not UTF-8 text; save it as UTF-8"],
  ])("explains why %s cannot be read", (name, problem) => {
    const path = join(root, name)
    expect(readText(path)).toStrictEqual(Result.fail(`${path} ${problem}`))
  })
})
