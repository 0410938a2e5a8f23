// Processes that an earlier agent started. They are not our children: no signal tells their death and nobody gives us
// their status. A cgroup that gets empty tells; else one fiber looks after all of them: kill(pid, 0) for a thousand
// costs a millisecond, but takes a zombie or a recycled pid for the process, so /proc is asked about a few each time.
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import { type ExitStatus, unknownExit } from "../domain/ExitStatus.ts"
import { Containment } from "./containment/Containment.ts"
import { registerGroup, signalGroup } from "./liveGroups.ts"
import type { ProcessRecord } from "./ProcessTable.ts"
import { processFacts } from "./procfs.ts"
import { endSession, type ServiceProcess } from "./Spawner.ts"

const lookInterval = "300 millis"
/** How many of them /proc is asked about at each look. */
const comparedPerLook = 50

interface Watched {
  readonly record: ProcessRecord
  readonly ended: Deferred.Deferred<ExitStatus>
  watcher: fs.FSWatcher | undefined
}

export class AdoptedProcesses extends Context.Service<
  AdoptedProcesses,
  { readonly adopt: (record: ProcessRecord) => ServiceProcess }
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

      const adopt = (record: ProcessRecord): ServiceProcess => {
        const { pid } = record
        const one: Watched = { record, ended: Deferred.makeUnsafe(), watcher: undefined }
        watched.add(one)
        one.watcher = watchCgroup(record.cgroup, () => (watched.has(one) ? compare(one) : undefined))
        registerGroup(pid, record.cgroup ?? undefined)
        const enclosure = containment.adopted(record.cgroup ?? undefined)
        return {
          pid,
          startTime: record.startTime,
          cgroup: record.cgroup ?? undefined,
          exit: Deferred.await(one.ended),
          terminate: Effect.sync(() => void (isThere(record) && signalGroup(pid, "SIGTERM"))),
          end: endSession(pid, record.startTime, enclosure),
        }
      }
      return AdoptedProcesses.of({ adopt })
    }),
  )
}

/** Whether the very process still runs. */
const isThere = ({ pid, startTime }: ProcessRecord): boolean => {
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
