// The port through which buildout is run in a directory; the cold implementation starts a Python for each run.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { inheritedEnvironment, readEnd, sizeOf } from "../files/machine.ts"
import type { Credentials } from "../process/privileges.ts"
import type { Enclosure } from "../process/containment/Containment.ts"
import { type Command, CommandError, Spawner } from "../process/Spawner.ts"
import { BuildError, reportedLog } from "./BuildError.ts"
import { buildEnvironment, buildUmask } from "./environment.ts"
import { invocation } from "./launcher.ts"

export interface BuildoutScript {
  /** Path of the script to run and its text, from which the interpreter is read. */
  readonly script: string
  readonly text: string
  /** The release whose own `bin/buildout` the script is; undefined for anything else. */
  readonly release?: SharedRelease
}

export interface BuildoutRequest extends BuildoutScript {
  readonly arguments: ReadonlyArray<string>
  readonly directory: string
  readonly home: string
  readonly credentials: Credentials | undefined
  readonly instanceRoot: string | undefined
  /** Open log that gets the output. */
  readonly log: number
  readonly timeout: number | undefined
  readonly enclosure: Enclosure
  readonly umask?: number
  readonly aside?: Aside
}

/** Waits for something that takes time but no processor, and lets others go on meanwhile. */
export type Aside = <A, E>(wait: Effect.Effect<A, E>) => Effect.Effect<A, E>

/** A release as its instances share it. */
export interface SharedRelease {
  readonly directory: string
  readonly owner: { readonly uid: number; readonly gid: number }
  /** The users of all its instances. */
  readonly users: Effect.Effect<ReadonlyArray<Credentials>>
  /** Whether the master wants more than one of it here. */
  readonly hasOthers: boolean
}

/** An instance that will want a buildout. */
export interface ExpectedInstance {
  /** Directories of its release and of itself. */
  readonly release: string
  readonly directory: string
  readonly credentials: Credentials | undefined
}

/** The instance that a run is for. */
export type BuildoutInstance = Pick<BuildoutRequest, "directory" | "credentials" | "enclosure">

export interface BuildoutShape {
  readonly run: (request: BuildoutRequest) => Effect.Effect<void, BuildError>
  /** Tells of an instance that waits for its turn, as long as the Scope is open. */
  readonly expect: (instance: ExpectedInstance) => Effect.Effect<void, never, Scope.Scope>
  /** Gets ready for these, which will come soon: all with the same script. */
  readonly prepare: (script: BuildoutScript, instances: ReadonlyArray<BuildoutInstance>) => Effect.Effect<void>
}

/** The command that a request stands for. */
export const commandOf = (request: BuildoutRequest, inherited: Readonly<Record<string, string>>): Command => ({
  argv: [...invocation(request.script, request.text), ...request.arguments],
  cwd: request.directory,
  env: buildEnvironment(inherited, request.home, request.instanceRoot),
  credentials: request.credentials,
  umask: request.umask ?? buildUmask,
  output: request.log,
  timeout: request.timeout,
  enclosure: request.enclosure,
})

/** Runs buildout in an interpreter of its own. */
export const makeColdRun = Effect.gen(function* () {
  const spawner = yield* Spawner
  const inherited = inheritedEnvironment()
  return (request: BuildoutRequest): Effect.Effect<void, BuildError> =>
    explained(request, spawner.run(commandOf(request, inherited)))
})

export class Buildout extends Context.Service<Buildout, BuildoutShape>()("slapgrid/build/Buildout") {
  static readonly layerCold = Layer.effect(
    Buildout,
    Effect.map(makeColdRun, (run) => Buildout.of({ run, expect: () => Effect.void, prepare: () => Effect.void })),
  )
}

/** Fails with what buildout said when its run failed. */
export const explained = <E = never>(
  request: BuildoutRequest,
  run: Effect.Effect<void, CommandError | E>,
): Effect.Effect<void, BuildError | Exclude<E, CommandError>> =>
  Effect.flatMap(sizeOf(request.log), (start) =>
    Effect.catchIf(
      run,
      (error): error is CommandError => error instanceof CommandError,
      (error) => failure(request, start, error),
    ),
  )

/** The cause last: the output's end when buildout itself failed, else what was done to it. */
const explain = (request: BuildoutRequest, error: CommandError, output: string): string => {
  const shown = output === "" ? "" : `:\n${output}`
  if (error.reason !== "Failed") {
    return `${request.script} in ${request.directory}${shown === "" ? ": " : `${shown}\n`}${error.message}`
  }
  const status = error.message.slice(error.message.lastIndexOf(": ") + 2)
  return `${request.script} failed (${status}) in ${request.directory}${shown}`
}

const failure = Effect.fnUntraced(function* (request: BuildoutRequest, start: number, error: CommandError) {
  const output = (yield* readEnd(request.log, start, reportedLog)).trimEnd()
  return yield* new BuildError({ reason: "Failed", message: explain(request, error, output) })
})
