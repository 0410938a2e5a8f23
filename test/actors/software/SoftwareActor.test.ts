// One release's actor with builds that end when the test says so.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import type { SoftwareOrder } from "../../../src/actors/software/decide.ts"
import { SoftwareActors } from "../../../src/actors/software/SoftwareActor.ts"
import type { BuildMode } from "../../../src/build/profile.ts"
import { BuildError } from "../../../src/build/BuildError.ts"
import type { BuildProgress } from "../../../src/build/progress.ts"
import { SoftwareBuild } from "../../../src/build/SoftwareBuild.ts"
import type { SoftwareRequestedState } from "../../../src/domain/DesiredState.ts"
import type { SoftwareUrl } from "../../../src/domain/ids.ts"
import { StatusBoard } from "../../../src/report/StatusBoard.ts"
import { Calls, settle } from "../../support/Calls.ts"
import { desiredSoftware, nodeConfig, release, softwareUrl } from "../../support/facts.ts"
import { ScriptedClient, unreachable } from "../support.ts"

const broken = new BuildError({ reason: "Failed", message: "buildout failed:\nno such recipe" })

class ScriptedBuild {
  readonly completed = new Set<SoftwareUrl>()
  readonly builds = new Calls<
    {
      readonly url: SoftwareUrl
      readonly mode: BuildMode
      readonly watch: (progress: Effect.Effect<BuildProgress>) => Effect.Effect<never>
    },
    void,
    BuildError
  >()
  readonly removals = new Calls<SoftwareUrl, void, BuildError>()

  get layer() {
    return Layer.succeed(
      SoftwareBuild,
      SoftwareBuild.of({
        isCompleted: (url) => Effect.sync(() => this.completed.has(url)),
        build: (url, mode, watch) => this.builds.call({ url, mode, watch }),
        reopen: (url) => Effect.sync(() => void this.completed.delete(url)),
        collect: () => Effect.succeed({ removed: [], failures: [] }),
        complete: (url) => Effect.sync(() => void this.completed.add(url)),
        destroy: this.removals.call,
      }),
    )
  }
}

const running = Effect.fnUntraced(function* (url = release) {
  const client = new ScriptedClient()
  const build = new ScriptedBuild()
  const context = yield* Layer.build(
    SoftwareActors.layer.pipe(Layer.provide(build.layer), Layer.provideMerge(client.layer(nodeConfig()))),
  )
  const actors = Context.get(context, SoftwareActors)
  const board = Context.get(context, StatusBoard)
  const ready: Array<boolean> = []
  const scope = yield* Scope.make()
  const actor = yield* Scope.provide(
    actors.make({ url, onReady: (isReady) => Effect.sync(() => void ready.push(isReady)), users: Effect.succeed([]) }),
    scope,
  )
  const wants = (requested: SoftwareRequestedState, nudge = 0, order?: SoftwareOrder) =>
    Effect.andThen(actor.tell({ software: desiredSoftware({ url, requested }), nudge, order }), settle)
  const status = Effect.map(board.get, ({ software }) => software.find((one) => one.url === url))
  return { actor, actors, board, build, client, ready, wants, status, close: Scope.close(scope, Exit.void) }
})

describe("available", () => {
  it.effect("is built, told, marked and ready", () =>
    Effect.gen(function* () {
      const { build, client, ready, status, wants } = yield* running()
      yield* wants("available")
      expect((yield* status)?.state).toBe("building")
      expect([client.told, ready]).toStrictEqual([["building"], []])
      yield* (yield* build.builds.next).answer(Effect.void)
      yield* settle
      expect((yield* status)?.state).toBe("available")
      expect([client.told, ready, [...build.completed]]).toStrictEqual([["building", "available"], [true], [release]])
      yield* wants("available", 1)
      expect(build.builds.inputs).toHaveLength(1)
    }),
  )

  it.effect("is ready at once when an earlier build was completed", () =>
    Effect.gen(function* () {
      const { build, client, ready, status, wants } = yield* running()
      build.completed.add(release)
      yield* wants("available")
      expect([ready, client.told, build.builds.inputs]).toStrictEqual([[true], [], []])
      expect((yield* status)?.state).toBe("available")
    }),
  )

  it.effect("is ready for instances while the master is away, but marked only when it knows", () =>
    Effect.gen(function* () {
      const { build, client, ready, wants } = yield* running()
      client.reports.reply = () => Effect.fail(unreachable)
      yield* wants("available")
      yield* (yield* build.builds.next).answer(Effect.void)
      yield* settle
      expect([ready, build.completed.size]).toStrictEqual([[true], 0])
      client.reports.reply = () => Effect.void
      yield* TestClock.adjust("1 minute")
      yield* settle
      expect([client.told.at(-1), build.completed.size]).toStrictEqual(["available", 1])
    }),
  )

  it.effect("shows what it is at while it is built", () =>
    Effect.gen(function* () {
      const { build, status, wants } = yield* running()
      yield* wants("available")
      const { answer, input } = yield* build.builds.next
      let now: BuildProgress = { part: undefined, lastLines: [] }
      yield* Effect.forkScoped(input.watch(Effect.sync(() => now)))
      yield* settle
      yield* TestClock.adjust(500)
      expect(yield* status).toMatchObject({ state: "building", part: undefined, since: 0 })
      now = { part: "part", lastLines: ["Installing part."] }
      yield* TestClock.adjust(500)
      expect(yield* status).toMatchObject({ state: "building", ...now, since: 0 })
      yield* answer(Effect.void)
    }),
  )
})

describe("a failed build", () => {
  it.effect("is told and tried again with backoff", () =>
    Effect.gen(function* () {
      const { build, client, ready, status, wants } = yield* running()
      yield* wants("available")
      for (const delay of [5000, 10_000, 20_000]) {
        yield* (yield* build.builds.next).answer(Effect.fail(broken))
        yield* settle
        expect(yield* status).toMatchObject({ state: "failed", error: broken.message })
        expect(client.reports.inputs.at(-1)).toStrictEqual({
          _tag: "Software",
          url: release,
          state: "error",
          log: broken.message,
        })
        yield* TestClock.adjust(delay * 0.74)
        expect(build.builds.untaken).toBe(0)
        yield* TestClock.adjust(delay * 0.52)
      }
      yield* (yield* build.builds.next).answer(Effect.void)
      yield* settle
      expect([(yield* status)?.error, ready, build.completed.size]).toStrictEqual([undefined, [true], 1])
    }),
  )

  it.effect("is tried at once when somebody asks", () =>
    Effect.gen(function* () {
      const { build, wants } = yield* running()
      yield* wants("available")
      yield* (yield* build.builds.next).answer(Effect.fail(broken))
      yield* settle
      yield* wants("available", 1)
      yield* build.builds.next
    }),
  )

  it.effect("is removed at once when it is no longer wanted", () =>
    Effect.gen(function* () {
      const { build, client, ready, status, wants } = yield* running()
      yield* wants("available")
      yield* (yield* build.builds.next).answer(Effect.fail(broken))
      yield* settle
      yield* wants("destroyed")
      expect((yield* status)?.state).toBe("destroying")
      yield* (yield* build.removals.next).answer(Effect.void)
      yield* settle
      expect([(yield* status)?.state, client.told.at(-1), ready]).toStrictEqual(["destroyed", "destroyed", [false]])
    }),
  )
})

describe("another wish", () => {
  it.effect("cancels a build under way and is followed, once", () =>
    Effect.gen(function* () {
      const { build, ready, status, wants } = yield* running()
      yield* wants("available")
      const { interrupted } = yield* build.builds.next
      yield* wants("destroyed")
      yield* interrupted
      yield* (yield* build.removals.next).answer(Effect.void)
      yield* settle
      expect([(yield* status)?.state, build.builds.inputs.length, ready]).toStrictEqual(["destroyed", 1, [false]])
    }),
  )

  it.effect("and back again builds again, and only then tells that it is ready", () =>
    Effect.gen(function* () {
      const { build, client, ready, wants } = yield* running()
      yield* wants("available")
      yield* build.builds.next
      yield* wants("destroyed")
      const removal = yield* build.removals.next
      yield* wants("available")
      yield* removal.interrupted
      const again = yield* build.builds.next
      expect(ready).toStrictEqual([false])
      yield* again.answer(Effect.void)
      yield* settle
      expect([ready, client.told.at(-1)]).toStrictEqual([[false, true], "available"])
    }),
  )

  it.effect("a removal forgets that the master was still to be told of the build", () =>
    Effect.gen(function* () {
      const { build, client, wants } = yield* running()
      client.reports.reply = () => Effect.fail(unreachable)
      yield* wants("available")
      yield* (yield* build.builds.next).answer(Effect.void)
      yield* settle
      yield* wants("destroyed")
      yield* (yield* build.removals.next).answer(Effect.void)
      yield* settle
      client.reports.reply = () => Effect.void
      yield* TestClock.adjust("2 minutes")
      yield* settle
      expect([client.told.at(-1), build.completed.size]).toStrictEqual(["destroyed", 0])
    }),
  )

  it.effect("the same wish told again disturbs nothing", () =>
    Effect.gen(function* () {
      const { build, wants } = yield* running()
      yield* wants("available")
      const { answer } = yield* build.builds.next
      yield* wants("available", 1)
      yield* wants("available", 2)
      yield* answer(Effect.void)
      yield* settle
      expect(build.builds.inputs).toHaveLength(1)
    }),
  )
})

describe("an order", () => {
  const ordinary = (id: number): SoftwareOrder => ({ id, isForced: false, isDebug: false })
  const forced = (id: number): SoftwareOrder => ({ id, isForced: true, isDebug: true })

  it.effect("about what is built already is answered at once", () =>
    Effect.gen(function* () {
      const { actor, build, wants } = yield* running()
      build.completed.add(release)
      yield* wants("available", 0, ordinary(1))
      expect(yield* actor.outcome(1)).toStrictEqual({ requested: "available", error: undefined })
      expect(build.builds.inputs).toStrictEqual([])
    }),
  )

  it.effect("is answered when the work ends, and not before", () =>
    Effect.gen(function* () {
      const { actor, build, wants } = yield* running()
      yield* wants("available", 0, ordinary(1))
      const answer = yield* Effect.forkScoped(actor.outcome(1))
      const { answer: end } = yield* build.builds.next
      yield* settle
      expect(answer.pollUnsafe()).toBeUndefined()
      yield* end(Effect.fail(broken))
      expect(yield* Fiber.join(answer)).toStrictEqual({ requested: "available", error: broken.message })
    }),
  )

  it.effect("has failed work tried again at once, each order once", () =>
    Effect.gen(function* () {
      const { actor, build, wants } = yield* running()
      yield* wants("available")
      yield* (yield* build.builds.next).answer(Effect.fail(broken))
      yield* settle
      for (const id of [1, 2]) {
        yield* wants("available", 0, ordinary(id))
        yield* (yield* build.builds.next).answer(Effect.fail(broken))
        expect((yield* actor.outcome(id)).error).toBe(broken.message)
        yield* wants("available", 0, ordinary(id))
        expect(build.builds.untaken).toBe(0)
      }
    }),
  )

  it.effect("that forces builds what is built, no instance uses it meanwhile, and a failure leaves it unbuilt", () =>
    Effect.gen(function* () {
      const { actor, build, ready, wants } = yield* running()
      build.completed.add(release)
      yield* wants("available")
      yield* wants("available", 0, forced(1))
      const first = yield* build.builds.next
      expect(first.input.mode).toStrictEqual({ isForced: true, isDebug: true })
      expect([ready, build.completed.size]).toStrictEqual([[true, false], 0])
      yield* first.answer(Effect.fail(broken))
      expect((yield* actor.outcome(1)).error).toBe(broken.message)
      yield* TestClock.adjust("10 seconds")
      const second = yield* build.builds.next
      expect(second.input.mode.isForced).toBe(true)
      yield* second.answer(Effect.void)
      yield* settle
      expect([ready, build.completed.size]).toStrictEqual([[true, false, false, true], 1])
      expect((yield* actor.outcome(1)).error).toBeUndefined()
      yield* wants("available", 3, forced(1))
      expect(build.builds.untaken).toBe(0)
    }),
  )

  it.effect("that forces does not use a build that began before it", () =>
    Effect.gen(function* () {
      const { build, wants } = yield* running()
      yield* wants("available")
      const first = yield* build.builds.next
      yield* wants("available", 0, forced(1))
      yield* first.answer(Effect.void)
      expect((yield* build.builds.next).input.mode.isForced).toBe(true)
    }),
  )

  it.effect("forces nothing that is to go", () =>
    Effect.gen(function* () {
      const { actor, build, wants } = yield* running()
      yield* wants("destroyed", 0, forced(1))
      yield* (yield* build.removals.next).answer(Effect.void)
      expect(yield* actor.outcome(1)).toStrictEqual({ requested: "destroyed", error: undefined })
      yield* wants("available", 0, forced(1))
      expect((yield* build.builds.next).input.mode.isForced).toBe(false)
    }),
  )

  it.effect("is answered when nobody wants anything any more", () =>
    Effect.gen(function* () {
      const { actor, build, close, wants } = yield* running()
      yield* wants("available", 0, ordinary(1))
      const answer = yield* Effect.forkScoped(actor.outcome(1))
      yield* build.builds.next
      yield* close
      expect(yield* Fiber.join(answer)).toStrictEqual({ requested: undefined, error: undefined })
    }),
  )
})

describe("releases among each other", () => {
  it.effect("one is built at a time; a failure lets the next begin", () =>
    Effect.gen(function* () {
      const { actors, board, build, wants } = yield* running()
      const other = softwareUrl("/other.cfg")
      const second = yield* actors.make({ url: other, onReady: () => Effect.void, users: Effect.succeed([]) })
      yield* wants("available")
      yield* second.tell({ software: desiredSoftware({ url: other }), nudge: 0, order: undefined })
      yield* settle
      expect((yield* board.get).software.map(({ state }) => state)).toStrictEqual(["waiting", "building"])
      const first = yield* build.builds.next
      expect(build.builds.untaken).toBe(0)
      yield* first.answer(Effect.fail(broken))
      expect((yield* build.builds.next).input.url).toBe(other)
      expect((yield* board.get).software.map(({ state }) => state)).toStrictEqual(["building", "failed"])
    }),
  )

  it.effect("one that waits for its turn can be cancelled without ever beginning", () =>
    Effect.gen(function* () {
      const { actors, build, client, wants } = yield* running()
      const other = softwareUrl("/other.cfg")
      const second = yield* actors.make({ url: other, onReady: () => Effect.void, users: Effect.succeed([]) })
      yield* wants("available")
      yield* second.tell({ software: desiredSoftware({ url: other }), nudge: 0, order: undefined })
      yield* settle
      yield* second.tell({
        software: desiredSoftware({ url: other, requested: "destroyed" }),
        nudge: 0,
        order: undefined,
      })
      expect((yield* build.removals.next).input).toBe(other)
      expect(client.told).toStrictEqual(["building"])
    }),
  )
})

it.effect("the end of the scope cancels a build", () =>
  Effect.gen(function* () {
    const { build, close, wants } = yield* running()
    yield* wants("available")
    const { interrupted } = yield* build.builds.next
    yield* close
    yield* interrupted
  }),
)
