// Writing under a name in a directory that is held open (at.ts), which belongs to a stranger: always a new file that gets the
// name by a rename, or a log that is the owner's own.
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import { at } from "./at.ts"
import { errnoOf, unsafe } from "./FileError.ts"
import { checkRegular, withFile } from "./reading.ts"

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDWR, O_WRONLY } = fs.constants

export interface DirectoryOwner {
  readonly uid: number
  readonly gid: number
}

export interface WriteOptions {
  readonly mode: number
  /** Undefined: the agent's own user and group. */
  readonly owner?: DirectoryOwner
}

/** Changes the owner where it differs: an ordinary user may not even ask. */
export const giveTo = (fd: number, owner: DirectoryOwner): void => {
  const { uid, gid } = fs.fstatSync(fd)
  if (uid !== owner.uid || gid !== owner.gid) fs.fchownSync(fd, owner.uid, owner.gid)
}

export const temporaryName = (): string => `.slapgrid-${randomUUID()}`

const logFlags = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK

/**
 * Opens a log of `owner`'s, or makes one. A file of somebody else's is never used, however often it is linked by now:
 * it can be the other end of a link that was taken away after the opening. One that the agent's user left (the
 * reference's logs are root's) is put aside as the backup.
 */
export const openOwnLog = (directory: number, name: string, shown: string, owner: DirectoryOwner): number => {
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
export const rotate = (directory: number, name: string, limit: number): void => {
  const stats = fs.lstatSync(at(directory, name), { throwIfNoEntry: false })
  if (stats !== undefined && stats.isFile() && stats.size > limit) {
    fs.renameSync(at(directory, name), at(directory, `${name}.1`))
  }
}

/** Opens a name that nothing has yet. */
export const createNew = (directory: number, name: string): number =>
  fs.openSync(at(directory, name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)

/** Puts a new file in the place of whatever has that name. */
export const writeNew = (
  directory: number,
  name: string,
  content: string | Uint8Array,
  options: WriteOptions,
): void => {
  const temporary = temporaryName()
  const fd = createNew(directory, temporary)
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
