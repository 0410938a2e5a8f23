// The ledger of usage on the disk, in the agent's own directory. A journal is a file that is never changed; what happened
// to it are files beside it. Each step is on the disk, name and all, before the next one is taken, so that a killed agent's
// successor knows of every journal whether the master has it, has it not, or may have it:
//
//   NAME.sealed   the journal, with its hash and its sources
//   NAME.flight   written before it is sent, taken away when it certainly did not arrive
//   NAME.taken    the master has it: its sources are deleted, then NAME.sealed, then this
//   book.json     the last journal's second, when reports are due, which journals may have been counted twice
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { NodeConfig } from "../../config/NodeConfig.ts"
import type { DoubledJournal } from "../../domain/NodeStatus.ts"
import { FileError } from "../../files/FileError.ts"
import { agentDirectory, sha256Hex } from "../../files/machine.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import type { MasterError } from "../../master/MasterError.ts"
import {
  decodeSealed,
  encodeSealed,
  type Entry,
  type JournalState,
  nameOf,
  nextStop,
  type Source,
  stateAfter,
} from "./ledger.ts"

const Book = Schema.Struct({
  version: Schema.Literal(1),
  /** The second of the last journal that was sealed. */
  lastStop: Schema.Int,
  /** Milliseconds since 1970; null: never, or not decided yet. */
  lastReport: Schema.NullOr(Schema.Finite),
  nextReport: Schema.NullOr(Schema.Finite),
  doubled: Schema.Array(Schema.Struct({ journal: Schema.String, hash: Schema.String, at: Schema.Finite })),
})
type Book = typeof Book.Type

const emptyBook: Book = { version: 1, lastStop: 0, lastReport: null, nextReport: null, doubled: [] }
const decodeBook = Schema.decodeUnknownResult(Schema.fromJsonString(Book))

/** A journal that is to be sealed. */
export interface Draft {
  readonly sources: ReadonlyArray<Source>
  readonly movements: number
  /** `stop`: seconds since 1970 as the machine's time zone counts them. */
  readonly journal: (stop: number) => string
}

export interface UsageLedgerShape {
  /** The journals that are not done with, oldest first. Fails while the disk does not tell. */
  readonly entries: Effect.Effect<ReadonlyArray<Entry>, FileError>
  readonly book: Effect.Effect<Book, FileError>
  readonly schedule: (times: Partial<Pick<Book, "lastReport" | "nextReport">>) => Effect.Effect<void, FileError>
  readonly seal: (draft: Draft) => Effect.Effect<Entry, FileError>
  /** The text of a journal, which is what was sealed or nothing. */
  readonly journal: (entry: Entry) => Effect.Effect<string, FileError>
  /** From here on the master may have it. */
  readonly begin: (entry: Entry) => Effect.Effect<void, FileError>
  readonly fail: (entry: Entry, error: MasterError) => Effect.Effect<void, FileError>
  /** The master has it. */
  readonly acknowledge: (entry: Entry) => Effect.Effect<void, FileError>
  /** Its sources are deleted, and nothing is left to do. */
  readonly finish: (entry: Entry) => Effect.Effect<void, FileError>
  /** It could not be done with now. */
  readonly note: (entry: Entry, error: string) => Effect.Effect<void>
}

export class UsageLedger extends Context.Service<UsageLedger, UsageLedgerShape>()("slapgrid/report/UsageLedger") {
  static readonly layer = Layer.effect(
    UsageLedger,
    Effect.gen(function* () {
      const { instanceRoot } = yield* NodeConfig
      return UsageLedger.of(new Ledger(agentDirectory(instanceRoot)))
    }),
  )
}

const folder = "usage"
const mode = { mode: 0o600 }
/** Bytes of a sealed file. Journals are far smaller. */
const maximumSealed = 64 * 1024 * 1024
/** Journals that may have been counted twice and are still told of. */
const doubledKept = 20

const inFolder = (name: string): string => `${folder}/${name}`

interface Opened {
  readonly directory: OwnedDirectory
  readonly entries: Map<string, Entry>
  book: Book
}

class Ledger implements UsageLedgerShape {
  readonly #path: string
  /** One change at a time: each is several files. */
  readonly #turn = Semaphore.makeUnsafe(1)
  #opened: Opened | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** Does something with the ledger, which is read from the disk first unless that was done. */
  #with<A>(use: (ledger: Opened) => Effect.Effect<A, FileError>): Effect.Effect<A, FileError> {
    const opened = Effect.suspend(() => {
      if (this.#opened !== undefined) return Effect.succeed(this.#opened)
      return Effect.tap(open(this.#path), (ledger) => Effect.sync(() => void (this.#opened = ledger)))
    })
    return this.#turn.withPermit(Effect.uninterruptible(Effect.flatMap(opened, use)))
  }

  readonly entries = Effect.suspend(() => this.#with(({ entries }) => Effect.succeed([...entries.values()])))
  readonly book = Effect.suspend(() => this.#with(({ book }) => Effect.succeed(book)))

  readonly schedule = (times: Partial<Pick<Book, "lastReport" | "nextReport">>) =>
    this.#with((ledger) => writeBook(ledger, { ...ledger.book, ...times }))

  readonly seal = ({ journal, movements, sources }: Draft) =>
    this.#with((ledger) =>
      Effect.gen(function* () {
        const sealedAt = yield* Clock.currentTimeMillis
        const lastStop = nextStop(ledger.book.lastStop, yield* wallSeconds)
        // Before there is a journal of that second: the next one must be of another.
        yield* writeBook(ledger, { ...ledger.book, lastStop })
        const text = journal(lastStop)
        const hash = sha256Hex(text)
        const name = nameOf(lastStop, hash)
        const seal = { version: 1 as const, hash, sealedAt, movements, sources }
        yield* ledger.directory.writeDurably(inFolder(`${name}.sealed`), encodeSealed(seal, text), mode)
        const entry: Entry = { name, seal, state: "sealed", error: undefined }
        ledger.entries.set(name, entry)
        return entry
      }),
    )

  readonly journal = ({ name, seal }: Entry) =>
    this.#with(({ directory }) =>
      Effect.flatMap(directory.read(inFolder(`${name}.sealed`), maximumSealed), (text) => {
        const journal = decodeSealed(text)?.journal
        return journal !== undefined && sha256Hex(journal) === seal.hash
          ? Effect.succeed(journal)
          : damaged(`${directory.path}/${inFolder(name)}.sealed`)
      }),
    )

  readonly begin = (entry: Entry) =>
    this.#with((ledger) =>
      Effect.gen(function* () {
        if (entry.state === "sealed") {
          yield* ledger.directory.writeDurably(inFolder(`${entry.name}.flight`), "", mode)
        }
        put(ledger, entry.name, { state: "in flight" })
      }),
    )

  /** `entry` as it was before `begin`. */
  readonly fail = (entry: Entry, error: MasterError) =>
    this.#with((ledger) =>
      Effect.gen(function* () {
        const state = stateAfter(entry.state, error)
        if (state === "sealed") {
          yield* ledger.directory.remove(inFolder(`${entry.name}.flight`))
          yield* ledger.directory.syncNames(folder)
        }
        put(ledger, entry.name, { state, error: error.message })
      }),
    )

  /** `entry` as it was before `begin`: one that may have arrived before has now been counted twice, perhaps. */
  readonly acknowledge = ({ name, seal, state }: Entry) =>
    this.#with((ledger) =>
      Effect.gen(function* () {
        // Whatever becomes of the files: it is never sent again in this life.
        put(ledger, name, { state: "acknowledged", error: undefined })
        if (state === "in flight") {
          const doubled: DoubledJournal = { journal: name, hash: seal.hash, at: yield* Clock.currentTimeMillis }
          yield* writeBook(ledger, { ...ledger.book, doubled: [...ledger.book.doubled, doubled].slice(-doubledKept) })
        }
        yield* ledger.directory.writeDurably(inFolder(`${name}.taken`), "", mode)
      }),
    )

  readonly finish = ({ name }: Entry) =>
    this.#with((ledger) =>
      Effect.gen(function* () {
        yield* ledger.directory.remove(inFolder(`${name}.sealed`))
        // Gone for good before what says that the master has it.
        yield* ledger.directory.syncNames(folder)
        ledger.entries.delete(name)
        for (const rest of ["flight", "taken"]) yield* ledger.directory.remove(inFolder(`${name}.${rest}`))
      }),
    )

  readonly note = (entry: Entry, error: string) =>
    Effect.ignore(this.#with((ledger) => Effect.sync(() => put(ledger, entry.name, { error }))))
}

const put = ({ entries }: Opened, name: string, change: Partial<Pick<Entry, "state" | "error">>): void => {
  const entry = entries.get(name)
  if (entry !== undefined) entries.set(name, { ...entry, ...change })
}

/** Seconds since 1970 as the machine's time zone counts them. */
const wallSeconds = Effect.map(DateTime.now, (now) => {
  const zoned = DateTime.setZone(now, DateTime.zoneMakeLocal())
  return Math.floor((DateTime.toEpochMillis(now) + DateTime.zonedOffset(zoned)) / 1000)
})

const damaged = (path: string) =>
  new FileError({
    path,
    operation: "read",
    reason: "Failed",
    message: `${path} is damaged: it is not sent; its usage is in no journal, unless the reports it was made of are still there`,
  })

const writeBook = (ledger: Opened, book: Book): Effect.Effect<void, FileError> =>
  Effect.andThen(
    ledger.directory.writeDurably(inFolder("book.json"), JSON.stringify(book), mode),
    Effect.sync(() => void (ledger.book = book)),
  )

const open = Effect.fnUntraced(function* (path: string): Effect.fn.Return<Opened, FileError> {
  const directory = yield* OwnedDirectory.open(path)
  yield* directory.makeDirectory(folder, 0o700)
  const names = new Set(yield* directory.names(folder))
  const entries = new Map<string, Entry>()
  for (const file of names) {
    const [name = "", kind] = file.split(".")
    if (kind === "sealed") {
      const entry = yield* readEntry(directory, name, stateOf(names, name))
      if (entry !== undefined) entries.set(name, entry)
    } else if (file !== "book.json" && !names.has(`${name}.sealed`)) {
      // What an earlier agent had begun to write, or had not taken away yet.
      yield* directory.remove(inFolder(file))
    }
  }
  return { directory, entries, book: yield* readBook(directory, [...entries.keys()].at(-1)) }
})

const stateOf = (names: ReadonlySet<string>, name: string): JournalState =>
  names.has(`${name}.taken`) ? "acknowledged" : names.has(`${name}.flight`) ? "in flight" : "sealed"

/** One that cannot be read keeps no other from being sent. It stays, for people. */
const readEntry = Effect.fnUntraced(function* (directory: OwnedDirectory, name: string, state: JournalState) {
  const file = `${directory.path}/${inFolder(name)}.sealed`
  const sealed = yield* directory.read(inFolder(`${name}.sealed`), maximumSealed).pipe(
    Effect.map(decodeSealed),
    Effect.catch(({ message }) => Effect.as(Effect.logError(message), undefined)),
  )
  if (sealed !== undefined && sha256Hex(sealed.journal) === sealed.seal.hash) {
    return { name, seal: sealed.seal, state, error: undefined }
  }
  yield* Effect.logError(damaged(file).message)
  return undefined
})

/** A lost book costs a report that comes too early, and what it told of doubled journals. */
const readBook = Effect.fnUntraced(function* (directory: OwnedDirectory, newest: string | undefined) {
  const text = yield* directory.readIfPresent(inFolder("book.json"))
  const book = text === undefined ? Result.succeed(emptyBook) : decodeBook(text)
  if (Result.isFailure(book)) yield* Effect.logWarning(`${directory.path}/${inFolder("book.json")} cannot be read`)
  const known = Result.getOrElse(book, () => emptyBook)
  return { ...known, lastStop: Math.max(known.lastStop, Number(newest?.split("-")[0] ?? 0)) }
})
