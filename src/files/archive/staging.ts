// A directory that is filled where nobody looks, and gets its name when it is complete. It lies beside its place, whose
// owner may be a stranger: until then it is the agent's alone, so that nothing can be changed while it is filled.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import { type FileError, fromErrno, unsafe } from "../FileError.ts"
import type { DirectoryOwner } from "../writing.ts"
import { removeTree } from "../removeTree.ts"

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = fs.constants

/** How directories in the making are called, with the final name behind it: the next agent removes what is left. */
const prefix = ".slapgrid-new-"

export interface Staging {
  /** Open directory to be filled. */
  readonly directory: number
  /** Gives it to its owner, and its place, where nothing may be but an empty directory. */
  readonly place: (owner: DirectoryOwner, mode: number) => Effect.Effect<void, FileError>
}

const make = (path: string): number => {
  fs.mkdirSync(path, 0o700)
  const fd = fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  const stats = fs.fstatSync(fd)
  if (stats.uid === process.geteuid?.() && (stats.mode & 0o7077) === 0) return fd
  fs.closeSync(fd)
  throw unsafe("make directory", path, "something was put in its place")
}

const moveTo = (fd: number, path: string, place: string, owner: DirectoryOwner, mode: number): void => {
  if (process.geteuid?.() === 0) fs.fchownSync(fd, owner.uid, owner.gid)
  fs.fchmodSync(fd, mode)
  fs.renameSync(path, place)
  if (fs.lstatSync(place).ino !== fs.fstatSync(fd).ino) throw unsafe("use", place, "something was put in its place")
}

/** What becomes `<parent>/<name>`; gone with the Scope unless it got there. */
export const stagingFor = (parent: string, name: string): Effect.Effect<Staging, FileError, Scope.Scope> => {
  const path = `${parent}/${prefix}${name}`
  const place = `${parent}/${name}`
  const attempt = <A>(operation: string, shown: string, run: () => A) =>
    Effect.try({ try: run, catch: (cause) => fromErrno(operation, shown, cause) })
  return Effect.gen(function* () {
    // Of an agent that was killed.
    yield* removeTree(path)
    yield* Effect.addFinalizer(() => Effect.ignore(removeTree(path)))
    const directory = yield* Effect.acquireRelease(
      attempt("make directory", path, () => make(path)),
      (fd) => Effect.sync(() => fs.closeSync(fd)),
    )
    return {
      directory,
      place: (owner, mode) => attempt("move to", place, () => moveTo(directory, path, place, owner, mode)),
    }
  })
}

/** A file for somebody's program to write to, by the name `path`, and for the agent to read; gone with the Scope. */
export const handedFile = (
  parent: string,
  name: string,
  owner: DirectoryOwner,
): Effect.Effect<{ readonly fd: number; readonly path: string }, FileError, Scope.Scope> => {
  const path = `${parent}/${prefix}${name}`
  const make = () => {
    removeIfFile(path)
    const fd = fs.openSync(path, "wx+", 0o600)
    if (process.geteuid?.() === 0) fs.fchownSync(fd, owner.uid, owner.gid)
    return { fd, path }
  }
  return Effect.acquireRelease(Effect.try({ try: make, catch: (cause) => fromErrno("make", path, cause) }), ({ fd }) =>
    Effect.sync(() => {
      fs.closeSync(fd)
      removeIfFile(path)
    }),
  )
}

/** False when it is a directory. */
const removeIfFile = (path: string): boolean => {
  try {
    fs.rmSync(path, { force: true })
    return true
  } catch {
    return false
  }
}

/** Removes what agents that were killed have left in the making. */
export const removeStagings = (parent: string): Effect.Effect<void, FileError> =>
  Effect.try({
    try: () => fs.readdirSync(parent).filter((name) => name.startsWith(prefix)),
    catch: (cause) => fromErrno("list", parent, cause),
  }).pipe(
    Effect.flatMap((names) =>
      Effect.forEach(
        names.map((name) => `${parent}/${name}`),
        (path) => (removeIfFile(path) ? Effect.void : removeTree(path)),
        { discard: true },
      ),
    ),
  )
