// Reads a gzipped tar from an open file and unpacks it: decompression in Node's pool of threads beside the writing of
// files in this one. Imports little: it is what the worker thread loads.
import * as fs from "node:fs"
import { Readable } from "node:stream"
import { createGunzip } from "node:zlib"
import { TarError, TarReader } from "./tar.ts"
import { type UnpackTarget, Unpacker } from "./Unpacker.ts"

export interface UnpackJob extends UnpackTarget {
  /** Open file, read from its beginning. */
  readonly archive: number
}

const readSize = 64 * 1024
/** Decompressed at a time, and held ahead of the writing. */
const chunkSize = 256 * 1024

const bytesOf = function* (fd: number): Generator<Buffer> {
  for (let position = 0; ;) {
    const buffer = Buffer.allocUnsafe(readSize)
    const count = fs.readSync(fd, buffer, 0, readSize, position)
    if (count === 0) return
    position += count
    yield buffer.subarray(0, count)
  }
}

/** Rejects with a TarError or a SpaceError; what was unpacked until then is the caller's to remove. */
export const unpackArchive = async (job: UnpackJob): Promise<void> => {
  const unpacker = new Unpacker(job)
  const reader = new TarReader(unpacker)
  const gunzip = createGunzip({ chunkSize, readableHighWaterMark: 4 * chunkSize } as object)
  const source = Readable.from(bytesOf(job.archive), { objectMode: false, highWaterMark: readSize })
  source.on("error", (error) => gunzip.destroy(error))
  try {
    for await (const chunk of source.pipe(gunzip)) reader.feed(chunk as Buffer)
  } catch (cause) {
    throw explained(cause)
  }
  reader.close()
  unpacker.finish()
}

const explained = (cause: unknown): unknown => {
  if (!(cause instanceof Error) || !("code" in cause)) return cause
  return String(cause.code).startsWith("Z_") || cause.code === "ERR_TRAILING_JUNK_AFTER_STREAM_END"
    ? new TarError(`is no gzip file, or a damaged one (${String(cause.code)})`)
    : cause
}
