// What is in a directory that is held open (at.ts) and belongs to a stranger: never more entries than it takes, and nothing
// is read through a link.
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { at } from "./at.ts"
import { errnoOf, FileError } from "./FileError.ts"
import { firstNames, readBounded } from "./reading.ts"

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

/** Wrappers are short. A larger program is known by its size and time: reading thousands of them would take the agent's time. */
const maxHashedSize = 64 * 1024
/** More programs than any instance has; a partition must not keep the agent busy with listing them. */
const maxPrograms = 2000
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

/** Regular files and links that can be programs, by name, each with what to know it by. */
export const programsIn = (directory: number, shown: string): ReadonlyArray<ProgramEntry> =>
  namesOfPrograms(directory, shown).flatMap((name) => {
    const hash = unlessGone(() => hashEntry(directory, name, `${shown}/${name}`))
    return hash === undefined ? [] : [{ name, hash }]
  })

/** Files and links, by name. */
export const filesIn = (directory: number, shown: string): ReadonlyArray<FileEntry> =>
  namesOfPrograms(directory, shown).flatMap((name) => {
    const stats = unlessGone(() => fs.lstatSync(at(directory, name)))
    if (stats === undefined || !(stats.isFile() || stats.isSymbolicLink())) return []
    return [{ name, isExecutable: (stats.mode & 0o111) !== 0, modified: stats.mtimeMs }]
  })
