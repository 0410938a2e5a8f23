// Real processes. What they do is learned from what they write and from /proc, never by waiting for a time: a script
// says that it is ready by opening a FIFO, and says that it is gone by its end of file.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { expect } from "vitest"
import { NodeConfig } from "../../src/config/NodeConfig.ts"
import { exited, signaled } from "../../src/domain/ExitStatus.ts"
import { AdoptedProcesses } from "../../src/process/AdoptedProcesses.ts"
import { Containment, sessionEnclosure } from "../../src/process/containment/Containment.ts"
import { Launcher } from "../../src/process/launcher/Launcher.ts"
import type { Credentials } from "../../src/process/privileges.ts"
import { type Command, Spawner } from "../../src/process/Spawner.ts"
import { nodeConfig } from "../support/facts.ts"
import { inCi, openBelow, isRoot, scratchDirectory, stranger } from "../support/scratch.ts"

const env = { PATH: "/usr/bin:/bin" }
const live = TestClock.withLive
const config = Layer.succeed(NodeConfig, nodeConfig({}))
const spawning = Spawner.layer.pipe(
  Layer.provide([AdoptedProcesses.layer, Launcher.layer]),
  Layer.provide([Containment.layerSession, config]),
)

/** A scratch directory with an output file, and a FIFO whose readers wait for its writers. */
/** A source file as a child imports it. */
const sourceOf = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)

const stage = Effect.gen(function* () {
  const root = yield* scratchDirectory
  const fifo = `${root}/fifo`
  spawnSync("mkfifo", ["-m", "666", fifo])
  const output = yield* Effect.acquireRelease(
    Effect.sync(() => fs.openSync(`${root}/output`, "a+", 0o666)),
    (fd) => Effect.sync(() => fs.closeSync(fd)),
  )
  const text = () => fs.readFileSync(`${root}/output`, "utf8")
  const script = (code: string) => {
    const path = `${root}/script`
    fs.writeFileSync(path, `#!/bin/sh\n${code}\n`, { mode: 0o755 })
    return path
  }
  /** Everything that is written to the FIFO until the last process that had it open is gone. */
  const untilClosed = Effect.promise(() => fs.promises.readFile(fifo, "utf8"))
  const command = (code: string, changes: Partial<Command> = {}): Command => ({
    argv: ["/bin/sh", "-c", code],
    cwd: root,
    env,
    credentials: undefined,
    umask: 0o027,
    output,
    timeout: undefined,
    enclosure: sessionEnclosure,
    ...changes,
  })
  const service = (code: string, changes: { readonly credentials?: Credentials } = {}) =>
    ({
      path: script(code),
      cwd: root,
      env,
      credentials: undefined,
      output,
      enclosure: sessionEnclosure,
      ...changes,
    }) as const
  const spawner = yield* Effect.map(Layer.build(spawning), Context.get(Spawner))
  return { root, fifo, text, untilClosed, command, service, spawner, output }
})

describe("run", () => {
  it.effect("gives exactly its directory, environment, umask, output, and no input", () =>
    Effect.gen(function* () {
      const { command, root, spawner, text } = yield* stage
      yield* spawner.run(
        command("pwd; umask; cat; echo error >&2; echo $FOO; env | wc -l", { env: { ...env, FOO: "a b" } }),
      )
      const [cwd, umask, ...rest] = text().trimEnd().split("\n")
      expect([cwd, umask, ...rest.slice(0, 2)]).toStrictEqual([root, "0027", "error", "a b"])
      // PATH, FOO and what a shell adds: PWD, and _ in some.
      expect(Number(rest[2])).toBeLessThanOrEqual(5)
    }),
  )

  it.effect.each([
    ["exit 3", "exit status 3"],
    ["kill -SEGV $$", "killed by SIGSEGV"],
    ["exec /none", "exit status 127"],
  ] as const)("%s", ([code, words]) =>
    Effect.gen(function* () {
      const { command, spawner } = yield* stage
      const error = yield* Effect.flip(spawner.run(command(code)))
      expect([error.reason, error.message]).toStrictEqual(["Failed", `/bin/sh -c ${code}: ${words}`])
    }),
  )

  it.effect("what cannot be started is told", () =>
    Effect.gen(function* () {
      const { command, spawner } = yield* stage
      for (const [changes, why] of [
        [{ cwd: "/none" }, "could not be started in /none: cannot enter /none: it does not exist"],
        [{ argv: ["a\0b"] as const }, "embedded null character"],
        [{ argv: ["/none"] as const }, "cannot execute /none: it does not exist"],
      ] as const) {
        const error = yield* Effect.flip(spawner.run(command("true", changes)))
        expect(error.reason).toBe("NotStarted")
        expect(error.message).toContain(why)
      }
    }),
  )

  it.effect("what it leaves behind in the background ends with it", () =>
    Effect.gen(function* () {
      const { command, fifo, spawner, untilClosed } = yield* stage
      const closed = yield* Effect.forkChild(untilClosed)
      yield* live(spawner.run(command(`exec 3>${fifo}; sleep 1000 & exec 3>&-`)))
      yield* Fiber.join(closed)
    }),
  )

  it.effect("a time-out kills the whole group, grandchildren that ignore SIGTERM included", () =>
    Effect.gen(function* () {
      const { command, fifo, spawner, untilClosed } = yield* stage
      const closed = yield* Effect.forkChild(untilClosed)
      const code = `trap "" TERM; exec 3>${fifo}; sh -c "sh -c 'trap \\"\\" TERM; echo up >&3; sleep 1000' & sleep 1000" & wait`
      const error = yield* live(Effect.flip(spawner.run(command(code, { timeout: 500 }))))
      expect([error.reason, error.message.endsWith("took longer than 0.5 s and was ended")]).toStrictEqual([
        "TimedOut",
        true,
      ])
      expect(yield* Fiber.join(closed)).toBe("up\n")
    }),
  )

  it.effect("an interruption kills too, and returns when nothing is left", () =>
    Effect.gen(function* () {
      const { command, fifo, spawner } = yield* stage
      const reader = fs.createReadStream(fifo, "utf8")
      const code = `exec 3>${fifo}; trap "" TERM; sleep 1000 & echo $! >&3; wait`
      const running = yield* Effect.forkChild(live(spawner.run(command(code))))
      const [said] = yield* Effect.promise(() => once(reader, "data"))
      const closed = once(reader, "end")
      reader.resume()
      yield* live(Fiber.interrupt(running))
      yield* Effect.promise(() => closed)
      const stat = `/proc/${Number(said)}/stat`
      // Gone, or a zombie where no init reaps.
      expect(fs.existsSync(stat) ? fs.readFileSync(stat, "utf8") : ") Z").toContain(") Z")
    }),
  )

  it.effect("dies with the agent, however that ends", () =>
    Effect.gen(function* () {
      const { fifo, root } = yield* stage
      const reader = fs.createReadStream(fifo, "utf8")
      const code = `
        import * as Effect from "effect/Effect"
        import * as Layer from "effect/Layer"
        import { openSync } from "node:fs"
        import { AdoptedProcesses } from ${sourceOf("process/AdoptedProcesses.ts")}
        import { Containment, sessionEnclosure as enclosure } from ${sourceOf("process/containment/Containment.ts")}
        import { Launcher } from ${sourceOf("process/launcher/Launcher.ts")}
        import { Spawner } from ${sourceOf("process/Spawner.ts")}
        const run = Spawner.use((spawner) => spawner.run({
          argv: ["/bin/sh", "-c", "exec 3>${fifo}; echo up >&3; exec sleep 1000"],
          cwd: ${JSON.stringify(root)}, env: { PATH: "/usr/bin:/bin" }, credentials: undefined, umask: 0o022,
          output: openSync(${JSON.stringify(`${root}/output`)}, "a"), timeout: undefined, enclosure,
        }))
        const layer = Spawner.layer.pipe(
          Layer.provide([AdoptedProcesses.layer, Launcher.layer]), Layer.provide(Containment.layerSession))
        await Effect.runPromise(Effect.provide(run, layer))`
      const agent = spawn(process.execPath, ["--input-type=module", "-e", code], {
        cwd: new URL("../..", import.meta.url),
        stdio: ["ignore", "inherit", "inherit"],
      })
      const [said] = yield* Effect.promise(() => once(reader, "data"))
      expect(said).toBe("up\n")
      const closed = once(reader, "end")
      reader.resume()
      agent.kill("SIGKILL")
      yield* Effect.promise(() => closed)
    }),
  )

  it.effect("leaves no descriptor open", () =>
    Effect.gen(function* () {
      const { command, root, spawner } = yield* stage
      const before = openBelow(root)
      const descriptors = fs.readdirSync("/proc/self/fd").length
      for (let n = 0; n < 20; n++) yield* spawner.run(command("true"))
      yield* Effect.ignore(spawner.run(command("true", { cwd: "/none" })))
      expect(openBelow(root)).toStrictEqual(before)
      expect(fs.readdirSync("/proc/self/fd").length).toBeLessThan(descriptors + 10)
    }),
  )
})

describe("spawn", () => {
  it.effect("leads a session of its own, and tells how it ended", () =>
    Effect.gen(function* () {
      const { service, spawner, text } = yield* stage
      const child = yield* spawner.spawn(
        service("ps -o sid=,pgid= -p $$ 2>/dev/null || cut -d' ' -f6,5 /proc/$$/stat; umask; exit 4"),
      )
      expect(yield* child.exit).toStrictEqual(exited(4))
      const [ids, umask] = text().trimEnd().split("\n")
      expect([new Set(ids?.trim().split(/\s+/)), umask]).toStrictEqual([new Set([String(child.pid)]), "0022"])
    }),
  )

  it.effect("ends after SIGTERM to the group with the status it chooses, or by the signal", () =>
    Effect.gen(function* () {
      const { fifo, service, spawner, untilClosed } = yield* stage
      const closed = yield* Effect.forkChild(untilClosed)
      const child = yield* spawner.spawn(
        service(`exec 3>${fifo}; trap 'exit 7' TERM; echo up >&3; kill -TERM $$; sleep 1000`),
      )
      expect(yield* child.exit).toStrictEqual(exited(7))
      expect(yield* Fiber.join(closed)).toBe("up\n")
      const other = yield* spawner.spawn(service("exec sleep 1000"))
      yield* other.signal("SIGTERM")
      expect(yield* other.exit).toStrictEqual(signaled("SIGTERM"))
    }),
  )

  it.effect("end kills what is left of the group of a leader that has ended", () =>
    Effect.gen(function* () {
      const { fifo, service, spawner, untilClosed } = yield* stage
      const closed = yield* Effect.forkChild(untilClosed)
      const child = yield* spawner.spawn(service(`exec 3>${fifo}; sleep 1000 & echo up >&3; exit 0`))
      expect(yield* child.exit).toStrictEqual(exited(0))
      expect(closed.pollUnsafe()).toBeUndefined()
      yield* live(child.end)
      expect(yield* Fiber.join(closed)).toBe("up\n")
      yield* child.end
    }),
  )

  it.effect("end kills what is left of the session of a leader whose own group is empty", () =>
    Effect.gen(function* () {
      const { fifo, service, spawner, untilClosed } = yield* stage
      const closed = yield* Effect.forkChild(untilClosed)
      // As a shell with job control does.
      const job = `import os
job = os.fork()
job or os.setpgid(0, 0) or os.execvp("sleep", ["sleep", "1000"])
while os.getpgid(job) != job: pass`
      const child = yield* spawner.spawn(service(`exec 3>${fifo}; echo up >&3; exec /usr/bin/python3 -c '${job}'`))
      expect(yield* child.exit).toStrictEqual(exited(0))
      expect(closed.pollUnsafe()).toBeUndefined()
      yield* live(child.end)
      expect(yield* Fiber.join(closed)).toBe("up\n")
    }),
  )

  it.effect("what keeps a program from running is told by name", () =>
    Effect.gen(function* () {
      const { root, service, spawner } = yield* stage
      const files = {
        plain: ["echo plain", 0o755, "it is no program: a script needs a first line such as #!/bin/sh (ENOEXEC)"],
        empty: ["", 0o755, "it is no program"],
        closed: ["#!/bin/sh\n", 0o644, "its user may not execute it"],
        lost: ["#!/none\n", 0o755, "it does not exist, or the interpreter that its first line names does not (ENOENT)"],
      } as const
      for (const [name, [content, mode, why]] of Object.entries(files)) {
        const path = `${root}/${name}`
        fs.writeFileSync(path, content, { mode })
        const error = yield* Effect.flip(spawner.spawn({ ...service("true"), path }))
        expect(error.message).toContain(`${path} could not be started in ${root}: cannot execute ${path}: ${why}`)
      }
      for (const path of ["/tmp", "/none", "/dev/null"]) {
        const error = yield* Effect.flip(spawner.spawn({ ...service("true"), path }))
        expect(error.message).toContain(`cannot execute ${path}`)
      }
    }),
  )

  it.effect("reads from an input that has nothing and no end, of its own", () =>
    Effect.gen(function* () {
      const { service, spawner, text } = yield* stage
      const child = yield* spawner.spawn(
        service(`readlink /proc/self/fd/0; timeout 0.2 cat; echo $?; ls /proc/self/fd | tr '\\n' ' '`),
      )
      expect(yield* child.exit).toStrictEqual(exited(0))
      const [input, status, descriptors] = text().split("\n")
      expect(input).toMatch(/^pipe:/)
      // The fourth is what ls reads from: nothing of the agent's or the launcher's is there.
      expect([status, descriptors]).toStrictEqual(["124", "0 1 2 3 "])
    }),
  )

  it.effect("has the limits and signals of a login, whatever the agent has", () =>
    Effect.gen(function* () {
      const { service, spawner, text } = yield* stage
      const child = yield* spawner.spawn(
        service("ulimit -Sn; cat /proc/self/oom_score_adj; grep -E '^Sig(Ign|Blk)' /proc/self/status"),
      )
      expect(yield* child.exit).toStrictEqual(exited(0))
      expect(text().trimEnd().replaceAll("\t", " ").split("\n")).toStrictEqual([
        "1024",
        "0",
        "SigBlk: 0000000000000000",
        "SigIgn: 0000000000000000",
      ])
    }),
  )

  it.effect.runIf(inCi || isRoot)("as another user, with its groups and no way to more", () =>
    Effect.gen(function* () {
      const { service, spawner, text } = yield* stage
      const credentials = { ...stranger, groups: [stranger.gid, 61_300], name: "stranger", home: undefined }
      const child = yield* spawner.spawn(
        service("id -u; id -g; id -G; grep -E '^(CapPrm|CapEff|CapInh|NoNewPrivs)' /proc/self/status", {
          credentials,
        }),
      )
      expect(yield* child.exit).toStrictEqual(exited(0))
      expect(
        text()
          .trimEnd()
          .split("\n")
          .map((line) => line.replace(/\s+/, " ")),
      ).toStrictEqual([
        `${stranger.uid}`,
        `${stranger.gid}`,
        `${stranger.gid} 61300`,
        "CapInh: 0000000000000000",
        "CapPrm: 0000000000000000",
        "CapEff: 0000000000000000",
        "NoNewPrivs: 1",
      ])
    }),
  )
})
