// Why a file could not be used: the reasons tell apart what is missing, what is unsafe and what the machine refused.
import * as Schema from "effect/Schema"

export class FileError extends Schema.TaggedError<FileError>()("FileError", {
  path: Schema.String,
  operation: Schema.String,
  /** `Unsafe`: a link, a FIFO, a foreign owner or anything else that a stranger could have planted. */
  reason: Schema.Literals(["NotFound", "Unsafe", "TooLarge", "NoSpace", "Failed"]),
  message: Schema.String,
}) {}

const reasons: Readonly<Record<string, FileError["reason"]>> = {
  ENOENT: "NotFound",
  ELOOP: "Unsafe",
  ENXIO: "Unsafe",
  ENOTDIR: "Unsafe",
  ENOSPC: "NoSpace",
  EDQUOT: "NoSpace",
}

const isErrno = (cause: unknown): cause is NodeJS.ErrnoException => cause instanceof Error && "code" in cause

/** The errno name (`ENOENT`) of an exception of node:fs. */
export const errnoOf = (cause: unknown): string | undefined => (isErrno(cause) ? cause.code : undefined)

/** Turns an exception of node:fs into a FileError that names path and operation. */
export const fromErrno = (operation: string, path: string, cause: unknown): FileError => {
  if (cause instanceof FileError) return cause
  const code = errnoOf(cause)
  return new FileError({
    path,
    operation,
    reason: (code === undefined ? undefined : reasons[code]) ?? "Failed",
    message: `cannot ${operation} ${path}: ${code === undefined ? String(cause) : explained(code)}`,
  })
}

/** For people: those that an operator can do something about. */
const explanations: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "not permitted",
  ENOTDIR: "it is not a directory",
  ENOSPC: "no space left",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
}

const explained = (code: string): string => {
  const words = explanations[code]
  return words === undefined ? code : `${code} (${words})`
}

export const unsafe = (operation: string, path: string, why: string): FileError =>
  new FileError({ path, operation, reason: "Unsafe", message: `refused to ${operation} ${path}: ${why}` })
