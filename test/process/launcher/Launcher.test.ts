// The launcher itself: what it tells, whom it reaps, and that nothing is lost when it ends before its time.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFileSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { expect } from "vitest"
import { loggingTo } from "../../../src/cli/logging.ts"
import { exited, signaled } from "../../../src/domain/ExitStatus.ts"
import { Launcher } from "../../../src/process/launcher/Launcher.ts"
import { descriptorPath, exitStatusOf, failureOf, type StartRequest } from "../../../src/process/launcher/protocol.ts"
import { launcherSource } from "../../../src/process/launcher/source.ts"
import { isAlive, statusOf } from "../../support/processes.ts"
import { runsRootTests } from "../../support/ScratchMachine.ts"
import { scratchDirectory } from "../../support/scratch.ts"
import { eventually, inTime, textOf } from "../../support/waiting.ts"

const started = Effect.gen(function* () {
  const root = yield* scratchDirectory
  const output = yield* Effect.acquireRelease(
    Effect.sync(() => fs.openSync(`${root}/output`, "a+")),
    (fd) => Effect.sync(() => fs.closeSync(fd)),
  )
  const messages: Array<string> = []
  const launcher = yield* Launcher.layer.pipe(
    Layer.provide(loggingTo(({ message }) => void messages.push(message))),
    Layer.build,
    Effect.map(Context.get(Launcher)),
  )
  const request = (code: string, changes: Partial<StartRequest> = {}): StartRequest => ({
    argv: ["/bin/sh", "-c", code],
    cwd: root,
    env: { PATH: "/usr/bin:/bin" },
    user: null,
    umask: 0o022,
    output: descriptorPath(output),
    waits: true,
    input: null,
    cgroup: null,
    processes: null,
    dies: false,
    ...changes,
  })
  const text = () => fs.readFileSync(`${root}/output`, "utf8")
  return { root, launcher, request, text, messages, output }
})

const parentOf = (pid: number): number => Number(statusOf(pid)?.["PPid"])

describe("start", () => {
  it.live("many at once, each with its own end", () =>
    Effect.gen(function* () {
      const { launcher, request } = yield* started
      const codes = Array.from({ length: 60 }, (_, index) => index)
      const ends = yield* Effect.forEach(
        codes,
        (code) => Effect.flatMap(launcher.start(request(`exit ${code}`)), ({ exit }) => exit),
        { concurrency: "unbounded" },
      )
      expect(ends).toStrictEqual(codes.map(exited))
    }),
  )

  it.live("a signal reaches the whole group", () =>
    Effect.gen(function* () {
      const { launcher, request, root } = yield* started
      const { exit, signal } = yield* launcher.start(request("sleep 1000 & echo $! >child; wait"))
      const child = yield* eventually(
        "the child's pid",
        Effect.sync(() =>
          textOf(`${root}/child`)?.endsWith("\n") === true ? Number(textOf(`${root}/child`)) : undefined,
        ),
      )
      expect(signal("SIGTERM")).toBe(true)
      expect(yield* exit).toStrictEqual(signaled("SIGTERM"))
      yield* eventually(
        "the end of its child",
        Effect.sync(() => (isAlive(child) ? undefined : true)),
      )
    }),
  )

  it.live("orphans of what it started are reaped: no zombie is left", () =>
    Effect.gen(function* () {
      const { launcher, request, text } = yield* started
      const { exit } = yield* launcher.start(request("echo $PPID; sh -c 'sleep 0.2 & echo $!'; exit 0"))
      expect(yield* exit).toStrictEqual(exited(0))
      const [launcherPid = 0, orphan = 0] = text().split("\n").map(Number)
      if (isAlive(orphan)) expect(parentOf(orphan)).toBe(launcherPid)
      yield* eventually(
        "its end",
        Effect.sync(() => (fs.existsSync(`/proc/${orphan}`) ? undefined : true)),
      )
    }),
  )

  it.live("a limit of processes is its user's", () =>
    Effect.gen(function* () {
      const { launcher, request, text } = yield* started
      const { exit } = yield* launcher.start(
        request("ulimit -u 2>/dev/null || grep processes /proc/self/limits", { processes: 77 }),
      )
      yield* exit
      expect(text()).toMatch(/\b77\b/)
    }),
  )
})

/** A user of no other test: all that it runs is killed. */
const loner = { uid: 61_236, gid: 61_236 }

/** Programs of a user who wants to stay: they are elsewhere before a list of processes is read, or end whoever comes. */
const stayers = {
  "forks all the time": "for _ in range(3): os.fork()\nwhile True: hop()",
  "kills whatever comes": "while True: kill_others(signal.SIGKILL)",
  "stops whatever comes, and forks all the time": "while True:\n  kill_others(signal.SIGSTOP)\n  hop()",
}

const asStayer = (code: string): string => `exec /usr/bin/python3 -IS -c '
import os, signal
def hop():
  if not os.path.exists("stay"): os._exit(0)
  if os.fork(): os._exit(0)
def kill_others(number):
  if not os.path.exists("stay"): os._exit(0)
  try: os.kill(-1, number)
  except OSError: pass
os.write(1, b"up")
${code}'`

describe.runIf(runsRootTests)("killUser", () => {
  it.live.each(Object.entries(stayers))("ends at once a user who %s", ([, code]) =>
    Effect.gen(function* () {
      const { launcher, request, root } = yield* started
      fs.chmodSync(root, 0o755)
      fs.writeFileSync(`${root}/stay`, "")
      yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(`${root}/stay`)))
      execFileSync("mkfifo", [`${root}/held`])
      const held = fs.createReadStream(`${root}/held`)
      const ended = once(held, "end")
      const other = yield* launcher.start(request("exec sleep 1000", { dies: true }))
      const user = { ...loner, groups: [loner.gid] }
      yield* launcher.start(request(asStayer(code), { user, output: `${root}/held` }))
      yield* Effect.promise(() => once(held, "data"))
      yield* launcher.killUser(loner.uid)
      // Whoever runs on holds the other end.
      yield* inTime("the end of all", 10)(Effect.promise(() => ended))
      expect(isAlive(other.pid)).toBe(true)
    }),
  )

  it.live("refuses root, whose processes are everybody's", () =>
    Effect.gen(function* () {
      const { launcher } = yield* started
      const error = yield* Effect.flip(launcher.killUser(0))
      expect(error.message).toBe("cannot kill the processes of uid 0: the agent is not allowed to (EPERM)")
    }),
  )

  it.live("of one who runs nothing is nothing", () =>
    Effect.flatMap(started, ({ launcher }) => launcher.killUser(61_299)),
  )
})

/** The launcher's program but for what it does. */
const functions = launcherSource.slice(0, launcherSource.indexOf("close_inherited()\nallow_open_files("))

const outputOf = (code: string): string =>
  execFileSync("/usr/bin/python3", ["-I", "-S", "-c", `${functions}\n${code}`], { encoding: "utf8" })

describe("the agent and its launcher may have", () => {
  const most = Math.min(524_288, Number(fs.readFileSync("/proc/sys/fs/nr_open", "utf8")))
  const allow = (limits: string, change = "limits[pid] = wanted", parent = 7) =>
    outputOf(`
os.getppid = lambda: ${parent}
limits = {7: (${limits}), own_pid: (${limits})}
def prlimit(pid, kind, wanted=None):
    if wanted:
        ${change}
    return limits[pid]
resource.prlimit = prlimit
allow_open_files(7)
print(*limits[7], *limits[own_pid])`)

  it.each([
    ["many open files", "1024, 4096", `${most} ${most}`],
    ["as many as they can have already", "1024, 1 << 30", `${most} ${1 << 30}`],
    ["many open files where all is allowed", "1024, -1", `${most} -1`],
    ["no fewer open files than they have", "1 << 20, 1 << 30", `${1 << 20} ${1 << 30}`],
    ["open files without a limit", "-1, -1", "-1 -1"],
  ])("%s", (_, limits, expected) => {
    expect(allow(limits)).toBe(`${expected} ${expected}\n`)
  })

  it("more, but not whoever has its number when it is gone", () => {
    expect(allow("1024, 4096", undefined, 1)).toBe(`1024 4096 ${most} ${most}\n`)
  })

  it("what the machine gives them, if it does not let them have more", () => {
    expect(allow("1024, 4096", "raise PermissionError(1, 'no')")).toBe("1024 4096 1024 4096\n")
  })
})

/** What the launcher is told in two pieces by a process that it has forked, the second one only when it goes on. */
const piecemeal = `
launcher = Launcher()
launcher.tell = lambda message: print(json.dumps(message))
reader, writer = os.pipe()
launcher.watch(reader, None)
launcher.starting[7] = None
signal.alarm(5)
for piece in b'{"step": "fo', b'rk", "errno": 11}':
    os.write(writer, piece)
    launcher.started(reader, 1, 7, "0")
os.close(writer)
launcher.started(reader, 1, 7, "0")`

describe("an answer", () => {
  it("comes when all of it has come, and until then keeps nothing else from going on", () => {
    expect(outputOf(piecemeal)).toBe('{"step": "fork", "errno": 11, "id": 1}\n')
  })
})

describe("what it answers itself", () => {
  it("is not interrupted, and comes however long it is", () => {
    const output = outputOf(`
reader, writer = os.pipe()
for number in harmless_signals:
    signal.signal(number, lambda *_: None)
if os.fork() == 0:
    os.close(reader)
    are_ignored = lambda: [signal.getsignal(number) == signal.SIG_IGN for number in harmless_signals]
    work(lambda request, at: {"ignored": are_ignored(), "text": "x" * 200000}, {}, writer)
os.close(writer)
with os.fdopen(reader) as file:
    answer = json.load(file)
print(answer["ignored"], len(answer["text"]))`)
    expect(output).toBe("[True, True, True, True, True] 200000\n")
  })

  it("of a slow user database are the first users only", () => {
    const output = outputOf(`LOOK_UP_TIME = -1\nprint(len(look_up({"accounts": [0, 1, 2]}, print)["accounts"]))`)
    expect(output).toBe("look up uid 0\n1\n")
  })
})

describe("collapse", () => {
  it.live("takes blocks off the head, or tells the errno", () =>
    Effect.gen(function* () {
      const { launcher, output, text } = yield* started
      fs.writeSync(output, "a".repeat(8192) + "b".repeat(4096))
      const error = yield* Effect.flip(launcher.collapse(output, 100))
      expect(error.message).toContain("cannot collapse")
      const outcome = yield* Effect.result(launcher.collapse(output, 8192))
      // What this file system does not do, it says.
      if (outcome._tag === "Success") expect(text()).toBe("b".repeat(4096))
      else expect(outcome.failure.message).toBe("cannot collapse: see errno(3) (ENOTSUP)")
    }),
  )
})

describe("a launcher that ends before its time", () => {
  it.live("is told and replaced; what it started runs on, what was to die with the agent does not", () =>
    Effect.gen(function* () {
      const { launcher, messages, request } = yield* started
      const service = yield* launcher.start(request("exec sleep 1000"))
      const build = yield* launcher.start(request("exec sleep 1000", { dies: true }))
      yield* Effect.addFinalizer(() => Effect.sync(() => process.kill(service.pid, "SIGKILL")))
      const before = parentOf(service.pid)
      process.kill(before, "SIGKILL")
      const lost = yield* Effect.flip(service.exit)
      expect(lost._tag).toBe("LauncherLost")
      yield* Effect.flip(build.exit)
      yield* eventually(
        "the end of the build",
        Effect.sync(() => (isAlive(build.pid) ? undefined : true)),
      )
      expect([isAlive(service.pid), service.signal("SIGTERM")]).toStrictEqual([true, false])
      expect(messages).toStrictEqual(["the launcher of processes has ended (SIGKILL)"])
      const next = yield* launcher.start(request("exec sleep 1000"))
      expect(parentOf(next.pid)).not.toBe(before)
      next.signal("SIGKILL")
      expect(yield* next.exit).toStrictEqual(signaled("SIGKILL"))
    }),
  )

  it.live("whatever stops it: termination by somebody else's hand is not meant for it", () =>
    Effect.gen(function* () {
      const { launcher, request } = yield* started
      const service = yield* launcher.start(request("exec sleep 1000"))
      for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.kill(parentOf(service.pid), signal)
      service.signal("SIGKILL")
      expect(yield* service.exit).toStrictEqual(signaled("SIGKILL"))
    }),
  )
})

it.live("it is gone when its Scope is closed, and with it what was to die, children in its group included", () =>
  Effect.gen(function* () {
    const pids = yield* Effect.scoped(
      Effect.gen(function* () {
        const { launcher, request, root } = yield* started
        const build = yield* launcher.start(request("sleep 1000 & echo $! >child; wait", { dies: true }))
        const child = yield* eventually(
          "the child's pid",
          Effect.sync(() =>
            textOf(`${root}/child`)?.endsWith("\n") === true ? Number(textOf(`${root}/child`)) : undefined,
          ),
        )
        return [parentOf(build.pid), build.pid, child]
      }),
    )
    yield* eventually(
      "their end",
      Effect.sync(() => (pids.some(isAlive) ? undefined : true)),
    )
  }),
)

describe("protocol", () => {
  it.each([
    [{ code: 3 }, exited(3)],
    [{ signal: 9 }, signaled("SIGKILL")],
    [{ signal: 40 }, signaled("signal 40")],
  ])("%o", (end, status) => {
    expect(exitStatusOf(end)).toStrictEqual(status)
  })

  it.each([
    [{}, undefined],
    [{ step: "fork", errno: 11 }, "cannot fork: the limit of processes is reached (EAGAIN)"],
    [{ step: "enter /x", errno: 2 }, "cannot enter /x: it does not exist (ENOENT)"],
    [{ step: "x", errno: 5 }, "cannot x: see errno(3) (EIO)"],
    [{ step: "x", why: "bad" }, "cannot x: bad"],
  ])("%o", (answer, words) => {
    expect(failureOf({ id: 1, ...answer })).toBe(words)
  })
})
