// Buildouts of instances in forks of a helper that has imported the release's buildout already; everything else, and
// whatever a helper fails to do, in an interpreter of its own. Only a release's own `bin/buildout` is ever warm: what
// lies in a partition is the partition's.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { NodeConfig } from "../../config/NodeConfig.ts"
import { inheritedEnvironment, processors, stampOf } from "../../files/machine.ts"
import { Containment } from "../../process/containment/Containment.ts"
import { succeeding } from "../../process/Spawner.ts"
import { type Helper, WarmHelpers } from "../../process/warm/WarmHelper.ts"
import {
  Buildout,
  type BuildoutInstance,
  type BuildoutRequest,
  type BuildoutScript,
  commandOf,
  type ExpectedInstance,
  explained,
  makeColdRun,
} from "../Buildout.ts"
import { buildEnvironment } from "../environment.ts"
import { pathsIn, pythonOf } from "../launcher.ts"
import { eggFolders, makeKnownRecipes } from "./recipes.ts"
import { type Candidate, type HelperParts, ReleaseHelpers } from "./ReleaseHelpers.ts"
import { isOrdinary } from "./users.ts"

export const layerWarm = Layer.effect(
  Buildout,
  Effect.gen(function* () {
    const runCold = yield* makeColdRun
    const warm = yield* makeWarm
    const run = Effect.fn("Buildout.run")(function* (request: BuildoutRequest) {
      const isDone = yield* warm.run(request)
      if (!isDone) yield* runCold(request)
    })
    return Buildout.of({ ...warm, run })
  }),
)

const makeWarm = Effect.gen(function* () {
  const { instanceRoot, warmIdle } = yield* NodeConfig
  const containment = yield* Containment
  const inherited = inheritedEnvironment()
  /** Numbers of the places that are taken, by the release's directory. */
  const taken = new Map<string, Set<number>>()
  const parts: HelperParts = {
    helpers: yield* WarmHelpers,
    known: yield* makeKnownRecipes(instanceRoot),
    idle: warmIdle,
    // Another processor imports.
    meanwhile: Math.max(1, processors() - 1),
    scope: yield* Effect.scope,
    place: Effect.fnUntraced(function* (directory: string) {
      const numbers = taken.get(directory) ?? new Set()
      taken.set(directory, numbers)
      // The lowest one is where a dead agent's helper was, too.
      let number = 1
      while (numbers.has(number)) number += 1
      numbers.add(number)
      // Not the release's own place: the next build of it ends what is there.
      const owner = `warm ${number} ${directory}`
      const leave = Effect.sync(() => numbers.delete(number))
      yield* Effect.addFinalizer(() => Effect.andThen(containment.endOwner(owner, { except: new Set() }), leave))
      return {
        environment: buildEnvironment(inherited, directory, instanceRoot),
        enclosure: containment.enclosure(owner, "helper"),
      }
    }),
  }
  /** By the release's directory. */
  const releases = new Map<string, ReleaseHelpers>()

  const releaseAt = (directory: string): ReleaseHelpers => {
    const release = releases.get(directory) ?? new ReleaseHelpers(parts)
    releases.set(directory, release)
    return release
  }

  /** True when buildout has run. */
  const run = Effect.fnUntraced(function* (request: BuildoutRequest) {
    if (request.release === undefined) return false
    const release = releaseAt(request.release.directory)
    const found = yield* release.find(candidateOf(request, request), request.aside)
    if (found === undefined) return false
    const { candidate, generation } = found
    const work = (helper: Helper) =>
      explained(
        request,
        Effect.tap(runWith(helper, request, inherited), () => release.worked(candidate, generation, helper)),
      )
    return yield* Effect.as(release.using(generation, work, request.aside), true).pipe(
      Effect.catchTag("HelperError", (error) =>
        Effect.as(Effect.logDebug(`${request.directory} is built without a warm helper: ${error.message}`), false),
      ),
    )
  })

  const expect = ({ credentials, directory, release: name }: ExpectedInstance) => {
    const begin = Effect.suspend(() => {
      const release = releaseAt(name)
      release.expect(directory, credentials)
      const others = [...releases.values()].filter((other) => other !== release)
      return Effect.as(
        credentials === undefined ? Effect.void : Effect.forEach(others, (other) => other.leave(credentials.uid)),
        release,
      )
    })
    return Effect.asVoid(Effect.acquireRelease(begin, (release) => Effect.sync(() => release.forget(directory))))
  }

  const prepare = Effect.fnUntraced(function* (script: BuildoutScript, instances: ReadonlyArray<BuildoutInstance>) {
    const [first] = instances
    const candidate = first === undefined ? undefined : yield* candidateOf(first, script)
    if (candidate === undefined) return
    const users = instances.map(({ credentials }) => credentials)
    const generation = yield* releaseAt(candidate.shared.directory).prepare(candidate, users)
    if (generation !== undefined) yield* Deferred.await(generation.begun)
  })

  return { run, expect, prepare }
})

/** Undefined for what has to be cold whatever waits. */
const candidateOf = Effect.fnUntraced(function* (
  { credentials, directory, enclosure }: BuildoutInstance,
  { release: shared, script, text }: BuildoutScript,
): Effect.fn.Return<Candidate | undefined> {
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
  return { directory, credentials, script, shared, python, stamp: yield* stampOf(paths) }
})

const runWith = (helper: Helper, request: BuildoutRequest, inherited: Readonly<Record<string, string>>) => {
  const { argv, credentials, cwd, enclosure, env, output, timeout, umask } = commandOf(request, inherited)
  return helper
    .run({ arguments: request.arguments, directory: cwd, environment: env, credentials, umask, output, enclosure })
    .pipe(succeeding({ argv, timeout }))
}
