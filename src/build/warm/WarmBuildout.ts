// Buildouts of instances in forks of a helper that has imported the release's buildout already; everything else, and
// whatever a helper fails to do, in an interpreter of its own. Only a release's own `bin/buildout` is ever warm: what
// lies in a partition is the partition's.
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { NodeConfig } from "../../config/NodeConfig.ts"
import { inheritedEnvironment, stampOf } from "../../files/machine.ts"
import { Containment } from "../../process/containment/Containment.ts"
import type { Credentials } from "../../process/privileges.ts"
import { succeeding } from "../../process/Spawner.ts"
import type { HelperError } from "../../process/warm/Conversation.ts"
import { type Confinement, type Helper, type HelperOptions, WarmHelpers } from "../../process/warm/WarmHelper.ts"
import { Buildout, type BuildoutRequest, commandOf, explained, makeColdRun, type SharedRelease } from "../Buildout.ts"
import { buildEnvironment } from "../environment.ts"
import { pathsIn, type PythonWords, pythonOf } from "../launcher.ts"
import { choose, type Generation, isWorthRenewing, restAfter } from "./choose.ts"
import { eggFolders, makeKnownRecipes, type Recipe } from "./recipes.ts"

interface RunningGeneration extends Generation {
  readonly confinement: Confinement | undefined
  /** Those that it has imported. */
  recipes: ReadonlyArray<Recipe>
  readonly ready: Deferred.Deferred<Helper, HelperError>
  readonly scope: Scope.Closeable
  /** Ends it, unless something comes to do. */
  idle: Fiber.Fiber<void> | undefined
  isRetired: boolean
  running: number
}

interface Release {
  /** By the instance's directory. */
  readonly waiting: Map<string, Credentials | undefined>
  readonly generations: Set<RunningGeneration>
  failures: number
  isRenewing: boolean
  /** Files of the release with which recipes cannot be imported beforehand. */
  unpreloadable: string | undefined
  trouble: { readonly stamp: string; readonly until: number } | undefined
}

/** A request that can be warm. */
interface Candidate {
  readonly request: BuildoutRequest
  readonly shared: SharedRelease
  readonly python: PythonWords
  readonly stamp: string
}

export const layerWarm = Layer.effect(
  Buildout,
  Effect.gen(function* () {
    const runCold = yield* makeColdRun
    const warm = yield* makeWarm
    const run = Effect.fn("Buildout.run")(function* (request: BuildoutRequest) {
      const isDone = yield* warm.run(request)
      if (!isDone) yield* runCold(request)
    })
    return Buildout.of({ run, expect: warm.expect })
  }),
)

/** Whether somebody can be mapped into a namespace in which nobody is root. */
const isOrdinary = ({ gid, groups, uid }: { uid: number; gid: number; groups?: ReadonlyArray<number> }): boolean =>
  uid !== 0 && gid !== 0 && groups?.includes(0) !== true

const makeWarm = Effect.gen(function* () {
  const { instanceRoot, warmIdle } = yield* NodeConfig
  const known = yield* makeKnownRecipes(instanceRoot)
  const containment = yield* Containment
  const helpers = yield* WarmHelpers
  const scope = yield* Effect.scope
  const inherited = inheritedEnvironment()
  const releases = new Map<string, Release>()

  const releaseAt = (directory: string): Release => {
    const known = releases.get(directory)
    if (known !== undefined) return known
    const made: Release = {
      waiting: new Map(),
      generations: new Set(),
      failures: 0,
      isRenewing: false,
      unpreloadable: undefined,
      trouble: undefined,
    }
    releases.set(directory, made)
    return made
  }

  const close = (release: Release, generation: RunningGeneration) =>
    Effect.suspend(() => {
      generation.isRetired = true
      release.generations.delete(generation)
      return Scope.close(generation.scope, Exit.void)
    })

  /** What has nothing to do ends: at once when it is replaced, else after a while. */
  const rest = (release: Release, generation: RunningGeneration) =>
    Effect.suspend(() => {
      if (generation.running > 0) return Effect.void
      const closing = close(release, generation)
      // Not in the generation's own Scope: that one waits for what runs in it.
      if (generation.isRetired) return Effect.asVoid(Effect.forkIn(closing, scope))
      return Effect.map(Effect.forkIn(Effect.delay(closing, warmIdle), scope), (fiber) => {
        generation.idle = fiber
      })
    })

  const retire = (release: Release, generation: RunningGeneration) =>
    Effect.suspend(() => {
      generation.isRetired = true
      return rest(release, generation)
    })

  const failed = Effect.fnUntraced(function* (release: Release, { shared, stamp }: Candidate, error: HelperError) {
    if (!error.isBroken) return
    release.failures += 1
    const pause = restAfter(release.failures)
    release.trouble = { stamp, until: (yield* Clock.currentTimeMillis) + pause }
    yield* Effect.logWarning(
      `instances of ${shared.directory} are built without a warm helper for ${pause / 1000} s: ${error.message}`,
    )
  })

  const optionsOf = (
    { python, request, shared }: Candidate,
    { confinement, recipes }: Pick<RunningGeneration, "confinement" | "recipes">,
  ): HelperOptions => ({
    script: request.script,
    interpreter: python.words,
    restoresNames: python.restoresNames,
    preload: { recipes, folders: eggFolders(shared.directory) },
    directory: shared.directory,
    environment: buildEnvironment(inherited, shared.directory, request.instanceRoot),
    confinement,
    enclosure: containment.enclosure(shared.directory, `warm ${++generationCount}`),
  })
  let generationCount = 0

  /** For all that wait and all other instances of the release, as far as one helper can hold them. */
  const prepare = Effect.fnUntraced(function* (
    release: Release,
    { request, shared, stamp }: Candidate,
    instances: ReadonlyArray<Credentials>,
  ) {
    const wanted = [request.credentials, ...release.waiting.values(), ...instances]
    const users = largestOf(uniqueUsers(wanted), (users) => helpers.canHold({ owner: shared.owner, users }))
    const generation: RunningGeneration = {
      uids: request.credentials === undefined ? undefined : new Set(users.map(({ uid }) => uid)),
      confinement: request.credentials === undefined ? undefined : { owner: shared.owner, users },
      stamp,
      recipes: release.unpreloadable === stamp ? [] : known.of(shared.directory, stamp),
      ready: Deferred.makeUnsafe(),
      scope: yield* Scope.fork(scope),
      idle: undefined,
      isRetired: false,
      running: 0,
    }
    return generation
  })

  const start = (candidate: Candidate, generation: RunningGeneration) =>
    Scope.provide(helpers.start(optionsOf(candidate, generation)), generation.scope)

  /** Keeps recipes that cannot be imported beforehand to the instances that use them. */
  const avoidRecipes = (release: Release, { shared, stamp }: Candidate, error: HelperError) =>
    Effect.suspend(() => {
      release.unpreloadable = stamp
      return Effect.logInfo(`instances of ${shared.directory} import their recipes themselves: ${error.message}`)
    })

  const startWithRecipes = (release: Release, candidate: Candidate, generation: RunningGeneration) =>
    start(candidate, generation).pipe(
      Effect.catchIf(
        () => generation.recipes.length > 0,
        (error) =>
          Effect.andThen(
            avoidRecipes(release, candidate, error),
            Effect.suspend(() => {
              generation.recipes = []
              return start(candidate, generation)
            }),
          ),
      ),
    )

  /** Until it is gone. */
  const follow = (release: Release, candidate: Candidate, generation: RunningGeneration, { gone }: Helper) =>
    Effect.gen(function* () {
      yield* rest(release, generation)
      const error = yield* gone
      if (generation.isRetired) return
      yield* failed(release, candidate, error)
      yield* close(release, generation)
    })

  /** A helper that others wait for. */
  const open = Effect.fnUntraced(function* (
    release: Release,
    candidate: Candidate,
    replaced: ReadonlyArray<RunningGeneration>,
    instances: ReadonlyArray<Credentials>,
  ) {
    const generation = yield* prepare(release, candidate, instances)
    release.generations.add(generation)
    yield* startWithRecipes(release, candidate, generation).pipe(
      Effect.tap(() => Effect.forEach(replaced, (one) => retire(release, one))),
      Effect.tapError((error) => Effect.andThen(failed(release, candidate, error), close(release, generation))),
      Deferred.into(generation.ready),
      Effect.andThen(Deferred.await(generation.ready)),
      Effect.flatMap((helper) => follow(release, candidate, generation, helper)),
      Effect.ignore,
      Effect.forkIn(scope),
    )
    return generation
  })

  /** One with more recipes, in the place of those that go on until it is ready. */
  const renew = Effect.fnUntraced(function* (release: Release, candidate: Candidate) {
    const instances = candidate.request.credentials === undefined ? [] : yield* candidate.shared.users
    const generation = yield* prepare(release, candidate, instances)
    const started = yield* Effect.result(start(candidate, generation))
    if (Result.isFailure(started)) {
      yield* avoidRecipes(release, candidate, started.failure)
      return yield* close(release, generation)
    }
    const replaced = [...release.generations]
    yield* Deferred.succeed(generation.ready, started.success)
    release.generations.add(generation)
    yield* Effect.forEach(replaced, (one) => retire(release, one))
    yield* Effect.forkIn(follow(release, candidate, generation, started.success), scope)
  })

  /** Looks at what an instance is made of: recipes that are new are imported for those that wait. */
  const learn = Effect.fnUntraced(function* (release: Release, candidate: Candidate, generation: RunningGeneration) {
    const { request, shared, stamp } = candidate
    yield* known.learn(shared.directory, stamp, request.directory)
    const isWorth = isWorthRenewing({
      known: known.of(shared.directory, stamp).length,
      imported: generation.recipes.length,
      waiting: release.waiting.size,
    })
    if (!isWorth || generation.isRetired || release.isRenewing || release.unpreloadable === stamp) return
    release.isRenewing = true
    const renewed = Effect.sync(() => void (release.isRenewing = false))
    yield* Effect.forkIn(Effect.ensuring(renew(release, candidate), renewed), scope)
  })

  const chooseFor = Effect.fnUntraced(function* (release: Release, { request, stamp }: Candidate) {
    const now = yield* Clock.currentTimeMillis
    const facts = {
      waiting: [...release.waiting.values()].map((user) => user?.uid),
      generations: [...release.generations],
      trouble: release.trouble !== undefined && now < release.trouble.until ? release.trouble.stamp : undefined,
    }
    return choose(facts, request.credentials?.uid, stamp)
  })

  const find = Effect.fnUntraced(function* (release: Release, candidate: Candidate) {
    const { request, shared, stamp } = candidate
    const isStart = (yield* chooseFor(release, candidate))._tag === "Start"
    const instances = isStart && request.credentials !== undefined ? yield* shared.users : []
    // Again: somebody else can have started one meanwhile.
    const choice = yield* chooseFor(release, candidate)
    for (const one of release.generations) if (one.stamp !== stamp) yield* retire(release, one)
    switch (choice._tag) {
      case "Cold":
        return undefined
      case "Use":
        return choice.generation
      case "Start":
        return yield* open(release, candidate, choice.replaces, instances)
    }
  })

  /** True when buildout has run. */
  const run = Effect.fnUntraced(function* (request: BuildoutRequest) {
    const candidate = yield* candidateOf(request)
    if (candidate === undefined) return false
    const release = releaseAt(candidate.shared.directory)
    release.waiting.set(request.directory, request.credentials)
    const generation = yield* find(release, candidate)
    release.waiting.delete(request.directory)
    if (generation === undefined) return false
    const worked = Effect.suspend(() => {
      release.failures = 0
      return learn(release, candidate, generation)
    })
    const use = Effect.acquireUseRelease(
      Effect.suspend(() => {
        generation.running += 1
        return generation.idle === undefined ? Effect.void : Fiber.interrupt(generation.idle)
      }),
      () =>
        Effect.flatMap(Deferred.await(generation.ready), (helper) =>
          explained(request, Effect.tap(runWith(helper, request, inherited), worked)),
        ),
      () =>
        Effect.suspend(() => {
          generation.running -= 1
          return rest(release, generation)
        }),
    )
    return yield* Effect.as(use, true).pipe(
      Effect.catchTag("HelperError", (error) =>
        Effect.as(Effect.logDebug(`${request.directory} is built without a warm helper: ${error.message}`), false),
      ),
    )
  })

  const expect = (instance: { release: string; directory: string; credentials: Credentials | undefined }) =>
    Effect.asVoid(
      Effect.acquireRelease(
        Effect.suspend(() => {
          const { credentials, directory } = instance
          const release = releaseAt(instance.release)
          release.waiting.set(directory, credentials)
          return leaveOthers(release, credentials?.uid)
        }),
        () => Effect.sync(() => void releases.get(instance.release)?.waiting.delete(instance.directory)),
      ),
    )

  /** A helper maps the users of its own release's partitions, and of no other. */
  const leaveOthers = (release: Release, uid: number | undefined) =>
    Effect.forEach([...releases.values()], (other) =>
      other === release || uid === undefined
        ? Effect.void
        : Effect.forEach(
            [...other.generations].filter(({ uids }) => uids?.has(uid)),
            (generation) => retire(other, generation),
          ),
    )

  return { run, expect }
})

const uniqueUsers = (users: ReadonlyArray<Credentials | undefined>): ReadonlyArray<Credentials> => [
  ...new Map(users.flatMap((user) => (user === undefined || !isOrdinary(user) ? [] : [[user.uid, user]]))).values(),
]

/** As many of them, the first one always, as can be held. */
const largestOf = <A>(all: ReadonlyArray<A>, canHold: (some: ReadonlyArray<A>) => boolean): ReadonlyArray<A> => {
  let some = all
  while (some.length > 1 && !canHold(some)) some = some.slice(0, Math.ceil(some.length / 2))
  return some
}

/** Undefined for what has to be cold whatever waits. */
const candidateOf = Effect.fnUntraced(function* (request: BuildoutRequest): Effect.fn.Return<Candidate | undefined> {
  const { credentials, enclosure, release: shared, script, text } = request
  const python = shared === undefined ? undefined : pythonOf(text)
  if (shared === undefined || python === undefined) return undefined
  if (credentials !== undefined && !(isOrdinary(credentials) && isOrdinary(shared.owner))) return undefined
  // In a user namespace the kernel would count these only, not all that its user runs.
  if (enclosure.maxProcesses !== undefined) return undefined
  const paths = [
    script,
    ...eggFolders(shared.directory),
    ...python.words.filter((word) => word.startsWith("/")),
    ...pathsIn(text),
  ]
  return { request, shared, python, stamp: yield* stampOf(paths) }
})

const runWith = (helper: Helper, request: BuildoutRequest, inherited: Readonly<Record<string, string>>) => {
  const { argv, credentials, cwd, enclosure, env, output, timeout, umask } = commandOf(request, inherited)
  return helper
    .run({ arguments: request.arguments, directory: cwd, environment: env, credentials, umask, output, enclosure })
    .pipe(succeeding({ argv, timeout }))
}
