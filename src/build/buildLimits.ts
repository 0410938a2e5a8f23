// What ends a build of a release from outside: its time is over, or the disk is about to be full. Other builds and
// services need the rest of the disk, so the limit is that of before the build.
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { FileError } from "../files/FileError.ts"
import { BuildError, checkFreeSpace } from "./BuildError.ts"

export interface BuildLimits {
  readonly softwareRoot: string
  readonly softwareMinFreeSpace: number
  readonly softwareTimeout: number | undefined
}

/** A fast disk takes less than a gigabyte in that time, which is what is kept free unless the operator says otherwise. */
const lookInterval = "1 second"

/** Fails when there is not enough space for a build. */
export const checkSpace = (limits: BuildLimits): Effect.Effect<void, BuildError | FileError> =>
  Effect.suspend(() => checkFreeSpace(limits.softwareRoot, limits.softwareMinFreeSpace, "software_min_free_space"))

/** Fails when a build that begins now has to be ended. */
export const overLimits = (limits: BuildLimits): Effect.Effect<never, BuildError | FileError> => {
  const shortage = checkSpace(limits).pipe(
    Effect.repeat(Schedule.spaced(lookInterval)),
    Effect.andThen(Effect.never),
    Effect.catchTag("BuildError", ({ message }) =>
      Effect.fail(
        new BuildError({ reason: "NoSpace", message: `the build was ended before the disk is full: ${message}` }),
      ),
    ),
  )
  const { softwareTimeout: limit } = limits
  if (limit === undefined) return shortage
  const message = `the build was ended because it took longer than ${limit / 1000} s (software_timeout)`
  return Effect.timeoutOrElse(shortage, {
    duration: limit,
    orElse: () => new BuildError({ reason: "Failed", message }),
  })
}
