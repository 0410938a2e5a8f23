// Which revision a profile in a git checkout is at, asked as the user who will build it (git refuses strangers' trees).
import * as Effect from "effect/Effect"
import { dirname } from "node:path"
import { inheritedEnvironment, pathExists, readEnd } from "../files/machine.ts"
import { namelessFile } from "../files/namelessFile.ts"
import { sessionEnclosure } from "./containment/Containment.ts"
import type { Credentials } from "./privileges.ts"
import type { Spawner } from "./Spawner.ts"

const maxLength = 4096

/** Gives the line of `git describe`, or undefined when `profile` is no file in a checkout. */
export const gitRevision = (spawner: Spawner["Service"], directory: string) =>
  Effect.fnUntraced(
    function* (profile: string, credentials: Credentials | undefined) {
      if (!profile.startsWith("/") || !pathExists(profile)) return undefined
      const output = yield* namelessFile(directory)
      yield* spawner.run({
        argv: ["git", "describe", "--all", "--long", "--dirty"],
        cwd: dirname(profile),
        env: inheritedEnvironment(),
        credentials,
        umask: 0o027,
        output,
        timeout: 10_000,
        enclosure: sessionEnclosure,
      })
      // Warnings may stand before it.
      return (yield* readEnd(output, 0, maxLength)).trim().split("\n").at(-1)
    },
    Effect.scoped,
    Effect.orElseSucceed(() => undefined),
  )
