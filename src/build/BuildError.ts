// Why a software release or a partition could not be built. The message ends with the cause, because masters keep
// only the end of it (slap-protocol.md, softwareInstanceError).
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { FileError } from "../files/FileError.ts"
import { freeSpace, readEnd } from "../files/machine.ts"
import type { PrivilegeError } from "../process/privileges.ts"
import type { CommandError } from "../process/Spawner.ts"

export class BuildError extends Schema.TaggedError<BuildError>()("BuildError", {
  reason: Schema.Literals([
    /** buildout, bootstrap or a script ended badly or took too long. */
    "Failed",
    /** The release an instance needs is not there. */
    "NotReady",
    "NoSpace",
    /** The directory cannot be used: absent, wrong owner or mode, or planted. */
    "Directory",
  ]),
  message: Schema.String,
}) {}

/** What went wrong below, in the terms of a build. */
export const toBuildError = (error: BuildError | FileError | PrivilegeError | CommandError): BuildError => {
  switch (error._tag) {
    case "BuildError":
      return error
    case "FileError":
      return new BuildError({ reason: error.reason === "NoSpace" ? "NoSpace" : "Directory", message: error.message })
    case "PrivilegeError":
      return new BuildError({ reason: "Directory", message: error.message })
    case "CommandError":
      return new BuildError({ reason: "Failed", message: error.message })
  }
}

/** How much of a log's end goes into an error report, in bytes. */
export const reportedLog = 60_000

/** The error of work that was ended from outside, after the end of what it had written since `start`. */
export const withOutput = Effect.fnUntraced(function* (error: BuildError | FileError, log: number, start: number) {
  const { message, reason } = toBuildError(error)
  const output = (yield* readEnd(log, start, reportedLog)).trimEnd()
  return yield* new BuildError({ reason, message: output === "" ? message : `${output}\n${message}` })
})

const megabytes = (bytes: number): string => `${Math.floor(bytes / 1_000_000)} MB`

/** Fails when an ordinary user has less than `required` bytes left on the file system of `path`. */
export const checkFreeSpace = Effect.fnUntraced(function* (path: string, required: number, option: string) {
  const available = yield* freeSpace(path)
  if (available >= required) return
  const message = `not enough space for ${path}: ${megabytes(available)} available, ${megabytes(required)} required (${option})`
  return yield* new BuildError({ reason: "NoSpace", message })
})
