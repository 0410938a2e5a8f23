// Removal of trees whose owner is hostile, deep, wide or read-only.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { expect } from "vitest"
import { mountsIn } from "../../src/files/mounts.ts"
import { removeContents, removeRemains, removeTree, removeWhole } from "../../src/files/removeTree.ts"
import { inCi, isRoot, openBelow, scratchDirectory, stranger } from "../support/scratch.ts"

const tree = Effect.gen(function* () {
  const root = yield* scratchDirectory
  const path = `${root}/tree`
  fs.mkdirSync(path)
  fs.mkdirSync(`${root}/outside`)
  fs.writeFileSync(`${root}/outside/precious`, "precious")
  return { root, path, precious: `${root}/outside/precious` }
})

/** A chain of directories, deeper than any path can be long. */
const dig = (path: string, depth: number): void => {
  let fd = fs.openSync(path, "r")
  for (let level = 0; level < depth; level++) {
    fs.mkdirSync(`/proc/self/fd/${fd}/d`)
    fs.writeFileSync(`/proc/self/fd/${fd}/f`, "")
    const next = fs.openSync(`/proc/self/fd/${fd}/d`, "r")
    fs.closeSync(fd)
    fd = next
  }
  fs.closeSync(fd)
}

it.effect("an absent tree is removed already", () =>
  Effect.gen(function* () {
    const { root } = yield* tree
    yield* removeTree(`${root}/none`)
  }),
)

it.effect("files, links, FIFOs and directories go, what links lead to stays", () =>
  Effect.gen(function* () {
    const { path, precious, root } = yield* tree
    fs.mkdirSync(`${path}/a/b/c`, { recursive: true })
    fs.writeFileSync(`${path}/a/file`, "x")
    fs.writeFileSync(`${path}/a/.hidden\n odd é`, "x")
    fs.symlinkSync(`${root}/outside`, `${path}/a/b/link`)
    fs.symlinkSync("nowhere", `${path}/a/b/dangling`)
    fs.linkSync(precious, `${path}/hard`)
    spawnSync("mkfifo", [`${path}/a/fifo`])
    yield* removeTree(path)
    expect([fs.existsSync(path), fs.readFileSync(precious, "utf8")]).toStrictEqual([false, "precious"])
    expect(openBelow(root)).toStrictEqual([])
  }),
)

it.effect("names that are no text go, too, at any depth", () =>
  Effect.gen(function* () {
    const { path } = yield* tree
    const odd = Buffer.from([0x66, 0xff, 0xfe, 0x80, 0x1b, 0x0a])
    const within = (...names: ReadonlyArray<Buffer>) =>
      Buffer.concat([Buffer.from(path), ...names.flatMap((name) => [Buffer.from("/"), name])])
    fs.mkdirSync(within(odd))
    fs.mkdirSync(within(odd, odd))
    fs.writeFileSync(within(odd, odd, odd), "")
    fs.symlinkSync("/", within(odd, Buffer.from([0xe9])))
    yield* removeTree(path)
    expect(fs.existsSync(path)).toBe(false)
  }),
)

it.effect("a link is no tree", () =>
  Effect.gen(function* () {
    const { precious, root } = yield* tree
    fs.symlinkSync(`${root}/outside`, `${root}/link`)
    for (const remove of [removeTree, removeContents]) {
      expect((yield* Effect.flip(remove(`${root}/link`))).reason).toBe("Unsafe")
    }
    expect(fs.existsSync(precious)).toBe(true)
  }),
)

it.effect("25,000 files in one directory, while others get their turn", () =>
  Effect.gen(function* () {
    const { path } = yield* tree
    for (let n = 0; n < 25_000; n++) fs.closeSync(fs.openSync(`${path}/${n}`, "w"))
    let turns = 0
    const other = yield* Effect.forkChild(
      Effect.forever(
        Effect.andThen(
          Effect.sync(() => turns++),
          Effect.yieldNow,
        ),
      ),
    )
    yield* removeTree(path)
    yield* Fiber.interrupt(other)
    expect(fs.existsSync(path)).toBe(false)
    expect(turns).toBeGreaterThan(20)
  }),
)

it.effect("5,000 levels with few descriptors, and none of them is left open", () =>
  Effect.gen(function* () {
    const { path, root } = yield* tree
    dig(path, 5000)
    let most = 0
    const turns = Effect.forEach(Array.from({ length: 50 }), () => Effect.yieldNow, { discard: true })
    const look = Effect.sync(() => (most = Math.max(most, openBelow(root).length)))
    const other = yield* Effect.forkChild(Effect.forever(Effect.andThen(turns, look)))
    yield* removeTree(path)
    yield* Fiber.interrupt(other)
    expect(fs.existsSync(path)).toBe(false)
    expect(most).toBeGreaterThan(10)
    expect(most).toBeLessThan(100)
    expect(openBelow(root)).toStrictEqual([])
  }),
)

it.effect("an interruption leaves nothing open", () =>
  Effect.gen(function* () {
    const { path, root } = yield* tree
    dig(path, 500)
    const removing = yield* Effect.forkChild(removeTree(path))
    while (openBelow(root).length < 10) yield* Effect.yieldNow
    yield* Fiber.interrupt(removing)
    expect([openBelow(root), fs.existsSync(path)]).toStrictEqual([[], true])
  }),
)

describe("permissions", () => {
  /** Removes as an ordinary user: root is never denied anything. */
  const removeAs = (uid: number, gid: number, path: string): string => {
    const code = `
      import * as Effect from "effect/Effect"
      import { removeTree } from ${JSON.stringify(new URL("../../src/files/removeTree.ts", import.meta.url).href)}
      const exit = await Effect.runPromise(Effect.result(removeTree(${JSON.stringify(path)})))
      process.stdout.write(exit._tag === "Success" ? "removed" : exit.failure.message)`
    const { stderr, stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", code], {
      ...(isRoot ? { uid, gid } : {}),
      cwd: new URL("../..", import.meta.url),
      encoding: "utf8",
    })
    return stdout === "" ? stderr : stdout
  }

  const readOnly = (path: string): void => {
    fs.mkdirSync(`${path}/a/b`, { recursive: true })
    fs.writeFileSync(`${path}/a/b/file`, "x", { mode: 0o400 })
    fs.mkdirSync(`${path}/closed`)
    fs.writeFileSync(`${path}/closed/file`, "x")
    if (isRoot) spawnSync("chown", ["-R", `${stranger.uid}:${stranger.gid}`, path])
    for (const [directory, mode] of [
      [`${path}/a/b`, 0o555],
      [`${path}/a`, 0o500],
      [`${path}/closed`, 0],
      [path, 0o555],
    ] as const) {
      fs.chmodSync(directory, mode)
    }
  }

  it.effect("read-only and closed directories go", () =>
    Effect.gen(function* () {
      const { path } = yield* tree
      readOnly(path)
      yield* removeTree(path)
      expect(fs.existsSync(path)).toBe(false)
    }),
  )

  it.effect("also for an ordinary owner", () =>
    Effect.gen(function* () {
      const { path, root } = yield* tree
      fs.mkdirSync(`${root}/own`)
      fs.renameSync(path, `${root}/own/tree`)
      readOnly(`${root}/own/tree`)
      if (isRoot) fs.chownSync(`${root}/own`, stranger.uid, stranger.gid)
      expect(removeAs(stranger.uid, stranger.gid, `${root}/own/tree`)).toBe("removed")
      expect(fs.existsSync(`${root}/own/tree`)).toBe(false)
    }),
  )

  it.effect("also when it is deep and read-only", () =>
    Effect.gen(function* () {
      const { path, root } = yield* tree
      dig(path, 200)
      spawnSync("chmod", ["-R", "a-w", path])
      spawnSync("chown", ["-R", `${stranger.uid}:${stranger.gid}`, path])
      fs.chownSync(root, stranger.uid, stranger.gid)
      expect(removeAs(stranger.uid, stranger.gid, path)).toBe("removed")
    }),
  )

  it.effect.runIf(inCi || isRoot)("foreign files go with root, and are an error in words for anybody else", () =>
    Effect.gen(function* () {
      const { path, root } = yield* tree
      fs.mkdirSync(`${path}/roots`)
      fs.writeFileSync(`${path}/roots/file`, "x")
      fs.chownSync(path, stranger.uid, stranger.gid)
      expect(removeAs(stranger.uid, stranger.gid, path)).toMatch(
        new RegExp(`^cannot remove ${root}/tree/roots(/file)?: EACCES \\(permission denied\\)$`),
      )
      yield* removeTree(path)
      expect(fs.existsSync(path)).toBe(false)
    }),
  )
})

const canMount = isRoot && spawnSync("unshare", ["-m", "true"]).status === 0

const mounted = (root: string, args: ReadonlyArray<string>, target: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      fs.mkdirSync(target, { recursive: true })
      expect(spawnSync("mount", [...args, target], { encoding: "utf8" })).toMatchObject({ status: 0 })
    }),
    // Not by its name: what holds it can have been moved.
    () =>
      Effect.sync(() => {
        for (const place of mountsIn(root)) spawnSync("umount", [place])
      }),
  )

describe.runIf(inCi || canMount)("mounts", () => {
  it.effect("another file system inside is refused, and what is on it stays", () =>
    Effect.gen(function* () {
      const { path, root } = yield* tree
      yield* mounted(root, ["-t", "tmpfs", "none"], `${path}/a/mount`)
      fs.writeFileSync(`${path}/a/mount/precious`, "precious")
      const error = yield* Effect.flip(removeTree(path))
      expect([error.reason, error.message]).toStrictEqual([
        "Unsafe",
        `refused to remove ${path}/a/mount: something is mounted there; unmount it first`,
      ])
      expect([fs.readdirSync(`${path}/a/mount`), openBelow(root)]).toStrictEqual([["precious"], []])
    }),
  )

  it.effect("so is a part of the same file system", () =>
    Effect.gen(function* () {
      const { path, precious, root } = yield* tree
      yield* mounted(root, ["--bind", `${root}/outside`], `${path}/mount`)
      expect((yield* Effect.flip(removeTree(path))).message).toContain("something is mounted there")
      expect(fs.existsSync(precious)).toBe(true)
    }),
  )

  it.effect.each(["", "/a b\\/ü"])(
    "a tree that goes as a whole keeps everything when something is mounted at '%s' in it",
    (place) =>
      Effect.gen(function* () {
        const { path, root } = yield* tree
        fs.writeFileSync(`${path}/first`, "")
        yield* mounted(root, ["-t", "tmpfs", "none"], `${path}${place}`)
        fs.writeFileSync(`${path}${place}/precious`, "")
        expect((yield* Effect.flip(removeWhole(path))).message).toBe(
          `refused to remove ${path}: something is mounted at ${path}${place}; unmount it first`,
        )
        expect(fs.existsSync(`${path}${place}/precious`)).toBe(true)
        if (place !== "") expect(fs.existsSync(`${path}/first`)).toBe(true)
      }),
  )

  it.effect("also deep below", () =>
    Effect.gen(function* () {
      const { path, precious, root } = yield* tree
      yield* mounted(root, ["--bind", `${root}/outside`], `${path}${"/d".repeat(70)}`)
      expect((yield* Effect.flip(removeTree(path))).message).toContain("something is mounted there")
      expect([fs.existsSync(precious), openBelow(root)]).toStrictEqual([true, []])
    }),
  )
})

describe("a tree that goes as a whole", () => {
  it.effect("is not there any more from the first moment on, and what is left when it is interrupted goes later", () =>
    Effect.gen(function* () {
      const { path, root } = yield* tree
      for (let count = 0; count < 2000; count++) fs.writeFileSync(`${path}/${count}`, "")
      const removing = yield* Effect.forkChild(removeWhole(path))
      while (fs.existsSync(path)) yield* Effect.yieldNow
      yield* Fiber.interrupt(removing)
      expect(fs.readdirSync(`${path}.removing`).length).toBeGreaterThan(0)
      fs.mkdirSync(path)
      fs.writeFileSync(`${path}/new`, "")
      yield* removeRemains(path)
      expect([fs.readdirSync(path), fs.existsSync(`${path}.removing`), openBelow(root)]).toStrictEqual([
        ["new"],
        false,
        [],
      ])
      yield* removeWhole(path)
      yield* removeWhole(path)
      expect(fs.readdirSync(root)).toStrictEqual(["outside"])
    }),
  )

  it.effect.each(["a link", "a file"])("is no tree when %s has its name", (what) =>
    Effect.gen(function* () {
      const { path, precious, root } = yield* tree
      fs.rmdirSync(path)
      if (what === "a link") fs.symlinkSync(`${root}/outside`, path)
      else fs.writeFileSync(path, "")
      expect((yield* Effect.flip(removeWhole(path))).message).toBe(
        `refused to remove ${path}: it is not a directory; remove it by hand`,
      )
      expect([fs.existsSync(path), fs.existsSync(precious)]).toStrictEqual([true, true])
    }),
  )
})

describe("an owner who changes the tree meanwhile", () => {
  const racing = (code: string) =>
    Effect.gen(function* () {
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"] })),
        (child) => Effect.promise(async () => child.kill("SIGKILL") && once(child, "exit")),
      )
      yield* Effect.promise(() => once(child.stdout, "data"))
    })

  it.effect("by renaming and linking leads nowhere; it is removed, or refused in words", () =>
    Effect.gen(function* () {
      const { path, precious, root } = yield* tree
      yield* racing(`const fs = require("fs"), at = ${JSON.stringify(path)}, outside = ${JSON.stringify(`${root}/outside`)}
        const attempt = (use) => { try { use() } catch {} }
        for (let n = 0; ; n++) {
          attempt(() => fs.mkdirSync(at + "/a/b", { recursive: true }))
          attempt(() => fs.writeFileSync(at + "/a/b/f", ""))
          attempt(() => fs.renameSync(at + "/a", at + "/c"))
          attempt(() => fs.symlinkSync(outside, at + "/a"))
          if (n === 0) fs.writeSync(1, "go")
          attempt(() => fs.unlinkSync(at + "/a"))
          attempt(() => fs.renameSync(at + "/c", at + "/a"))
        }`)
      const outcomes = new Set<string>()
      for (let round = 0; round < 500; round++) {
        const outcome = yield* Effect.result(removeContents(path))
        outcomes.add(outcome._tag === "Success" ? "removed" : outcome.failure.reason)
      }
      expect([...outcomes].every((outcome) => outcome === "removed" || outcome === "Unsafe")).toBe(true)
      expect([fs.readFileSync(precious, "utf8"), fs.readdirSync(`${root}/outside`)]).toStrictEqual([
        "precious",
        ["precious"],
      ])
      expect(openBelow(root)).toStrictEqual([])
    }),
  )
})
