// Reads the log of a program together with its backup, as one text, and follows it while its head is cut off: by the
// bytes that were read last, because nothing else tells how much was cut. The files belong to a stranger.
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import { PartitionId } from "../../domain/ids.ts"
import { escapeOutput } from "../../domain/text.ts"
import { type FileError, fromErrno } from "../../files/FileError.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import { lastLines, logNameOf, programsWithLog } from "./reading.ts"
import { withoutBlanks } from "./trim.ts"

export class UnknownLog extends Schema.TaggedError<UnknownLog>()("UnknownLog", {
  name: Schema.String,
  message: Schema.String,
}) {}

export interface ProgramLog {
  readonly directory: OwnedDirectory
  /** Name in the directory. */
  readonly name: string
}

/** More is never read at once; logs are this large only when no agent bounds them. */
const readLimit = 16 * 1024 * 1024
/** So many bytes prove that the text goes on where it was left. */
const rememberedBytes = 1024
const lookInterval = "250 millis"
const isPartitionId = Schema.is(PartitionId)
const nothing = new Uint8Array()

const unknown = (name: string, message: string) => Effect.fail(new UnknownLog({ name, message }))

const listed = (names: ReadonlyArray<string>): string => (names.length === 0 ? "none" : names.join(", "))

/** The log of `PARTITION:PROGRAM`; a service can be named with or without `-on-watch`. */
export const findLog = Effect.fnUntraced(function* (instanceRoot: string, name: string) {
  const [partition = "", program = "", ...others] = name.split(":")
  if (program === "" || others.length > 0) {
    return yield* unknown(name, `${name} does not name a program: write PARTITION:PROGRAM, such as slappart0:web`)
  }
  const partitions = yield* partitionsIn(instanceRoot)
  if (!partitions.some((id) => id === partition)) {
    return yield* unknown(
      name,
      `there is no partition ${partition} in ${instanceRoot}; there are: ${listed(partitions)}`,
    )
  }
  const directory = yield* OwnedDirectory.open(`${instanceRoot}/${partition}`)
  const names = yield* directory.names()
  const found = logNameOf(partition, program, names)
  if (found === undefined) {
    const known = listed(programsWithLog(partition, names))
    return yield* unknown(name, `${partition} has no log of a program ${program}; it has: ${known}`)
  }
  const log: ProgramLog = { directory, name: found }
  return log
})

/** The directories that can be partitions, readable or not; the agent's own `etc` and `var` cannot. */
const partitionsIn = Effect.fnUntraced(function* (instanceRoot: string) {
  const root = yield* OwnedDirectory.open(instanceRoot)
  const names = (yield* root.names()).filter((name) => isPartitionId(name))
  return yield* Effect.filter(names, (name) =>
    OwnedDirectory.open(`${instanceRoot}/${name}`).pipe(
      Effect.as(true),
      Effect.catch(({ reason }) => Effect.succeed(reason === "Failed")),
    ),
  )
})

export interface TailOptions {
  readonly lines: number
  readonly isFollowing: boolean
  /** Gets text that cannot steer a terminal. */
  readonly show: (text: string) => Effect.Effect<void>
}

/** Shows the last lines of a log and, following, what comes later, until it is interrupted. */
export const tail = Effect.fnUntraced(function* (log: ProgramLog, { isFollowing, lines, show }: TailOptions) {
  const decoder = new TextDecoder()
  const reader = new LogReader(log)
  const print = (bytes: Uint8Array) =>
    bytes.length === 0 ? Effect.void : show(escapeOutput(decoder.decode(bytes, { stream: true })))
  yield* print(lastLines(yield* reader.all, lines))
  if (!isFollowing) return
  return yield* Effect.flatMap(reader.news, print).pipe(Effect.delay(lookInterval), Effect.forever)
})

/** Where one reader is in a log. */
export class LogReader {
  readonly #log: ProgramLog
  /** How much of the log was read, and the end of what that was. */
  #offset = 0
  #remembered: Uint8Array = nothing

  constructor(log: ProgramLog) {
    this.#log = log
  }

  /** Everything that there is. */
  get all(): Effect.Effect<Uint8Array, FileError> {
    return Effect.map(this.#readBoth, ({ backup, log, size }) => this.#note(Buffer.concat([backup, log]), size))
  }

  /** What came since the last reading. A log that is not there for a moment has no news. */
  get news(): Effect.Effect<Uint8Array, FileError> {
    return this.#withFile(this.#log.name, (fd) => {
      const { size } = fs.fstatSync(fd)
      const expected = this.#remembered.subarray(-Math.min(this.#remembered.length, this.#offset) || Infinity)
      const before = read(fd, this.#offset - expected.length, this.#offset)
      return Buffer.compare(before, expected) === 0 ? this.#note(read(fd, this.#offset, size), size) : undefined
    }).pipe(
      Effect.filterOrElse(
        (news) => news !== undefined,
        () => this.#found,
      ),
      Effect.catchIf(
        ({ reason }) => reason === "NotFound",
        () => Effect.succeed(nothing),
      ),
    )
  }

  /** What follows the bytes that were read last, wherever they are by now; all of the log when they are gone. */
  get #found(): Effect.Effect<Uint8Array, FileError> {
    return Effect.map(this.#readBoth, ({ backup, log, size }) => {
      const both = Buffer.concat([backup, log])
      const at = this.#remembered.length === 0 ? -1 : both.lastIndexOf(this.#remembered)
      if (at >= 0) return this.#note(both.subarray(at + this.#remembered.length), size)
      this.#remembered = nothing
      return this.#note(log, size)
    })
  }

  get #readBoth() {
    const backup = this.#withFile(`${this.#log.name}.1`, (fd) => withoutBlanks(readEnd(fd).bytes)).pipe(
      // A backup that is not there, or was planted: the log is all there is.
      Effect.orElseSucceed(() => nothing),
    )
    const log = this.#withFile(this.#log.name, (fd) => readEnd(fd))
    return Effect.map(Effect.all([backup, log]), ([backup, { bytes, size }]) => ({
      backup,
      log: withoutBlanks(bytes),
      size,
    }))
  }

  #note(bytes: Uint8Array, offset: number): Uint8Array {
    this.#offset = offset
    this.#remembered = Buffer.concat([this.#remembered, bytes.subarray(-rememberedBytes)]).subarray(-rememberedBytes)
    return bytes
  }

  #withFile<A>(name: string, use: (fd: number) => A): Effect.Effect<A, FileError> {
    const { directory } = this.#log
    return Effect.scoped(
      Effect.flatMap(directory.openPresent(name, "read"), (fd) =>
        Effect.try({ try: () => use(fd), catch: (cause) => fromErrno("read", `${directory.path}/${name}`, cause) }),
      ),
    )
  }
}

/** The bytes from `from` to `to`, of those at most the last ones up to the limit. */
const read = (fd: number, from: number, to: number): Uint8Array => {
  const start = Math.max(from, to - readLimit)
  const buffer = Buffer.alloc(Math.max(0, to - start))
  return buffer.subarray(0, fs.readSync(fd, buffer, 0, buffer.length, start))
}

const readEnd = (fd: number): { readonly bytes: Uint8Array; readonly size: number } => {
  const { size } = fs.fstatSync(fd)
  return { bytes: read(fd, 0, size), size }
}
