// Small facts that the file system and the environment give, for code that may not touch node:* itself.
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import { withDirectory } from "./at.ts"
import { type FileError, fromErrno, unsafe } from "./FileError.ts"

/** The name of a software release's directory: the MD5 of its URL, in hex. */
export const md5Hex = (text: string): string => createHash("md5").update(text).digest("hex")

export const sha256Hex = (content: string | Uint8Array): string => createHash("sha256").update(content).digest("hex")

/** Where a software release lives. */
export const releaseDirectory = (softwareRoot: string, url: string): string => `${softwareRoot}/${md5Hex(url)}`

/** Bytes that an ordinary user can still write on the file system of `path`. Throws what node:fs throws. */
export const availableSpace = (path: string): number => {
  const stats = fs.statfsSync(path)
  return stats.bavail * stats.bsize
}

/** As `availableSpace`. */
export const freeSpace = (path: string): Effect.Effect<number, FileError> =>
  Effect.try({
    try: () => availableSpace(path),
    catch: (cause) => fromErrno("look at the free space of", path, cause),
  })

/** The last `limit` bytes of what an open log got after `from`, as text; a cut character becomes U+FFFD. */
export const readEnd = (fd: number, from: number, limit: number): Effect.Effect<string> =>
  Effect.sync(() => {
    const size = fs.fstatSync(fd).size
    const start = Math.max(from, size - limit)
    const buffer = Buffer.alloc(Math.max(0, Math.min(limit, size - start)))
    const length = fs.readSync(fd, buffer, 0, buffer.length, start)
    return buffer.toString("utf8", 0, length)
  })

/** No more is read at a look: what is skipped is in the log. */
const followedChunk = 1024 * 1024

/** Gives what an open log got since the last time, from `start` on; the end of it when that is much. */
export const followText = (fd: number, start: number): Effect.Effect<string> => {
  const decoder = new TextDecoder()
  let position = start
  return Effect.sync(() => {
    const { size } = fs.fstatSync(fd)
    // A log that was trimmed meanwhile is shorter.
    position = Math.max(size < position ? 0 : position, size - followedChunk)
    const buffer = Buffer.alloc(Math.min(followedChunk, size - position))
    const length = fs.readSync(fd, buffer, 0, buffer.length, position)
    position += length
    return decoder.decode(buffer.subarray(0, length), { stream: true })
  })
}

export const sizeOf = (fd: number): Effect.Effect<number> => Effect.sync(() => fs.fstatSync(fd).size)

/** Appends one line to an open log. A full disk must not stop what is logged about, so failures are dropped. */
export const appendLine = (fd: number, line: string): Effect.Effect<void> =>
  Effect.sync(() => {
    try {
      fs.writeSync(fd, `${line}\n`)
    } catch {
      return
    }
  })

/** Owner of a path that only the agent's own configuration names. */
export const ownerOf = (path: string): Effect.Effect<{ uid: number; gid: number }, FileError> =>
  Effect.try({
    try: () => {
      const { uid, gid } = fs.statSync(path)
      return { uid, gid }
    },
    catch: (cause) => fromErrno("look at", path, cause),
  })

/** Text of a file that only the agent's own configuration names. */
export const readTrusted = (path: string): Effect.Effect<string, FileError> =>
  Effect.try({
    try: () => fs.readFileSync(path, "utf8"),
    catch: (cause) => fromErrno("read", path, cause),
  })

/**
 * Makes a directory with the given owner, when the agent may give it away. One that is there is given away, too: an
 * agent can have died before it did, and who may put directories there is its owner anyway. What is given away is the
 * very directory that was opened, no link.
 */
export const makeOwnedDirectory = (
  path: string,
  mode: number,
  owner: { readonly uid: number; readonly gid: number },
): Effect.Effect<void, FileError> =>
  Effect.try({
    try: () => {
      const isThere = fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined
      if (!isThere) fs.mkdirSync(path, mode)
      withDirectory(path, path, (fd) => {
        const { gid, uid } = fs.fstatSync(fd)
        if (!isThere && uid !== process.geteuid?.()) {
          throw unsafe("make directory", path, "something was put in its place")
        }
        const isAnothers = uid !== owner.uid || gid !== owner.gid
        if (process.geteuid?.() === 0 && isAnothers) fs.fchownSync(fd, owner.uid, owner.gid)
        if (!isThere) fs.fchmodSync(fd, mode)
      })
    },
    catch: (cause) => fromErrno("make directory", path, cause),
  })

/** Where the agent keeps what is only its own: socket, lock, tables. Mode 0700. */
export const agentDirectory = (instanceRoot: string): string => `${instanceRoot}/var/run/slapgrid`

/** The owner of a partition's directory, when no other partition has the same one and it is not the agent's own. */
export const ownUid = (instanceRoot: string, id: string): number | undefined => {
  const uidOf = (name: string) => fs.statSync(`${instanceRoot}/${name}`, { throwIfNoEntry: false })?.uid
  const uid = uidOf(id)
  if (uid === undefined || uid === 0 || uid === process.geteuid?.()) return undefined
  return fs.readdirSync(instanceRoot).some((name) => name !== id && uidOf(name) === uid) ? undefined : uid
}

/** As Node names it: `x64`, `arm64`. */
export const architecture = (): string => process.arch

/** The path without links; itself when it leads nowhere. */
export const realPath = (path: string): string => {
  try {
    return fs.realpathSync(path)
  } catch {
    return path
  }
}

export const processors = (): number => os.availableParallelism()

export const agentPid = (): number => process.pid

export const agentUid = (): number => process.geteuid?.() ?? 0

export const pathExists = (path: string): boolean => fs.existsSync(path)

/** Tells whether one of these paths was replaced or changed since: a text that is another one then. */
export const stampOf = (paths: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.sync(() =>
    paths
      .map((path) => {
        const stats = fs.statSync(path, { bigint: true, throwIfNoEntry: false })
        return stats === undefined
          ? `${path} -`
          : `${path} ${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`
      })
      .join("\n"),
  )

const keep = new Set(["PATH", "LC_ALL", "TZ"])
const isProxy = (name: string) => /^(?:https?|ftp|all|no)_proxy$/i.test(name)

/** What children get of the agent's own environment: PATH, locale, time zone and proxies; nothing else. */
export const inheritedEnvironment = (): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries({ PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...process.env }).flatMap(
      ([name, value]) => (value !== undefined && (keep.has(name) || isProxy(name)) ? [[name, value]] : []),
    ),
  )
