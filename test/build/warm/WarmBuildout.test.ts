// When a helper serves, and what happens when it does not: with helpers and cold runs that do what the test says.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as fs from "node:fs"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import type { BuildError } from "../../../src/build/BuildError.ts"
import { Buildout, type BuildoutRequest } from "../../../src/build/Buildout.ts"
import { layerWarm } from "../../../src/build/warm/WarmBuildout.ts"
import { NodeConfig } from "../../../src/config/NodeConfig.ts"
import { exited, type ExitStatus, signaled } from "../../../src/domain/ExitStatus.ts"
import { processors } from "../../../src/files/machine.ts"
import { Containment, sessionEnclosure } from "../../../src/process/containment/Containment.ts"
import type { Credentials } from "../../../src/process/privileges.ts"
import { HelperError } from "../../../src/process/warm/Conversation.ts"
import type { Recipes } from "../../../src/process/warm/protocol.ts"
import { type Helper, type HelperOptions, type WarmRun, WarmHelpers } from "../../../src/process/warm/WarmHelper.ts"
import { Calls, settle } from "../../support/Calls.ts"
import { nodeConfig } from "../../support/facts.ts"
import { scratchDirectory } from "../../support/scratch.ts"
import { awaitFile } from "../../support/waiting.ts"
import { ScriptedSpawner } from "../../support/ScriptedSpawner.ts"

const broken = new HelperError({ isBroken: true, message: "it crashed" })

class ScriptedHelper {
  readonly options: HelperOptions
  readonly runs = new Calls<WarmRun, ExitStatus, HelperError>()
  readonly preloads = new Calls<{ recipes: Recipes; areTried: boolean }, string | undefined, HelperError>()
  readonly lost = Deferred.makeUnsafe<HelperError>()
  isOpen = true

  /** Whom it can become. */
  readonly uids: ReadonlyArray<number> | undefined

  constructor(options: HelperOptions, users: ReadonlyArray<Credentials> | undefined) {
    this.options = options
    this.uids = users?.map(({ uid }) => uid)
  }

  get face(): Helper {
    return {
      pid: 1,
      run: this.runs.call,
      preload: (recipes, areTried) => this.preloads.call({ recipes, areTried }),
      // So that it is worth it for three to have recipes imported, and not for two.
      cost: () => 0.25,
      gone: Deferred.await(this.lost),
      memory: Effect.succeed(1),
    }
  }
}

/** By one with the same content: an installation leaves that. */
const replaceFile = (path: string): void => {
  fs.writeFileSync(`${path}.new`, fs.readFileSync(path))
  fs.renameSync(`${path}.new`, path)
}

const user = (uid: number): Credentials => ({ uid, gid: uid, groups: [uid, 100], name: `${uid}`, home: undefined })
const script = `#!/usr/bin/python3\nif __name__ == '__main__':\n    pass\n`

const machine = Effect.gen(function* () {
  const root = yield* scratchDirectory
  for (const folder of ["release/bin", "release/eggs", "var/run/slapgrid"]) {
    fs.mkdirSync(`${root}/${folder}`, { recursive: true })
  }
  fs.writeFileSync(`${root}/release/bin/buildout`, script)
  /** What an instance is made of. */
  const installed = (uid: number, text: string): void => {
    fs.mkdirSync(`${root}/partition${uid}`)
    fs.writeFileSync(`${root}/partition${uid}/.installed.cfg`, text)
  }
  /** Another agent, when this one has kept what it knows. */
  const again = Effect.andThen(
    awaitFile(`${root}/var/run/slapgrid/recipes.json`, (text) => text !== ""),
    agentOf(root),
  )
  return { ...(yield* agentOf(root)), installed, again }
})

const agentOf = Effect.fnUntraced(function* (root: string) {
  const release = `${root}/release`
  const log = fs.openSync(`${root}/log`, "a+")
  yield* Effect.addFinalizer(() => Effect.sync(() => fs.closeSync(log)))
  const helpers: Array<ScriptedHelper> = []
  /** Users of the release's instances. */
  const assigned: Array<number> = []
  const starts = new Calls<HelperOptions, void, HelperError>(() => Effect.void)
  const warnings: Array<string> = []
  const spawner = new ScriptedSpawner()
  spawner.runs.reply = () => Effect.void
  const start = Effect.fnUntraced(function* (options: HelperOptions) {
    const users = options.confinement && (yield* options.confinement.users)
    yield* starts.call(options)
    const helper = new ScriptedHelper(options, users)
    helpers.push(helper)
    yield* Effect.addFinalizer(() => Effect.sync(() => void (helper.isOpen = false)))
    return helper.face
  })
  /** Whose cgroups there are. */
  const owners: Array<string> = []
  const containment = {
    enclosure: (owner: string) => {
      owners.push(owner)
      return sessionEnclosure
    },
    endOwner: (owner: string) => Effect.sync(() => void owners.splice(owners.indexOf(owner), 1)),
  } as unknown as Containment["Service"]
  const context = yield* Layer.build(
    layerWarm.pipe(
      Layer.provide(
        Layer.succeed(WarmHelpers, { start, canHold: ({ users }) => users.length <= 3, living: Effect.succeed([]) }),
      ),
      Layer.provide(spawner.layer),
      Layer.provide(Layer.succeed(Containment, containment)),
      Layer.provide(Layer.succeed(NodeConfig, nodeConfig({ instanceRoot: root, warmIdle: 60_000 }))),
    ),
  )
  const logger = Logger.layer([
    Logger.make(({ logLevel, message }) => (logLevel === "Warn" ? void warnings.push(String(message)) : undefined)),
  ])
  const buildout = Context.get(context, Buildout)
  const request = (uid: number | undefined, changes: Partial<BuildoutRequest> = {}): BuildoutRequest => ({
    script: `${release}/bin/buildout`,
    text: script,
    arguments: ["-U"],
    directory: `${root}/partition${uid}`,
    home: `${root}/partition${uid}`,
    credentials: uid === undefined ? undefined : user(uid),
    instanceRoot: root,
    log,
    timeout: undefined,
    enclosure: sessionEnclosure,
    release: {
      directory: release,
      owner: { uid: 100, gid: 100 },
      users: Effect.sync(() => assigned.map(user)),
      hasOthers: assigned.length > 1,
    },
    ...changes,
  })
  const expectUsers = (...uids: ReadonlyArray<number>) =>
    Effect.forEach(uids, (uid) =>
      buildout.expect({ release, directory: `${root}/partition${uid}`, credentials: user(uid) }),
    )
  const run = (uid: number, changes: Partial<BuildoutRequest> = {}): Effect.Effect<Fiber.Fiber<void, BuildError>> =>
    Effect.tap(Effect.forkDetach(Effect.provide(buildout.run(request(uid, changes)), logger)), () => settle)
  return {
    root,
    release,
    helpers,
    owners,
    assigned,
    starts,
    warnings,
    buildout,
    run,
    request,
    expectUsers,
    cold: spawner.runs.inputs,
  }
})

/** A helper that was asked to import a recipe of the instance that it has built, for others that wait. */
const importing = Effect.gen(function* () {
  const its = yield* machine
  const { expectUsers, helpers, installed, run } = its
  installed(1, "[part]\nrecipe = egg\n")
  yield* expectUsers(1, 2)
  const first = yield* run(1)
  yield* expectUsers(1, 2, 3)
  yield* (yield* helpers[0]!.runs.next).answer(Effect.succeed(exited(0)))
  yield* Fiber.join(first)
  return its
})

describe("a warm buildout", () => {
  it.effect("goes cold at once for one alone", () =>
    Effect.gen(function* () {
      const { cold, expectUsers, helpers, run } = yield* machine
      yield* expectUsers(1)
      yield* Fiber.join(yield* run(1))
      expect([cold.length, helpers.length]).toStrictEqual([1, 0])
    }),
  )

  it.effect("is ready for those that will come soon before they do", () =>
    Effect.gen(function* () {
      const { assigned, buildout, cold, helpers, request, run } = yield* machine
      assigned.push(1, 2, 3)
      yield* buildout.prepare(request(1), [request(1), request(2)])
      yield* settle
      expect(helpers.map(({ uids }) => uids)).toStrictEqual([[1, 2, 3]])
      const fiber = yield* run(3)
      yield* (yield* helpers[0]!.runs.next).answer(Effect.succeed(exited(0)))
      yield* Fiber.join(fiber)
      expect([cold.length, helpers.length]).toStrictEqual([0, 1])
    }),
  )

  it.effect("gets ready for nobody twice, and not for one alone", () =>
    Effect.gen(function* () {
      const { buildout, expectUsers, helpers, request, run } = yield* machine
      yield* buildout.prepare(request(1), [request(1)])
      yield* settle
      expect(helpers.length).toBe(0)
      yield* expectUsers(1, 2)
      yield* run(1)
      yield* buildout.prepare(request(1), [request(1), request(2)])
      yield* settle
      expect(helpers.length).toBe(1)
    }),
  )

  it.effect("starts one helper for those that wait, whose users it maps, and forks it for each", () =>
    Effect.gen(function* () {
      const { cold, expectUsers, helpers, run } = yield* machine
      yield* expectUsers(1, 2, 3)
      const first = yield* run(1)
      const second = yield* run(2)
      expect(helpers.map(({ uids }) => uids)).toStrictEqual([[1, 2, 3]])
      expect(helpers[0]?.options.confinement?.owner).toStrictEqual({ uid: 100, gid: 100 })
      for (const fiber of [first, second]) {
        yield* (yield* helpers[0]!.runs.next).answer(Effect.succeed(exited(0)))
        yield* Fiber.join(fiber)
      }
      expect(helpers[0]?.runs.inputs.map(({ credentials }) => credentials?.uid)).toStrictEqual([1, 2])
      expect(cold).toStrictEqual([])
    }),
  )

  it.effect("lets others go on while its helper starts, and not while it runs", () =>
    Effect.gen(function* () {
      const { expectUsers, helpers, run, starts } = yield* machine
      starts.reply = undefined
      const aside: Array<number> = []
      const asideFor = (uid: number) => ({
        aside: <A, E>(wait: Effect.Effect<A, E>) =>
          Effect.acquireUseRelease(
            Effect.sync(() => void aside.push(uid)),
            () => wait,
            () => Effect.sync(() => void aside.splice(aside.indexOf(uid), 1)),
          ),
      })
      yield* expectUsers(1, 2, 3)
      const fibers = [yield* run(1, asideFor(1)), yield* run(2, asideFor(2))]
      expect(aside).toStrictEqual([1, 2])
      yield* (yield* starts.next).answer(Effect.void)
      yield* settle
      expect(aside).toStrictEqual([])
      fibers.push(yield* run(3, asideFor(3)))
      expect([aside, helpers.map(({ runs }) => runs.inputs.length)]).toStrictEqual([[], [3]])
      for (const fiber of fibers) {
        yield* (yield* helpers[0]!.runs.next).answer(Effect.succeed(exited(0)))
        yield* Fiber.join(fiber)
      }
    }),
  )

  it.effect("goes cold, and not worse of its helper, when that cannot start at the moment", () =>
    Effect.gen(function* () {
      const { cold, expectUsers, run, starts, warnings } = yield* machine
      starts.reply = () => Effect.fail(new HelperError({ isBroken: false, message: "cannot join its cgroup" }))
      yield* expectUsers(1, 2, 3)
      yield* Fiber.join(yield* run(1))
      expect([cold.length, starts.inputs.length, warnings.length]).toStrictEqual([1, 1, 0])
      yield* Fiber.join(yield* run(2))
      expect([cold.length, starts.inputs.length, warnings.length]).toStrictEqual([2, 2, 0])
    }),
  )

  it.effect("waits for another helper when its release changes while the first one starts", () =>
    Effect.gen(function* () {
      const { cold, expectUsers, helpers, release, run, starts, warnings } = yield* machine
      starts.reply = undefined
      yield* expectUsers(1, 2, 3)
      const fibers = [yield* run(1)]
      fs.writeFileSync(`${release}/bin/buildout`, `${script}\n`)
      fibers.push(yield* run(2))
      // It is ended.
      yield* (yield* starts.next).answer(Effect.fail(broken))
      yield* (yield* starts.next).answer(Effect.void)
      yield* settle
      expect(helpers.map(({ runs }) => runs.inputs.length)).toStrictEqual([2])
      for (const _ of fibers) yield* (yield* helpers[0]!.runs.next).answer(Effect.succeed(exited(0)))
      yield* Fiber.joinAll(fibers)
      expect([cold.length, warnings.length]).toStrictEqual([0, 0])
    }),
  )

  it.effect("maps nobody who has gone to another release while its users are looked up", () =>
    Effect.gen(function* () {
      const { buildout, helpers, request, root, assigned } = yield* machine
      const asked = Deferred.makeUnsafe<void>()
      const shared = { ...request(1).release!, users: Effect.as(Deferred.await(asked), [user(1), user(2), user(3)]) }
      assigned.push(1, 2, 3)
      const ready = yield* Effect.forkChild(
        buildout.prepare({ ...request(1), release: shared }, [request(1), request(2)]),
      )
      yield* settle
      yield* buildout.expect({ release: `${root}/other`, directory: `${root}/partition3`, credentials: user(3) })
      yield* Deferred.succeed(asked, undefined)
      yield* settle
      expect(helpers.map(({ uids }) => uids)).toStrictEqual([[1, 2]])
      yield* Fiber.interrupt(ready)
    }),
  )

  it.effect("fails with the output and the status as a cold one does", () =>
    Effect.gen(function* () {
      const { expectUsers, helpers, root, run } = yield* machine
      yield* expectUsers(1, 2)
      const fiber = yield* run(1)
      fs.appendFileSync(`${root}/log`, "While:\n  Installing.\nError: no such part\n")
      yield* (yield* helpers[0]!.runs.next).answer(Effect.succeed(exited(1)))
      const error = yield* Effect.flip(Fiber.join(fiber))
      expect(error.message).toBe(
        `${root}/release/bin/buildout failed (exit status 1) in ${root}/partition1:\nWhile:\n  Installing.\nError: no such part`,
      )
    }),
  )

  it.effect("is ended after partition_timeout", () =>
    Effect.gen(function* () {
      const { expectUsers, helpers, run } = yield* machine
      yield* expectUsers(1, 2)
      const fiber = yield* run(1, { timeout: 5000 })
      const call = yield* helpers[0]!.runs.next
      yield* TestClock.adjust(5000)
      yield* call.interrupted
      const error = yield* Effect.flip(Fiber.join(fiber))
      expect(error.message).toContain("took longer than 5 s and was ended")
    }),
  )

  it.effect("goes cold when its helper breaks, and tells so once", () =>
    Effect.gen(function* () {
      const { cold, expectUsers, helpers, run, warnings } = yield* machine
      yield* expectUsers(1, 2, 3)
      const fibers = [yield* run(1), yield* run(2)]
      for (const _ of fibers) yield* (yield* helpers[0]!.runs.next).answer(Effect.fail(broken))
      yield* Deferred.succeed(helpers[0]!.lost, broken)
      for (const fiber of fibers) yield* Fiber.join(fiber)
      yield* Fiber.join(yield* run(3))
      expect([cold.length, helpers.length, warnings.length]).toStrictEqual([3, 1, 1])
      expect(warnings[0]).toContain("without a warm helper for 30 s: it crashed")
      expect(helpers[0]?.isOpen).toBe(false)
      // Tried again later.
      yield* TestClock.adjust(30_000)
      yield* expectUsers(1, 2)
      yield* run(1)
      expect(helpers.length).toBe(2)
    }),
  )

  it.effect("goes cold when no helper can be started", () =>
    Effect.gen(function* () {
      const { cold, expectUsers, run, starts, warnings } = yield* machine
      starts.reply = () => Effect.fail(new HelperError({ isBroken: true, message: "no user namespaces" }))
      yield* expectUsers(1, 2)
      yield* Fiber.join(yield* run(1))
      yield* Fiber.join(yield* run(2))
      expect([cold.length, starts.inputs.length, warnings.length]).toStrictEqual([2, 1, 1])
    }),
  )

  it.effect("goes cold, and keeps the helper, when one run of it cannot be prepared", () =>
    Effect.gen(function* () {
      const { cold, expectUsers, helpers, run, warnings } = yield* machine
      yield* expectUsers(1, 2)
      const fiber = yield* run(1)
      const error = new HelperError({ isBroken: false, message: "cannot open its log: stale" })
      yield* (yield* helpers[0]!.runs.next).answer(Effect.fail(error))
      yield* Fiber.join(fiber)
      yield* run(2)
      expect([cold.length, helpers[0]?.runs.inputs.length, warnings.length]).toStrictEqual([1, 2, 0])
    }),
  )

  it.effect("keeps an idle helper for warm_idle, counted from its last run", () =>
    Effect.gen(function* () {
      const { expectUsers, helpers, owners, release, run } = yield* machine
      yield* expectUsers(1, 2)
      for (const uid of [1, 2]) {
        const fiber = yield* run(uid)
        yield* TestClock.adjust(100_000)
        yield* (yield* helpers[0]!.runs.next).answer(Effect.succeed(exited(0)))
        yield* Fiber.join(fiber)
        yield* TestClock.adjust(59_000)
        expect(helpers[0]?.isOpen).toBe(true)
      }
      // Not what a build of the release would end.
      expect(owners).toStrictEqual([`warm 1 ${release}`])
      yield* TestClock.adjust(1000)
      yield* settle
      expect(helpers[0]?.isOpen).toBe(false)
      expect(owners).toStrictEqual([])
    }),
  )

  it.effect.each<[string, (root: string, text: string) => void]>([
    ["bin/buildout", (root, text) => fs.writeFileSync(`${root}/release/bin/buildout`, `${text}\n`)],
    ["its interpreter", (root) => replaceFile(`${root}/python3`)],
    ["an egg in its path", (root) => replaceFile(`${root}/release/eggs/one.egg`)],
    ["the eggs of the release", (root) => fs.writeFileSync(`${root}/release/eggs/another.egg`, "")],
    ["its eggs under development", (root) => fs.mkdirSync(`${root}/release/develop-eggs`)],
  ])("starts another helper when %s has changed; the old one ends after its last run", ([, change]) =>
    Effect.gen(function* () {
      const { expectUsers, helpers, root, run } = yield* machine
      for (const file of ["python3", "release/eggs/one.egg"]) fs.writeFileSync(`${root}/${file}`, "")
      const text = `#!${root}/python3\nimport sys\nsys.path[0:0] = [\n  '${root}/release/eggs/one.egg',\n  ]\n${script}`
      fs.writeFileSync(`${root}/release/bin/buildout`, text)
      yield* expectUsers(1, 2, 3)
      const fiber = yield* run(1, { text })
      // The same files, the same helper.
      yield* run(3, { text })
      change(root, text)
      yield* expectUsers(2, 3)
      yield* run(2, { text })
      expect(helpers.map(({ isOpen, runs }) => [isOpen, runs.inputs.length])).toStrictEqual([
        [true, 2],
        [true, 1],
      ])
      for (const _ of [1, 3]) yield* (yield* helpers[0]!.runs.next).answer(Effect.succeed(signaled("SIGKILL")))
      yield* Effect.exit(Fiber.join(fiber))
      yield* settle
      expect(helpers.map(({ isOpen }) => isOpen)).toStrictEqual([false, true])
    }),
  )

  it.effect("maps the users of all instances of the release, whoever waits", () =>
    Effect.gen(function* () {
      const { assigned, expectUsers, helpers, run } = yield* machine
      assigned.push(1, 3)
      yield* expectUsers(1, 2)
      yield* run(1)
      yield* run(2)
      yield* expectUsers(3)
      yield* run(3)
      expect(helpers.map(({ uids }) => uids)).toStrictEqual([[1, 2, 3]])
    }),
  )

  it.effect("replaces the helper for new partitions, by one with the users of both", () =>
    Effect.gen(function* () {
      const { assigned, expectUsers, helpers, run } = yield* machine
      assigned.push(1, 2, 3, 4)
      yield* Effect.scoped(Effect.andThen(expectUsers(1, 2), run(1)))
      yield* expectUsers(3)
      yield* (yield* helpers[0]!.runs.next).answer(Effect.succeed(exited(0)))
      yield* run(2)
      yield* (yield* helpers[0]!.runs.next).answer(Effect.succeed(exited(0)))
      yield* expectUsers(4)
      yield* run(3)
      expect(helpers.map(({ isOpen, uids }) => ({ isOpen, uids }))).toStrictEqual([
        { isOpen: false, uids: [1, 2] },
        // As many as one can hold.
        { isOpen: true, uids: [3, 4] },
      ])
    }),
  )

  it.effect("goes cold a moment later where others may come, or to the helper that starts for them", () =>
    Effect.gen(function* () {
      const { assigned, cold, expectUsers, helpers, run } = yield* machine
      assigned.push(1, 2)
      yield* expectUsers(1)
      const alone = yield* run(1)
      expect(cold.length).toBe(0)
      yield* TestClock.adjust(30)
      yield* Fiber.join(alone)
      expect([cold.length, helpers.length]).toStrictEqual([1, 0])
      yield* expectUsers(1)
      yield* run(1)
      yield* expectUsers(2)
      yield* TestClock.adjust(30)
      yield* settle
      expect([cold.length, helpers.length]).toStrictEqual([1, 1])
    }),
  )

  it.effect("imports the recipes that instances use for those that wait, while they are served", () =>
    Effect.gen(function* () {
      const { again, expectUsers, helpers, installed, run } = yield* machine
      installed(1, "[part]\nrecipe = egg:publish\nrecipe = egg\n")
      const recipes = [
        ["egg", "publish"],
        ["egg", "default"],
      ]
      yield* expectUsers(1, 2)
      const first = yield* run(1)
      yield* run(2)
      yield* expectUsers(1, 2, 3)
      const { preloads, runs } = helpers[0]!
      yield* (yield* runs.next).answer(Effect.succeed(exited(0)))
      yield* Fiber.join(first)
      yield* settle
      expect(preloads.inputs).toStrictEqual([{ recipes, areTried: false }])
      // Not twice, and one alone does not wait for it.
      yield* (yield* runs.next).answer(Effect.succeed(exited(0)))
      const third = yield* run(1)
      yield* (yield* runs.next).answer(Effect.succeed(exited(0)))
      yield* Fiber.join(third)
      expect([preloads.inputs.length, runs.inputs.length]).toStrictEqual([1, 3])
      yield* (yield* preloads.next).answer(Effect.undefined)
      yield* settle
      // The next helper imports them before it serves, the next agent's, too.
      const next = yield* again
      yield* next.expectUsers(1, 2)
      yield* next.run(1)
      const later = next.helpers.at(-1)!
      expect([later.preloads.inputs, later.runs.inputs]).toStrictEqual([[{ recipes, areTried: true }], []])
      yield* (yield* later.preloads.next).answer(Effect.undefined)
      yield* settle
      expect(later.runs.inputs.length).toBe(1)
    }),
  )

  it.effect.each([
    [
      "they are there",
      (helper: ScriptedHelper) => Effect.flatMap(helper.preloads.next, (one) => one.answer(Effect.undefined)),
    ],
    ["that takes longer than to import them oneself", () => TestClock.adjust("2 seconds")],
  ] as const)("lets most runs wait for recipes that are being imported, until %s", ([, end]) =>
    Effect.gen(function* () {
      const { helpers, run } = yield* importing
      // As many as there are other processors, and one more.
      const meanwhile = Math.max(1, processors() - 1)
      for (let count = 0; count <= meanwhile; count++) yield* run(1)
      yield* settle
      expect(helpers[0]!.runs.inputs.length).toBe(1 + meanwhile)
      yield* end(helpers[0]!)
      yield* settle
      expect(helpers[0]!.runs.inputs.length).toBe(2 + meanwhile)
    }),
  )

  it.effect("leaves recipes to the instances when they cannot be imported for all, also later", () =>
    Effect.gen(function* () {
      const { again, cold, helpers, warnings } = yield* importing
      yield* (yield* helpers[0]!.preloads.next).answer(Effect.succeed("an import prints something"))
      yield* settle
      const next = yield* again
      yield* next.expectUsers(1, 2, 3, 4)
      for (const _ of [1, 2]) {
        const fiber = yield* next.run(1)
        yield* (yield* next.helpers[0]!.runs.next).answer(Effect.succeed(exited(0)))
        yield* Fiber.join(fiber)
      }
      expect(next.helpers[0]?.preloads.inputs).toStrictEqual([])
      expect([cold.length, warnings.length]).toStrictEqual([0, 0])
    }),
  )

  it.effect("thinks nothing worse of recipes when their helper ends for another reason", () =>
    Effect.gen(function* () {
      const { buildout, expectUsers, helpers, root, run } = yield* importing
      // A partition of it has left for another release.
      yield* buildout.expect({ release: `${root}/other`, directory: `${root}/partition2`, credentials: user(2) })
      yield* (yield* helpers[0]!.preloads.next).answer(Effect.fail(broken))
      yield* settle
      yield* run(1)
      yield* expectUsers(1, 3, 4)
      yield* (yield* helpers[1]!.runs.next).answer(Effect.succeed(exited(0)))
      yield* settle
      expect(helpers[1]?.preloads.inputs.length).toBe(1)
    }),
  )

  it.effect("starts a helper without recipes when those of an earlier one fail", () =>
    Effect.gen(function* () {
      const { again, helpers } = yield* importing
      yield* (yield* helpers[0]!.preloads.next).answer(Effect.undefined)
      yield* settle
      const next = yield* again
      next.starts.reply = undefined
      yield* next.expectUsers(1, 2)
      yield* next.run(1)
      yield* (yield* next.starts.next).answer(Effect.void)
      yield* settle
      yield* (yield* next.helpers[0]!.preloads.next).answer(Effect.fail(broken))
      yield* (yield* next.starts.next).answer(Effect.void)
      yield* settle
      expect(next.helpers.map(({ runs }) => runs.inputs.length)).toStrictEqual([0, 1])
    }),
  )

  it.effect("keeps no helper with the user of a partition that has left for another release", () =>
    Effect.gen(function* () {
      const { buildout, expectUsers, helpers, root, run } = yield* machine
      yield* expectUsers(1, 2)
      const fiber = yield* run(1)
      yield* (yield* helpers[0]!.runs.next).answer(Effect.succeed(exited(0)))
      yield* Fiber.join(fiber)
      yield* buildout.expect({ release: `${root}/other`, directory: `${root}/partition1`, credentials: user(1) })
      yield* settle
      expect(helpers[0]?.isOpen).toBe(false)
    }),
  )

  it.effect.each<[string, (uid: number) => Partial<BuildoutRequest>]>([
    ["a partition's own script", () => ({ release: undefined as never })],
    ["what is no Python", () => ({ text: "#!/bin/bash\n" })],
    [
      "a release of root's",
      () => ({ release: { directory: "/r", owner: { uid: 0, gid: 0 }, users: Effect.succeed([]), hasOthers: true } }),
    ],
    ["a user in root's group", (uid) => ({ credentials: { ...user(uid), groups: [uid, 0] } })],
    ["a limit on a user's processes", () => ({ enclosure: { ...sessionEnclosure, maxProcesses: 100 } })],
  ])("is never used for %s", ([, changes]) =>
    Effect.gen(function* () {
      const { buildout, cold, expectUsers, helpers, request, run } = yield* machine
      const requests = [1, 2].map((uid) => request(uid, changes(uid)))
      yield* buildout.prepare(requests[0]!, requests)
      yield* expectUsers(1, 2)
      for (const uid of [1, 2]) yield* Fiber.join(yield* run(uid, changes(uid)))
      expect([cold.length, helpers.length]).toStrictEqual([2, 0])
    }),
  )
})
