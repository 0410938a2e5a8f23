// Promises as real processes: what they do, what becomes of it on the disk, and that nothing of them is left.
//
// | rule (node-behaviour.md, Promises)                          | test                                               |
// | ----------------------------------------------------------- | -------------------------------------------------- |
// | exit status, message, result, log and cache files; order    | of executables and plugins keeps …                 |
// | as the partition's user, in its directory                   | runs them as the partition's user …                |
// | time limit, then the whole tree                             | ends what takes too long …                         |
// | three failures in a row; stored failures count              | counts an executable as failing …                  |
// | one bang a run                                              | asks for one bang …                                |
// | tests alone, anomalies alone                                | leaves out what has nothing to say …               |
// | nothing to check                                            | of nothing prepares nothing …                      |
// | the constructor's dictionary, extra_config_dict             | gives a plugin what the reference gives …          |
// | bad input                                                   | takes from …, tells …, goes on …                   |
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import { expect } from "vitest"
import type { Check } from "../../src/health/PartitionPromises.ts"
import { Containment } from "../../src/process/containment/Containment.ts"
import { isAlive } from "../support/processes.ts"
import { isRoot, stranger } from "../support/scratch.ts"
import { checking, plugin as pluginText, sensing, standIn } from "./checking.ts"

/** What failing promises said, by name. */
const failures = ({ promises }: Check): Readonly<Record<string, string>> =>
  Object.fromEntries(promises.flatMap(({ message, name }) => (message === undefined ? [] : [[name, message]])))

const nothingFrom = (why: string): string => `Error: No output returned by the promise: ${why}`

describe("a check", () => {
  it.live("of executables and plugins keeps their results and says which fails first, plugins before executables", () =>
    Effect.gen(function* () {
      const { cache, executable, log, plugin, result, testAll, wereFailing } = yield* checking()
      executable("kept", "echo all is well")
      executable("broken.sh", "echo no such port >/dev/stderr; exit 3")
      executable("silent", "kill -9 $$")
      plugin("good.py", sensing('self.logger.info("it is %s in %s", 3, os.path.basename(os.getcwd()))'))
      plugin("bad.py", sensing('raise ValueError("it is not")'))
      expect(yield* wereFailing).toBe(false)
      const { bang, failure, promises } = yield* testAll
      expect(failure).toBe("Promise 'bad.py' failed with output: it is not")
      expect(bang).toBeUndefined()
      expect(promises.map(({ hasFailed, kind, message, name }) => [kind, name, hasFailed, message])).toStrictEqual([
        ["plugin", "bad.py", true, "it is not"],
        ["plugin", "good.py", false, undefined],
        ["executable", "broken.sh", true, "no such port"],
        ["executable", "kept", false, undefined],
        ["executable", "silent", true, "killed by SIGKILL"],
      ])
      expect(result("broken")).toMatchObject({
        title: "broken",
        name: "broken.sh",
        result: { type: "Test Result", failed: true, message: "no such port" },
      })
      expect(result("good").result).toMatchObject({ failed: false, message: "it is 3 in slappart0" })
      expect(log("kept")).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - INFO - \d+-\d{3} - all is well\n$/)
      expect(log("bad")).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - ERROR - \d+-\d{3} - it is not\n$/)
      expect(cache("good")).toMatchObject({ is_tested: true, is_anomaly_detected: true, periodicity: 2 })
      expect(yield* wereFailing).toBe(true)
    }),
  )

  it.live("runs them as the partition's user, in its directory, with an environment of its own", () =>
    Effect.gen(function* () {
      const { executable, path, plugin, result, testAll } = yield* checking()
      executable("who", 'echo "$(id -u) $PWD $SLAPGRID_INSTANCE_ROOT" $(umask); test -z "$NODE_ENV$VITEST"')
      plugin("whom.py", sensing('self.logger.info("%d %s %s", os.getuid(), os.getcwd(), os.environ.get("VITEST"))'))
      expect((yield* testAll).failure).toBeUndefined()
      const root = path.slice(0, path.lastIndexOf("/"))
      expect(result("who").result.message).toBe(`${stranger.uid} ${path} ${root} 0022`)
      expect(result("whom").result.message).toBe(`${stranger.uid} ${path} None`)
      const { uid } = fs.statSync(`${path}/.slapgrid/promise/log/who.log`)
      expect(uid).toBe(isRoot ? stranger.uid : process.getuid?.())
    }),
  )

  it.live("counts an executable as failing with its third failure in a row, whichever agent saw the others", () =>
    Effect.gen(function* () {
      const { executable, read, result, testAll, watch, watchAll, write } = yield* checking()
      executable("flaky", "test -e fixed || { echo no; exit 1; }")
      expect((yield* watchAll).failure).toBeUndefined()
      expect((yield* watchAll).failure).toBeUndefined()
      expect(result("flaky").result).toMatchObject({ type: "Test Result", failed: false, message: "no" })
      expect((yield* watchAll).failure).toBe("Promise 'flaky' failed with output: no")
      const log = read(".slapgrid/promise/log/flaky.log")
      // Not due: what is kept counts.
      expect((yield* watch).failure).toBe("Promise 'flaky' failed with output: no")
      expect(read(".slapgrid/promise/log/flaky.log")).toBe(log)
      write("fixed", "")
      expect((yield* watchAll).failure).toBeUndefined()
      expect((yield* testAll).failure).toBeUndefined()
    }),
  )

  it.live("asks for one bang, however many plugins fail between two processings", () =>
    Effect.gen(function* () {
      const { plugin, testAll, watchAll } = yield* checking()
      for (const name of ["one", "two"]) plugin(`${name}.py`, sensing('self.logger.error("no")'))
      plugin(
        "mute.py",
        pluginText(`def __init__(self, config):
    GenericPromise.__init__(self, config)
    self.allowBang(False)
def sense(self):
    self.logger.error("no")`),
      )
      expect((yield* testAll).bang).toBeUndefined()
      expect((yield* watchAll).bang).toBe("Promise one is failing")
      for (const name of ["one", "two"]) plugin(`${name}.py`, sensing('self.logger.info("yes")'))
      expect(yield* watchAll).toMatchObject({ bang: undefined, failure: "Promise 'mute.py' failed with output: no" })
    }),
  )

  it.live("leaves out what has nothing to say in it", () =>
    Effect.gen(function* () {
      const { cache, path, plugin, testAll, watchAll } = yield* checking()
      const only = (what: string) =>
        pluginText(`def __init__(self, config):
    GenericPromise.__init__(self, config)
    self.${what}()
    self.setPeriodicity(9)
def sense(self):
    open(self.getTitle() + ".ran", "a").write("x")
    self.logger.error("no")`)
      plugin("anomaly.py", only("setTestLess"))
      plugin("test.py", only("setAnomalyLess"))
      const ran = (title: string) =>
        fs.existsSync(`${path}/${title}.ran`) ? fs.statSync(`${path}/${title}.ran`).size : 0
      expect((yield* testAll).failure).toContain("'test.py'")
      expect([ran("anomaly"), ran("test")]).toStrictEqual([0, 1])
      expect((yield* watchAll).failure).toContain("'anomaly.py'")
      expect((yield* testAll).failure).toContain("'test.py'")
      expect([ran("anomaly"), ran("test")]).toStrictEqual([1, 2])
      expect(cache("anomaly")).toMatchObject({ is_tested: false, is_anomaly_detected: true, periodicity: 9 })
    }),
  )

  it.live("gives a plugin what the reference gives, and its own dictionary", () =>
    Effect.gen(function* () {
      const { path, plugin, result, testAll } = yield* checking()
      const names = ["master-url", "partition-id", "computer-id", "promise-timeout", "slapgrid-version", "own"]
      const code = `self.logger.info(" ".join(str(self.getConfig(name)) for name in ${JSON.stringify(names)}))
self.logger.info("%s %s" % (self.getPromiseFile(), self.getPartitionFolder()))`
      plugin("told.py", sensing(code, 'extra_config_dict = {"own": "word"}'))
      plugin("taken.py", sensing("pass", 'extra_config_dict = {"partition-id": "another"}'))
      expect(failures(yield* testAll)).toStrictEqual({
        "taken.py": nothingFrom("ValueError: extra_config_dict must not have partition-id"),
      })
      expect(result("told").result.message).toMatch(/^http:\/\/127.0.0.1:1\/ slappart0 COMP-1 20 \d+\.\d+\.\d+ word\n/)
      expect(result("told").result.message).toContain(`${path}/etc/plugin/told.py ${path}`)
    }),
  )
})

describe("bad input", () => {
  for (const [name, containment] of [
    ["by session", Containment.layerSession],
    ["as the machine can", Containment.layer],
  ] as const) {
    it.live(`ends what takes too long with everything it started, kept together ${name}`, () =>
      Effect.gen(function* () {
        const { executable, path, plugin, testAll } = yield* checking({
          config: { promiseTimeout: 1500, promiseConcurrency: 4 },
          containment,
        })
        executable("hangs", "trap '' TERM; sleep 1000 & echo $! >hangs.child; sleep 1001")
        executable("leaves", "sleep 1002 & echo $! >leaves.child; exit 0")
        plugin(
          "sticks.py",
          sensing(`child = subprocess.Popen(["setsid", "sh", "-c", "trap '' TERM; sleep 1003 & echo $! >sticks.child; wait"])
time.sleep(1000)`),
        )
        plugin(
          "forks.py",
          sensing('subprocess.call(["sh", "-c", "setsid sleep 1004 & echo $! >forks.child"])\nself.logger.info("ok")'),
        )
        executable("kept", "exit 0")
        expect(failures(yield* testAll)).toStrictEqual({
          hangs: "Error: Promise timed out after 1.5 seconds",
          "sticks.py": "Error: Promise timed out after 1.5 seconds",
        })
        const pids = ["hangs", "leaves", "sticks", "forks"].map((one) =>
          Number(fs.readFileSync(`${path}/${one}.child`, "utf8")),
        )
        expect(pids.filter(isAlive)).toStrictEqual([])
      }),
    )
  }

  it.live("of nothing prepares nothing, and what is gone is not shown", () =>
    Effect.gen(function* () {
      const made: Array<string> = []
      const containment = Layer.effect(
        Containment,
        Effect.map(Effect.service(Containment), (session) => ({
          ...session,
          enclosure: (owner: string, member: string) => {
            made.push(member)
            return session.enclosure(owner, member)
          },
        })),
      ).pipe(Layer.provide(Containment.layerSession))
      const { executable, path, testAll } = yield* checking({ containment })
      expect(yield* testAll).toMatchObject({ promises: [], failure: undefined, bang: undefined })
      expect([made, fs.existsSync(`${path}/.slapgrid`)]).toStrictEqual([[], false])
      executable("broken", "exit 1")
      expect(failures(yield* testAll)).toHaveProperty("broken")
      expect(made).not.toStrictEqual([])
      fs.rmSync(`${path}/etc/promise/broken`)
      expect(yield* testAll).toMatchObject({ promises: [], failure: undefined })
    }),
  )

  it.live("takes from executables one clear report each: floods, binary, those that vanish or are none", () =>
    Effect.gen(function* () {
      const { executable, messages, path, result, testAll, write } = yield* checking()
      executable("binary", "printf 'a\\000\\377b'; exit 1")
      executable("chatty", "head -c 9000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1")
      executable("flood", "head -c 100000000 /dev/zero")
      executable("vanishes", 'rm "$0"; echo gone; exit 1')
      write("etc/promise/lost", "#!/none/sh\n")
      write("etc/promise/README", "no promise", 0o644)
      fs.symlinkSync("/none", `${path}/etc/promise/dangling`)
      fs.mkdirSync(`${path}/etc/promise/folder`)
      const check = yield* testAll
      const { dangling, lost, ...said } = failures(check)
      expect(said).toStrictEqual({
        binary: "a\uFFFD\uFFFDb",
        chatty: expect.stringMatching(/x\nthe end$/),
        flood: nothingFrom("it printed more than 10M and was ended"),
        vanishes: "gone",
      })
      expect(lost).toContain("cannot execute")
      expect(dangling).toContain("it does not exist")
      expect(result("chatty").result.message).toHaveLength(5003)
      yield* testAll
      expect(messages).toStrictEqual(["promises of slappart0: not executable and left out: README"])
    }),
  )

  it.live("takes from plugins one clear report each, whatever they do to the process that they share", () =>
    Effect.gen(function* () {
      const { plugin, testAll } = yield* checking({ config: { promiseTimeout: 10_000 } })
      plugin("a-import.py", sensing("pass").replace("import os", "import no_such_module, os"))
      plugin("b-none.py", `import sys\nsys.path[0:0] = ["${standIn}"]\n`)
      plugin("c-syntax.py", "class RunPromise(\n")
      plugin("d-other.py", sensing("pass").replace("(GenericPromise)", "(object)"))
      plugin("e-undeclared.py", sensing("pass").replace("@implementer(interface.IPromise)", ""))
      plugin("f-exit.py", sensing("os._exit(7)"))
      plugin("g-killed.py", sensing("os.kill(os.getpid(), signal.SIGSEGV)"))
      plugin("h-murder.py", sensing("os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(5)"))
      plugin("i-flood.py", sensing('print("x" * 100000000)\nself.logger.info("fine")'))
      plugin(
        "j-garbage.py",
        sensing(
          `import stat
for fd in range(3, 20):
    if os.path.exists("/proc/self/fd/%d" % fd) and stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.write(fd, b"\\xff{}\\n[1]\\n5\\n" * 1000)
self.logger.info("fine")`,
        ),
      )
      plugin("k-late.py", sensing('self.logger.info("fine")'))
      plugin("9digit.py", sensing("pass"))
      const said = failures(yield* testAll)
      const { "c-syntax.py": syntax, "h-murder.py": murder, ...others } = said
      expect(others).toStrictEqual({
        "9digit.py": nothingFrom("ValueError: a plugin's name has to begin with a letter"),
        "a-import.py": nothingFrom("ModuleNotFoundError: No module named 'no_such_module'"),
        "b-none.py": nothingFrom("AttributeError: b-none.py has no class RunPromise"),
        "d-other.py": nothingFrom("TypeError: RunPromise of d-other.py is no GenericPromise"),
        "e-undeclared.py": nothingFrom(
          "TypeError: RunPromise of e-undeclared.py is not declared to implement IPromise",
        ),
        "f-exit.py": nothingFrom("it gave no result (exit status 7)"),
        "g-killed.py": nothingFrom("it was killed by signal 11"),
      })
      expect(syntax).toContain("SyntaxError")
      expect(murder).toContain("killed by SIGKILL")
    }),
  )

  it.live.each([
    ["no Python that is there", { interpreter: "/none/python" }, undefined, "cannot execute /none/python"],
    ["a Python that is none", { interpreter: "/bin/false" }, undefined, "exit status 1"],
    ["no classes", {}, "/none", "ModuleNotFoundError: No module named"],
    ["no path", {}, "", "its first assignment is not to sys.path[0:0]"],
  ] as const)("tells that a release has %s", ([, options, path, why]) =>
    Effect.gen(function* () {
      const { executable, plugin, testAll } = yield* checking(options)
      const text = path === undefined ? sensing("pass") : sensing("pass").replace(standIn, path)
      const broken = path === "" ? text.replace("sys.path[0:0]", "other") : text
      for (const name of ["one.py", "two.py"]) plugin(name, broken)
      executable("kept", "exit 0")
      const said = failures(yield* testAll)
      expect(Object.keys(said)).toStrictEqual(["one.py", "two.py"])
      for (const message of Object.values(said)) expect(message).toContain(why)
    }),
  )

  it.live("goes on when results cannot be kept, and tells that once", () =>
    Effect.gen(function* () {
      const { executable, messages, path, testAll, watch } = yield* checking()
      executable("broken", "echo no; exit 1")
      yield* testAll
      fs.rmSync(`${path}/.slapgrid/promise/result/broken.status.json`)
      fs.mkdirSync(`${path}/.slapgrid/promise/result/broken.status.json`)
      for (let round = 0; round < 2; round++) {
        expect((yield* testAll).failure).toBe("Promise 'broken' failed with output: no")
      }
      // Known without the files.
      expect((yield* watch).failure).toBe("Promise 'broken' failed with output: no")
      expect(messages).toHaveLength(1)
      expect(messages[0]).toContain("promises of slappart0: results cannot be kept: ")
    }),
  )

  it.live("follows no link of the partition's to keep a result elsewhere", () =>
    Effect.gen(function* () {
      const { executable, path, testAll } = yield* checking()
      executable("kept", "exit 0")
      fs.mkdirSync(`${path}/.slapgrid`)
      fs.mkdirSync(`${path}/../elsewhere`)
      fs.symlinkSync("../../elsewhere", `${path}/.slapgrid/promise`)
      const { message } = yield* Effect.flip(testAll)
      expect(message).toContain("the promises of slappart0 cannot be checked: ")
      expect(fs.readdirSync(`${path}/../elsewhere`)).toStrictEqual([])
    }),
  )
})
