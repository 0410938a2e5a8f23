// What one agent leaves to the next about a program: what was known when it ended, and what is left of that later.
import type { ExitStatus } from "../../domain/ExitStatus.ts"
import type { ServiceProcess } from "../ServiceProcess.ts"

/** What a successor of this agent has to know about a program; undefined: that it does not run. */
export type Memory =
  | {
      readonly process: ServiceProcess
      readonly since: number
      readonly restarts: number
      readonly deployment: string | undefined
      /** Whether it was being stopped by hand. */
      readonly isStopping: boolean
    }
  | { readonly ended: ExitStatus; readonly deployment: string | undefined }
  /** Stopped by hand. */
  | { readonly isHeld: true; readonly deployment: string | undefined }
  | undefined

/** What a predecessor knew, or what is left of it: a process that ended meanwhile. */
export type Inheritance =
  | Exclude<Memory, undefined>
  | { readonly died: ExitStatus; readonly restarts: number; readonly deployment: string | undefined }
