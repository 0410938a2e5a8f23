// What this machine is to a network cache: the words of its compiler and of its distribution.
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { FileError } from "../../files/FileError.ts"
import { architecture, inheritedEnvironment, readEnd, readTrusted } from "../../files/machine.ts"
import { namelessFile } from "../../files/namelessFile.ts"
import { sessionEnclosure } from "../../process/containment/Containment.ts"
import type { Credentials } from "../../process/privileges.ts"
import type { Spawner } from "../../process/Spawner.ts"
import { type Distribution, distributionOf, multiarchWithoutCompiler } from "./entries.ts"

export interface Machine {
  readonly multiarch: string
  readonly os: Distribution
}

const osRelease = Effect.catch(readTrusted("/etc/os-release"), () => readTrusted("/usr/lib/os-release"))

export class UnknownMachine extends Schema.TaggedError<UnknownMachine>()("UnknownMachine", {
  message: Schema.String,
}) {}

/** Names directly in a release that are the node's own: they neither go to others nor come from them. */
export const nodesOwn = [".completed", ".netrc", ".slapgrid-build.log", ".slapgrid-build.log.1"]

/** `directory` is the agent's own. */
export const describeMachine = (
  spawner: Spawner["Service"],
  directory: string,
  credentials: Credentials | undefined,
): Effect.Effect<Machine, UnknownMachine | FileError> =>
  Effect.gen(function* () {
    const release = yield* Effect.orElseSucceed(osRelease, () => "")
    const output = yield* namelessFile(directory)
    const byCompiler = yield* spawner
      .run({
        argv: ["gcc", "-dumpmachine"],
        cwd: "/",
        env: inheritedEnvironment(),
        credentials,
        umask: 0o027,
        output,
        timeout: 10_000,
        enclosure: sessionEnclosure,
      })
      .pipe(
        Effect.andThen(readEnd(output, 0, 4096)),
        Effect.map((text) => text.trim().split("\n").at(-1)),
        // A machine that only takes what others have built needs no compiler.
        Effect.orElseSucceed(() => multiarchWithoutCompiler(release, architecture())),
      )
    if (byCompiler === undefined) {
      const message = "what this machine is called is not known: install gcc, which tells"
      return yield* new UnknownMachine({ message })
    }
    return { multiarch: byCompiler, os: distributionOf(release) }
  }).pipe(Effect.scoped)
