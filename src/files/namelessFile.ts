// An open file that nobody else can find: it is gone when it is closed, however that comes about.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { type FileError, fromErrno } from "./FileError.ts"

/** Open for reading and writing as long as the Scope lives, on the file system of `directory`. */
export const namelessFile = (directory: string): Effect.Effect<number, FileError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const path = `${directory}/.slapgrid-${randomBytes(9).toString("hex")}`
        const fd = fs.openSync(path, "wx+", 0o600)
        fs.unlinkSync(path)
        return fd
      },
      catch: (cause) => fromErrno("make a file in", directory, cause),
    }),
    (fd) => Effect.sync(() => fs.closeSync(fd)),
  )
