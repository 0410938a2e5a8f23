import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { expect } from "vitest"
import { NodeConfig } from "../../src/config/NodeConfig.ts"
import { AgentLock } from "../../src/process/AgentLock.ts"
import { nodeConfig } from "../support/facts.ts"
import { inCi, isRoot, openBelow, scratchDirectory, stranger } from "../support/scratch.ts"

const lockOf = (instanceRoot: string) =>
  Effect.service(AgentLock).pipe(
    Effect.provide(Layer.provide(AgentLock.layer, Layer.succeed(NodeConfig, nodeConfig({ instanceRoot })))),
  )

/** Holds the lock for the scope. */
const hold = (instanceRoot: string) =>
  Layer.build(Layer.provide(AgentLock.layer, Layer.succeed(NodeConfig, nodeConfig({ instanceRoot }))))

it.effect("the first holder keeps a second out, with its pid, until it is gone", () =>
  Effect.gen(function* () {
    const root = yield* scratchDirectory
    yield* Effect.scoped(
      Effect.gen(function* () {
        yield* hold(root)
        const error = yield* Effect.flip(lockOf(root))
        expect([error._tag, error.message]).toStrictEqual([
          "AlreadyRunning",
          `another slapgrid runs on ${root} (pid ${process.pid}): stop it first`,
        ])
        expect(openBelow(root)).toHaveLength(1)
      }),
    )
    expect((yield* lockOf(root)).directory).toBe(`${root}/var/run/slapgrid`)
    expect(openBelow(root)).toStrictEqual([])
  }),
)

it.effect("two roots are two nodes", () =>
  Effect.gen(function* () {
    yield* hold(yield* scratchDirectory)
    yield* hold(yield* scratchDirectory)
  }),
)

it.effect("the lock of a killed agent is free, and its children do not hold it", () =>
  Effect.gen(function* () {
    const root = yield* scratchDirectory
    const source = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)
    const code = `
      import * as Effect from "effect/Effect"
      import * as Layer from "effect/Layer"
      import { execFileSync, spawn } from "node:child_process"
      import { AgentLock } from ${source("process/AgentLock.ts")}
      import { NodeConfig } from ${source("config/NodeConfig.ts")}
      const layer = Layer.provide(AgentLock.layer, Layer.succeed(NodeConfig, { instanceRoot: ${JSON.stringify(root)} }))
      const program = Effect.andThen(Layer.build(layer), Effect.callback(() => {
        const child = spawn("sleep", ["1000"], { stdio: "ignore", detached: true })
        process.stdout.write(String(child.pid))
      }))
      await Effect.runPromise(Effect.scoped(program))`
    const agent = spawn(process.execPath, ["--input-type=module", "-e", code], {
      cwd: new URL("../..", import.meta.url),
      stdio: ["ignore", "pipe", "inherit"],
    })
    const [said] = yield* Effect.promise(() => once(agent.stdout, "data"))
    yield* Effect.addFinalizer(() => Effect.sync(() => process.kill(Number(String(said)), "SIGKILL")))
    expect((yield* Effect.flip(lockOf(root))).message).toContain(`(pid ${agent.pid})`)
    const gone = once(agent, "exit")
    agent.kill("SIGKILL")
    yield* Effect.promise(() => gone)
    yield* lockOf(root)
  }),
)

it.effect("makes its directories with the reference's modes, and leaves those that are there", () =>
  Effect.gen(function* () {
    const root = yield* scratchDirectory
    fs.mkdirSync(`${root}/var`)
    fs.chmodSync(`${root}/var`, 0o711)
    yield* lockOf(root)
    const modes = ["var", "var/run", "var/run/slapgrid"].map((name) => fs.statSync(`${root}/${name}`).mode & 0o7777)
    expect(modes).toStrictEqual([0o711, 0o700, 0o700])
  }),
)

it.effect.each([
  ["open to others", (path: string) => fs.chmodSync(path, 0o755)],
  [
    "a link",
    (path: string) => {
      fs.renameSync(path, `${path}-elsewhere`)
      fs.symlinkSync(`${path}-elsewhere`, path)
    },
  ],
  [
    "a file",
    (path: string) => {
      fs.rmdirSync(path)
      fs.writeFileSync(path, "")
    },
  ],
] as const)("a directory that is %s is refused", ([, spoil]) =>
  Effect.gen(function* () {
    const root = yield* scratchDirectory
    const directory = `${root}/var/run/slapgrid`
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
    spoil(directory)
    const error = yield* Effect.flip(lockOf(root))
    expect(error._tag).toBe("UnusableRoot")
    expect(error.message).toContain(directory)
  }),
)

it.effect("a lock file that is a link is refused", () =>
  Effect.gen(function* () {
    const root = yield* scratchDirectory
    yield* lockOf(root)
    fs.unlinkSync(`${root}/var/run/slapgrid/lock`)
    fs.symlinkSync(`${root}/victim`, `${root}/var/run/slapgrid/lock`)
    expect((yield* Effect.flip(lockOf(root)))._tag).toBe("UnusableRoot")
    expect(fs.existsSync(`${root}/victim`)).toBe(false)
  }),
)

it.effect.runIf(inCi || isRoot)("a full disk keeps nobody from taking the lock", () =>
  Effect.gen(function* () {
    const root = yield* scratchDirectory
    const run = (...argv: readonly [string, ...ReadonlyArray<string>]) =>
      Effect.sync(() => execFileSync(argv[0], argv.slice(1)))
    yield* Effect.acquireRelease(run("mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", root), () =>
      run("umount", root),
    )
    expect(() => fs.writeFileSync(`${root}/everything`, Buffer.alloc(1024 * 1024))).toThrow("ENOSPC")
    yield* hold(root)
    expect((yield* Effect.flip(lockOf(root))).message).toContain("(pid unknown)")
  }),
)

describe.runIf(inCi || isRoot)("directories above", () => {
  it.effect.each([
    ["belongs to a partition's user", (path: string) => fs.chownSync(path, stranger.uid, 0)],
    ["is open to everybody", (path: string) => fs.chmodSync(path, 0o777)],
    [
      "is open to a group",
      (path: string) => {
        fs.chownSync(path, 0, stranger.gid)
        fs.chmodSync(path, 0o770)
      },
    ],
  ] as const)("a directory above that %s is refused", ([, spoil]) =>
    Effect.gen(function* () {
      for (const above of ["", "/var", "/var/run"]) {
        const root = yield* scratchDirectory
        yield* lockOf(root)
        spoil(`${root}${above}`)
        const error = yield* Effect.flip(lockOf(root))
        expect(error._tag).toBe("UnusableRoot")
        expect(error.message).toContain(`${root}${above} `)
      }
    }),
  )
})
