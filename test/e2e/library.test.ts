// slapgrid as a library: packed, installed in an empty project from the package registry, and used by other programs.
//
// | what                                                            | test                                             |
// | --------------------------------------------------------------- | ------------------------------------------------ |
// | npm pack, install in an empty project, run works                | all                                              |
// | put its own MasterClient in, follow the status board            | a program with a master of its own …             |
// | the README shows it in twenty lines                             | the README's program …                           |
// | the calls of the protocol that a node does without              | … other programs …                               |
// | the package has types                                           | all programs are type-checked                    |
import { assert, layer } from "@effect/vitest"
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { isAlive } from "../support/processes.ts"
import { runToEnd } from "../support/Program.ts"
import { root } from "../support/slapgrid.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode } from "../support/TestNode.ts"

/** The program of README.md's section about the library. */
const readmeProgram = (): string => {
  const section = readFileSync(`${root}/README.md`, "utf8").split("## Use it as a library")[1] ?? ""
  const code = /```ts\n(.*?)```/s.exec(section)?.[1]
  if (code === undefined) throw new Error("README.md shows no library program")
  return code
}

const ownMaster = `
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { loadNodeConfig, MasterClient, PartitionId, type Report, Slapgrid, SoftwareUrl, StatusBoard } from "slapgrid"

const software = SoftwareUrl.make(process.argv[2] ?? "")
const partition = { id: PartitionId.make("slappart0"), requested: "started", software, timestamp: "1" } as const
const reports: Array<Report> = []

const program = Effect.gen(function* () {
  const config = yield* loadNodeConfig({ file: "slapos.cfg", flags: {}, env: {} })
  const master = Layer.succeed(MasterClient, {
    desiredState: Effect.succeed({
      computer: config.computerId,
      software: [{ url: software, requested: "available" as const }],
      partitions: [{ ...partition, filter: {}, accessStatus: undefined }],
      rejected: [],
    }),
    report: (report) => Effect.sync(() => void reports.push(report)),
    useComputer: () => Effect.void,
    partitionCertificate: () => Effect.succeed({ certificate: "", key: Redacted.make("") }),
  })
  const started = Effect.gen(function* () {
    const { changes } = yield* StatusBoard
    return yield* changes.pipe(
      Stream.filter(({ partitions }) => partitions.some(({ state }) => state === "started")),
      Stream.runHead,
    )
  })
  const status = yield* Effect.provide(started, Slapgrid.layerWithMaster(config).pipe(Layer.provide(master)))
  console.log(JSON.stringify({ status, reports }))
})
NodeRuntime.runMain(program)
`

const tools = `
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { HttpMasterClient, loadNodeConfig, MasterTools, PartitionId, version } from "slapgrid"

const program = Effect.gen(function* () {
  const config = yield* loadNodeConfig({ file: "slapos.cfg", flags: {}, env: {} })
  const partition = yield* Effect.provide(
    Effect.flatMap(MasterTools, ({ partition }) => partition(PartitionId.make("slappart0"))),
    HttpMasterClient.layer({ ...config, version }),
  )
  console.log(partition.id, Redacted.value(partition.parameters)["slap_computer_id"])
})
NodeRuntime.runMain(program)
`

const tsconfig = {
  compilerOptions: {
    target: "es2024",
    module: "nodenext",
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    skipLibCheck: true,
    types: ["node"],
    typeRoots: [`${root}/node_modules/@types`],
  },
  files: ["readme.ts", "own-master.ts", "tools.ts"],
}

interface Project {
  readonly path: string
  readonly node: TestNode<ScriptedTestMaster>
}

/** npm needs the user's own settings: caches, proxies, registries. */
const npmEnvironment = Object.fromEntries(
  Object.entries(process.env).flatMap(([name, value]) =>
    value === undefined || /^npm_/i.test(name) ? [] : [[name, value]],
  ),
)

const npm = Effect.fnUntraced(function* (cwd: string, ...words: ReadonlyArray<string>) {
  const { ended, log, stdout } = yield* runToEnd(["npm", ...words], { cwd, env: npmEnvironment })
  if (ended.code !== 0) throw new Error(`npm ${words.join(" ")} failed:\n${log}\n${stdout}`)
  return stdout
})

const makeProject: Effect.Effect<Project, never, Scope.Scope> = Effect.gen(function* () {
  const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 1, sync: "every second" })
  const path = `${node.scratch.path}/project`
  mkdirSync(path)
  // The build that is tested is packed: another one would take dist/ away from whoever uses it meanwhile.
  const packed = yield* npm(root, "pack", "--ignore-scripts", "--silent", "--pack-destination", path)
  writeFileSync(`${path}/package.json`, JSON.stringify({ name: "empty", private: true, type: "module" }))
  const quiet = ["--no-audit", "--no-fund", "--prefer-offline", "--omit=dev"]
  yield* npm(path, "install", ...quiet, `./${packed.trim()}`)
  copyFileSync(node.configFile, `${path}/slapos.cfg`)
  writeFileSync(`${path}/readme.ts`, readmeProgram())
  writeFileSync(`${path}/own-master.ts`, ownMaster)
  writeFileSync(`${path}/tools.ts`, tools)
  writeFileSync(`${path}/tsconfig.json`, JSON.stringify(tsconfig))
  return { path, node }
})

class Installed extends Context.Service<Installed, Project>()("test/e2e/library/Installed") {
  static readonly layer = Layer.effect(Installed, makeProject)
}

layer(Installed.layer, { excludeTestServices: true, timeout: "2 minutes" })("the installed package", (it) => {
  it.effect("has types that fit the programs", () =>
    Effect.gen(function* () {
      const { path } = yield* Installed
      const { ended, stdout } = yield* runToEnd([`${root}/node_modules/.bin/tsc`, "-p", path])
      assert.strictEqual(stdout, "")
      assert.strictEqual(ended.code, 0)
    }),
  )

  it.effect("runs a node with a master of the program's own, followed on the status board", () =>
    Effect.gen(function* () {
      const { node, path } = yield* Installed
      const { ended, log, stdout } = yield* runToEnd([process.execPath, "own-master.ts", node.release], { cwd: path })
      assert.strictEqual(ended.code, 0, log)
      const { reports, status } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "")
      assert.deepInclude(JSON.parse(JSON.stringify(status)).value.partitions[0], { id: "slappart0", state: "started" })
      assert.deepInclude(reports, { _tag: "Software", url: node.release, state: "available" })
      const [pid = 0] = node.starts(node.partition("slappart0"), "web")
      assert.isFalse(isAlive(pid), "the end of the layer ends the services")
    }),
  )

  it.effect("runs the README's program", () =>
    Effect.gen(function* () {
      const { node, path } = yield* Installed
      yield* node.supply(node.release)
      yield* node.request("of the README")
      const { ended, log, stdout } = yield* runToEnd([process.execPath, "readme.ts"], { cwd: path })
      assert.strictEqual(ended.code, 0, log)
      assert.match(stdout, /slappart0 started\n$/)
    }),
  )

  it.effect("gives other programs the calls that a node does without", () =>
    Effect.gen(function* () {
      const { node, path } = yield* Installed
      yield* node.supply(node.release)
      yield* node.request("of the README")
      const { ended, log, stdout } = yield* runToEnd([process.execPath, "tools.ts"], { cwd: path })
      assert.strictEqual(ended.code, 0, log)
      assert.strictEqual(stdout, "slappart0 COMP-1\n")
    }),
  )

  it.effect("brings the program slapgrid", () =>
    Effect.gen(function* () {
      const { path } = yield* Installed
      const { version } = JSON.parse(readFileSync(`${root}/package.json`, "utf8")) as { readonly version: string }
      const { ended, stdout } = yield* runToEnd([`${path}/node_modules/.bin/slapgrid`, "--version"])
      assert.strictEqual(ended.code, 0)
      assert.include(stdout, version)
    }),
  )
})
