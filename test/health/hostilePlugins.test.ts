// Plugins that mean to do harm, each beside an honest one: what they do to a runner without a process for each, which is
// root and has the agent's environment, they are not to do to ours.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { expect } from "vitest"
import { makeFile } from "../support/attacks/victims.ts"
import { isAlive } from "../support/processes.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import { checking, sensing } from "./checking.ts"

type Checked = Effect.Success<ReturnType<typeof checking>>

/** What came of the plugins for whoever ran them. */
interface Scene {
  readonly path: string
  /** What the runner said of the honest plugin: undefined when nothing. */
  readonly honest: string | undefined
  /** What it said of the hostile one. */
  readonly said: string
}

interface HostilePlugin {
  readonly name: string
  readonly code: string
  /** The harm done, undefined when there is none. */
  readonly harm: (scene: Scene) => string | undefined
}

const secret = "a secret of the agent's"

const pidIn = (file: string): number => (fs.existsSync(file) ? Number(fs.readFileSync(file, "utf8")) : 0)

const plugins: ReadonlyArray<HostilePlugin> = [
  {
    name: "looks for secrets in the environments above it",
    code: `pid, found = os.getpid(), []
while pid > 1:
    try:
        found.append(open("/proc/%d/environ" % pid).read())
    except OSError:
        pass
    pid = int(open("/proc/%d/stat" % pid).read().rsplit(") ", 1)[1].split()[1])
open("found", "w").write("".join(found))
self.logger.info("fine")`,
    harm: ({ path }) => (fs.readFileSync(`${path}/found`, "utf8").includes(secret) ? "told" : undefined),
  },
  {
    name: "writes garbage to every descriptor of its runner",
    // The parent of a careless one is this test.
    code: `runner = "/proc/%d/fd/" % os.getppid() if os.getuid() else "/none/"
for fd in os.listdir("/proc/self/fd") + (os.listdir(runner) if os.getuid() else []):
    for get in (lambda: int(fd), lambda: os.open(runner + fd, os.O_WRONLY | os.O_NONBLOCK)):
        try:
            os.write(get(), b"\\xff\\x00{]\\n" * 1000)
        except OSError:
            pass`,
    harm: ({ honest }) => (honest === undefined ? "garbled" : undefined),
  },
  {
    name: "replaces what the next one is made of",
    code: `GenericPromise.run = lambda self, *_: None
sys.modules["os"] = sys.modules["zope.interface"] = None
self.logger.info("fine")`,
    harm: ({ honest }) => (honest === undefined ? "silenced" : undefined),
  },
  {
    name: "kills its runner and everything beside it",
    code: `runner = os.getppid()
if os.getuid():
    for pid in open("/proc/%d/task/%d/children" % (runner, runner)).read().split() + [runner]:
        if int(pid) != os.getpid():
            os.kill(int(pid), signal.SIGKILL)
os.kill(os.getpid(), signal.SIGKILL)`,
    harm: ({ honest }) => (honest === undefined ? "killed" : undefined),
  },
  {
    name: "leaves a daemon",
    code: `subprocess.call(["sh", "-c", "setsid sh -c 'trap \\"\\" HUP TERM; echo $$ >daemon; exec sleep 1000' >/dev/null 2>&1 & sleep 0.3"])
self.logger.info("fine")`,
    harm: ({ path }) => {
      const pid = pidIn(`${path}/daemon`)
      expect(pid).toBeGreaterThan(0)
      const lives = isAlive(pid)
      if (lives) process.kill(pid, "SIGKILL")
      return lives ? "lives on" : undefined
    },
  },
  {
    name: "says more than anybody wants to know",
    code: 'self.logger.info("x" * 3000000)',
    harm: ({ said }) => (said.length > 1_000_000 ? "filled" : undefined),
  },
  {
    name: "puts a link in the place of its result",
    code: `if not os.path.exists("victim"):
    os.symlink(open("target").read(), "victim")
    os.makedirs(".slapgrid/promise/result", exist_ok=True)
    os.symlink(open("target").read(), ".slapgrid/promise/result/a-hostile.status.json")
self.logger.info("fine")`,
    harm: () => undefined,
  },
]

/** Runs all in its own process, and writes what they say where it is to be kept. */
const careless = `
import importlib.util, json, os, sys
class Queue:
    def put(self, item, *_, **__):
        said[item.name] = item.item.message
    put_nowait = put
said = {}
for name in ("a-hostile.py", "b-honest.py"):
    spec = importlib.util.spec_from_file_location(name[0], "etc/plugin/" + name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = os.path.abspath("etc/plugin/" + name)
    module.RunPromise({"name": name, "path": path, "queue": Queue(), "partition-folder": os.getcwd(), "log-folder": "logs"}).run(False, False)
    os.makedirs(".slapgrid/promise/result", exist_ok=True)
    open(".slapgrid/promise/result/%s.status.json" % name[:-3], "w").write(json.dumps(said))
print(json.dumps(said))
`

const honest = sensing('self.logger.info("honest")')

const runCarelessly = ({ path, plugin }: Checked, hostile: string): Scene => {
  plugin("a-hostile.py", hostile)
  plugin("b-honest.py", honest)
  fs.mkdirSync(`${path}/logs`)
  const env = { ...process.env, SLAPGRID_TEST_SECRET: secret }
  const options = { cwd: path, env, encoding: "utf8", timeout: 20_000, maxBuffer: 2 ** 26 } as const
  const { stdout } = spawnSync("/usr/bin/python3", ["-c", careless], options)
  let told: Readonly<Record<string, string>> = {}
  try {
    told = JSON.parse(stdout) as typeof told
  } catch {
    // It told nothing that anybody understands.
  }
  return { path, honest: told["b-honest.py"], said: told["a-hostile.py"] ?? "" }
}

const runOurs = Effect.fnUntraced(function* ({ path, plugin, testAll }: Checked, hostile: string) {
  plugin("a-hostile.py", hostile)
  plugin("b-honest.py", honest)
  const { promises } = yield* testAll
  const said = promises.map(
    ({ hasFailed, message = "honest", name }) => [name, hasFailed ? undefined : message] as const,
  )
  const scene: Scene = {
    path,
    honest: new Map(said).get("b-honest.py"),
    said: promises.find(({ name }) => name === "a-hostile.py")?.message ?? "",
  }
  return scene
})

describe.runIf(runsRootTests)("a plugin", () => {
  it.live("that does no harm leaves the careless runner to the other one", () =>
    Effect.gen(function* () {
      expect(runCarelessly(yield* checking(), sensing("pass")).honest).toBe("honest")
    }),
  )

  it.live.each(plugins)("that $name harms a careless runner, and not ours", ({ code, harm }) =>
    Effect.gen(function* () {
      process.env["SLAPGRID_TEST_SECRET"] = secret
      yield* Effect.addFinalizer(() => Effect.sync(() => delete process.env["SLAPGRID_TEST_SECRET"]))
      const checked = [yield* checking(), yield* checking({ config: { promiseConcurrency: 1 } })] as const
      const victims = checked.map(({ path }) => {
        const victim = makeFile(`${path}/../victim`)
        fs.writeFileSync(`${path}/target`, victim.path)
        return victim
      })
      const hurt = harm(runCarelessly(checked[0], sensing(code))) ?? victims[0]?.harm()
      expect(hurt).toBeDefined()
      const scene = yield* runOurs(checked[1], sensing(code))
      expect(scene.honest).toBe("honest")
      expect(harm(scene) ?? victims[1]?.harm()).toBeUndefined()
    }),
  )
})
