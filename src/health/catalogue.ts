// Which promises a partition has, and what the files are called in which monitoring software and the reference look
// for them. node-behaviour.md (Promises).
import type { PromiseKind } from "../domain/NodeStatus.ts"

export interface PromiseFile {
  readonly kind: PromiseKind
  /** Of its file. */
  readonly name: string
  /** The name without its last extension: results, logs and cached facts have it. */
  readonly title: string
  readonly path: string
  /** When the file was changed last, in milliseconds since 1970. */
  readonly modified: number
}

/** Below a partition's directory. */
export const promiseFolders: Readonly<Record<PromiseKind, string>> = { plugin: "etc/plugin", executable: "etc/promise" }

export const titleOf = (name: string): string => {
  const dot = name.lastIndexOf(".")
  // As Python has it: dots at the head of a name begin no extension.
  return /^\.*$/.test(name.slice(0, Math.max(0, dot))) ? name : name.slice(0, dot)
}

export const isPlugin = (name: string): boolean => name.endsWith(".py") && !name.startsWith("__init__")

/** Two with one title would overwrite each other's results. Gives the titles that several have. */
export const sharedTitles = (promises: ReadonlyArray<Pick<PromiseFile, "title">>): ReadonlyArray<string> => {
  const titles = promises.map(({ title }) => title)
  return [...new Set(titles.filter((title, index) => titles.indexOf(title) !== index))]
}
