// Files of the agent's own that a power cut must not take: their content is on the disk before they get their name.
// Only for directories that nobody else can change; in all others OwnedDirectory writes.
import * as Effect from "effect/Effect"
import { type FileHandle, open, rename } from "node:fs/promises"
import { dirname } from "node:path"
import { type FileError, fromErrno } from "./FileError.ts"

const using = async (opened: Promise<FileHandle>, use: (file: FileHandle) => Promise<void>): Promise<void> => {
  const file = await opened
  try {
    await use(file)
  } finally {
    await file.close()
  }
}

/** Puts a file with mode 0600 in the place of whatever has that name. For one writer at a time. */
export const writeDurably = (path: string, text: string): Effect.Effect<void, FileError> =>
  Effect.tryPromise({
    try: async () => {
      await using(open(`${path}.new`, "w", 0o600), async (file) => {
        await file.writeFile(text)
        await file.sync()
      })
      await rename(`${path}.new`, path)
      await using(open(dirname(path), "r"), (directory) => directory.sync())
    },
    catch: (cause) => fromErrno("write", path, cause),
  })
