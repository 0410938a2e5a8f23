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

const openToRead = (directory: number, name: string): number =>
  fs.openSync(at(directory, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)

export const readBounded = (directory: number, name: string, shown: string, limit: number): Buffer =>
  withFile(openToRead(directory, name), (fd) => readOpen(fd, shown, limit))

/** The same for what may be told to others: nobody else's file can have been given this name for a moment. */
export const readNamed = (directory: number, name: string, shown: string, limit: number): Buffer =>
  withFile(openToRead(directory, name), (fd) => {
    const content = readOpen(fd, shown, limit)
    checkOnlyName(fd, directory, name, shown)
    return content
  })

/**
 * That the one name of an open file is this one, told by a single lstat(2). The count of links alone does not say it:
 * the other end of a link that was taken away after the opening has one name, too.
 */
export const checkOnlyName = (fd: number, directory: number, name: string, shown: string): void => {
  const { dev, ino } = fs.fstatSync(fd)
  const named = fs.lstatSync(at(directory, name), { throwIfNoEntry: false })
  if (named?.dev !== dev || named.ino !== ino || named.nlink !== 1) {
    throw unsafe("read", shown, "something else was put in its place meanwhile")
  }
}

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

/** Entries that are read at a time. */
const bufferSize = 512

/** At most `limit` entries of a directory, in no order: a stranger's can have millions. */
export const firstEntries = (
  path: string,
  limit: number,
  encoding: BufferEncoding = "utf8",
): ReadonlyArray<fs.Dirent> => {
  const entries: Array<fs.Dirent> = []
  const directory = fs.opendirSync(path, { bufferSize, encoding })
  try {
    for (let entry = directory.readSync(); entry !== null && entries.length < limit; entry = directory.readSync()) {
      entries.push(entry)
    }
    return entries
  } finally {
    directory.closeSync()
  }
}

export const firstNames = (path: string, limit: number): ReadonlyArray<string> =>
  firstEntries(path, limit).map(({ name }) => name)

/** Waits beside the agent's work: a busy disk can take seconds. */
export const sync = (fd: number, shown: string): Effect.Effect<void, FileError> =>
  Effect.callback<void, FileError>((resume) => {
    fs.fsync(fd, (cause) => resume(cause === null ? Effect.void : Effect.fail(fromErrno("sync", shown, cause))))
  }).pipe(Effect.uninterruptible)
