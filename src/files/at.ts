// openat(2) and its kin for Node, which has none: a directory held open is named as /proc/self/fd/N, so that a name
// below it is looked up in that very directory, whatever its owner renames meanwhile. Synchronous: each call is a few
// microseconds, and nothing of the agent can come between a check and its use.
import * as fs from "node:fs"
import { fromErrno, unsafe } from "./FileError.ts"

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = fs.constants

/** open(2): a handle on the very entry, a link included, without access to what it holds. Node does not name it. */
export const O_PATH = 0o10_000_000

/** Calls `use` with another path that leads to the very entry at `path`, whatever is put in its place meanwhile. */
export const withEntry = <A>(path: fs.PathLike, use: (path: string, stats: fs.Stats) => A): A => {
  const handle = fs.openSync(path, O_PATH | O_NOFOLLOW)
  try {
    return use(`/proc/self/fd/${handle}`, fs.fstatSync(handle))
  } finally {
    fs.closeSync(handle)
  }
}

export const at = (directory: number, name: string): string => `/proc/self/fd/${directory}/${name}`

/** The same for a name of one character a byte (latin1): strangers' names need not be UTF-8. */
export const atBytes = (directory: number, name: string): Buffer => Buffer.from(at(directory, name), "latin1")

/** One plain name: what a single lookup step may get. */
const isPlain = (name: string): boolean => name !== "" && name !== "." && name !== ".." && !/[/\0]/.test(name)

/** Calls `use` with the directory `path` open, refusing a link in its place; closes it afterwards. */
export const withDirectory = <A>(path: string, shown: string, use: (directory: number) => A): A => {
  let directory: number
  try {
    directory = fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  } catch (cause) {
    throw fromErrno("open directory", shown, cause)
  }
  try {
    return use(directory)
  } finally {
    fs.closeSync(directory)
  }
}

/**
 * Walks `relative` from `root` without following any link and calls `use` with the directory that holds the last
 * name. `shown` is the path for messages.
 */
export const withParent = <A>(root: string, relative: string, use: (directory: number, name: string) => A): A => {
  const names = relative.split("/")
  const last = names.pop()
  if (last === undefined || ![...names, last].every(isPlain))
    throw unsafe("use", `${root}/${relative}`, "not a plain path")
  const walk = (directory: number, index: number): A => {
    const name = names[index]
    if (name === undefined) return use(directory, last)
    const shown = `${root}/${names.slice(0, index + 1).join("/")}`
    return withDirectory(at(directory, name), shown, (next) => walk(next, index + 1))
  }
  return withDirectory(root, root, (directory) => walk(directory, 0))
}
