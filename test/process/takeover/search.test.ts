// What is found of the reference on a machine: real sockets, real processes, and crontabs below a root of the test's own.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as net from "node:net"
import { expect } from "vitest"
import { findReference } from "../../../src/process/takeover/search.ts"
import { scratchDirectory } from "../../support/scratch.ts"
import { makeScriptedSupervisord } from "../../support/ScriptedSupervisord.ts"

const machine = Effect.gen(function* () {
  const root = yield* scratchDirectory
  const instanceRoot = `${root}/srv/slapgrid`
  for (const folder of ["srv/slapgrid/var/run", "etc/cron.d", "etc/opt/slapos", "var/spool/cron/crontabs", "bin"]) {
    fs.mkdirSync(`${root}/${folder}`, { recursive: true })
  }
  const configure = (file: string, to: string) =>
    fs.writeFileSync(`${root}/${file}`, `[slapos]\ninstance_root = ${to}\n`)
  configure("etc/opt/slapos/slapos.cfg", instanceRoot)
  const write = (file: string, text: string) => fs.writeFileSync(`${root}/${file}`, text)
  const pidFile = `${root}/cp.pid`
  const find = Effect.map(
    findReference({ instanceRoot, referencePidFiles: [pidFile, pidFile, `${root}/none.pid`] }, root),
    ({ findings, supervisords }) => ({ findings, supervisords: supervisords.map(({ pid }) => pid) }),
  )
  /** A process with these words, the program's interpreter before them, until the test ends. */
  const run = (program: string, ...words: ReadonlyArray<string>) =>
    Effect.map(
      Effect.acquireRelease(
        Effect.promise(async () => {
          fs.writeFileSync(`${root}/bin/${program}`, "#!/bin/sh\necho\nread line\n", { mode: 0o755 })
          const child = spawn(`${root}/bin/${program}`, words, { stdio: ["pipe", "pipe", "ignore"] })
          // The command line is the script's from then on.
          await once(child.stdout, "data")
          return child
        }),
        (child) => Effect.sync(() => child.stdin.end()),
      ),
      ({ pid = 0 }) => pid,
    )
  return { root, instanceRoot, configure, write, pidFile, find, run }
})

const nothing = { findings: [], supervisords: [] }

it.live("nothing on a machine that is ours", () =>
  Effect.gen(function* () {
    const { find } = yield* machine
    expect(yield* find).toStrictEqual(nothing)
  }),
)

describe("sockets", () => {
  it.live.each(["sv.sock", "supervisord.socket"])("a supervisord that answers on %s, with its groups", (name) =>
    Effect.gen(function* () {
      const { find, instanceRoot } = yield* machine
      const file = `${instanceRoot}/${name}`
      const { pid } = yield* makeScriptedSupervisord(file, [
        "slappart0:web",
        "slappart0:db",
        "slappart1:x",
        "watchdog:watchdog",
      ])
      expect(yield* find).toStrictEqual({
        findings: [{ _tag: "Supervisord", file, pid, groups: ["slappart0", "slappart1"], problem: undefined }],
        supervisords: [pid],
      })
    }),
  )

  it.live("one whose pid file is there, too, once", () =>
    Effect.gen(function* () {
      const { find, instanceRoot } = yield* machine
      const { pid } = yield* makeScriptedSupervisord(`${instanceRoot}/sv.sock`, [])
      fs.writeFileSync(`${instanceRoot}/var/run/supervisord.pid`, `${pid}\n`)
      expect((yield* find).findings).toHaveLength(1)
    }),
  )

  it.live("not a file without a listener, nor one that is no socket", () =>
    Effect.gen(function* () {
      const { find, instanceRoot } = yield* machine
      const server = net.createServer().listen(`${instanceRoot}/alive`)
      yield* Effect.promise(() => once(server, "listening"))
      fs.linkSync(`${instanceRoot}/alive`, `${instanceRoot}/sv.sock`)
      yield* Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      fs.writeFileSync(`${instanceRoot}/supervisord.socket`, "")
      expect(fs.lstatSync(`${instanceRoot}/sv.sock`).isSocket()).toBe(true)
      expect(yield* find).toStrictEqual(nothing)
    }),
  )

  it.live("a listener that speaks otherwise is in the way all the same", () =>
    Effect.gen(function* () {
      const { find, instanceRoot } = yield* machine
      const file = `${instanceRoot}/sv.sock`
      const server = net.createServer((socket) => socket.end("220 hello\r\n")).listen(file)
      yield* Effect.promise(() => once(server, "listening"))
      yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
      const { findings, supervisords } = yield* find
      expect(findings).toMatchObject([{ _tag: "Supervisord", file, pid: undefined, groups: [] }])
      expect(findings[0]).toHaveProperty(
        "problem",
        expect.stringContaining(`what listens on ${file} does not answer: `),
      )
      expect(supervisords).toStrictEqual([])
    }),
  )
})

describe("pid files", () => {
  it.live("a supervisord of this root that has lost its socket", () =>
    Effect.gen(function* () {
      const { find, instanceRoot, run } = yield* machine
      const file = `${instanceRoot}/var/run/supervisord.pid`
      const pid = yield* run("supervisord", "-c", `${instanceRoot}/etc/supervisord.conf`)
      fs.writeFileSync(file, `${pid}\n`)
      const problem = `supervisord (pid ${pid}, from ${file}) runs and listens on no socket that it can be asked through`
      expect((yield* find).findings).toStrictEqual([{ _tag: "Supervisord", file, pid, groups: [], problem }])
    }),
  )

  it.live("a pass, for this configuration or one that cannot be read", () =>
    Effect.gen(function* () {
      const { find, pidFile, run, write } = yield* machine
      const pid = yield* run("slapos", "node", "instance", "--all")
      fs.writeFileSync(pidFile, String(pid))
      const held = {
        findings: [{ _tag: "Pass", file: pidFile, pid, command: "slapos node instance" }],
        supervisords: [],
      }
      expect(yield* find).toStrictEqual(held)
      write("etc/opt/slapos/slapos.cfg", "no configuration")
      expect(yield* find).toStrictEqual(held)
    }),
  )

  it.live("not a pass for another node", () =>
    Effect.gen(function* () {
      const { configure, find, pidFile, root, run } = yield* machine
      configure("other.cfg", `${root}/srv/other`)
      fs.writeFileSync(pidFile, String(yield* run("slapos", "node", "instance", "--cfg", `${root}/other.cfg`)))
      expect(yield* find).toStrictEqual(nothing)
    }),
  )

  it.live.each([
    ["of a process that is no pass", (run: Run) => run("slapgrid", "node", "instance")],
    ["of nobody", () => Effect.succeed(4_194_303)],
    ["of ourselves", () => Effect.sync(() => process.pid)],
    ["without a number", () => Effect.succeed("soon")],
  ] as const)("not one %s", ([, holder]) =>
    Effect.gen(function* () {
      const { find, pidFile, run } = yield* machine
      fs.writeFileSync(pidFile, String(yield* holder(run)))
      expect(yield* find).toStrictEqual(nothing)
    }),
  )
})

type Run = Effect.Success<typeof machine>["run"]

describe("crontabs", () => {
  it.live("those of the machine and root's, where they are about this node", () =>
    Effect.gen(function* () {
      const { configure, find, root, write } = yield* machine
      configure("other.cfg", `${root}/srv/other`)
      fs.symlinkSync(`${root}/srv`, `${root}/data`)
      configure("linked.cfg", `${root}/data/slapgrid`)
      write("etc/crontab", "* * * * * root slapos node software\n")
      write(
        "etc/cron.d/slapos",
        `# * * * * * root slapos node software
0 * * * * root slapos node format
* * * * * root slapos node instance --cfg ${root}/other.cfg
* * * * * root slapos node instance --cfg ${root}/linked.cfg
* * * * * root slapos node report --cfg ${root}/absent.cfg
`,
      )
      write("etc/cron.d/slapos.disabled", "* * * * * root slapos node software\n")
      write("var/spool/cron/crontabs/root", "\n0 0 * * * slapgrid-ur\n")
      const scheduled = (file: string, line: number, command: string, config?: string) => ({
        _tag: "Scheduled",
        file: `${root}/${file}`,
        line,
        command,
        config,
      })
      expect((yield* find).findings).toStrictEqual([
        scheduled("etc/crontab", 1, "slapos node software"),
        scheduled("etc/cron.d/slapos", 4, "slapos node instance", `${root}/linked.cfg`),
        scheduled("var/spool/cron/crontabs/root", 2, "slapgrid-ur"),
      ])
    }),
  )

  it.live("not where the reference is not configured", () =>
    Effect.gen(function* () {
      const { find, root, write } = yield* machine
      write("etc/crontab", "* * * * * root slapos node software\n")
      fs.rmSync(`${root}/etc/opt/slapos/slapos.cfg`)
      expect(yield* find).toStrictEqual(nothing)
    }),
  )
})
