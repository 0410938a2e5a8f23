// Makes files of what a tar archive tells, all below one directory that nobody else can enter meanwhile, so that only
// the archive itself could lead a write astray: a name is used when every directory above it was made here. Synchronous,
// for a thread of its own.
import * as fs from "node:fs"
import { parentOf, PlaceError, placeOf, staysInside, turnsBack } from "./places.ts"
import { shown, type TarEntry, TarError, type TarListener } from "./tar.ts"

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = fs.constants

export interface UnpackTarget {
  /** Open directory, 0700 and the agent's, that becomes the archive's folder. */
  readonly directory: number
  /** Name of the one folder that the archive may hold. */
  readonly folder: string
  /** Absolute paths of the folder once it is in its place. */
  readonly homes: ReadonlyArray<string>
  /** To whom everything is given; undefined: the agent keeps it. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
  /** Bytes that must stay free on the file system. */
  readonly minFreeSpace: number
  /** Names directly in the folder that are left out. */
  readonly leftOut: ReadonlyArray<string>
}

/** There is not enough space; the message follows 'the archive'. */
export class SpaceError extends Error {}

/** Bytes written between two looks at the free space. */
const spaceInterval = 16 * 1024 * 1024
/** What an entry takes beside its content. */
const entryCost = 4096

/** Nobody but the owner writes: partitions' users are in the owner's group. No setuid, setgid or sticky bits. */
const keptMode = 0o755

const isFree = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "EEXIST"

interface DirectoryFacts {
  readonly mode: number
  readonly mtime: number | undefined
}

export class Unpacker implements TarListener {
  readonly #target: UnpackTarget
  readonly #base: string
  readonly #umask = process.umask()
  /** Every directory that was made, the top as "": what it gets when all is in it. */
  readonly #directories = new Map<string, DirectoryFacts>()
  /** Links whose end depends on what else comes. */
  readonly #links: Array<TarEntry> = []
  readonly #leftOut: ReadonlySet<string>
  #lastParent = ""
  /** The file that is being written; undefined: its content is dropped. */
  #file: { readonly fd: number; readonly mtime: number } | undefined
  #name = ""
  #free = 0
  #sinceLook = Number.POSITIVE_INFINITY

  constructor(target: UnpackTarget) {
    this.#target = target
    this.#base = `/proc/self/fd/${target.directory}/`
    this.#leftOut = new Set(target.leftOut)
  }

  readonly entry = (entry: TarEntry): void => {
    this.#name = entry.path
    this.#naming(() => {
      const place = placeOf(entry.path, this.#target.folder)
      if (place === "" && entry.type !== "directory") throw new PlaceError("takes the place of the folder")
      if (this.#leftOut.has(place.split("/", 1)[0] ?? "")) return
      this.#count(entry.size)
      if (entry.type === "directory") this.#makeDirectory(place, entry)
      else {
        this.#requireParent(place)
        if (entry.type === "file") this.#openFile(place, entry)
        else if (entry.type === "symlink") this.#makeSymlink(place, entry)
        else this.#makeLink(place, entry)
      }
    })
  }

  readonly data = (bytes: Uint8Array): void => {
    const file = this.#file
    if (file === undefined) return
    this.#naming(() => {
      let written = 0
      while (written < bytes.length) written += fs.writeSync(file.fd, bytes, written, bytes.length - written)
    })
  }

  readonly end = (): void => {
    const file = this.#file
    if (file === undefined) return
    this.#file = undefined
    this.#naming(() => {
      if (this.#target.owner !== undefined) fs.fchownSync(file.fd, this.#target.owner.uid, this.#target.owner.gid)
      fs.futimesSync(file.fd, file.mtime, file.mtime)
      fs.closeSync(file.fd)
    })
  }

  /** To be called when the archive has ended: nothing was refused, and directories get what they are to have. */
  finish(): void {
    if (this.#directories.size === 0) throw new TarError(`does not hold the folder ${this.#target.folder}`)
    for (const entry of this.#links) {
      this.#name = entry.path
      this.#naming(() => this.#checkSymlink(placeOf(entry.path, this.#target.folder), entry.target))
    }
    // The last one made first: what is in a directory was made after it.
    for (const [place, { mode, mtime }] of [...this.#directories].toReversed()) {
      if (place === "") continue
      const path = this.#pathOf(place)
      if (this.#target.owner !== undefined) fs.lchownSync(path, this.#target.owner.uid, this.#target.owner.gid)
      fs.chmodSync(path, mode)
      if (mtime !== undefined) fs.utimesSync(path, mtime, mtime)
    }
  }

  /** As Node wants it: text where it is the same as the bytes. */
  #pathOf(place: string): string | Buffer {
    const path = this.#base + place
    // oxlint-disable-next-line no-control-regex
    return /^[\0-\x7f]*$/.test(path) ? path : Buffer.from(path, "latin1")
  }

  /** Runs one step of an entry; what goes wrong tells the entry's name. */
  #naming(step: () => void): void {
    try {
      step()
    } catch (cause) {
      if (cause instanceof PlaceError) throw new TarError(`holds ${shown(this.#name)}, which ${cause.message}`)
      if (!(cause instanceof Error) || !("code" in cause)) throw cause
      const code = String(cause.code)
      if (code === "ENOSPC" || code === "EDQUOT") throw new SpaceError(`does not fit: ${code} at ${shown(this.#name)}`)
      if (code === "EEXIST") throw new TarError(`holds ${shown(this.#name)} twice`)
      throw new TarError(`cannot be unpacked: ${code} at ${shown(this.#name)}`)
    }
  }

  /** Fails before the disk is full, or would be with this entry. */
  #count(size: number): void {
    const needed = size + entryCost
    this.#sinceLook += needed
    if (this.#sinceLook >= spaceInterval) {
      this.#sinceLook = needed
      const { bavail, bsize } = fs.statfsSync(this.#base)
      this.#free = bavail * bsize
    }
    if (this.#free - this.#sinceLook < this.#target.minFreeSpace) {
      throw new SpaceError(`does not fit: less than ${this.#target.minFreeSpace} bytes would be left`)
    }
  }

  /** Makes what is missing of the directories above; a link or file in their place is refused. */
  #requireParent(place: string): void {
    const parent = parentOf(place)
    if (parent === this.#lastParent && this.#directories.has(parent)) return
    if (!this.#directories.has(parent)) this.#makeMissing(parent)
    this.#lastParent = parent
  }

  #makeMissing(place: string): void {
    if (place !== "") {
      this.#requireParent(place)
      try {
        fs.mkdirSync(this.#pathOf(place), 0o700)
      } catch (cause) {
        if (isFree(cause)) throw new PlaceError("lies below a link or a file")
        throw cause
      }
    }
    this.#directories.set(place, { mode: keptMode, mtime: undefined })
  }

  #makeDirectory(place: string, { mode, mtime }: TarEntry): void {
    if (!this.#directories.has(place)) {
      if (place !== "") {
        this.#requireParent(place)
        fs.mkdirSync(this.#pathOf(place), 0o700)
      }
    }
    // Its own place in the order stays: it was made before what is in it.
    this.#directories.set(place, { mode: mode & keptMode, mtime })
  }

  #openFile(place: string, { mode, mtime }: TarEntry): void {
    const kept = mode & keptMode
    const fd = fs.openSync(this.#pathOf(place), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kept)
    this.#file = { fd, mtime }
    if ((kept & this.#umask) !== 0) fs.fchmodSync(fd, kept)
  }

  #checkSymlink(place: string, target: string): void {
    if (!staysInside(place, target, this.#target.homes, (at) => this.#directories.has(at))) {
      throw new PlaceError(`links to ${shown(target)}, outside its folder`)
    }
  }

  #makeSymlink(place: string, entry: TarEntry): void {
    if (turnsBack(entry.target)) this.#links.push(entry)
    else this.#checkSymlink(place, entry.target)
    const path = this.#pathOf(place)
    fs.symlinkSync(Buffer.from(entry.target, "latin1"), path)
    if (this.#target.owner !== undefined) fs.lchownSync(path, this.#target.owner.uid, this.#target.owner.gid)
    fs.lutimesSync(path, entry.mtime, entry.mtime)
  }

  /** Another name of a file of this archive. Compilers, git and perl are installed with many. */
  #makeLink(place: string, entry: TarEntry): void {
    const file = placeOf(entry.target, this.#target.folder)
    const path = this.#pathOf(file)
    const isOwn = this.#directories.has(parentOf(file)) && !this.#directories.has(file)
    if (!isOwn || fs.lstatSync(path, { throwIfNoEntry: false })?.isFile() !== true) {
      throw new PlaceError(`is a hard link to ${shown(entry.target)}, which is no file that came before it`)
    }
    fs.linkSync(path, this.#pathOf(place))
  }
}
