// The standard input of services: a FIFO that the agent and the program hold open for reading and writing, so that a
// reader waits for ever and the agent's death is no end of file.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { execa } from "execa"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { type FileError, fromErrno } from "./FileError.ts"

/** Opens a new nameless FIFO for the life of the Scope; `directory` is the agent's own and holds its name meanwhile. */
export const openFifo = (directory: string): Effect.Effect<number, FileError, Scope.Scope> => {
  const path = `${directory}/stdin-${randomBytes(9).toString("hex")}`
  return Effect.acquireRelease(
    Effect.tryPromise({
      try: async () => {
        await execa("mkfifo", ["-m", "600", path])
        try {
          return fs.openSync(path, fs.constants.O_RDWR)
        } finally {
          fs.unlinkSync(path)
        }
      },
      catch: (cause) => fromErrno("make FIFO", path, cause),
    }),
    (fd) => Effect.sync(() => fs.closeSync(fd)),
  )
}
