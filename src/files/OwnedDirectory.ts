// The only way the agent touches what lies in a directory that belongs to a partition or to the software owner. The
// owner is a stranger: every name is looked up without following links, what is read must be a regular file with one
// name, what is written is a new file put in place by a rename, and whoever holds the directory open cannot be led
// elsewhere.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import { at, withDirectory, withEntry, withParent } from "./at.ts"
import { errnoOf, type FileError, fromErrno, unsafe } from "./FileError.ts"
import { type FileEntry, filesIn, type ProgramEntry, programsIn } from "./listing.ts"
import {
  checkOnlyName,
  checkRegular,
  firstNames,
  readNamed,
  type Snapshot,
  snapshotOf,
  sync,
  withFile,
} from "./reading.ts"
import { removeContents } from "./removeTree.ts"
import {
  createNew,
  type DirectoryOwner,
  giveTo,
  openOwnLog,
  rotate,
  temporaryName,
  type WriteOptions,
  writeNew,
} from "./writing.ts"

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = fs.constants

const maxFileSize = 16 * 1024 * 1024
/** More names than this are not looked at. */
const maxNames = 100_000

const attempt = <A>(operation: string, shown: string, use: () => A): Effect.Effect<A, FileError> =>
  Effect.try({ try: use, catch: (cause) => fromErrno(operation, shown, cause) })

const undefinedIfAbsent = <A>(effect: Effect.Effect<A, FileError>): Effect.Effect<A | undefined, FileError> =>
  Effect.catchIf(
    effect,
    (error) => error.reason === "NotFound",
    () => Effect.undefined,
  )

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
      withDirectory(at(parent, last), shown, (directory) => programsIn(directory, shown)),
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
      withDirectory(at(parent, last), shown, (directory) => filesIn(directory, shown)),
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
      this.#in("write", temporary, createNew),
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
