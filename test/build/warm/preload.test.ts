// Imports of recipes that a helper must leave to each instance, because there they would do or find something else.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import { expect } from "vitest"
import { NodeConfig } from "../../../src/config/NodeConfig.ts"
import { Containment } from "../../../src/process/containment/Containment.ts"
import { WarmHelpers } from "../../../src/process/warm/WarmHelper.ts"
import { nodeConfig } from "../../support/facts.ts"
import { scratchDirectory } from "../../support/scratch.ts"

/** By what is told of it. Each has the scratch directory in `here`. */
const imports: Readonly<Record<string, string>> = {
  "prints something": "print('hello')",
  "asks for HOME": "os.path.expanduser('~')",
  "asks for getcwd": "os.path.abspath('x')",
  "asks for getpid": "os.getpid()",
  "changes the environment": "os.environ['X'] = 'y'",
  "changes the umask or starts threads": "os.umask(0)",
  "changes the signal handlers": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
  "changes the open files": "left = open('/dev/null')",
  "changes the log": "import logging; logging.basicConfig()",
  "changes the random numbers": "import random; random.seed(0)",
  "changes the time limit of sockets": "import socket; socket.setdefaulttimeout(1)",
  "changes which warnings are shown": "import warnings; warnings.simplefilter('error')",
  "changes zc.buildout.buildout.Buildout": "import zc.buildout.buildout as b; b.Buildout = dict",
  "changes Buildout.install": "import zc.buildout.buildout as b; b.Buildout.install = None",
  "replaces a module": "import sys; sys.modules['shutil'] = sys",
  "does open": "open(here + '/written', 'w')",
  "does os.mkdir": "os.mkdir(here + '/made')",
  "does os.chdir": "os.chdir('/')",
  "does os.remove": "try: os.remove(here + '/kept')\nexcept OSError: pass",
  "does subprocess.Popen": "import subprocess; subprocess.call(['/bin/touch', here + '/touched'])",
  "does os.fork": "os.fork()",
  "does socket.connect": "import socket; socket.create_connection(('127.0.0.1', 9))",
  "does socket.bind": "import socket; socket.socket(socket.AF_UNIX).bind(here + '/socket')",
  "fails: ModuleNotFoundError": "import nosuchmodule",
}
const harmless = "import decimal, http.cookiejar, xml.dom.minidom\nclass Recipe: pass"

const layRelease = (path: string): void => {
  for (const folder of ["bin", "develop-eggs", "source/hazards.egg-info"]) {
    fs.mkdirSync(`${path}/${folder}`, { recursive: true })
  }
  fs.writeFileSync(`${path}/kept`, "")
  const script = `import sys\nimport zc.buildout.buildout\nif __name__ == '__main__':\n  sys.exit(zc.buildout.buildout.main())\n`
  fs.writeFileSync(`${path}/bin/buildout`, script)
  fs.writeFileSync(`${path}/develop-eggs/hazards.egg-link`, `${path}/source\n.`)
  const bodies = [...Object.values(imports), harmless]
  const entries = bodies.map((_, index) => `entry${index} = hazard${index}`)
  fs.writeFileSync(`${path}/source/hazards.egg-info/PKG-INFO`, "Metadata-Version: 2.1\nName: hazards\nVersion: 1\n")
  fs.writeFileSync(`${path}/source/hazards.egg-info/entry_points.txt`, `[zc.buildout]\n${entries.join("\n")}\n`)
  for (const [index, body] of bodies.entries()) {
    fs.writeFileSync(`${path}/source/hazard${index}.py`, `import os\nhere = ${JSON.stringify(path)}\n${body}\n`)
  }
}

const contained = Layer.provide(
  Containment.layer,
  Layer.sync(NodeConfig, () => nodeConfig({})),
)

describe("a helper", () => {
  it.live("imports for all only what no instance can tell, and does nothing that an instance has to do", () =>
    Effect.gen(function* () {
      const path = yield* scratchDirectory
      layRelease(path)
      const containment = yield* Containment
      yield* Effect.addFinalizer(() => containment.endOwner(path, { except: new Set() }))
      const helper = yield* (yield* WarmHelpers).start({
        script: `${path}/bin/buildout`,
        interpreter: ["/usr/bin/python3"],
        restoresNames: true,
        eggFolders: [`${path}/develop-eggs`],
        directory: path,
        environment: { PATH: "/usr/bin:/bin", HOME: path, PYTHONNOUSERSITE: "true" },
        confinement: undefined,
        onBegun: Effect.void,
        enclosure: containment.enclosure(path, "warm"),
      })
      const names = () => fs.readdirSync(path, { recursive: true, encoding: "utf8" }).sort()
      const before = names()
      const told = yield* Effect.forEach(Object.keys(imports), (what, index) =>
        Effect.map(helper.preload([["hazards", `entry${index}`]], false), (why) => ({ what, why })),
      )
      // The first words are the table's; some tell more.
      expect(told.filter(({ what, why }) => !why?.startsWith(`an import ${what}`))).toStrictEqual([])
      expect(names()).toStrictEqual(before)
      expect(yield* helper.preload([["hazards", `entry${told.length}`]], false)).toBeUndefined()
      const [status] = yield* (yield* WarmHelpers).living
      expect(status).toMatchObject({ release: path, pid: helper.pid })
      expect(status?.memory).toBeGreaterThan(10_000_000)
    }).pipe(
      Effect.scoped,
      Effect.andThen(Effect.flatMap(WarmHelpers, ({ living }) => living)),
      Effect.map((left) => expect(left).toStrictEqual([])),
      Effect.provide([WarmHelpers.layer, contained]),
    ),
  )
})
