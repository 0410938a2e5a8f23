// Recursive removal that cannot be led outside: every directory is opened without following links and its entries are
// removed through that descriptor, so a tree may be renamed and relinked by its owner meanwhile. Read-only trees go too.
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import { randomBytes } from "node:crypto"
import { at, atBytes, withEntry } from "./at.ts"
import { mountsIn } from "./mounts.ts"
import { errnoOf, type FileError, fromErrno, unsafe } from "./FileError.ts"
import { firstEntries } from "./reading.ts"

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = fs.constants

/** Entries removed between two yields to the event loop. */
const sliceSize = 256

/** Levels that are held open: what lies deeper is moved to the top, so that no depth exhausts descriptors. */
const maxDepth = 64

/** How often a directory is read again because its owner keeps filling or renaming. */
const maxRounds = 100

/** Entries that are read at a time: a directory can have millions. */
const readSize = 10_000
/** What reading so many counts for: few are left to be read when many were there, unless somebody adds to them. */
const fullRound = 0.001

interface Entry {
  /** Byte for byte, as latin1. */
  readonly name: string
  readonly isDirectory: boolean
}

interface Level {
  readonly fd: number
  readonly name: string
  readonly shown: string
  /** Entries that were seen and are still to be removed. */
  readonly pending: Array<Entry>
  rounds: number
}

/** Which mount an open directory is on: a bind mount has the device of what it shows, but its own number. */
const mountOf = (fd: number): string => {
  const facts = fs.readFileSync(`/proc/self/fdinfo/${fd}`, "latin1")
  return /^mnt_id:\s*(\d+)$/m.exec(facts)?.[1] ?? `device ${fs.fstatSync(fd).dev}`
}

const makeWritable = (fd: number): void => {
  const mode = fs.fstatSync(fd).mode & 0o7777
  if ((mode & 0o700) === 0o700) return
  try {
    fs.fchmodSync(fd, mode | 0o700)
  } catch (cause) {
    if (errnoOf(cause) !== "EPERM") throw cause
  }
}

const openDirectory = (parent: number, name: string): number => {
  const open = () => fs.openSync(atBytes(parent, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  try {
    return open()
  } catch (cause) {
    if (errnoOf(cause) !== "EACCES") throw cause
    // An ordinary user's own directory without permissions.
    withEntry(atBytes(parent, name), (path, stats) => {
      if (stats.isDirectory()) fs.chmodSync(path, 0o700)
    })
    return open()
  }
}

const showBelow = ({ shown }: Level, name: string): string => `${shown}/${Buffer.from(name, "latin1").toString("utf8")}`

const openLevel = (parent: Level, name: string, mount: string): Level => {
  const shown = showBelow(parent, name)
  const fd = openDirectory(parent.fd, name)
  try {
    if (mountOf(fd) !== mount) throw unsafe("remove", shown, "something is mounted there; unmount it first")
    makeWritable(fd)
  } catch (cause) {
    fs.closeSync(fd)
    throw cause
  }
  return { fd, name, shown, pending: [], rounds: 0 }
}

const gone = new Set(["ENOENT", "ENOTEMPTY", "ENOTDIR", "EISDIR"])

/** Runs one removal; what its owner changed meanwhile is left to the next reading of the directory. */
const unlessChanged = (shown: string, remove: () => void): void => {
  try {
    remove()
  } catch (cause) {
    const code = errnoOf(cause)
    if (code === undefined || !gone.has(code)) throw fromErrno("remove", shown, cause)
  }
}

/** The walk over one tree, a slice at a time; `levels` holds the open directories from the top down. */
class Removal {
  readonly levels: Array<Level>
  readonly #top: Level
  readonly #mount: string

  constructor(top: number, shown: string) {
    this.#mount = mountOf(top)
    makeWritable(top)
    this.#top = { fd: top, name: "", shown, pending: [], rounds: 0 }
    this.levels = [this.#top]
  }

  /** Does one slice of work; true when the top is empty. */
  step(): boolean {
    const level = this.levels.at(-1)
    if (level === undefined) return true
    if (level.pending.length > 0) {
      this.#removeSome(level)
      return false
    }
    const entries = firstEntries(`/proc/self/fd/${level.fd}`, readSize, "latin1")
    if (entries.length > 0) {
      level.pending.push(...entries.map((entry) => ({ name: entry.name, isDirectory: entry.isDirectory() })))
      level.rounds += entries.length < readSize ? 1 : fullRound
      if (level.rounds > maxRounds) throw unsafe("remove", level.shown, "it is being changed while it is removed")
      return false
    }
    const parent = this.levels.at(-2)
    if (parent === undefined) return true
    this.levels.pop()
    fs.closeSync(level.fd)
    unlessChanged(level.shown, () => fs.rmdirSync(atBytes(parent.fd, level.name)))
    return false
  }

  #removeSome(level: Level): void {
    for (let count = 0; count < sliceSize; count++) {
      const entry = level.pending.pop()
      if (entry === undefined) return
      const shown = showBelow(level, entry.name)
      if (entry.isDirectory && this.levels.length < maxDepth) {
        unlessChanged(shown, () => void this.levels.push(openLevel(level, entry.name, this.#mount)))
        return
      }
      unlessChanged(shown, () => {
        if (entry.isDirectory) this.#lift(level, entry.name)
        else fs.unlinkSync(atBytes(level.fd, entry.name))
      })
    }
  }

  /** Moves a directory to the top, where it is removed later. */
  #lift(level: Level, name: string): void {
    // An ordinary user may move only a directory that it may write.
    fs.closeSync(openLevel(level, name, this.#mount).fd)
    const lifted = `.slapgrid-${randomBytes(9).toString("hex")}`
    fs.renameSync(atBytes(level.fd, name), at(this.#top.fd, lifted))
    this.#top.pending.push({ name: lifted, isDirectory: true })
  }

  /** Closes what this walk opened: all but the top. */
  close(): void {
    for (const level of this.levels.splice(1)) fs.closeSync(level.fd)
  }
}

/** Removes everything inside the directory open as `top`, keeping the directory itself. */
const removeContentsOf = (top: number, shown: string): Effect.Effect<void, FileError> => {
  const attempt = <A>(run: () => A) => Effect.try({ try: run, catch: (cause) => fromErrno("remove", shown, cause) })
  return Effect.acquireUseRelease(
    attempt(() => new Removal(top, shown)),
    Effect.fnUntraced(function* (removal) {
      while (!(yield* attempt(() => removal.step()))) yield* Effect.yieldNow
    }),
    (removal) => Effect.sync(() => removal.close()),
  )
}

const openTop = (path: string) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW),
      catch: (cause) => fromErrno("open directory", path, cause),
    }),
    (fd) => Effect.sync(() => fs.closeSync(fd)),
  )

/** Removes everything inside `path`, never the directory itself. */
export const removeContents = (path: string): Effect.Effect<void, FileError> =>
  Effect.scoped(Effect.flatMap(openTop(path), (fd) => removeContentsOf(fd, path)))

/** Removes `path` and everything below it; nothing happens when it is absent. */
export const removeTree = (path: string): Effect.Effect<void, FileError> =>
  removeContents(path).pipe(
    Effect.andThen(Effect.try({ try: () => fs.rmdirSync(path), catch: (cause) => fromErrno("remove", path, cause) })),
    Effect.catchIf(
      (error) => error.reason === "NotFound",
      () => Effect.void,
    ),
  )

/** What a tree is called while it goes. */
const goingName = (path: string): string => `${path}.removing`

/** Removes what `removeWhole` has left when it was interrupted, or its agent killed. */
export const removeRemains = (path: string): Effect.Effect<void, FileError> => removeTree(goingName(path))

/**
 * Like `removeTree`, but whoever looks at `path` sees all of it or nothing, whenever the work is cut off: the tree is
 * renamed first. With a mount in it nothing is touched.
 */
export const removeWhole = Effect.fnUntraced(function* (path: string) {
  yield* removeRemains(path)
  const isThere = yield* Effect.try({
    try: () => {
      const stats = fs.lstatSync(path, { throwIfNoEntry: false })
      if (stats === undefined) return false
      if (!stats.isDirectory()) throw unsafe("remove", path, "it is not a directory; remove it by hand")
      const [mount] = mountsIn(path)
      if (mount !== undefined) throw unsafe("remove", path, `something is mounted at ${mount}; unmount it first`)
      fs.renameSync(path, goingName(path))
      return true
    },
    catch: (cause) => fromErrno("remove", path, cause),
  })
  if (isThere) yield* removeRemains(path)
})
