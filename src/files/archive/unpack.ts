// Unpacks an archive of somebody else's making into a directory, in a thread of its own: creating a file can take as
// long as the disk likes, and the agent's event loop must not wait for it.
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Worker } from "node:worker_threads"
import { workerProgram } from "./source.ts"
import type { UnpackJob } from "./unpackArchive.ts"
import type { UnpackAnswer } from "./worker.ts"

export class ArchiveError extends Schema.TaggedError<ArchiveError>()("ArchiveError", {
  /** `Refused`: damaged, or with an entry that is not for here. */
  reason: Schema.Literals(["Refused", "NoSpace", "Failed"]),
  /** Follows 'the archive'. */
  message: Schema.String,
}) {}

/** More is only needed by an archive that is made to need it. */
const resourceLimits = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 8, stackSizeMb: 2 }

const start = (job: UnpackJob): Worker => {
  const options = { workerData: job, resourceLimits, env: {}, execArgv: [], name: "unpack" }
  return "text" in workerProgram
    ? new Worker(workerProgram.text, { ...options, eval: true })
    : new Worker(workerProgram.url, options)
}

/**
 * Unpacks into `job.directory`; both descriptors stay open. What an interruption or an error leaves there is the
 * caller's to remove: nothing is written any more when this has ended.
 */
export const unpack = (job: UnpackJob): Effect.Effect<void, ArchiveError> =>
  Effect.acquireUseRelease(
    Effect.sync(() => start(job)),
    (worker) =>
      Effect.callback<void, ArchiveError>((resume) => {
        const fail = (reason: ArchiveError["reason"], message: string) => resume(new ArchiveError({ reason, message }))
        worker.on("message", ({ message, reason }: UnpackAnswer) =>
          reason === "Done" ? resume(Effect.void) : fail(reason, message),
        )
        worker.on("error", (error) => fail("Failed", `cannot be unpacked: ${String(error)}`))
        worker.on("exit", () => fail("Failed", "cannot be unpacked: its thread ended"))
      }),
    (worker) => Effect.promise(() => worker.terminate()),
  )
