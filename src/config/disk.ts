// What the configuration needs to know of the disk: the file itself, and whether the paths that it names can be used.
// Synchronous, because nothing else runs yet when a node reads its configuration.
import { accessSync, constants, readFileSync, statSync } from "node:fs"
import * as Result from "effect/Result"

export interface PathNeed {
  readonly option: string
  readonly source: string
  readonly path: string
  readonly kind: "file" | "directory"
  readonly access: "none" | "read" | "write"
}

/** What was found at a path; `error` is an errno name. */
export type Observation =
  | { readonly _tag: "Found"; readonly kind: "file" | "directory" | "other"; readonly granted: boolean }
  | { readonly _tag: "Failed"; readonly error: string }

const attempt = <A>(run: () => A): Result.Result<A, string> => {
  try {
    return Result.succeed(run())
  } catch (error) {
    return Result.fail(error instanceof Error && "code" in error ? String(error.code) : String(error))
  }
}

const MODES = {
  none: constants.F_OK,
  read: constants.R_OK,
  write: constants.R_OK | constants.W_OK | constants.X_OK,
}

export const observe = ({ path, access }: Pick<PathNeed, "path" | "access">): Observation => {
  const stat = attempt(() => statSync(path))
  if (Result.isFailure(stat)) return { _tag: "Failed", error: stat.failure }
  const kind = stat.success.isDirectory() ? "directory" : stat.success.isFile() ? "file" : "other"
  return { _tag: "Found", kind, granted: Result.isSuccess(attempt(() => accessSync(path, MODES[access]))) }
}

export const isAbsent = (error: string): boolean => error === "ENOENT" || error === "ENOTDIR"

const HINTS: Readonly<Record<PathNeed["access"], string>> = {
  none: "",
  read: "run slapgrid as root or as the file's owner, or correct its mode",
  write: "run slapgrid as root or as the directory's owner",
}

/** What is wrong with a needed path; undefined: nothing. */
export const problemOf = ({ path, kind, access }: PathNeed, seen: Observation): string | undefined => {
  if (seen._tag === "Failed") {
    if (isAbsent(seen.error)) {
      return `the ${kind} ${path} does not exist; create it or correct the path`
    }
    return seen.error === "EACCES"
      ? `this process may not look at ${path}; run slapgrid as root, or correct the modes of the directories above it`
      : `${path} cannot be looked at (${seen.error}); correct the path`
  }
  if (seen.kind !== kind) return `${path} is not a ${kind}; correct the path`
  if (seen.granted) return undefined
  return `this process may not ${access === "write" ? "write to" : "read"} ${path}; ${HINTS[access]}`
}

const READ_FAILURES: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "does not exist; create it or name another"],
  ["ENOTDIR", "does not exist; create it or name another"],
  ["EISDIR", "is a directory; name the file in it"],
  ["EACCES", `may not be read by this process; ${HINTS.read}`],
])

/** The text of a file, or what is wrong with it. A byte order mark stays in the text. */
export const readText = (path: string): Result.Result<string, string> => {
  const bytes = attempt(() => readFileSync(path))
  if (Result.isFailure(bytes)) {
    return Result.fail(`${path} ${READ_FAILURES.get(bytes.failure) ?? `cannot be read (${bytes.failure})`}`)
  }
  const text = attempt(() => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.success))
  return Result.mapError(text, () => `${path} is not UTF-8 text; save it as UTF-8`)
}
