// The steps around buildout, on real directories, with a buildout that does what the test says.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { BuildError, checkFreeSpace, toBuildError } from "../../src/build/BuildError.ts"
import { Buildout, type BuildoutRequest } from "../../src/build/Buildout.ts"
import type { BuildProgress } from "../../src/build/progress.ts"
import { InstanceBuild } from "../../src/build/InstanceBuild.ts"
import { NetworkCache } from "../../src/build/networkcache/NetworkCache.ts"
import { SoftwareBuild } from "../../src/build/SoftwareBuild.ts"
import { NodeConfig, type NodeConfigShape } from "../../src/config/NodeConfig.ts"
import type { SoftwareUrl } from "../../src/domain/ids.ts"
import { FileError } from "../../src/files/FileError.ts"
import { inheritedEnvironment, releaseDirectory } from "../../src/files/machine.ts"
import { OwnedDirectory } from "../../src/files/OwnedDirectory.ts"
import { Accounts } from "../../src/process/Accounts.ts"
import { Containment, sessionEnclosure } from "../../src/process/containment/Containment.ts"
import { Launcher } from "../../src/process/launcher/Launcher.ts"
import { LogKeepers } from "../../src/process/logs/LogKeeper.ts"
import { PrivilegeError } from "../../src/process/privileges.ts"
import { CommandError } from "../../src/process/Spawner.ts"
import { Calls, settle } from "../support/Calls.ts"
import { nodeConfig, release, slappart0 } from "../support/facts.ts"
import { openBelow, scratchDirectory, stranger } from "../support/scratch.ts"
import { ScriptedSpawner } from "../support/ScriptedSpawner.ts"

const ordinary = { isForced: false, isDebug: false }
const failed = new BuildError({ reason: "Failed", message: "no such recipe" })

const machine = Effect.fnUntraced(function* (changes: Partial<NodeConfigShape> = {}) {
  const root = yield* scratchDirectory
  const config = nodeConfig({
    softwareRoot: `${root}/software`,
    instanceRoot: `${root}/instances`,
    buildout: `${root}/buildout`,
    ...changes,
  })
  const partition = `${config.instanceRoot}/slappart0`
  fs.mkdirSync(partition, { recursive: true })
  fs.mkdirSync(config.softwareRoot)
  fs.chmodSync(partition, 0o750)
  fs.writeFileSync(config.buildout, "#!/usr/bin/python3\n")
  for (const path of [config.softwareRoot, partition]) fs.chownSync(path, stranger.uid, stranger.gid)
  const buildouts = new Calls<BuildoutRequest, void, BuildError>()
  /** For each end of everything that runs for an owner: the owner, and what lies in its directory then. */
  const ends: Array<readonly [owner: string, entries: ReadonlyArray<string>]> = []
  const containment = Containment.of({
    kind: "session",
    enclosure: () => sessionEnclosure,
    limits: [],
    limit: () => Effect.void,
    groupOf: () => undefined,
    adopted: () => sessionEnclosure,
    endOwner: (owner) =>
      Effect.sync(
        () =>
          void ends.push([
            owner,
            fs.statSync(owner, { throwIfNoEntry: false })?.isDirectory() ? fs.readdirSync(owner).sort() : [],
          ]),
      ),
  })
  const spawner = new ScriptedSpawner()
  /** What was prepared: the script's path, and for whom. */
  const prepared: Array<readonly [string, ReadonlyArray<string>]> = []
  const fetches = new Calls<string, "Installed" | "Missing", BuildError>(() => Effect.succeed("Missing"))
  /** What became of uploads, each with whether the release was there. */
  const uploads: Array<readonly [what: "upload" | "end", isThere: boolean]> = []
  const uploading = (what: "upload" | "end", path: string) =>
    Effect.sync(() => void uploads.push([what, fs.existsSync(path)]))
  const cache = NetworkCache.of({
    fetch: fetches.call,
    upload: (url) => uploading("upload", releaseDirectory(config.softwareRoot, url)),
    endUpload: (path) => uploading("end", path),
  })
  const context = yield* Layer.build(
    Layer.merge(SoftwareBuild.layer, InstanceBuild.layer).pipe(
      Layer.provide(
        Layer.succeed(
          Buildout,
          Buildout.of({
            run: buildouts.call,
            expect: () => Effect.void,
            prepare: ({ script }, instances) =>
              Effect.sync(() => void prepared.push([script, instances.map(({ directory }) => directory)])),
          }),
        ),
      ),
      Layer.provide(Layer.succeed(NetworkCache, cache)),
      Layer.provide(spawner.layer),
      Layer.provide(Layer.provide(Accounts.layer({ rootCheck: true }), Launcher.layer)),
      Layer.provide(Layer.succeed(LogKeepers, LogKeepers.of({ keep: () => Effect.succeed(Effect.void) }))),
      Layer.provide(Layer.succeed(Containment, containment)),
      Layer.provide(Layer.succeed(NodeConfig, config)),
    ),
  )
  return {
    root,
    config,
    partition,
    path: releaseDirectory(config.softwareRoot, release),
    buildouts,
    ends,
    prepared,
    fetches,
    uploads,
    spawner,
    software: Context.get(context, SoftwareBuild),
    instances: Context.get(context, InstanceBuild),
  }
})

/** A buildout whose bootstrap leaves `bin/buildout`, and whose second step ends as told. */
const bootstrapping =
  (path: string, how: Effect.Effect<void, BuildError> = Effect.void) =>
  (request: BuildoutRequest): Effect.Effect<void, BuildError> =>
    request.arguments.includes("bootstrap")
      ? Effect.sync(() => {
          fs.mkdirSync(`${path}/bin`, { recursive: true })
          fs.writeFileSync(`${path}/bin/buildout`, "#!/r/python\n")
        })
      : how

describe("a software release", () => {
  it.effect("has what a dead agent's build left ended before it is touched, and nothing left afterwards", () =>
    Effect.gen(function* () {
      const { buildouts, ends, path, software } = yield* machine()
      buildouts.reply = bootstrapping(path, failed)
      yield* Effect.flip(software.build(release, ordinary, () => Effect.never))
      expect(ends.map(([owner, entries]) => [owner, entries.length > 0])).toStrictEqual([
        [path, false],
        [path, true],
      ])
      yield* software.destroy(release)
      expect(ends.slice(2)).toStrictEqual([[path, ends[1]?.[1]]])
    }),
  )

  it.effect(
    "is bootstrapped with the configured buildout, then built with its own, as the owner of software_root",
    () =>
      Effect.gen(function* () {
        const { buildouts, config, path, root, software } = yield* machine()
        buildouts.reply = bootstrapping(path)
        yield* software.build(release, ordinary, () => Effect.never)
        const options = [
          `buildout:extends-cache=${path}/extends-cache`,
          `buildout:directory=${path}`,
          "-N",
          "-c",
          `${path}/buildout.cfg`,
        ]
        expect(buildouts.inputs).toMatchObject([
          {
            script: config.buildout,
            text: "#!/usr/bin/python3\n",
            arguments: [...options, "bootstrap"],
            directory: path,
          },
          {
            script: `${path}/bin/buildout`,
            text: "#!/r/python\n",
            arguments: ["-U", ...options],
            directory: path,
            home: path,
          },
        ])
        const stats = fs.statSync(path)
        expect([stats.uid, stats.gid, stats.mode & 0o7777]).toStrictEqual([stranger.uid, stranger.gid, 0o755])
        expect(fs.readdirSync(path).sort()).toStrictEqual([
          ".slapgrid-build.log",
          "bin",
          "buildout.cfg",
          "extends-cache",
        ])
        expect(openBelow(root)).toStrictEqual([])
      }),
  )

  it.effect("skips the bootstrap after an earlier one, and alternates while it fails", () =>
    Effect.gen(function* () {
      const { buildouts, path, software } = yield* machine()
      buildouts.reply = bootstrapping(path, Effect.fail(failed))
      const steps: Array<number> = []
      for (let round = 0; round < 4; round++) {
        const before = buildouts.inputs.length
        expect(yield* Effect.flip(software.build(release, ordinary, () => Effect.never))).toBe(failed)
        steps.push(buildouts.inputs.length - before)
      }
      expect(steps).toStrictEqual([2, 1, 2, 1])
      buildouts.reply = bootstrapping(path)
      yield* software.build(release, ordinary, () => Effect.never)
      expect(fs.existsSync(`${path}/bin/buildout-bootstrap-skipped`)).toBe(false)
    }),
  )

  it.effect("keeps what was edited in its buildout.cfg", () =>
    Effect.gen(function* () {
      const { buildouts, path, software } = yield* machine()
      buildouts.reply = bootstrapping(path)
      yield* software.build(release, ordinary, () => Effect.never)
      fs.appendFileSync(`${path}/buildout.cfg`, "# edited\n")
      yield* software.build(release, ordinary, () => Effect.never)
      expect(fs.readFileSync(`${path}/buildout.cfg`, "utf8")).toContain("# edited")
    }),
  )

  it.effect("shows what it is at while it is built, from this build alone", () =>
    Effect.gen(function* () {
      const { buildouts, path, software } = yield* machine()
      const seen: Array<BuildProgress> = []
      buildouts.reply = (request) =>
        Effect.gen(function* () {
          yield* settle
          fs.writeSync(request.log, "Installing a.\ntwo\r\n")
          yield* settle
          yield* bootstrapping(path)(request)
        })
      for (let round = 0; round < 2; round++) {
        yield* software.build(release, ordinary, (progress) =>
          Effect.forever(
            Effect.andThen(
              Effect.map(progress, (now) => seen.push(now)),
              Effect.yieldNow,
            ),
          ),
        )
        expect(seen[0]).toStrictEqual({ part: undefined, lastLines: [] })
        expect(seen.at(-1)).toStrictEqual({
          part: "a",
          lastLines: round === 0 ? ["Installing a.", "two", "Installing a.", "two"] : ["Installing a.", "two"],
        })
        seen.length = 0
      }
    }),
  )

  it.effect("is completed by its mark, and destroyed with everything", () =>
    Effect.gen(function* () {
      const { buildouts, path, software } = yield* machine()
      buildouts.reply = bootstrapping(path)
      expect(yield* software.isCompleted(release)).toBe(false)
      yield* software.build(release, ordinary, () => Effect.never)
      expect(yield* software.isCompleted(release)).toBe(false)
      yield* software.complete(release)
      expect(yield* software.isCompleted(release)).toBe(true)
      yield* software.destroy(release)
      yield* software.destroy(release)
      expect([fs.existsSync(path), yield* software.isCompleted(release)]).toStrictEqual([false, false])
    }),
  )

  it.effect("a link in its place is refused before anything runs", () =>
    Effect.gen(function* () {
      const { buildouts, path, root, software } = yield* machine()
      fs.mkdirSync(`${root}/victim`)
      fs.symlinkSync(`${root}/victim`, path)
      const error = yield* Effect.flip(software.build(release, ordinary, () => Effect.never))
      expect([error.reason, buildouts.inputs, fs.readdirSync(`${root}/victim`)]).toStrictEqual(["Directory", [], []])
      expect((yield* Effect.flip(software.destroy(release))).reason).toBe("Directory")
    }),
  )

  it.effect("is not begun without space", () =>
    Effect.gen(function* () {
      const { buildouts, software } = yield* machine({ softwareMinFreeSpace: 1e18 })
      const error = yield* Effect.flip(software.build(release, ordinary, () => Effect.never))
      expect([
        error.reason,
        error.message.endsWith("1000000000000 MB required (software_min_free_space)"),
      ]).toStrictEqual(["NoSpace", true])
      expect(buildouts.inputs).toStrictEqual([])
    }),
  )
})

describe("an upload of a release", () => {
  it.effect("begins after its build, and ends before it changes or goes", () =>
    Effect.gen(function* () {
      const { buildouts, path, software, uploads } = yield* machine()
      buildouts.reply = bootstrapping(path)
      yield* software.build(release, ordinary, () => Effect.never)
      expect(uploads.splice(0)).toStrictEqual([
        ["end", false],
        ["upload", true],
      ])
      yield* software.destroy(release)
      expect(uploads).toStrictEqual([["end", true]])
    }),
  )

  it.effect.each<readonly [string, "Installed" | "Missing", Effect.Effect<void, BuildError>]>([
    ["came from the cache", "Installed", Effect.die("nothing is built")],
    ["could not be built", "Missing", Effect.fail(failed)],
  ])("does not begin when it %s", ([, found, how]) =>
    Effect.gen(function* () {
      const { buildouts, fetches, path, software, uploads } = yield* machine()
      fetches.reply = () => Effect.succeed(found)
      buildouts.reply = bootstrapping(path, how)
      yield* Effect.exit(software.build(release, ordinary, () => Effect.never))
      expect(fetches.inputs).toStrictEqual([release])
      expect(buildouts.inputs.length).toBe(found === "Installed" ? 0 : 2)
      expect(uploads).toStrictEqual([["end", false]])
    }),
  )
})

describe("a build that has to end", () => {
  it.effect("takes too long: its log's end is told, then why, and nothing of it runs on", () =>
    Effect.gen(function* () {
      const { buildouts, ends, software } = yield* machine({ softwareTimeout: 60_000 })
      const building = yield* Effect.forkScoped(Effect.flip(software.build(release, ordinary, () => Effect.never)))
      const { input, interrupted } = yield* buildouts.next
      fs.writeSync(input.log, "downloading\n")
      yield* TestClock.adjust("59 seconds")
      expect(building.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(building)
      expect([error.reason, error.message]).toStrictEqual([
        "Failed",
        "downloading\nthe build was ended because it took longer than 60 s (software_timeout)",
      ])
      yield* interrupted
      expect(ends).toHaveLength(2)
    }),
  )

  it.effect.each([undefined, 3600_000])("leaves too little space, also with a time limit of %s", (softwareTimeout) =>
    Effect.gen(function* () {
      const { buildouts, config, software } = yield* machine({ softwareTimeout })
      const building = yield* Effect.forkScoped(Effect.flip(software.build(release, ordinary, () => Effect.never)))
      const { interrupted } = yield* buildouts.next
      yield* TestClock.adjust("10 seconds")
      expect(building.pollUnsafe()).toBeUndefined()
      Object.assign(config, { softwareMinFreeSpace: 1e18 })
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(building)
      expect([error.reason, error.message]).toStrictEqual([
        "NoSpace",
        expect.stringMatching(
          /^the build was ended before the disk is full: not enough space for .*\/software: \d+ MB available, 1000000000000 MB required \(software_min_free_space\)$/,
        ),
      ])
      yield* interrupted
    }),
  )
})

describe("a release that goes", () => {
  const built = Effect.fnUntraced(function* () {
    const it = yield* machine()
    it.buildouts.reply = bootstrapping(it.path)
    yield* it.software.build(release, ordinary, () => Effect.never)
    return it
  })

  it.effect("is not taken for complete while it is built again", () =>
    Effect.gen(function* () {
      const { software } = yield* built()
      yield* software.complete(release)
      yield* software.reopen(release)
      expect(yield* software.isCompleted(release)).toBe(false)
      yield* software.destroy(release)
      yield* software.reopen(release)
    }),
  )

  it.effect("takes with it what an earlier removal has left, as does a build", () =>
    Effect.gen(function* () {
      const { path, software } = yield* built()
      for (const work of [software.build(release, ordinary, () => Effect.never), software.destroy(release)]) {
        fs.mkdirSync(`${path}.removing/half`, { recursive: true })
        yield* work
        expect(fs.existsSync(`${path}.removing`)).toBe(false)
      }
    }),
  )

  it.effect("a file in its place is told, and left alone", () =>
    Effect.gen(function* () {
      const { buildouts, path, software } = yield* machine()
      fs.writeFileSync(path, "somebody's")
      const build = yield* Effect.flip(software.build(release, ordinary, () => Effect.never))
      expect([build.reason, build.message]).toStrictEqual([
        "Directory",
        `cannot open directory ${path}: ENOTDIR (it is not a directory)`,
      ])
      const removal = yield* Effect.flip(software.destroy(release))
      expect(removal.message).toBe(`refused to remove ${path}: it is not a directory; remove it by hand`)
      expect([fs.readFileSync(path, "utf8"), buildouts.inputs]).toStrictEqual(["somebody's", []])
    }),
  )

  it.effect("by garbage collection is a release that nobody wants, and nothing else", () =>
    Effect.gen(function* () {
      const { config, ends, path, software } = yield* built()
      const at = (name: string) => `${config.softwareRoot}/${name}`
      const [old, half, empty] = ["a", "b", "c"].map((digit) => digit.repeat(32)) as [string, string, string]
      for (const name of [old, `${half}.removing`, empty, `${old}0`, "shared", old.toUpperCase()])
        fs.mkdirSync(at(name))
      for (const name of [old, `${old}0`, "shared", old.toUpperCase()]) fs.writeFileSync(at(`${name}/buildout.cfg`), "")
      fs.writeFileSync(at("d".repeat(32)), "a file")
      ends.length = 0
      expect(yield* software.collect(() => [release])).toStrictEqual({ removed: [at(old)], failures: [] })
      expect(ends.map(([owner]) => owner)).toStrictEqual([at(old)])
      expect(fs.readdirSync(config.softwareRoot).sort()).toStrictEqual(
        [empty, `${old}0`, "d".repeat(32), "shared", old.toUpperCase(), path.slice(path.lastIndexOf("/") + 1)].sort(),
      )
      expect((yield* software.collect(() => [])).removed).toStrictEqual([path])
    }),
  )

  it.effect("waits for a build of it, and is asked for once more before it goes", () =>
    Effect.gen(function* () {
      const { buildouts, path, software } = yield* machine()
      const wanted: Array<SoftwareUrl> = []
      const building = yield* Effect.forkScoped(software.build(release, ordinary, () => Effect.never))
      const bootstrap = yield* buildouts.next
      const collecting = yield* Effect.forkScoped(software.collect(() => wanted))
      yield* settle
      wanted.push(release)
      yield* bootstrap.answer(Effect.fail(failed))
      yield* Effect.flip(Fiber.join(building))
      expect(yield* Fiber.join(collecting)).toStrictEqual({ removed: [], failures: [] })
      expect(fs.existsSync(path)).toBe(true)
    }),
  )
})

describe("an instance", () => {
  const installing = Effect.fnUntraced(function* (files: Readonly<Record<string, string>>) {
    const it = yield* machine()
    for (const [name, text] of Object.entries(files)) {
      fs.mkdirSync(`${it.path}/bin`, { recursive: true })
      fs.writeFileSync(`${it.path}/${name}`, text)
    }
    it.buildouts.reply = () => Effect.void
    const directory = yield* OwnedDirectory.open(it.partition)
    const request = {
      id: slappart0,
      software: release,
      requested: "started",
      directory,
      log: 2,
      isDebug: false,
    } as const
    return { ...it, directory, install: it.instances.install(request) }
  })
  const files = { "instance.cfg": "[buildout]\nparts =\n", "bin/buildout": "#!/r/python\n" }

  it.effect("is installed by the release's buildout from its template", () =>
    Effect.gen(function* () {
      const { buildouts, install, partition, path } = yield* installing({ ...files, "template.cfg": "[old]\n" })
      yield* install
      expect(buildouts.inputs).toMatchObject([
        {
          script: `${path}/bin/buildout`,
          text: "#!/r/python\n",
          arguments: ["-U"],
          directory: partition,
          home: partition,
        },
      ])
      expect(fs.readlinkSync(`${partition}/software_release`)).toBe(path)
      const { gid, mode, uid } = fs.statSync(`${partition}/buildout.cfg`)
      expect([uid, gid, mode & 0o7777]).toStrictEqual([process.geteuid?.(), stranger.gid, 0o640])
      expect(fs.readFileSync(`${partition}/buildout.cfg`, "utf8")).toMatch(
        /^\[buildout\]\nparts =\n[^]*partition-id = slappart0\n/,
      )
    }),
  )

  it.effect.each<readonly [what: string, files: Readonly<Record<string, string>>, isPrepared: boolean]>([
    ["of a release with a buildout", { ...files, ".completed": "" }, true],
    ["but not of one that is not complete", files, false],
    ["but not of one with a bootstrap script", { ...files, ".completed": "", "bin/bootstrap": "" }, false],
    ["but not of one without a buildout", { "bin/python": "", ".completed": "" }, false],
  ])("is prepared before it is its turn, %s", ([, present, isPrepared]) =>
    Effect.gen(function* () {
      const { instances, partition, path, prepared } = yield* installing(present)
      yield* instances.prepare(release, [slappart0])
      expect(prepared).toStrictEqual(isPrepared ? [[`${path}/bin/buildout`, [partition]]] : [])
    }),
  )

  it.effect("an older release calls its template template.cfg", () =>
    Effect.gen(function* () {
      const { install, partition } = yield* installing({ "template.cfg": "[old]\n", "bin/buildout": "" })
      yield* install
      expect(fs.readFileSync(`${partition}/buildout.cfg`, "utf8")).toContain("[old]")
    }),
  )

  it.effect("by a bootstrap script of the release, run as the partition, that leaves sbin/buildout", () =>
    Effect.gen(function* () {
      const { buildouts, install, partition, path, spawner } = yield* installing({
        ...files,
        "bin/bootstrap2": "#!/r/python -S\n",
      })
      spawner.runs.reply = () =>
        Effect.sync(() => {
          fs.mkdirSync(`${partition}/sbin`)
          fs.writeFileSync(`${partition}/sbin/buildout`, "#!/r/own\n")
        })
      yield* install
      expect(spawner.runs.inputs).toMatchObject([
        { argv: ["/r/python", "-S", `${path}/bin/bootstrap2`], cwd: partition, umask: 0o022 },
      ])
      expect(buildouts.inputs).toMatchObject([{ script: `${partition}/sbin/buildout`, text: "#!/r/own\n" }])
    }),
  )

  it.effect("by one that is bootstrapped for it, when that script leaves none", () =>
    Effect.gen(function* () {
      const { buildouts, config, install, partition, spawner } = yield* installing({
        ...files,
        "bin/bootstrap": "#!/r/python\n",
      })
      spawner.runs.reply = () => Effect.void
      buildouts.reply = ({ arguments: words }) =>
        Effect.sync(() => {
          if (!words.includes("bootstrap")) return
          fs.mkdirSync(`${partition}/sbin`)
          fs.writeFileSync(`${partition}/sbin/buildout`, "#!/r/own\n")
        })
      yield* install
      expect(buildouts.inputs.map(({ script }) => script)).toStrictEqual([
        config.buildout,
        `${partition}/sbin/buildout`,
      ])
    }),
  )

  it.effect("by a buildout that is bootstrapped for it, when the release has none", () =>
    Effect.gen(function* () {
      const { buildouts, config, install, partition } = yield* installing({ "instance.cfg": "" })
      buildouts.reply = (request) =>
        Effect.sync(() => {
          if (!request.arguments.includes("bootstrap")) return
          fs.mkdirSync(`${partition}/sbin`)
          fs.writeFileSync(`${partition}/sbin/buildout`, "#!/r/own\n")
        })
      yield* install
      expect(buildouts.inputs).toMatchObject([
        { script: config.buildout, arguments: [`buildout:bin-directory=${partition}/sbin`, "bootstrap"] },
        { script: `${partition}/sbin/buildout`, text: "#!/r/own\n", arguments: ["-U"] },
      ])
    }),
  )

  it.effect.each([
    ["no release", {}, "NotReady", "is not on this machine"],
    ["no template", { "bin/buildout": "" }, "Failed", "is not correctly installed: no "],
    [
      "several bootstrap scripts",
      { ...files, "bin/bootstrap": "", "bin/bootstrap-b": "" },
      "Failed",
      "more than one bootstrap script: bootstrap, bootstrap-b",
    ],
  ] as const)("%s", ([, present, reason, words]) =>
    Effect.gen(function* () {
      const { buildouts, install } = yield* installing(present)
      const error = yield* Effect.flip(install)
      expect([error.reason, buildouts.inputs]).toStrictEqual([reason, []])
      expect(error.message).toContain(words)
    }),
  )

  it.effect.each([
    ["3600", 3600_000],
    [" -1\n", -1000],
    ["0", 0],
    ["soon", undefined],
    ["1.5", undefined],
    ["", undefined],
  ] as const)("periodicity '%s' of the release is %s ms", ([text, milliseconds]) =>
    Effect.gen(function* () {
      const { instances } = yield* installing({ ...files, periodicity: text })
      expect(yield* instances.periodicity(release)).toBe(milliseconds)
    }),
  )

  it.effect("a release that is not there, or says nothing, has no periodicity", () =>
    Effect.gen(function* () {
      expect(yield* (yield* installing({})).instances.periodicity(release)).toBeUndefined()
      expect(yield* (yield* installing(files)).instances.periodicity(release)).toBeUndefined()
    }),
  )

  it.effect("a partition with another mode than 0750 is refused", () =>
    Effect.gen(function* () {
      const { instances, partition } = yield* installing(files)
      fs.chmodSync(partition, 0o755)
      const directory = yield* OwnedDirectory.open(partition)
      const error = yield* Effect.flip(
        instances.install({
          id: slappart0,
          software: release,
          requested: "started",
          directory,
          log: 2,
          isDebug: false,
        }),
      )
      expect(error.message).toBe(`${partition} has mode 0755, but a partition must have 0750: chmod 0750 ${partition}`)
    }),
  )

  it.effect("its destroy script is run when there is one", () =>
    Effect.gen(function* () {
      const { directory, instances, partition, spawner } = yield* installing(files)
      yield* instances.runDestroyScript(slappart0, directory, 2)
      expect(spawner.runs.inputs).toStrictEqual([])
      fs.mkdirSync(`${partition}/sbin`)
      fs.writeFileSync(`${partition}/sbin/destroy`, "")
      spawner.runs.reply = () => Effect.void
      yield* instances.runDestroyScript(slappart0, directory, 2)
      expect(spawner.runs.inputs).toMatchObject([{ argv: [`${partition}/sbin/destroy`], cwd: partition }])
    }),
  )
})

describe("a cold buildout", () => {
  const cold = Effect.gen(function* () {
    const root = yield* scratchDirectory
    const spawner = new ScriptedSpawner()
    const buildout = Context.get(yield* Layer.build(Layer.provide(Buildout.layerCold, spawner.layer)), Buildout)
    const log = yield* Effect.acquireRelease(
      Effect.sync(() => fs.openSync(`${root}/log`, "a+")),
      (fd) => Effect.sync(() => fs.closeSync(fd)),
    )
    fs.writeSync(log, "of an earlier run\n")
    const request: BuildoutRequest = {
      script: "/r/bin/buildout",
      text: "#!/r/python\n",
      arguments: ["-U"],
      directory: "/r",
      home: "/home",
      credentials: undefined,
      instanceRoot: "/i",
      enclosure: sessionEnclosure,
      log,
      timeout: 5000,
    }
    return { spawner, log, run: buildout.run(request) }
  })
  const error = (reason: CommandError["reason"], message: string) =>
    Effect.fail(new CommandError({ command: "x", reason, message }))

  it.effect("runs the script by its interpreter in a clean environment", () =>
    Effect.gen(function* () {
      const { log, run, spawner } = yield* cold
      spawner.runs.reply = () => Effect.void
      yield* run
      expect(spawner.runs.inputs).toStrictEqual([
        {
          argv: ["/r/python", "/r/bin/buildout", "-U"],
          cwd: "/r",
          env: { ...inheritedEnvironment(), HOME: "/home", PYTHONNOUSERSITE: "true", SLAPGRID_INSTANCE_ROOT: "/i" },
          credentials: undefined,
          umask: 0o027,
          output: log,
          timeout: 5000,
          enclosure: sessionEnclosure,
        },
      ])
    }),
  )

  it.effect.each([
    [
      "its own failure: the end of its output is the cause",
      "Failed",
      "/r/python: exit status 1",
      "Error: no part\n\n",
      "/r/bin/buildout failed (exit status 1) in /r:\nError: no part",
    ],
    ["without output", "Failed", "/r/python: exit status 1", "", "/r/bin/buildout failed (exit status 1) in /r"],
    ["a time-out", "TimedOut", "it took too long", "so far\n", "/r/bin/buildout in /r:\nso far\nit took too long"],
    ["not started", "NotStarted", "no such file", "", "/r/bin/buildout in /r: no such file"],
  ] as const)("%s", ([, reason, words, output, message]) =>
    Effect.gen(function* () {
      const { log, run, spawner } = yield* cold
      spawner.runs.reply = () => {
        fs.writeSync(log, output)
        return error(reason, words)
      }
      expect((yield* Effect.flip(run)).message).toBe(message)
    }),
  )
})

describe("BuildError", () => {
  it.each([
    [failed, "Failed"],
    [new FileError({ path: "x", operation: "write", reason: "NoSpace", message: "m" }), "NoSpace"],
    [new FileError({ path: "x", operation: "write", reason: "Unsafe", message: "m" }), "Directory"],
    [new PrivilegeError({ message: "m" }), "Directory"],
    [new CommandError({ command: "x", reason: "TimedOut", message: "m" }), "Failed"],
  ] as const)("%#", (error, reason) => {
    expect(toBuildError(error)).toMatchObject({ reason, message: error.message })
  })

  it.effect("enough space is none", () =>
    Effect.gen(function* () {
      yield* checkFreeSpace("/", 1, "x")
      expect((yield* Effect.flip(checkFreeSpace("/none", 1, "x")))._tag).toBe("FileError")
    }),
  )
})
