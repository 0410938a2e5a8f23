// What the next agent has to know about the services of this one: a record each, in the agent's own directory, put in
// place by a rename. A record is believed only when boot, pid namespace, start time and user agree with the process;
// anything else is told and forgotten, and nobody is ever signalled for it.
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
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
})
export type ProcessRecord = typeof ProcessRecord.Type

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(ProcessRecord))

/** What a record says about now. */
export type Standing =
  /** The very process runs. */
  | "Alive"
  /** It ran here and is gone. */
  | "Gone"
  /** An `etc/run` program that ended by itself. */
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
  if (record.ended !== null) return "Ended"
  if (record.world !== world) return "Elsewhere"
  if (facts === undefined || facts.state === "Z") return "Gone"
  return facts.startTime === record.startTime && facts.uid === record.uid && canBeService(facts) ? "Alive" : "Recycled"
}

/** A record that is in the directory but cannot be used, and why. */
export interface Rejected {
  readonly file: string
  readonly reason: string
}

export interface Known {
  readonly record: ProcessRecord
  readonly standing: Standing
}

const fileOf = (directory: string, partition: string, name: string): string =>
  `${directory}/${createHash("sha256").update(`${partition}\0${name}`).digest("hex").slice(0, 32)}.json`

const readRecord = (path: string, uid: number): Result.Result<ProcessRecord, string> => {
  let fd: number
  try {
    fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
  } catch (cause) {
    return Result.fail(String(cause))
  }
  try {
    const stats = fs.fstatSync(fd)
    if (!stats.isFile() || stats.uid !== uid) return Result.fail("it is not a file of the agent's own")
    return Result.mapError(decode(fs.readFileSync(fd, "utf8")), (error) => error.message)
  } finally {
    fs.closeSync(fd)
  }
}

/** The records of one instance root. Synchronous on purpose: a record stands before the event loop turns again. */
export class ProcessTable {
  readonly #directory: string
  readonly #world = worldId()
  /** What this agent has written, by file: thousands of adopted services say nothing new. */
  readonly #written = new Map<string, string>()

  /** `directory` belongs to the agent alone; made when absent. */
  constructor(directory: string) {
    this.#directory = directory
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
  }

  get world(): string {
    return this.#world
  }

  /** What an earlier agent left, judged by what runs now; unusable files are removed and told. */
  load(): { readonly known: ReadonlyArray<Known>; readonly rejected: ReadonlyArray<Rejected> } {
    const known: Array<Known> = []
    const rejected: Array<Rejected> = []
    for (const name of fs.readdirSync(this.#directory)) {
      const file = `${this.#directory}/${name}`
      if (name.endsWith(".new")) {
        fs.rmSync(file, { force: true })
        continue
      }
      const record = readRecord(file, process.geteuid?.() ?? 0)
      if (record._tag === "Failure") {
        rejected.push({ file, reason: record.failure })
        fs.rmSync(file, { force: true, recursive: true })
        continue
      }
      this.#written.set(file, JSON.stringify(record.success))
      const standing = standingOf(record.success, this.#world, processFacts(record.success.pid))
      known.push({ record: record.success, standing })
    }
    return { known, rejected }
  }

  put(record: ProcessRecord): void {
    const file = fileOf(this.#directory, record.spec.partition, record.spec.name)
    const text = JSON.stringify(record)
    if (this.#written.get(file) === text) return
    fs.writeFileSync(`${file}.new`, text, { mode: 0o600 })
    fs.renameSync(`${file}.new`, file)
    this.#written.set(file, text)
  }

  remove(partition: string, name: string): void {
    const file = fileOf(this.#directory, partition, name)
    this.#written.delete(file)
    fs.rmSync(file, { force: true })
  }
}
