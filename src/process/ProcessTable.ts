// What the next agent has to know about the services of this one: a journal in the agent's own directory, a line a
// change, the last one about a program counts. A record is believed only when boot, pid namespace, start time and user
// agree with the process; anything else is told and forgotten, and nobody is ever signalled for it.
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import { PartitionId } from "../domain/ids.ts"
import { type ProcessFacts, processFacts, worldId } from "./procfs.ts"

const Ended = Schema.Union([
  Schema.TaggedStruct("Exited", { code: Schema.Int }),
  Schema.TaggedStruct("Signaled", { signal: Schema.String }),
  Schema.TaggedStruct("Unknown", {}),
])

export const ProcessRecord = Schema.Struct({
  version: Schema.Literal(1),
  /** Boot and pid namespace in which `pid` means something. */
  world: Schema.String,
  spec: Schema.Struct({
    partition: PartitionId,
    kind: Schema.Literals(["run", "service"]),
    name: Schema.String,
    path: Schema.String,
    hash: Schema.String,
    user: Schema.String,
  }),
  pid: Schema.Int,
  startTime: Schema.String,
  uid: Schema.Int,
  /** Directory of its cgroup; null without cgroups. */
  cgroup: Schema.NullOr(Schema.String),
  /** Milliseconds since 1970. */
  since: Schema.Finite,
  restarts: Schema.Int,
  /** The deployment (the master's timestamp) it was started for; null when that is unknown. */
  deployment: Schema.NullOr(Schema.String),
  /** How an `etc/run` program ended by itself; null while it should run. */
  ended: Schema.NullOr(Ended),
  /** Stopped by hand; with a pid, the process was still to end. */
  isHeld: Schema.Boolean,
})
export type ProcessRecord = typeof ProcessRecord.Type

/** A program is no longer known. */
const Removal = Schema.Struct({ removed: Schema.Tuple([Schema.String, Schema.String]) })

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Union([ProcessRecord, Removal])))

/** What a record says about now. */
export type Standing =
  /** The very process runs. */
  | "Alive"
  /** It ran here and is gone. */
  | "Gone"
  /** It does not run, and is to stay so: an `etc/run` program that ended by itself, or one that was stopped by hand. */
  | "Ended"
  /** It speaks of another boot or pid namespace. */
  | "Elsewhere"
  /** Another process has its pid by now. */
  | "Recycled"

/**
 * Every service leads a session and a group, and nobody can take that from it; what it is sent goes to that group. None
 * is root's, and none is the first process: its group would be everybody.
 */
const canBeService = ({ group, pid, session, uid }: ProcessFacts): boolean =>
  pid > 1 && session === pid && group === pid && uid !== 0

export const standingOf = (record: ProcessRecord, world: string, facts: ProcessFacts | undefined): Standing => {
  if (record.ended !== null || (record.isHeld && record.pid === 0)) return "Ended"
  if (record.world !== world) return "Elsewhere"
  if (facts === undefined || facts.state === "Z") return "Gone"
  return facts.startTime === record.startTime && facts.uid === record.uid && canBeService(facts) ? "Alive" : "Recycled"
}

/** A part of the journal that cannot be used, and why. */
export interface Rejected {
  readonly place: string
  readonly reason: string
}

export interface Known {
  readonly record: ProcessRecord
  readonly standing: Standing
}

/**
 * Room that the journal always has, in bytes: what is in it can be changed and some hundred services started while the
 * disk is full.
 */
const reserve = 256 * 1024
/** A journal larger than this, of which most is outdated, is written anew. */
const compactedFrom = 1024 * 1024

const { O_CREAT, O_NOFOLLOW, O_RDWR } = fs.constants

const keyOf = (partition: string, name: string): string => `${partition}\0${name}`

const writeAll = (fd: number, bytes: Uint8Array, position: number): void => {
  for (let written = 0; written < bytes.length;) {
    written += fs.writeSync(fd, bytes, written, bytes.length - written, position + written)
  }
}

/** Why the text is no record, in one line. */
const reasonOf = (error: Schema.SchemaError): string => error.message.split("\n")[0] ?? ""

/** The records of one instance root. Synchronous on purpose: a record stands before the event loop turns again. */
export class ProcessTable {
  readonly #file: string
  readonly #world = worldId()
  /** The line of every known program. */
  readonly #lines = new Map<string, string>()
  /** Changes that could not be written, by program. */
  readonly #unwritten = new Map<string, string>()
  readonly #rejected: Array<Rejected> = []
  #fd: number
  /** Where the next line goes, and how much is written, blank lines included. */
  #end = 0
  #size = 0

  /** `file` lies in a directory that belongs to the agent alone; made when absent. Throws when it cannot be. */
  constructor(file: string) {
    this.#file = file
    this.#putAsideForeign()
    this.#fd = fs.openSync(file, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600)
    this.#read()
    // What was there is outdated by now: most of it in a journal that went through a boot.
    this.#compact()
  }

  get world(): string {
    return this.#world
  }

  /** What an earlier agent left, judged by what runs now, and what of it could not be used. */
  load(): { readonly known: ReadonlyArray<Known>; readonly rejected: ReadonlyArray<Rejected> } {
    const records = [...this.#lines.values()].map((line): ProcessRecord => JSON.parse(line))
    const known = records.map((record) => ({
      record,
      standing: standingOf(record, this.#world, processFacts(record.pid)),
    }))
    return { known, rejected: this.#rejected }
  }

  /** Gives why the table on the disk does not know it yet, if so; a later change or `flush` tries again. */
  put(record: ProcessRecord): string | undefined {
    const line = JSON.stringify(record)
    const key = keyOf(record.spec.partition, record.spec.name)
    if (this.#lines.get(key) === line) return undefined
    this.#lines.set(key, line)
    return this.#append(key, line)
  }

  /** As `put`. */
  remove(partition: string, name: string): string | undefined {
    const key = keyOf(partition, name)
    return this.#lines.delete(key) ? this.#append(key, JSON.stringify({ removed: [partition, name] })) : undefined
  }

  /** Writes what could not be written before; gives why it still cannot, if so. */
  flush(): string | undefined {
    try {
      for (const [key, line] of this.#unwritten) {
        this.#write(line)
        this.#unwritten.delete(key)
      }
      return undefined
    } catch (cause) {
      return String(cause)
    }
  }

  close(): void {
    fs.closeSync(this.#fd)
  }

  #append(key: string, line: string): string | undefined {
    // The newest change of a program is the last line about it.
    this.#unwritten.delete(key)
    this.#unwritten.set(key, line)
    const problem = this.flush()
    if (problem === undefined && this.#end > compactedFrom) this.#compactIfOutdated()
    return problem
  }

  #write(line: string): void {
    // The blank before it ends whatever stands there, half a line of a full disk too.
    const bytes = Buffer.from(`\n${line}`)
    if (this.#end + bytes.length > this.#size) this.#extend(this.#end + bytes.length)
    writeAll(this.#fd, bytes, this.#end)
    this.#end += bytes.length
    // Renewed before it is needed. Without space for that, this record stands all the same.
    if (this.#size - this.#end < reserve / 2) this.#tryExtend()
  }

  /** Writes blank lines up to the reserve beyond `end`: room that a full disk cannot take away. */
  #extend(end: number): void {
    const blank = Buffer.alloc(end + reserve - this.#size, "\n")
    writeAll(this.#fd, blank, this.#size)
    this.#size += blank.length
  }

  #tryExtend(): void {
    try {
      this.#extend(this.#end)
    } catch {
      // Tried again with the next record.
    }
  }

  /** A journal of somebody else's is not read, whatever it says. */
  #putAsideForeign(): void {
    const stats = fs.lstatSync(this.#file, { throwIfNoEntry: false })
    if (stats === undefined) return
    const isOwn = stats.isFile() && stats.nlink === 1 && stats.uid === process.geteuid?.() && (stats.mode & 0o022) === 0
    if (isOwn) return
    fs.rmSync(this.#file, { recursive: true })
    this.#rejected.push({ place: this.#file, reason: "it is not a file that only the agent's user can write" })
  }

  #read(): void {
    const text = fs.readFileSync(`/proc/self/fd/${this.#fd}`, "utf8")
    // Without the blank lines of the reserve: a quarter of a million.
    const used = text.trimEnd()
    for (const [index, line] of used.split("\n").entries()) {
      if (line === "") continue
      const entry = decode(line)
      if (Result.isFailure(entry)) {
        this.#rejected.push({ place: `line ${index + 1} of ${this.#file}`, reason: reasonOf(entry.failure) })
      } else if ("removed" in entry.success) this.#lines.delete(keyOf(...entry.success.removed))
      else this.#lines.set(keyOf(entry.success.spec.partition, entry.success.spec.name), line)
    }
    this.#size = Buffer.byteLength(text)
    this.#end = Buffer.byteLength(used)
  }

  #compactIfOutdated(): void {
    const live = [...this.#lines.values()].reduce((sum, line) => sum + line.length, 0)
    if (live < this.#end / 2) this.#compact()
  }

  /** Puts a journal of what is known in place of the old one, whose room serves when there is none for that. */
  #compact(): void {
    const temporary = `${this.#file}.new`
    const former = { fd: this.#fd, end: this.#end, size: this.#size }
    try {
      fs.rmSync(temporary, { force: true })
      this.#fd = fs.openSync(temporary, O_RDWR | O_CREAT | O_NOFOLLOW | fs.constants.O_EXCL, 0o600)
      this.#end = this.#size = 0
      for (const line of this.#lines.values()) this.#write(line)
      this.#extend(this.#end)
      fs.renameSync(temporary, this.#file)
      fs.closeSync(former.fd)
    } catch {
      if (this.#fd !== former.fd) fs.closeSync(this.#fd)
      fs.rmSync(temporary, { force: true })
      this.#fd = former.fd
      this.#end = former.end
      this.#size = former.size
    }
  }
}
