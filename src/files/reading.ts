// Reading what is open, or opened by a name in a directory that is held open (at.ts): only regular files with one name,
// never more than the limit, whatever their owner does meanwhile.
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import { at } from "./at.ts"
import { FileError, fromErrno, unsafe } from "./FileError.ts"
import { sha256Hex } from "./machine.ts"

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants

/** A regular file with a single name: no link to somebody else's file, no FIFO, no device. */
export const checkRegular = (fd: number, operation: string, shown: string): fs.Stats => {
  const stats = fs.fstatSync(fd)
  if (!stats.isFile()) throw unsafe(operation, shown, "not a regular file")
  if (stats.nlink > 1) throw unsafe(operation, shown, "the file has several hard links")
  return stats
}

export const withFile = <A>(fd: number, use: (fd: number) => A): A => {
  try {
    return use(fd)
  } finally {
    fs.closeSync(fd)
  }
}

export const readBounded = (directory: number, name: string, shown: string, limit: number): Buffer =>
  withFile(fs.openSync(at(directory, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK), (fd) => readOpen(fd, shown, limit))

const readOpen = (fd: number, shown: string, limit: number): Buffer => {
  const stats = checkRegular(fd, "read", shown)
  if (stats.size > limit) {
    throw new FileError({
      path: shown,
      operation: "read",
      reason: "TooLarge",
      message: `cannot read ${shown}: ${stats.size} bytes, more than the limit of ${limit}`,
    })
  }
  // The size can grow meanwhile: read no more than was allowed.
  const buffer = Buffer.alloc(stats.size)
  let length = 0
  while (length < buffer.length) {
    const count = fs.readSync(fd, buffer, length, buffer.length - length, length)
    if (count === 0) break
    length += count
  }
  return buffer.subarray(0, length)
}

/** A file's content, and what tells this very file from another that gets its name. */
export interface Snapshot {
  readonly content: Uint8Array
  readonly hash: string
  /** Nanoseconds since 1970, in decimal. */
  readonly modified: string
  readonly inode: string
}

export const snapshotOf = (fd: number, shown: string, limit: number): Snapshot => {
  const before = fs.fstatSync(fd, { bigint: true })
  const content = readOpen(fd, shown, limit)
  const { ino, mtimeNs, size } = fs.fstatSync(fd, { bigint: true })
  if (mtimeNs !== before.mtimeNs || Number(size) !== content.length) {
    throw unsafe("read", shown, "it was written to meanwhile")
  }
  return { content, hash: sha256Hex(content), modified: String(mtimeNs), inode: String(ino) }
}

export const firstNames = (path: string, limit: number): ReadonlyArray<string> => {
  const names: Array<string> = []
  const directory = fs.opendirSync(path)
  try {
    for (let entry = directory.readSync(); entry !== null && names.length < limit; entry = directory.readSync()) {
      names.push(entry.name)
    }
    return names
  } finally {
    directory.closeSync()
  }
}

/** Waits beside the agent's work: a busy disk can take seconds. */
export const sync = (fd: number, shown: string): Effect.Effect<void, FileError> =>
  Effect.callback<void, FileError>((resume) => {
    fs.fsync(fd, (cause) => resume(cause === null ? Effect.void : Effect.fail(fromErrno("sync", shown, cause))))
  }).pipe(Effect.uninterruptible)
