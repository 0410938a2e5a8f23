// Whatever the master wants one after the other, whatever fails or crashes and however it falls together: a release ends
// as it was wanted last, one thing at a time is done to its directory, and nothing half done is taken for complete.
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import * as fc from "fast-check"
import { expect, it } from "vitest"
import type { SoftwareWish } from "../../../src/actors/software/decide.ts"
import { SoftwareActors } from "../../../src/actors/software/SoftwareActor.ts"
import { BuildError } from "../../../src/build/BuildError.ts"
import { SoftwareBuild } from "../../../src/build/SoftwareBuild.ts"
import { StatusBoard } from "../../../src/report/StatusBoard.ts"
import { settle } from "../../support/Calls.ts"
import { desiredSoftware, nodeConfig, release } from "../../support/facts.ts"
import { fuzz } from "../../support/fuzz.ts"
import { ScriptedClient, unreachable } from "../support.ts"

type End = "well" | "badly" | "crash"
type Event =
  | { readonly _tag: "Wish"; readonly requested: "available" | "destroyed" }
  | { readonly _tag: "Nudge" }
  | { readonly _tag: "Order"; readonly isForced: boolean }
  | { readonly _tag: "Finish"; readonly how: End }
  | { readonly _tag: "Master"; readonly how: "away" | "slow" | "well" }
  | { readonly _tag: "Later"; readonly seconds: number }
  /** Telling that the release can be used, or no longer can, crashes once. */
  | { readonly _tag: "Trip" }

const answers = { away: Effect.fail(unreachable), slow: Effect.sleep("30 seconds"), well: Effect.void }

/** An event, and how many times fibers get their turn before the next one. */
const events = fc.array(
  fc.tuple(
    fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ _tag: fc.constant("Wish"), requested: fc.constantFrom("available", "destroyed") }),
      },
      { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Nudge") }) },
      { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Order"), isForced: fc.boolean() }) },
      {
        weight: 4,
        arbitrary: fc.record({ _tag: fc.constant("Finish"), how: fc.constantFrom("well", "badly", "crash") }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ _tag: fc.constant("Master"), how: fc.constantFrom("away", "slow", "well") }),
      },
      { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Later"), seconds: fc.integer({ min: 0, max: 120 }) }) },
      { weight: 1, arbitrary: fc.record({ _tag: fc.constant("Trip") }) },
    ) as fc.Arbitrary<Event>,
    fc.constantFrom(0, 1, 2, 3, 5, 8, 50, 50),
  ),
  { maxLength: 40, size: "max" },
)

/** A directory, and the work on it that ends when the test says so. */
class Directory {
  state: "absent" | "partial" | "whole" = "absent"
  isCompleted = false
  /** Whether instances are installed from it. */
  isReady = false
  trips = false
  /** What must never happen. */
  readonly violations: Array<string> = []
  #end: Deferred.Deferred<End> | undefined

  get isBusy(): boolean {
    return this.#end !== undefined
  }

  finish(how: End): Effect.Effect<void> {
    return this.#end === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(this.#end, how))
  }

  #work(begin: () => void, well: () => void): Effect.Effect<void, BuildError> {
    const acquire = Effect.sync(() => {
      if (this.#end !== undefined) this.violations.push("two at once")
      this.#end = Deferred.makeUnsafe<End>()
      begin()
      return this.#end
    })
    return Effect.acquireUseRelease(
      acquire,
      (end) =>
        Effect.flatMap(Deferred.await(end), (how) => {
          if (how === "crash") return Effect.die("a defect")
          if (how === "badly") return new BuildError({ reason: "Failed", message: "it failed" })
          return Effect.sync(well)
        }),
      // Its end takes a while.
      () =>
        Effect.andThen(
          settle,
          Effect.sync(() => void (this.#end = undefined)),
        ),
    )
  }

  get layer(): Layer.Layer<SoftwareBuild> {
    return Layer.succeed(
      SoftwareBuild,
      SoftwareBuild.of({
        isCompleted: () => Effect.sync(() => this.isCompleted),
        build: () =>
          this.#work(
            () => {
              if (this.isCompleted || this.isReady) this.violations.push("a build of what is used")
              this.state = "partial"
            },
            () => void (this.state = "whole"),
          ),
        complete: () =>
          Effect.sync(() => {
            if (this.state !== "whole") this.violations.push(`${this.state}, but complete`)
            this.isCompleted = true
          }),
        reopen: () => Effect.sync(() => void (this.isCompleted = false)),
        destroy: () =>
          this.#work(
            () => {
              this.state = "absent"
              this.isCompleted = false
            },
            () => undefined,
          ),
        collect: () => Effect.die("not to be called"),
      }),
    )
  }
}

const live = Effect.fnUntraced(function* (script: ReadonlyArray<readonly [Event, number]>) {
  const directory = new Directory()
  const client = new ScriptedClient()
  const context = yield* Layer.build(
    SoftwareActors.layer.pipe(Layer.provide(directory.layer), Layer.provideMerge(client.layer(nodeConfig()))),
  )
  const actor = yield* Context.get(context, SoftwareActors).make({
    url: release,
    users: Effect.succeed([]),
    onReady: (ready) =>
      Effect.suspend(() => {
        if (directory.trips) {
          directory.trips = false
          return Effect.die("a defect")
        }
        if (ready && directory.state !== "whole") directory.violations.push(`ready, but ${directory.state}`)
        directory.isReady = ready
        return Effect.void
      }),
  })
  let wish: SoftwareWish = { software: desiredSoftware({ requested: "destroyed" }), nudge: 0, order: undefined }
  const tell = (changes: Partial<SoftwareWish>) => actor.tell((wish = { ...wish, ...changes }))
  const happen = (event: Event): Effect.Effect<void> => {
    switch (event._tag) {
      case "Wish":
        return tell({ software: desiredSoftware({ requested: event.requested }) })
      case "Nudge":
        return tell({ nudge: wish.nudge + 1 })
      case "Order":
        return tell({ order: { id: (wish.order?.id ?? 0) + 1, isForced: event.isForced, isDebug: false } })
      case "Finish":
        return directory.finish(event.how)
      case "Master":
        return Effect.sync(() => void (client.reports.reply = () => answers[event.how]))
      case "Later":
        return TestClock.adjust(event.seconds * 1000)
      case "Trip":
        return Effect.sync(() => void (directory.trips = true))
    }
  }
  yield* tell({})
  for (const [event, turns] of script) {
    yield* happen(event)
    for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
  }
  // From now on all goes well.
  yield* happen({ _tag: "Master", how: "well" })
  for (let round = 0; round < 8; round++) {
    yield* settle
    yield* directory.finish("well")
    yield* settle
    yield* settle
    yield* TestClock.adjust("20 minutes")
  }
  const [status] = (yield* Context.get(context, StatusBoard).get).software
  const outcome = yield* actor.outcome(wish.order?.id ?? 0)
  return {
    violations: directory.violations,
    isBusy: directory.isBusy,
    directory: directory.state,
    isCompleted: directory.isCompleted,
    isReady: directory.isReady,
    state: status?.state,
    error: status?.error ?? outcome.error,
    told: client.told.at(-1),
    wanted: wish.software.requested,
  }
})

it("a release ends as it was wanted last", async () => {
  await fc.assert(
    fc.asyncProperty(events, async (script) => {
      const { wanted, ...end } = await Effect.runPromise(
        live(script).pipe(Effect.scoped, Effect.provide([TestClock.layer(), Logger.layer([])])),
      )
      const isWanted = wanted === "available"
      expect(end).toStrictEqual({
        violations: [],
        isBusy: false,
        directory: isWanted ? "whole" : "absent",
        isCompleted: isWanted,
        isReady: isWanted,
        state: wanted,
        error: undefined,
        told: wanted,
      })
    }),
    fuzz(17, 400),
  )
})
