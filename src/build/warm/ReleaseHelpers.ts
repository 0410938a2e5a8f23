// The helpers of one release, and who waits for them. One at a time serves; another takes its place when it has to
// become users that the first one does not map, or when files of the release have changed.
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type { Credentials } from "../../process/privileges.ts"
import { HelperError } from "../../process/warm/Conversation.ts"
import type { Recipes } from "../../process/warm/protocol.ts"
import type { Helper, HelperOptions, WarmHelpers } from "../../process/warm/WarmHelper.ts"
import type { Aside, SharedRelease } from "../Buildout.ts"
import type { PythonWords } from "../launcher.ts"
import { choose, type Generation, isWorthImporting, restAfter } from "./choose.ts"
import { eggFolders, type KnownRecipes } from "./recipes.ts"
import { largestOf, uniqueUsers } from "./users.ts"

/** An instance that can be warm. */
export interface Candidate {
  readonly directory: string
  readonly credentials: Credentials | undefined
  readonly script: string
  readonly shared: SharedRelease
  readonly python: PythonWords
  /** What the release's files are. */
  readonly stamp: string
}

export interface RunningGeneration extends Generation {
  uids: ReadonlySet<number> | undefined
  /** Users who have gone to another release since. */
  readonly left: Set<number>
  /** Done when it has begun to start, or has failed to. */
  readonly begun: Deferred.Deferred<void>
  readonly ready: Deferred.Deferred<Helper, HelperError>
  readonly scope: Scope.Closeable
  /** Those that it has imported. */
  recipes: Recipes
  /** Done when it no longer imports. */
  importing: Deferred.Deferred<void> | undefined
  /** Ends it, unless something comes to do. */
  idle: Fiber.Fiber<void> | undefined
  isRetired: boolean
  running: number
}

export interface Found {
  readonly candidate: Candidate
  readonly generation: RunningGeneration
}

export interface HelperParts {
  readonly helpers: WarmHelpers["Service"]
  readonly known: KnownRecipes
  /** Milliseconds without work after which a helper ends. */
  readonly idle: number
  /** How many runs go on while recipes are imported, which each of these has to import itself. */
  readonly meanwhile: number
  /** Where helpers and what follows them live. */
  readonly scope: Scope.Scope
  /** Where a helper of a release runs: made for it, and gone with its Scope. */
  readonly place: (
    release: string,
  ) => Effect.Effect<Pick<HelperOptions, "environment" | "enclosure">, never, Scope.Scope>
}

/** Milliseconds in which others may come: too few to be missed by one that then starts an interpreter of its own. */
const gathering = 30
/** How long a run waits for recipes that are being imported: about as long as it would take to import them itself. */
const importPatience = "2 seconds"

const superseded = new HelperError({ isBroken: false, message: "another one takes its place" })

export class ReleaseHelpers {
  readonly #parts: HelperParts
  /** By the instance's directory. */
  readonly #waiting = new Map<string, Credentials | undefined>()
  readonly #generations = new Set<RunningGeneration>()
  #failures = 0
  #trouble: { readonly stamp: string; readonly until: number } | undefined

  constructor(parts: HelperParts) {
    this.#parts = parts
  }

  /** An instance waits for its turn, or no longer does. */
  expect(directory: string, credentials: Credentials | undefined): void {
    this.#waiting.set(directory, credentials)
  }

  forget(directory: string): void {
    this.#waiting.delete(directory)
  }

  /** A helper maps the users of its own release's partitions, and of no other. */
  leave(uid: number): Effect.Effect<void> {
    for (const { left } of this.#generations) left.add(uid)
    return Effect.forEach(
      [...this.#generations].filter(({ uids }) => uids?.has(uid)),
      (generation) => this.#retire(generation),
      { discard: true },
    )
  }

  /** The helper that runs an instance, when that has started, and what it was found for; undefined: none. */
  find(look: Effect.Effect<Candidate | undefined>, aside: Aside = identity): Effect.Effect<Found | undefined> {
    return Effect.gen({ self: this }, function* () {
      const first = yield* look
      if (first === undefined) return undefined
      const { credentials, directory } = first
      this.expect(directory, credentials)
      const forget = Effect.sync(() => this.forget(directory))
      return yield* Effect.ensuring(this.#find(first, look, aside), forget)
    })
  }

  #find(first: Candidate, look: Effect.Effect<Candidate | undefined>, aside: Aside) {
    return Effect.gen({ self: this }, function* (): Effect.fn.Return<Found | undefined> {
      const { _tag } = yield* this.#choose(first, [])
      if (_tag === "Cold" && first.shared.hasOthers && this.#trouble === undefined) yield* Effect.sleep(gathering)
      let wait = aside
      // The release can be built anew meanwhile.
      for (let candidate: Candidate | undefined = first; candidate !== undefined; candidate = yield* look) {
        const generation = yield* this.prepare(candidate, [])
        if (generation === undefined) return undefined
        if (Deferred.isDoneUnsafe(generation.ready)) return { candidate, generation }
        const started = yield* wait(Effect.result(Deferred.await(generation.ready)))
        if (Result.isFailure(started) && started.failure !== superseded) return undefined
        // Once: a helper does not stay for those that wait for a turn.
        wait = identity
      }
      return undefined
    })
  }

  /** The same for one that will come soon, as others of these users do. */
  prepare(
    candidate: Candidate,
    planned: ReadonlyArray<Credentials | undefined>,
  ): Effect.Effect<RunningGeneration | undefined> {
    return Effect.gen({ self: this }, function* () {
      const { stamp } = candidate
      const choice = yield* this.#choose(candidate, planned)
      for (const one of this.#generations) if (one.stamp !== stamp) yield* this.#retire(one)
      if (choice._tag === "Start") return yield* this.#open(candidate, choice.replaces)
      return choice._tag === "Use" ? choice.generation : undefined
    })
  }

  /** Keeps a helper while it works. */
  using<A, E>(
    generation: RunningGeneration,
    work: (helper: Helper) => Effect.Effect<A, E>,
    aside: Aside = identity,
  ): Effect.Effect<A, E | HelperError> {
    const begin = Effect.suspend(() => {
      generation.running += 1
      return generation.idle === undefined ? Effect.void : Fiber.interrupt(generation.idle)
    })
    const end = Effect.suspend(() => {
      generation.running -= 1
      return this.#rest(generation)
    })
    return Effect.acquireUseRelease(
      begin,
      () =>
        Deferred.await(generation.ready).pipe(
          Effect.tap(() => this.#awaitRecipes(generation, aside)),
          Effect.flatMap(work),
        ),
      () => end,
    )
  }

  #awaitRecipes(generation: RunningGeneration, aside: Aside): Effect.Effect<void, HelperError> {
    const { importing, running } = generation
    if (importing === undefined || running <= this.#parts.meanwhile) return Effect.void
    return Effect.flatMap(aside(Effect.timeoutOption(Deferred.await(importing), importPatience)), () =>
      generation.isRetired ? superseded : Effect.void,
    )
  }

  /** An instance was built by a fork of the helper: recipes that it uses are imported for those that wait. */
  worked(candidate: Candidate, generation: RunningGeneration, helper: Helper): Effect.Effect<void> {
    const { known, scope } = this.#parts
    const { directory, shared, stamp } = candidate
    return Effect.gen({ self: this }, function* () {
      this.#failures = 0
      const found = yield* known.found(shared.directory, stamp, directory)
      const counts = { found: found.length, imported: generation.recipes.length, waiting: this.#waiting.size }
      if (
        !isWorthImporting({ ...counts, cost: helper.cost() }) ||
        generation.isRetired ||
        generation.importing !== undefined
      )
        return
      generation.importing = Deferred.makeUnsafe()
      yield* Effect.forkIn(this.#import(candidate, generation, helper, found, generation.importing), scope)
    })
  }

  #import(
    { shared, stamp }: Candidate,
    generation: RunningGeneration,
    helper: Helper,
    recipes: Recipes,
    done: Deferred.Deferred<void>,
  ): Effect.Effect<void> {
    const { known } = this.#parts
    return helper.preload(recipes, false).pipe(
      Effect.ensuring(Deferred.succeed(done, undefined)),
      Effect.flatMap((whyNot) => {
        if (whyNot !== undefined) return this.#avoid(shared.directory, stamp, whyNot)
        generation.recipes = recipes
        generation.importing = undefined
        return known.keep(shared.directory, stamp, recipes)
      }),
      Effect.catch((error) =>
        generation.isRetired
          ? Effect.void
          : // What went wrong half way may show in a run.
            Effect.andThen(this.#retire(generation), this.#avoid(shared.directory, stamp, error.message)),
      ),
    )
  }

  /** From now on recipes are imported by each instance. */
  #avoid(release: string, stamp: string, why: string): Effect.Effect<void> {
    return Effect.andThen(
      this.#parts.known.avoid(release, stamp),
      Effect.logInfo(`instances of ${release} import their recipes themselves: ${why}`),
    )
  }

  #choose({ credentials, stamp }: Candidate, planned: ReadonlyArray<Credentials | undefined>) {
    return Effect.map(Clock.currentTimeMillis, (now) => {
      if (this.#trouble !== undefined && now >= this.#trouble.until) this.#trouble = undefined
      const facts = {
        waiting: [...this.#waiting.values(), ...planned].map((user) => user?.uid),
        generations: [...this.#generations],
        trouble: this.#trouble?.stamp,
      }
      return choose(facts, credentials?.uid, stamp)
    })
  }

  /** All that wait and all other instances of the release, as far as one helper can hold them. */
  #users({ credentials, shared }: Candidate, generation: RunningGeneration): Effect.Effect<ReadonlyArray<Credentials>> {
    const { helpers } = this.#parts
    return Effect.map(shared.users, (instances) => {
      const all = uniqueUsers([credentials, ...this.#waiting.values(), ...instances])
      const wanted = all.filter(({ uid }) => !generation.left.has(uid))
      const users = largestOf(wanted, (some) => helpers.canHold({ owner: shared.owner, users: some }))
      generation.uids = new Set(users.map(({ uid }) => uid))
      return users
    })
  }

  #open(candidate: Candidate, replaced: ReadonlyArray<RunningGeneration>): Effect.Effect<RunningGeneration> {
    return Effect.gen({ self: this }, function* () {
      const generation: RunningGeneration = {
        uids: undefined,
        left: new Set(),
        stamp: candidate.stamp,
        begun: Deferred.makeUnsafe(),
        ready: Deferred.makeUnsafe(),
        scope: yield* Scope.fork(this.#parts.scope),
        recipes: [],
        importing: undefined,
        idle: undefined,
        isRetired: false,
        running: 0,
      }
      this.#generations.add(generation)
      yield* this.#start(candidate, generation).pipe(
        Effect.mapError((error) => (generation.isRetired ? superseded : error)),
        Effect.tap(() => Effect.forEach(replaced, (one) => this.#retire(one))),
        Effect.tapError((error) => Effect.andThen(this.#failed(candidate, error), this.#close(generation))),
        Effect.ensuring(Deferred.succeed(generation.begun, undefined)),
        Deferred.into(generation.ready),
        Effect.andThen(Deferred.await(generation.ready)),
        Effect.flatMap((helper) => this.#follow(candidate, generation, helper)),
        Effect.ignore,
        Effect.forkIn(this.#parts.scope),
      )
      return generation
    })
  }

  /** With the recipes that an earlier helper has imported; without, when that does not work any more. */
  #start(candidate: Candidate, generation: RunningGeneration) {
    const { helpers, known, place } = this.#parts
    const { credentials, python, script, shared, stamp } = candidate
    const confinement =
      credentials === undefined ? undefined : { owner: shared.owner, users: this.#users(candidate, generation) }
    const start = Effect.flatMap(place(shared.directory), (placed) =>
      helpers.start({
        script,
        interpreter: python.words,
        restoresNames: python.restoresNames,
        eggFolders: eggFolders(shared.directory),
        directory: shared.directory,
        confinement,
        onBegun: Deferred.succeed(generation.begun, undefined),
        ...placed,
      }),
    ).pipe(Scope.provide(generation.scope))
    const recipes = known.tried(shared.directory, stamp)
    if (recipes.length === 0) return start
    return Effect.flatMap(start, (helper) =>
      helper.preload(recipes, true).pipe(
        Effect.andThen(
          Effect.sync(() => {
            generation.recipes = recipes
            return helper
          }),
        ),
        Effect.catchIf(
          () => !generation.isRetired,
          (error) => Effect.andThen(this.#avoid(shared.directory, stamp, error.message), start),
        ),
      ),
    )
  }

  /** Until it is gone. */
  #follow(candidate: Candidate, generation: RunningGeneration, { gone }: Helper): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      yield* this.#rest(generation)
      const error = yield* gone
      if (generation.isRetired) return
      yield* this.#failed(candidate, error)
      yield* this.#close(generation)
    })
  }

  #failed({ shared, stamp }: Candidate, error: HelperError): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      if (!error.isBroken) return
      this.#failures += 1
      const pause = restAfter(this.#failures)
      this.#trouble = { stamp, until: (yield* Clock.currentTimeMillis) + pause }
      yield* Effect.logWarning(
        `instances of ${shared.directory} are built without a warm helper for ${pause / 1000} s: ${error.message}`,
      )
    })
  }

  /** It takes no more runs. */
  #retire(generation: RunningGeneration): Effect.Effect<void> {
    return Effect.suspend(() => {
      generation.isRetired = true
      return this.#rest(generation)
    })
  }

  /** What has nothing to do ends: at once when it is replaced, else after a while. */
  #rest(generation: RunningGeneration): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { idle, scope } = this.#parts
      if (generation.running > 0) return Effect.void
      const closing = this.#close(generation)
      // Not in the generation's own Scope: that one waits for what runs in it.
      if (generation.isRetired) return Effect.asVoid(Effect.forkIn(closing, scope))
      return Effect.map(Effect.forkIn(Effect.delay(closing, idle), scope), (fiber) => {
        generation.idle = fiber
      })
    })
  }

  #close(generation: RunningGeneration): Effect.Effect<void> {
    return Effect.suspend(() => {
      generation.isRetired = true
      this.#generations.delete(generation)
      return Scope.close(generation.scope, Exit.void)
    })
  }
}
