// Runs the corpus cold and warm as one user and prints what became of both as JSON. A program of its own, because a
// test that is root needs it as an ordinary user, too: `driver.ts SCRATCH UID GID GROUP`; root's partitions have that uid.
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  chownSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { Buildout, type BuildoutRequest } from "../../../src/build/Buildout.ts"
import { layerWarm } from "../../../src/build/warm/WarmBuildout.ts"
import { NodeConfig } from "../../../src/config/NodeConfig.ts"
import { AdoptedProcesses } from "../../../src/process/AdoptedProcesses.ts"
import { Containment } from "../../../src/process/containment/Containment.ts"
import { Launcher } from "../../../src/process/launcher/Launcher.ts"
import { Spawner } from "../../../src/process/Spawner.ts"
import { type HelperOptions, WarmHelpers, type WarmRun } from "../../../src/process/warm/WarmHelper.ts"
import { nodeConfig } from "../facts.ts"
import { type Profile, profiles, type Step } from "./profiles.ts"

export interface Outcome {
  /** `done`, or why not. */
  readonly result: string
  readonly output: string
  /** By path: kind, mode, owner and content. */
  readonly files: Readonly<Record<string, string>>
}

export interface Comparison {
  readonly name: string
  readonly cold: ReadonlyArray<Outcome>
  readonly warm: ReadonlyArray<Outcome>
  /** With all recipes imported before. */
  readonly preloaded: ReadonlyArray<Outcome>
  /** How many runs were forked. */
  readonly forked: number
}

const [scratch = "", ...ids] = process.argv.slice(2)
const [uid = 0, gid = 0, group = 0] = ids.map(Number)
const isRoot = process.geteuid?.() === 0
const release = `${scratch}/release`
const instance = `${scratch}/instance`
const log = `${scratch}/log`

const credentials = isRoot ? { uid, gid, groups: [gid, group], name: String(uid), home: undefined } : undefined
const give = (path: string): void => (isRoot ? chownSync(path, uid, gid) : undefined)

const script = `#!/usr/bin/python3

import sys
sys.path[0:0] = [
  '/usr/lib/python3/dist-packages',
  ]

import zc.buildout.buildout

if __name__ == '__main__':
    sys.exit(zc.buildout.buildout.main())
`

const lay = (step: Step): void => {
  for (const [name, text] of Object.entries(step)) {
    const path = `${instance}/${name}`
    writeFileSync(
      path,
      text.replaceAll("@develop-eggs@", `${release}/develop-eggs`).replaceAll("@eggs@", `${release}/eggs`),
    )
    give(path)
  }
}

const describe = (path: string): string => {
  const stats = lstatSync(path)
  const head = `${(stats.mode & 0o7777).toString(8)} ${stats.uid}:${stats.gid}`
  if (stats.isSymbolicLink()) return `${head} -> ${readlinkSync(path)}`
  return stats.isFile() ? `${head} ${readFileSync(path, "latin1")}` : `${head} directory`
}

const look = (result: string): Outcome => ({
  result,
  output: readFileSync(log, "latin1"),
  files: Object.fromEntries(
    readdirSync(instance, { recursive: true, encoding: "utf8" })
      .sort()
      .map((name) => [name, describe(`${instance}/${name}`)]),
  ),
})

const request = (profile: Profile, output: number, enclosure: BuildoutRequest["enclosure"]): BuildoutRequest => ({
  script: `${release}/bin/buildout`,
  text: script,
  arguments: profile.arguments ?? ["-U"],
  directory: instance,
  home: instance,
  credentials,
  instanceRoot: scratch,
  log: output,
  timeout: 60_000,
  enclosure,
  release: { directory: release, owner: { uid: group, gid: group }, users: Effect.succeed([]), hasOthers: true },
})

const runProfile = (buildout: Buildout["Service"], containment: Containment["Service"], profile: Profile) =>
  Effect.gen(function* () {
    rmSync(instance, { recursive: true, force: true })
    mkdirSync(instance, { mode: 0o750 })
    give(instance)
    const outcomes: Array<Outcome> = []
    for (const step of profile.steps) {
      lay(step)
      writeFileSync(log, "")
      give(log)
      const output = openSync(log, "a+")
      const exit = yield* Effect.exit(buildout.run(request(profile, output, containment.enclosure("corpus", "build"))))
      closeSync(output)
      outcomes.push(look(Exit.isSuccess(exit) ? "done" : String(exit.cause)))
    }
    return outcomes
  })

const machine = Layer.mergeAll(Spawner.layer).pipe(
  Layer.provideMerge([AdoptedProcesses.layer, Launcher.layer]),
  Layer.provideMerge(Containment.layer),
  Layer.provideMerge(Layer.succeed(NodeConfig, nodeConfig({ instanceRoot: scratch, softwareRoot: scratch }))),
)

const recipes = [
  "file",
  "user-error",
  "crash",
  "environment",
  "forks",
  "output",
  "process",
  "ends",
  "leaves",
  "exit",
  "finds",
].map((entry) => ["corpusrecipes", entry] as const)

/** The real helpers, with these recipes imported before, and how many runs they forked. */
const counting = (count: () => void, imported: typeof recipes) =>
  Layer.effect(
    WarmHelpers,
    Effect.map(Effect.provide(WarmHelpers, WarmHelpers.layer), (real) => ({
      ...real,
      start: Effect.fnUntraced(function* (options: HelperOptions) {
        const helper = yield* real.start(options)
        const whyNot = imported.length === 0 ? undefined : yield* helper.preload(imported, false)
        if (whyNot !== undefined) throw new Error(whyNot)
        return { ...helper, run: (run: WarmRun) => Effect.tap(helper.run(run), () => Effect.sync(count)) }
      }),
    })),
  )

const compare = Effect.gen(function* () {
  const containment = yield* Containment
  let forked = 0
  const cold = Context.get(yield* Layer.build(Buildout.layerCold), Buildout)
  const makeWarm = (imported: typeof recipes) =>
    Effect.gen(function* () {
      const layer = Layer.provide(
        layerWarm,
        counting(() => forked++, imported),
      )
      const warm = Context.get(yield* Layer.build(layer), Buildout)
      // Two that wait: nothing is cold that can be warm.
      yield* warm.expect({
        release,
        directory: `${scratch}/other`,
        credentials: isRoot ? { ...credentials!, uid: uid + 1 } : undefined,
      })
      return warm
    })
  const runAll = (buildout: Buildout["Service"]) =>
    Effect.forEach(profiles, (profile) =>
      Effect.suspend(() => {
        const before = forked
        return Effect.map(runProfile(buildout, containment, profile), (outcomes) => ({
          outcomes,
          forked: forked - before,
        }))
      }),
    )
  yield* Effect.addFinalizer(() => containment.endOwner("corpus", { except: new Set() }))
  const coldly = yield* runAll(cold)
  // One after the other: the same release's helpers have the same places.
  const warmly = yield* Effect.scoped(Effect.flatMap(makeWarm([]), runAll))
  const preloaded = yield* Effect.scoped(Effect.flatMap(makeWarm(recipes), runAll))
  return profiles.map(({ name }, index): Comparison => ({
    name,
    cold: coldly[index]!.outcomes,
    warm: warmly[index]!.outcomes,
    preloaded: preloaded[index]!.outcomes,
    forked: warmly[index]!.forked + preloaded[index]!.forked,
  }))
})

const layMetadata = (folder: string, file: string, name: string, version: string): void => {
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}/${file}`, `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n`)
}

const prepare = (): void => {
  for (const name of ["", "/bin", "/eggs", "/develop-eggs"]) mkdirSync(`${release}${name}`, { mode: 0o755 })
  writeFileSync(`${release}/bin/buildout`, script, { mode: 0o755 })
  const source = `${scratch}/corpus`
  execFileSync("/usr/bin/python3", ["-B", "setup.py", "--quiet", "egg_info"], {
    cwd: source,
    env: { HOME: scratch },
    stdio: ["ignore", "inherit", "inherit"],
  })
  writeFileSync(`${release}/develop-eggs/corpusrecipes.egg-link`, `${source}\n.`)
  // What a recipe finds: eggs as older and newer buildouts lay them, and a link that it can change.
  layMetadata(`${release}/eggs/older-1.0-py3.11.egg/EGG-INFO`, "PKG-INFO", "older", "1.0")
  layMetadata(`${release}/eggs/newer-1.0-py3.11.egg/newer-1.0.dist-info`, "METADATA", "newer", "1.0")
  layMetadata(`${release}/other-a/other.egg-info`, "PKG-INFO", "other", "1.0")
  layMetadata(`${release}/other-b/other.egg-info`, "PKG-INFO", "other", "2.0")
  writeFileSync(`${release}/develop-eggs/other.egg-link`, `${release}/other-a\n.`)
  chmodSync(`${release}/develop-eggs/other.egg-link`, 0o666)
}

const toStderr = Logger.layer([Logger.make(({ message }) => void process.stderr.write(`${String(message)}\n`))])

prepare()
const result = await Effect.runPromise(compare.pipe(Effect.provide(machine), Effect.scoped, Effect.provide(toStderr)))
process.stdout.write(JSON.stringify(result))
