// Takes blocks off the head of an open file in place: whoever appends to it goes on, and nothing is lost. Node has no
// fallocate(2); util-linux's program gets the descriptor, so that no name is looked up in a directory of a stranger.
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"

/** Why a file system, or a machine without the program, did not do it. */
export interface Refusal {
  readonly why: string
  /** It will not do it the next time either. */
  readonly isLasting: boolean
}

const program = "/usr/bin/fallocate"
/** A disk that takes longer is broken. */
const patience = 30_000

/** Removes the first `length` bytes, a multiple of the file system's block size and less than the file has. */
export const collapse = (fd: number, length: number): Effect.Effect<Refusal | undefined> =>
  Effect.callback((resume) => {
    let told = ""
    const child = spawn(program, ["--collapse-range", "--offset", "0", "--length", `${length}`, "/proc/self/fd/3"], {
      cwd: "/",
      env: { LC_ALL: "C" },
      // Not in the terminal's foreground group: an interrupt of the agent is none of its business.
      detached: true,
      stdio: ["ignore", "ignore", "pipe", fd],
      timeout: patience,
      killSignal: "SIGKILL",
    })
    child.stderr?.setEncoding("utf8").on("data", (text: string) => void (told += text))
    child.once("error", (cause) => resume(Effect.succeed({ why: cause.message, isLasting: true })))
    child.once("close", (code) => {
      const refusal = { why: told.trim() || `${program} failed`, isLasting: /not supported/i.test(told) }
      resume(Effect.succeed(code === 0 ? undefined : refusal))
    })
  })
