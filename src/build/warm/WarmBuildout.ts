// Buildouts of instances in forks of a helper that has imported the release's buildout already; everything else, and
// whatever a helper fails to do, in an interpreter of its own. Only a release's own `bin/buildout` is ever warm: what
// lies in a partition is the partition's.
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
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
import { choose, type Generation, restAfter } from "./choose.ts"

interface RunningGeneration extends Generation {
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
  const { warmIdle } = yield* NodeConfig
  const containment = yield* Containment
  const helpers = yield* WarmHelpers
  const scope = yield* Effect.scope
  const inherited = inheritedEnvironment()
  const releases = new Map<string, Release>()

  const releaseAt = (directory: string): Release => {
    const known = releases.get(directory)
    if (known !== undefined) return known
    const made: Release = { waiting: new Map(), generations: new Set(), failures: 0, trouble: undefined }
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

  const optionsOf = ({ python, request, shared }: Candidate, confinement: Confinement | undefined): HelperOptions => ({
    script: request.script,
    interpreter: python.words,
    restoresNames: python.restoresNames,
    directory: shared.directory,
    environment: buildEnvironment(inherited, shared.directory, request.instanceRoot),
    confinement,
    enclosure: containment.enclosure(shared.directory, `warm ${++generationCount}`),
  })
  let generationCount = 0

  /** A helper for all that wait and all other instances of the release, as far as one can hold them. */
  const open = Effect.fnUntraced(function* (
    release: Release,
    candidate: Candidate,
    replaced: ReadonlyArray<RunningGeneration>,
    instances: ReadonlyArray<Credentials>,
  ) {
    const { request, shared, stamp } = candidate
    const wanted = [request.credentials, ...release.waiting.values(), ...instances]
    const users = largestOf(uniqueUsers(wanted), (users) => helpers.canHold({ owner: shared.owner, users }))
    const own = yield* Scope.fork(scope)
    const generation: RunningGeneration = {
      uids: request.credentials === undefined ? undefined : new Set(users.map(({ uid }) => uid)),
      stamp,
      ready: Deferred.makeUnsafe(),
      scope: own,
      idle: undefined,
      isRetired: false,
      running: 0,
    }
    release.generations.add(generation)
    const confinement = request.credentials === undefined ? undefined : { owner: shared.owner, users }
    yield* helpers.start(optionsOf(candidate, confinement)).pipe(
      Scope.provide(own),
      Effect.tap(() => Effect.forEach(replaced, (one) => retire(release, one))),
      Effect.tapError((error) => Effect.andThen(failed(release, candidate, error), close(release, generation))),
      Deferred.into(generation.ready),
      Effect.andThen(rest(release, generation)),
      Effect.andThen(Deferred.await(generation.ready)),
      Effect.flatMap(({ gone }) => gone),
      Effect.flatMap((error) =>
        generation.isRetired
          ? Effect.void
          : Effect.andThen(failed(release, candidate, error), close(release, generation)),
      ),
      Effect.ignore,
      Effect.forkIn(scope),
    )
    return generation
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
    const worked = Effect.sync(() => void (release.failures = 0))
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
  const paths = [script, ...python.words.filter((word) => word.startsWith("/")), ...pathsIn(text)]
  return { request, shared, python, stamp: yield* stampOf(paths) }
})

const runWith = (helper: Helper, request: BuildoutRequest, inherited: Readonly<Record<string, string>>) => {
  const { argv, credentials, cwd, enclosure, env, output, timeout, umask } = commandOf(request, inherited)
  return helper
    .run({ arguments: request.arguments, directory: cwd, environment: env, credentials, umask, output, enclosure })
    .pipe(succeeding({ argv, timeout }))
}
