// An open file as content of a cache: its bytes as they are sent, and the hash that names them.
import type * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { promisify } from "node:util"
import { type FileError, fromErrno } from "../../files/FileError.ts"
import { untilSettled } from "./untilSettled.ts"

const read = promisify(fs.read)
const readSize = 256 * 1024

/** The file from its beginning. */
export const contentOf = async function* (fd: number): AsyncGenerator<Uint8Array> {
  for (let position = 0; ;) {
    const { buffer, bytesRead } = await read(fd, Buffer.allocUnsafe(readSize), 0, readSize, position)
    if (bytesRead === 0) return
    position += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

/** SHA-512 in hex, and the size. `path` is for messages. */
export const describeContent = (
  fd: number,
  path: string,
): Effect.Effect<{ readonly sha512: string; readonly size: number }, FileError> =>
  untilSettled(
    async (signal) => {
      const digest = createHash("sha512")
      let size = 0
      for await (const chunk of contentOf(fd)) {
        signal.throwIfAborted()
        digest.update(chunk)
        size += chunk.length
      }
      return { sha512: digest.digest("hex"), size }
    },
    (cause) => fromErrno("read", path, cause),
  )
