// Which revision a profile in a git checkout is at, asked as the user who will build it (git refuses strangers' trees).
import * as Effect from "effect/Effect"
import { execa } from "execa"
import { dirname } from "node:path"
import { pathExists, inheritedEnvironment } from "../files/machine.ts"
import { type Credentials, wrap } from "./privileges.ts"

/** The line of `git describe`, or undefined when `profile` is no file in a checkout. */
export const gitRevision = (profile: string, credentials: Credentials | undefined): Effect.Effect<string | undefined> =>
  Effect.promise(async () => {
    if (!profile.startsWith("/") || !pathExists(profile)) return undefined
    const command = ["git", "describe", "--all", "--long", "--dirty"]
    const [file = "git", ...args] = wrap(command, { credentials, cgroup: undefined, dieWithAgent: true, umask: 0o027 })
    const result = await execa(file, args, {
      cwd: dirname(profile),
      env: inheritedEnvironment(),
      extendEnv: false,
      reject: false,
      stdin: "ignore",
      timeout: 10_000,
    })
    return result.exitCode === 0 && result.stdout.trim() !== "" ? result.stdout.trim() : undefined
  })
