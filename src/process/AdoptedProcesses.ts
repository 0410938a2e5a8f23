// Processes that an earlier agent started. They are not our children: no signal tells their death and nobody gives us
// their status. A cgroup that gets empty tells; else one fiber looks after all of them: kill(pid, 0) for a thousand
// costs a millisecond, but takes a zombie or a recycled pid for the process, so /proc is asked about a few each time.
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import { type ExitStatus, unknownExit } from "../domain/ExitStatus.ts"
import { Containment, programMember } from "./containment/Containment.ts"
import { registerGroup, signalGroup } from "./liveGroups.ts"
import type { ProcessRecord } from "./ProcessTable.ts"
import { processFacts } from "./procfs.ts"
import { endSession, type ServiceProcess } from "./ServiceProcess.ts"

const lookInterval = "300 millis"
/** How many of them /proc is asked about at each look. */
const comparedPerLook = 50

/** What names a process, and where it is looked for. */
export type Identity = Pick<ProcessRecord, "pid" | "startTime" | "cgroup">

interface Watched {
  readonly record: Identity
  readonly ended: Deferred.Deferred<ExitStatus>
  watcher: fs.FSWatcher | undefined
}

export class AdoptedProcesses extends Context.Service<
  AdoptedProcesses,
  {
    readonly adopt: (record: ProcessRecord) => ServiceProcess
    /** Waits until a process that is nobody's child here has ended. */
    readonly awaitEnd: (identity: Identity) => Effect.Effect<ExitStatus>
    /** To the group that it leads, if it is still that very process. */
    readonly signal: (identity: Identity, signal: NodeJS.Signals) => Effect.Effect<void>
  }
>()("slapgrid/process/AdoptedProcesses") {
  static readonly layer = Layer.effect(
    AdoptedProcesses,
    Effect.gen(function* () {
      const containment = yield* Containment
      /** In the order of the last comparison: the front is due. */
      const watched = new Set<Watched>()

      const end = (one: Watched) => {
        watched.delete(one)
        one.watcher?.close()
        Deferred.doneUnsafe(one.ended, Effect.succeed(unknownExit))
      }
      const compare = (one: Watched) => {
        watched.delete(one)
        if (isThere(one.record)) watched.add(one)
        else end(one)
      }
      const look = Effect.sync(() => {
        for (const one of watched) if (!exists(one.record.pid)) end(one)
        for (const one of [...watched].slice(0, comparedPerLook)) compare(one)
      })
      yield* look.pipe(Effect.delay(lookInterval), Effect.forever, Effect.forkScoped)
      yield* Effect.addFinalizer(() => Effect.sync(() => watched.forEach(({ watcher }) => watcher?.close())))

      const awaitEnd = (identity: Identity) =>
        Effect.suspend(() => {
          const one: Watched = { record: identity, ended: Deferred.makeUnsafe(), watcher: undefined }
          watched.add(one)
          one.watcher = watchCgroup(identity.cgroup, () => (watched.has(one) ? compare(one) : undefined))
          return Deferred.await(one.ended)
        })
      const signal = (identity: Identity, name: NodeJS.Signals) =>
        Effect.sync(() => void (isThere(identity) && signalGroup(identity.pid, name)))

      const adopt = (record: ProcessRecord): ServiceProcess => {
        const { pid, startTime } = record
        const { name, partition } = record.spec
        const enclosure = containment.adopted(partition, programMember(name), record.cgroup ?? undefined)
        const { cgroup } = enclosure
        registerGroup(pid, cgroup)
        return {
          pid,
          startTime,
          cgroup,
          exit: awaitEnd({ pid, startTime, cgroup: cgroup ?? null }),
          signal: (name) => signal(record, name),
          end: endSession(pid, startTime, enclosure),
        }
      }
      return AdoptedProcesses.of({ adopt, awaitEnd, signal })
    }),
  )
}

/** Whether the very process still runs. */
const isThere = ({ pid, startTime }: Identity): boolean => {
  const facts = processFacts(pid)
  return facts !== undefined && facts.startTime === startTime && facts.state !== "Z"
}

/** Whether something has that pid. */
const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Calls back when the cgroup gets empty or populated; undefined when there is nothing to watch. */
const watchCgroup = (cgroup: string | null, onChange: () => void): fs.FSWatcher | undefined => {
  if (cgroup === null) return undefined
  try {
    const watcher = fs.watch(`${cgroup}/cgroup.events`, { persistent: false }, onChange)
    return watcher.on("error", () => watcher.close())
  } catch {
    return undefined
  }
}
