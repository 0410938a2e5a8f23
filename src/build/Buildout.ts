// The port through which buildout is run in a directory; the cold implementation starts a Python for each run.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { inheritedEnvironment, readEnd, sizeOf } from "../files/machine.ts"
import type { Credentials } from "../process/privileges.ts"
import type { Enclosure } from "../process/containment/Containment.ts"
import { type CommandError, Spawner } from "../process/Spawner.ts"
import { BuildError, reportedLog } from "./BuildError.ts"
import { buildEnvironment, buildUmask } from "./environment.ts"
import { invocation } from "./launcher.ts"

export interface BuildoutRequest {
  /** Path of the script to run and its text, from which the interpreter is read. */
  readonly script: string
  readonly text: string
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
}

export class Buildout extends Context.Service<
  Buildout,
  { readonly run: (request: BuildoutRequest) => Effect.Effect<void, BuildError> }
>()("slapgrid/build/Buildout") {
  static readonly layerCold = Layer.effect(
    Buildout,
    Effect.gen(function* () {
      const spawner = yield* Spawner
      const inherited = inheritedEnvironment()
      const run = Effect.fn("Buildout.run")(function* (request: BuildoutRequest) {
        const start = yield* sizeOf(request.log)
        yield* spawner
          .run({
            argv: [...invocation(request.script, request.text), ...request.arguments],
            cwd: request.directory,
            env: buildEnvironment(inherited, request.home, request.instanceRoot),
            credentials: request.credentials,
            umask: request.umask ?? buildUmask,
            output: request.log,
            timeout: request.timeout,
            enclosure: request.enclosure,
          })
          .pipe(Effect.catchTag("CommandError", (error) => failure(request, start, error)))
      })
      return Buildout.of({ run })
    }),
  )
}

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
