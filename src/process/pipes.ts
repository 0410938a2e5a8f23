// Pipes between the agent and a command: what it prints without a file on anybody's disk, and never more of it in the
// agent than was asked for. The inode belongs to the command's user, who may open /dev/stdout and /dev/stderr anew.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { closeSync, fchownSync } from "node:fs"
import { Socket } from "node:net"
import type { LaunchError, PipeEnds } from "./launcher/Connection.ts"
import type { Launcher } from "./launcher/Launcher.ts"

/** Milliseconds that are waited for the end of a pipe whose writers should be gone: one may have escaped. */
const patience = 1000

export interface PipeOwner {
  readonly uid: number
  readonly gid: number
}

/** Reads everything from a pipe; `onData` gets it in pieces. */
class PipeReader {
  readonly #socket: Socket
  readonly #ended = Deferred.makeUnsafe<void>()

  constructor(fd: number, onData: (piece: Buffer) => void) {
    this.#socket = new Socket({ fd, readable: true, writable: false })
    this.#socket.on("data", onData)
    this.#socket.on("error", () => undefined)
    this.#socket.once("close", () => Deferred.doneUnsafe(this.#ended, Effect.void))
  }

  /** Waits until all writers are gone and everything is read; not for long. */
  get end(): Effect.Effect<void> {
    return Effect.timeoutOrElse(Deferred.await(this.#ended), { duration: patience, orElse: () => Effect.void })
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** A descriptor that is closed when the work is done, or at the end of the Scope. */
class OwnDescriptor {
  readonly fd: number
  #isOpen = true

  constructor(fd: number) {
    this.fd = fd
  }

  close(): void {
    if (this.#isOpen) closeSync(this.fd)
    this.#isOpen = false
  }
}

const openPipe = (launcher: Launcher["Service"], owner: PipeOwner | undefined): Effect.Effect<PipeEnds, LaunchError> =>
  Effect.tap(launcher.pipe, ({ writer }) =>
    Effect.sync(() => {
      if (owner !== undefined) fchownSync(writer, owner.uid, owner.gid)
    }),
  )

export interface Printed {
  /** For the command's output. */
  readonly fd: number
  /** Waits until more than `limit` bytes were printed. */
  readonly exceeded: Effect.Effect<void>
  /** When the command and what it started are gone: the last bytes of what they printed. */
  readonly last: Effect.Effect<Uint8Array>
}

/** Keeps the last `keep` bytes of what a command prints. */
export const printedTo = Effect.fnUntraced(function* (
  launcher: Launcher["Service"],
  options: { readonly owner: PipeOwner | undefined; readonly keep: number; readonly limit: number },
): Effect.fn.Return<Printed, LaunchError, Scope.Scope> {
  let kept = Buffer.alloc(0)
  let count = 0
  const exceeded = Deferred.makeUnsafe<void>()
  const { reader, writer } = yield* readPipe(launcher, options.owner, (piece) => {
    count += piece.length
    kept = Buffer.concat([kept, piece]).subarray(-options.keep)
    if (count > options.limit) Deferred.doneUnsafe(exceeded, Effect.void)
  })
  const last = Effect.andThen(
    Effect.suspend(() => {
      writer.close()
      return reader.end
    }),
    Effect.sync(() => kept),
  )
  return { fd: writer.fd, exceeded: Deferred.await(exceeded), last }
})

const readPipe = (
  launcher: Launcher["Service"],
  owner: PipeOwner | undefined,
  onData: (piece: Buffer) => void,
): Effect.Effect<{ readonly reader: PipeReader; readonly writer: OwnDescriptor }, LaunchError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(openPipe(launcher, owner), (ends) => ({
      reader: new PipeReader(ends.reader, onData),
      writer: new OwnDescriptor(ends.writer),
    })),
    ({ reader, writer }) =>
      Effect.sync(() => {
        reader.close()
        writer.close()
      }),
  )

export interface Dialogue {
  /** For the command's input and output. */
  readonly input: number
  readonly output: number
  /** Says a line to it. */
  readonly say: (line: string) => void
  /** When it is gone: returns after its last line was heard. */
  readonly drained: Effect.Effect<void>
}

/** Lines to and from a command, for as long as the Scope lives. */
export const dialogueWith = Effect.fnUntraced(function* (
  launcher: Launcher["Service"],
  options: {
    readonly owner: PipeOwner | undefined
    /** Bytes that it may say in all. What comes after is not heard. */
    readonly limit: number
    readonly onLine: (line: string) => void
  },
): Effect.fn.Return<Dialogue, LaunchError, Scope.Scope> {
  const decoder = new TextDecoder()
  let rest = ""
  let count = 0
  const { reader, writer } = yield* readPipe(launcher, options.owner, (piece) => {
    count += piece.length
    if (count > options.limit) return reader.close()
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) options.onLine(line)
  })
  const { input, mouth } = yield* Effect.acquireRelease(
    Effect.map(openPipe(launcher, options.owner), (ends) => {
      const mouth = new Socket({ fd: ends.writer, readable: false, writable: true })
      mouth.on("error", () => undefined)
      return { input: new OwnDescriptor(ends.reader), mouth }
    }),
    ({ input, mouth }) =>
      Effect.sync(() => {
        input.close()
        mouth.destroy()
      }),
  )
  return {
    input: input.fd,
    output: writer.fd,
    say: (line) => void mouth.write(`${line}\n`),
    drained: Effect.suspend(() => {
      writer.close()
      return reader.end
    }),
  }
})
