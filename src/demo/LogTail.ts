// Where the agent's log goes during a demo: to a file in its directory, and its newest lines to the screen. Lines that
// come before there is a directory wait for it.
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import { fromErrno } from "../files/FileError.ts"
import type { LogLine } from "./DemoStatus.ts"

/** One event of the log. */
export interface LogRecord {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly message: string
  /** The event as the log file shows it: lines without a newline at the end. */
  readonly text: string
}

/** More than any screen has. */
const remembered = 200

export class LogTail {
  #waiting: Array<string> = []
  #lines: Array<LogLine> = []
  #file: number | undefined

  readonly push = ({ at, message, text }: LogRecord): void => {
    const lines = message.trimEnd().split("\n").slice(-remembered)
    this.#lines = [...this.#lines, ...lines.map((line) => ({ at, text: line }))].slice(-remembered)
    if (this.#file === undefined) this.#waiting.push(text)
    else this.#append(this.#file, text)
  }

  get lines(): ReadonlyArray<LogLine> {
    return this.#lines
  }

  /** Writes to a new file until the Scope ends. */
  readonly writeTo = (path: string) =>
    Effect.acquireRelease(
      Effect.try({
        try: () => {
          const fd = fs.openSync(path, "ax", 0o644)
          this.#file = fd
          for (const text of this.#waiting.splice(0)) this.#append(fd, text)
          return fd
        },
        catch: (cause) => fromErrno("write", path, cause),
      }),
      (fd) =>
        Effect.sync(() => {
          this.#file = undefined
          fs.closeSync(fd)
        }),
    )

  #append(fd: number, text: string): void {
    try {
      fs.writeSync(fd, `${text}\n`)
    } catch {
      // A full disk: the screen still has the line.
      return
    }
  }
}
