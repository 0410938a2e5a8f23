// What services an earlier agent left to this one, and what this one leaves to the next: the process table, read once
// at start and written at every change. Only what boot, start time and user prove is taken over.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { unknownExit } from "../domain/ExitStatus.ts"
import type { PartitionId } from "../domain/ids.ts"
import type { ServiceSpec } from "../domain/ServiceSpec.ts"
import { AdoptedProcesses } from "./AdoptedProcesses.ts"
import { AgentLock, UnusableRoot } from "./AgentLock.ts"
import { type Known, type ProcessRecord, ProcessTable } from "./ProcessTable.ts"
import type { Memory } from "./service/inheritance.ts"
import type { Inherited } from "./service/ServiceGroup.ts"

export class Inheritances extends Context.Service<
  Inheritances,
  {
    /** The partitions that inherit something. */
    readonly partitions: ReadonlyArray<PartitionId>
    /** What the partition inherits; only the first call gets it. */
    readonly take: (id: PartitionId) => ReadonlyArray<Inherited>
    readonly remember: (spec: ServiceSpec, memory: Memory) => Effect.Effect<void>
  }
>()("slapgrid/process/Inheritances") {
  static readonly layer = Layer.effect(
    Inheritances,
    Effect.gen(function* () {
      const { directory } = yield* AgentLock
      const { adopt } = yield* AdoptedProcesses
      const table = yield* openTable(`${directory}/services`)
      const { known, rejected } = table.load()
      yield* Effect.forEach(rejected, ({ place, reason }) =>
        Effect.logWarning(`${place} is no record of services and is not used: ${reason}`),
      )
      const writing = new Writing(table)
      yield* writing.retry.pipe(Effect.delay(retryInterval), Effect.forever, Effect.forkScoped)
      yield* tellStandings(known)
      const byPartition = Map.groupBy(known, ({ record }) => record.spec.partition)

      const take = (id: PartitionId): ReadonlyArray<Inherited> => {
        const records = byPartition.get(id) ?? []
        byPartition.delete(id)
        return records.flatMap(({ record, standing }): ReadonlyArray<Inherited> => {
          const { spec } = record
          const deployment = record.deployment ?? undefined
          if (record.ended !== null) return [{ spec, inheritance: { ended: record.ended, deployment } }]
          if (standing === "Alive") {
            const { isHeld: isStopping, restarts, since } = record
            return [{ spec, inheritance: { process: adopt(record), since, restarts, deployment, isStopping } }]
          }
          if (record.isHeld) return [{ spec, inheritance: { isHeld: true, deployment } }]
          if (standing === "Elsewhere") {
            table.remove(spec.partition, spec.name)
            return []
          }
          const { restarts } = record
          return [{ spec, inheritance: { died: unknownExit, restarts, deployment } }]
        })
      }

      const remember = (spec: ServiceSpec, memory: Memory): Effect.Effect<void> =>
        Effect.suspend(() =>
          writing.tell(
            memory === undefined
              ? table.remove(spec.partition, spec.name)
              : table.put(toRecord(table.world, spec, memory)),
          ),
        )

      return Inheritances.of({ partitions: [...byPartition.keys()], take, remember })
    }),
  )
}

const openTable = (file: string) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => new ProcessTable(file),
      catch: (cause) => new UnusableRoot({ message: `the table of services cannot be opened: ${String(cause)}` }),
    }),
    (table) => Effect.sync(() => table.close()),
  )

/** How often what could not be written is tried again. */
const retryInterval = "2 seconds"

/** Tells once that the table cannot be written, and once that it can again. */
class Writing {
  readonly #table: ProcessTable
  #isFailing = false

  constructor(table: ProcessTable) {
    this.#table = table
  }

  /** What became of a change. */
  tell(problem: string | undefined): Effect.Effect<void> {
    if (this.#isFailing === (problem !== undefined)) return Effect.void
    this.#isFailing = problem !== undefined
    return problem === undefined
      ? Effect.logInfo("the table of services is written again")
      : Effect.logError(
          `the table of services cannot be written: should the agent be killed before it can, its successor does not know what was started since, and starts that anew: ${problem}`,
        )
  }

  get retry(): Effect.Effect<void> {
    return Effect.suspend(() => (this.#isFailing ? this.tell(this.#table.flush()) : Effect.void))
  }
}

const toRecord = (world: string, spec: ServiceSpec, memory: Exclude<Memory, undefined>): ProcessRecord => {
  const common = { version: 1 as const, world, spec, deployment: memory.deployment ?? null }
  const uid = Number(spec.user.split(":")[0])
  const down = { ...common, pid: 0, startTime: "", uid, cgroup: null, since: 0, restarts: 0 }
  if ("ended" in memory) return { ...down, ended: memory.ended, isHeld: false }
  if ("isHeld" in memory) return { ...down, ended: null, isHeld: true }
  const { isStopping, process, restarts, since } = memory
  const { cgroup = null, pid, startTime } = process
  return { ...common, pid, startTime, uid, cgroup, since, restarts, ended: null, isHeld: isStopping }
}

const tellStandings = Effect.fnUntraced(function* (known: ReadonlyArray<Known>) {
  const count = (standing: Known["standing"]) => known.filter((one) => one.standing === standing).length
  if (count("Alive") > 0) yield* Effect.logInfo(`${count("Alive")} services of an earlier agent run on and are adopted`)
  if (count("Gone") > 0) yield* Effect.logWarning(`${count("Gone")} services ended while no agent ran`)
  if (count("Elsewhere") > 0) {
    yield* Effect.logWarning(
      `${count("Elsewhere")} records of services are from another boot or pid namespace: nothing of them is signalled, they are started anew`,
    )
  }
  if (count("Recycled") > 0) {
    yield* Effect.logWarning(
      `${count("Recycled")} pids of services belong to other processes by now: those are not signalled, the services are started anew`,
    )
  }
})
