// A process under supervision, whoever started it: this agent or an earlier one.
import * as Effect from "effect/Effect"
import type { ExitStatus } from "../domain/ExitStatus.ts"
import type { Enclosure } from "./containment/Containment.ts"
import { forgetGroup } from "./liveGroups.ts"
import { isRecycled } from "./procfs.ts"

export interface ServiceProcess {
  readonly pid: number
  /** With the pid it names the process for as long as the machine is up: clock ticks since boot, as text. */
  readonly startTime: string
  readonly cgroup: string | undefined
  readonly exit: Effect.Effect<ExitStatus>
  /** Sends a signal to the whole process group, unless its leader has ended. */
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Kills what is left of it and of everything it started, and returns when that is gone. */
  readonly end: Effect.Effect<void>
}

/** Kills what is left of a session and its enclosure, whether its leader lives or not, and waits until it is gone. */
export const endSession = (pid: number, startTime: string, enclosure: Enclosure): Effect.Effect<void> =>
  Effect.suspend(() => enclosure.end(isRecycled(pid, startTime) ? undefined : pid)).pipe(
    Effect.ensuring(Effect.sync(() => forgetGroup(pid))),
  )
