// The only way the agent touches what lies in a directory that belongs to a partition or to the software owner. The
// owner is a stranger: every name is looked up without following links, what is read must be a regular file with one
// name, what is written is a new file put in place by a rename, and whoever holds the directory open cannot be led
// elsewhere.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createHash, randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { at, withDirectory, withEntry, withParent } from "./at.ts"
import { errnoOf, FileError, fromErrno, unsafe } from "./FileError.ts"
import {
  checkOnlyName,
  checkRegular,
  firstNames,
  readBounded,
  readNamed,
  type Snapshot,
  snapshotOf,
  sync,
  withFile,
} from "./reading.ts"
import { removeContents } from "./removeTree.ts"

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = fs.constants

export interface DirectoryOwner {
  readonly uid: number
  readonly gid: number
}

/** An entry of a directory: enough to know a program by, without reading through a link. */
export interface ProgramEntry {
  readonly name: string
  /** SHA-256 of a regular file's content, or of a link's text. */
  readonly hash: string
}

/** What a directory's entry looks like, without following a link. */
export interface FileEntry {
  readonly name: string
  /** Whether anybody may execute it; always so for a link. */
  readonly isExecutable: boolean
  /** Milliseconds since 1970. */
  readonly modified: number
}

export interface WriteOptions {
  readonly mode: number
  /** Undefined: the agent's own user and group. */
  readonly owner?: DirectoryOwner
}

const maxFileSize = 16 * 1024 * 1024
/** Wrappers are short. A larger program is known by its size and time: reading thousands of them would take the agent's time. */
const maxHashedSize = 64 * 1024
/** More programs than any instance has; a partition must not keep the agent busy with listing them. */
const maxPrograms = 2000
/** More names than this are not looked at. */
const maxNames = 100_000

/** Changes the owner where it differs: an ordinary user may not even ask. */
const giveTo = (fd: number, owner: DirectoryOwner): void => {
  const { uid, gid } = fs.fstatSync(fd)
  if (uid !== owner.uid || gid !== owner.gid) fs.fchownSync(fd, owner.uid, owner.gid)
}

const temporaryName = (): string => `.slapgrid-${randomBytes(9).toString("hex")}`

const attempt = <A>(operation: string, shown: string, use: () => A): Effect.Effect<A, FileError> =>
  Effect.try({ try: use, catch: (cause) => fromErrno(operation, shown, cause) })

const undefinedIfAbsent = <A>(effect: Effect.Effect<A, FileError>): Effect.Effect<A | undefined, FileError> =>
  Effect.catchIf(
    effect,
    (error) => error.reason === "NotFound",
    () => Effect.undefined,
  )

const logFlags = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK

/**
 * Opens a log of `owner`'s, or makes one. A file of somebody else's is never used, however often it is linked by now:
 * it can be the other end of a link that was taken away after the opening. One that the agent's user left (the
 * reference's logs are root's) is put aside as the backup.
 */
const openOwnLog = (directory: number, name: string, shown: string, owner: DirectoryOwner): number => {
  const present = openIfPresent(directory, name)
  if (present !== undefined) {
    try {
      if (checkRegular(present, "open log", shown).uid === owner.uid) return present
    } catch (cause) {
      fs.closeSync(present)
      throw cause
    }
    const { uid } = fs.fstatSync(present)
    fs.closeSync(present)
    if (uid !== process.geteuid?.()) throw unsafe("open log", shown, "it belongs to somebody else")
    fs.renameSync(at(directory, name), at(directory, `${name}.1`))
  }
  const fd = fs.openSync(at(directory, name), logFlags | O_CREAT | O_EXCL, 0o600)
  giveTo(fd, owner)
  return fd
}

const openIfPresent = (directory: number, name: string): number | undefined => {
  try {
    return fs.openSync(at(directory, name), logFlags)
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return undefined
    throw cause
  }
}

/** Moves a file of more than `limit` bytes to `<name>.1`. */
const rotate = (directory: number, name: string, limit: number): void => {
  const stats = fs.lstatSync(at(directory, name), { throwIfNoEntry: false })
  if (stats !== undefined && stats.isFile() && stats.size > limit) {
    fs.renameSync(at(directory, name), at(directory, `${name}.1`))
  }
}

const writeNew = (directory: number, name: string, content: string | Uint8Array, options: WriteOptions): void => {
  const temporary = temporaryName()
  const fd = fs.openSync(at(directory, temporary), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  try {
    withFile(fd, () => {
      fs.writeFileSync(fd, content)
      if (options.owner !== undefined) giveTo(fd, options.owner)
      fs.fchmodSync(fd, options.mode)
    })
    fs.renameSync(at(directory, temporary), at(directory, name))
  } catch (cause) {
    fs.rmSync(at(directory, temporary), { force: true })
    throw cause
  }
}

/** Only these contents are read to know a program by; of others, that cannot be read either, size and time tell. */
const isReadable = (stats: fs.Stats): boolean =>
  stats.isFile() &&
  stats.nlink === 1 &&
  stats.size <= maxHashedSize &&
  (process.geteuid?.() === 0 || (stats.mode & 0o400) !== 0)

/** SHA-256 of what the entry is: a file's content, a link's text, else its size and time. */
const hashEntry = (directory: number, name: string, shown: string): string | undefined => {
  const stats = fs.lstatSync(at(directory, name))
  if (stats.isDirectory()) return undefined
  const digest = createHash("sha256")
  if (stats.isSymbolicLink()) digest.update(`link ${fs.readlinkSync(at(directory, name))}`)
  else if (isReadable(stats)) digest.update(readBounded(directory, name, shown, maxHashedSize))
  else digest.update(`other ${stats.ino} ${stats.size} ${stats.mtimeMs}`)
  return digest.digest("hex")
}

const namesOfPrograms = (directory: number, shown: string): ReadonlyArray<string> => {
  const names = firstNames(`/proc/self/fd/${directory}`, maxPrograms + 1)
  if (names.length > maxPrograms) throw tooMany(shown)
  return names.toSorted()
}

const tooMany = (path: string): FileError =>
  new FileError({
    path,
    operation: "list",
    reason: "TooLarge",
    message: `cannot list ${path}: more entries than the limit of ${maxPrograms} programs`,
  })

/** One entry that goes away while the others are looked at must not make the whole directory seem absent. */
const unlessGone = <A>(look: () => A): A | undefined => {
  try {
    return look()
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return undefined
    throw cause
  }
}

export class OwnedDirectory {
  readonly path: string
  /** Who owns the directory, and as whom everything in it runs. */
  readonly owner: DirectoryOwner
  /** Permission bits. */
  readonly mode: number

  private constructor(path: string, stats: fs.Stats) {
    this.path = path
    this.owner = { uid: stats.uid, gid: stats.gid }
    this.mode = stats.mode & 0o7777
  }

  /** Looks at `path`, which lies in a directory that only the agent can change: a directory and no link. */
  static open(path: string): Effect.Effect<OwnedDirectory, FileError> {
    return attempt("open directory", path, () =>
      withDirectory(path, path, (fd) => new OwnedDirectory(path, fs.fstatSync(fd))),
    )
  }

  #in<A>(operation: string, relative: string, use: (directory: number, name: string, shown: string) => A) {
    const shown = `${this.path}/${relative}`
    return attempt(operation, shown, () =>
      withParent(this.path, relative, (directory, name) => use(directory, name, shown)),
    )
  }

  /** The text of a regular file of at most `limit` bytes (16 MiB when not given). */
  read(relative: string, limit = maxFileSize): Effect.Effect<string, FileError> {
    return this.#in("read", relative, (directory, name, shown) =>
      readNamed(directory, name, shown, limit).toString("utf8"),
    )
  }

  /** Like `read`, but undefined when the file does not exist. */
  readIfPresent(relative: string, limit?: number): Effect.Effect<string | undefined, FileError> {
    return undefinedIfAbsent(this.read(relative, limit))
  }

  /**
   * Like `read`, with what is needed to know the file again, which must be the user's `owner` if that is given. Fails when
   * it is written to meanwhile.
   */
  snapshot(relative: string, limit: number, owner?: number): Effect.Effect<Snapshot, FileError> {
    return this.#in("read", relative, (directory, name, shown) =>
      withFile(fs.openSync(at(directory, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK), (fd) => {
        if (owner !== undefined && fs.fstatSync(fd).uid !== owner) {
          throw unsafe("read", shown, "it belongs to somebody else")
        }
        const snapshot = snapshotOf(fd, shown, limit)
        checkOnlyName(fd, directory, name, shown)
        return snapshot
      }),
    )
  }

  /** Milliseconds since 1970 of the last change, or undefined when there is no such file. */
  modifiedAt(relative: string): Effect.Effect<number | undefined, FileError> {
    return undefinedIfAbsent(
      this.#in("look at", relative, (directory, name) => fs.lstatSync(at(directory, name)).mtimeMs),
    )
  }

  /** Puts a new file in the place of whatever has that name; atomic. */
  write(relative: string, content: string | Uint8Array, options: WriteOptions): Effect.Effect<void, FileError> {
    return this.#in("write", relative, (directory, name) => writeNew(directory, name, content, options))
  }

  /**
   * Makes a symbolic link that belongs to the directory's owner, in the place of an older link; atomic. Anything else
   * that has the name is left alone (node-behaviour.md does not ask for it to go).
   */
  link(relative: string, target: string): Effect.Effect<void, FileError> {
    return this.#in("link", relative, (directory, name, shown) => {
      const present = fs.lstatSync(at(directory, name), { throwIfNoEntry: false })
      if (present !== undefined && !present.isSymbolicLink()) return
      if (present !== undefined && fs.readlinkSync(at(directory, name)) === target) return
      const temporary = temporaryName()
      fs.symlinkSync(target, at(directory, temporary))
      try {
        withEntry(at(directory, temporary), (path, made) => {
          const { gid, uid } = this.owner
          // Somebody else's link that got this name would be given away.
          if (!made.isSymbolicLink() || made.nlink > 1) throw unsafe("link", shown, "something was put in its place")
          if (made.uid !== uid || made.gid !== gid) fs.chownSync(path, uid, gid)
        })
        fs.renameSync(at(directory, temporary), at(directory, name))
      } catch (cause) {
        fs.rmSync(at(directory, temporary), { force: true })
        throw cause
      }
    })
  }

  /** Makes a directory with the owner of this one, unless it is there. */
  makeDirectory(relative: string, mode: number): Effect.Effect<void, FileError> {
    return this.#in("make directory", relative, (directory, name, shown) => {
      try {
        fs.mkdirSync(at(directory, name), mode)
      } catch (cause) {
        if (errnoOf(cause) !== "EEXIST") throw cause
        withDirectory(at(directory, name), shown, () => undefined)
        return
      }
      withDirectory(at(directory, name), shown, (fd) => {
        // Somebody else's directory that got this name would be given away.
        if (fs.fstatSync(fd).uid !== process.geteuid?.())
          throw unsafe("make directory", shown, "something was put there")
        giveTo(fd, this.owner)
        fs.fchmodSync(fd, mode)
      })
    })
  }

  /** Removes a file or link; nothing happens when it is absent. */
  remove(relative: string): Effect.Effect<void, FileError> {
    return undefinedIfAbsent(this.#in("remove", relative, (directory, name) => fs.unlinkSync(at(directory, name))))
  }

  /** The entries of a directory that can be programs, by name; none when the directory is absent. */
  programs(relative: string): Effect.Effect<ReadonlyArray<ProgramEntry>, FileError> {
    const list = this.#in("list", relative, (parent, last, shown) =>
      withDirectory(at(parent, last), shown, (directory) =>
        namesOfPrograms(directory, shown).flatMap((name) => {
          const hash = unlessGone(() => hashEntry(directory, name, `${shown}/${name}`))
          return hash === undefined ? [] : [{ name, hash }]
        }),
      ),
    )
    return Effect.map(undefinedIfAbsent(list), (entries) => entries ?? [])
  }

  /** Names in the directory itself, or in one directly or deeper below it; the first 100,000 of them. */
  names(relative?: string): Effect.Effect<ReadonlyArray<string>, FileError> {
    const list = (fd: number) => firstNames(`/proc/self/fd/${fd}`, maxNames).toSorted()
    return relative === undefined
      ? attempt("list", this.path, () => withDirectory(this.path, this.path, list))
      : this.#in("list", relative, (directory, name, shown) => withDirectory(at(directory, name), shown, list))
  }

  /** Files and links in a directory below this one, by name; none when it is absent. */
  entries(relative: string): Effect.Effect<ReadonlyArray<FileEntry>, FileError> {
    const list = this.#in("list", relative, (parent, last, shown) =>
      withDirectory(at(parent, last), shown, (directory) =>
        namesOfPrograms(directory, shown).flatMap((name) => {
          const stats = unlessGone(() => fs.lstatSync(at(directory, name)))
          if (stats === undefined || !(stats.isFile() || stats.isSymbolicLink())) return []
          return [{ name, isExecutable: (stats.mode & 0o111) !== 0, modified: stats.mtimeMs }]
        }),
      ),
    )
    return Effect.map(undefinedIfAbsent(list), (entries) => entries ?? [])
  }

  /** At most `limit` names in a directory below this one, in no order; none when it is absent. */
  someNames(relative: string, limit: number): Effect.Effect<ReadonlyArray<string>, FileError> {
    const list = this.#in("list", relative, (parent, last, shown) =>
      withDirectory(at(parent, last), shown, (directory) => firstNames(`/proc/self/fd/${directory}`, limit)),
    )
    return Effect.map(undefinedIfAbsent(list), (names) => names ?? [])
  }

  /** Returns when what was put into or taken out of a directory below this one is on the disk. */
  syncNames(relative: string): Effect.Effect<void, FileError> {
    return Effect.acquireUseRelease(
      this.#in("open directory", relative, (parent, last, shown) =>
        withDirectory(at(parent, last), shown, (fd) => fs.openSync(`/proc/self/fd/${fd}`, O_RDONLY)),
      ),
      (fd) => sync(fd, `${this.path}/${relative}`),
      (fd) => Effect.sync(() => fs.closeSync(fd)),
    )
  }

  /** Like `write`, and on the disk, name and all, when it returns: power can fail then. */
  writeDurably(relative: string, content: string | Uint8Array, options: WriteOptions): Effect.Effect<void, FileError> {
    const shown = `${this.path}/${relative}`
    return this.replace(relative, options, (fd) =>
      Effect.andThen(
        attempt("write", shown, () => fs.writeFileSync(fd, content)),
        sync(fd, shown),
      ),
    ).pipe(Effect.andThen(this.syncNames(relative.slice(0, relative.lastIndexOf("/")))))
  }

  /**
   * Opens a log for reading and appending as long as the Scope lives; made when absent, with this directory's owner, and
   * moved to `<name>.1` first when it holds more than `rotateAt` bytes, if that is given.
   */
  openLog(relative: string, rotateAt = Number.POSITIVE_INFINITY): Effect.Effect<number, FileError, Scope.Scope> {
    return Effect.acquireRelease(
      this.#in("open log", relative, (directory, name, shown) => {
        rotate(directory, name, rotateAt)
        // Read access too: the end of a failed build's log is part of its report.
        return openOwnLog(directory, name, shown, this.owner)
      }),
      (fd) => Effect.sync(() => fs.closeSync(fd)),
    )
  }

  /** Opens a regular file that is there for reading and, not only at its end, writing, as long as the Scope lives. */
  openPresent(relative: string, access: "read" | "write" = "write"): Effect.Effect<number, FileError, Scope.Scope> {
    return Effect.acquireRelease(
      this.#in("open", relative, (directory, name, shown) => {
        const flags = access === "read" ? O_RDONLY : O_RDWR
        const fd = fs.openSync(at(directory, name), flags | O_NOFOLLOW | O_NONBLOCK)
        try {
          // The other end of a link that was taken away after the opening would have one name, too, but another owner.
          if (checkRegular(fd, "open", shown).uid !== this.owner.uid) {
            throw unsafe("open", shown, "it belongs to somebody else")
          }
          return fd
        } catch (cause) {
          fs.closeSync(fd)
          throw cause
        }
      }),
      (fd) => Effect.sync(() => fs.closeSync(fd)),
    )
  }

  /** Like `write`, for what is written in parts: `fill` gets the new file's descriptor. */
  replace(
    relative: string,
    options: WriteOptions,
    fill: (fd: number) => Effect.Effect<void, FileError>,
  ): Effect.Effect<void, FileError> {
    const temporary = [...relative.split("/").slice(0, -1), temporaryName()].join("/")
    const place = (fd: number) =>
      this.#in("write", relative, (directory, name) => {
        if (options.owner !== undefined) giveTo(fd, options.owner)
        fs.fchmodSync(fd, options.mode)
        // The owner may have put something else there meanwhile: it then has that name, and nothing else happens.
        fs.renameSync(at(directory, temporary.slice(temporary.lastIndexOf("/") + 1)), at(directory, name))
      })
    return Effect.acquireUseRelease(
      this.#in("write", temporary, (directory, name) =>
        fs.openSync(at(directory, name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600),
      ),
      (fd) => Effect.andThen(fill(fd), place(fd)),
      (fd, exit) =>
        Effect.andThen(
          Effect.sync(() => fs.closeSync(fd)),
          exit._tag === "Success" ? Effect.void : Effect.ignore(this.remove(temporary)),
        ),
    )
  }

  /** Whether something has that name, a dangling link included. */
  exists(relative: string): Effect.Effect<boolean, FileError> {
    return Effect.map(this.modifiedAt(relative), (time) => time !== undefined)
  }

  /** Removes everything inside, never the directory itself. */
  get removeContents(): Effect.Effect<void, FileError> {
    return removeContents(this.path)
  }
}
