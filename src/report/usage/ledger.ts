// The rules of the ledger of usage, without the disk: what a sealed journal is, when two files are the same report, and
// what the end of a sending means. The order of files on the disk is UsageLedger's.
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { PartitionId } from "../../domain/ids.ts"
import type { PendingJournal } from "../../domain/NodeStatus.ts"
import type { MasterError } from "../../master/MasterError.ts"

/** Where a report lies, and what it was when it was read. */
export const Source = Schema.Struct({
  /** Null: a journal of the computer itself. */
  partition: Schema.NullOr(PartitionId),
  /** In the partition's own directory, or in the node's `var/xml_report`. */
  folder: Schema.Literals(["partition", "node"]),
  name: Schema.String,
  hash: Schema.String,
  /** Nanoseconds since 1970. */
  modified: Schema.String,
  inode: Schema.String,
})
export type Source = typeof Source.Type

/** What is kept of a journal beside its text; never changed. */
export const Seal = Schema.Struct({
  version: Schema.Literal(1),
  /** SHA-256 of the journal. */
  hash: Schema.String,
  /** Milliseconds since 1970. */
  sealedAt: Schema.Finite,
  movements: Schema.Int,
  sources: Schema.Array(Source),
})
export type Seal = typeof Seal.Type

/** `in flight`: it was sent, and no answer came. `acknowledged`: the master has it, its sources are still there. */
export type JournalState = PendingJournal["state"]

export interface Entry {
  /** Names of later journals are greater. */
  readonly name: string
  readonly seal: Seal
  readonly state: JournalState
  /** Why it is not done with, the last time that was tried. */
  readonly error: string | undefined
}

export const pendingJournal = ({ error, name, seal, state }: Entry): PendingJournal => ({
  journal: name,
  state,
  sealedAt: seal.sealedAt,
  movements: seal.movements,
  error,
})

/**
 * Whether two files are one report: the same bytes for the same partition, and the same file (it may have been renamed,
 * or copied with its time), or a copy of that name in the other folder. The same bytes in another file are another
 * report: a script may have the same to tell every day.
 */
export const isSameReport = (one: Source, other: Source): boolean =>
  one.hash === other.hash &&
  one.partition === other.partition &&
  ((one.modified === other.modified &&
    (one.inode === other.inode || (one.folder === other.folder && one.name === other.name))) ||
    (one.name === other.name && one.folder !== other.folder))

/** Files that are one report stand together; the order is kept. */
export const groupReports = <A extends { readonly source: Source }>(
  found: ReadonlyArray<A>,
): ReadonlyArray<readonly [A, ...ReadonlyArray<A>]> => {
  const groups: Array<[A, ...Array<A>]> = []
  for (const one of found) {
    const group = groups.find(([first]) => isSameReport(first.source, one.source))
    if (group === undefined) groups.push([one])
    else group.push(one)
  }
  return groups
}

/** What becomes of a journal after the master did not take it. Once it may have it, only its word ends that. */
export const stateAfter = (before: JournalState, error: MasterError): JournalState =>
  before === "in flight" || error.mayHaveArrived ? "in flight" : "sealed"

const decodeSeal = Schema.decodeUnknownResult(Schema.fromJsonString(Seal))

/** One file: a line about the journal, then the journal. */
export const encodeSealed = (seal: Seal, journal: string): string => `${JSON.stringify(seal)}\n${journal}`

/** The seal and the journal of a file; undefined when it is none. */
export const decodeSealed = (text: string): { readonly seal: Seal; readonly journal: string } | undefined => {
  const end = text.indexOf("\n")
  if (end === -1) return undefined
  const seal = decodeSeal(text.slice(0, end))
  return Result.isSuccess(seal) ? { seal: seal.success, journal: text.slice(end + 1) } : undefined
}

const dayInSeconds = 86_400

/**
 * The second that a journal ends with, greater than all before: two journals of the same movements must not be the same
 * text, because a master may count those once. A clock that was far ahead is not followed for ever.
 */
export const nextStop = (last: number, now: number): number =>
  last < now || last > now + dayInSeconds ? now : last + 1

/** Names sort as their numbers. */
export const nameOf = (stop: number, hash: string): string => `${String(stop).padStart(12, "0")}-${hash.slice(0, 16)}`
