// The thread that unpacks one archive: started by unpack.ts with the job, it answers once and ends.
import { parentPort, workerData } from "node:worker_threads"
import { TarError } from "./tar.ts"
import { unpackArchive, type UnpackJob } from "./unpackArchive.ts"
import { SpaceError } from "./Unpacker.ts"

export interface UnpackAnswer {
  readonly reason: "Done" | "Refused" | "NoSpace" | "Failed"
  readonly message: string
}

const answerFor = (cause: unknown): UnpackAnswer => {
  const message = cause instanceof Error ? cause.message : String(cause)
  if (cause instanceof TarError) return { reason: "Refused", message }
  return { reason: cause instanceof SpaceError ? "NoSpace" : "Failed", message }
}

// No top-level await: the bundled text of this file is a script.
void unpackArchive(workerData as UnpackJob)
  .then((): UnpackAnswer => ({ reason: "Done", message: "" }), answerFor)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, no window
  .then((answer) => parentPort?.postMessage(answer))
