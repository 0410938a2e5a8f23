// Supervision of one program as a table: (state, event) → (state, actions). Wanted (`start`, `stop`) comes in as
// events, actual is the state; nothing here waits, spawns or reads a clock. node-behaviour.md (Services).
import type { ExitStatus } from "../../domain/ExitStatus.ts"
import type { ServiceKind } from "../../domain/ServiceSpec.ts"
import { backoff, countFailure, restartPolicy } from "./restartPolicy.ts"

export type ServiceState =
  | { readonly _tag: "Stopped" }
  | { readonly _tag: "Starting"; readonly failures: number }
  | { readonly _tag: "Running"; readonly failures: number; readonly since: number }
  /** Ended by itself; starts again when its delay is over. */
  | { readonly _tag: "Backoff"; readonly failures: number }
  /** `isByHand`: an operator stops it, not the supervision. */
  | { readonly _tag: "Stopping"; readonly isByHand: boolean }
  /** An `etc/run` program that ended by itself: not started again for this deployment. */
  | { readonly _tag: "Exited" }
  /** Stopped by hand, until the next processing or a start by hand. */
  | { readonly _tag: "Held" }

export type ServiceEvent =
  | { readonly _tag: "Start" }
  /** By hand: at once, whatever it waits for. */
  | { readonly _tag: "StartNow" }
  | { readonly _tag: "Stop" }
  /** Stop, by hand. */
  | { readonly _tag: "Hold" }
  /** An earlier agent's process runs on. */
  | { readonly _tag: "Adopted"; readonly since: number }
  /** An `etc/run` program ended by itself under an earlier agent. */
  | { readonly _tag: "EndedBefore" }
  /** It should run, and ended while no agent was there. */
  | { readonly _tag: "DiedBefore" }
  /** It was stopped by hand under an earlier agent. */
  | { readonly _tag: "HeldBefore" }
  | { readonly _tag: "Spawned"; readonly at: number }
  | { readonly _tag: "SpawnFailed" }
  | { readonly _tag: "Ended"; readonly at: number; readonly exit: ExitStatus }
  | { readonly _tag: "RetryDue" }
  | { readonly _tag: "StopOverdue" }
  /** Killed long ago, and still not ended: the kernel holds it (uninterruptible sleep), and nobody can end it. */
  | { readonly _tag: "Abandoned" }

export type ServiceAction =
  | { readonly _tag: "Spawn" }
  /** Send `RetryDue` after this many milliseconds, jittered. */
  | { readonly _tag: "Retry"; readonly delay: number }
  | { readonly _tag: "CancelRetry" }
  /** SIGTERM now, `StopOverdue` after the grace time. */
  | { readonly _tag: "Terminate" }
  | { readonly _tag: "Kill" }
  /** A watched program ended by itself: the master wants to know. */
  | { readonly _tag: "Alarm" }

export type Transition = readonly [ServiceState, ReadonlyArray<ServiceAction>]

export const initial: ServiceState = { _tag: "Stopped" }
const held: ServiceState = { _tag: "Held" }

const stay = (state: ServiceState): Transition => [state, []]

/** Where a program goes that ended although it should run. */
const afterFailure = (kind: ServiceKind, failures: number): Transition =>
  kind === "run"
    ? [{ _tag: "Exited" }, []]
    : [{ _tag: "Backoff", failures }, [{ _tag: "Alarm" }, { _tag: "Retry", delay: backoff(restartPolicy, failures) }]]

export const transition = (kind: ServiceKind, state: ServiceState, event: ServiceEvent): Transition => {
  switch (state._tag) {
    case "Stopped":
    case "Exited":
    case "Held":
      return whileDown(kind, state, event)
    case "Starting":
      return whileStarting(kind, state, event)
    case "Running":
      return whileRunning(kind, state, event)
    case "Backoff":
      return whileWaiting(state, event)
    case "Stopping":
      return whileStopping(state, event)
  }
}

const whileDown = (kind: ServiceKind, state: ServiceState, event: ServiceEvent): Transition => {
  switch (event._tag) {
    case "Start":
    case "StartNow":
      return [{ _tag: "Starting", failures: 0 }, [{ _tag: "Spawn" }]]
    case "Stop":
      return stay(initial)
    case "Hold":
      // An `etc/run` program that has done its work stays so: only another deployment starts it again anyway.
      return stay(state._tag === "Exited" ? state : held)
    case "HeldBefore":
      return stay(held)
    case "Adopted":
      return stay({ _tag: "Running", failures: 0, since: event.since })
    case "EndedBefore":
      return stay({ _tag: "Exited" })
    case "DiedBefore":
      return afterFailure(kind, 1)
    default:
      return stay(state)
  }
}

const whileStarting = (
  kind: ServiceKind,
  state: ServiceState & { _tag: "Starting" },
  event: ServiceEvent,
): Transition => {
  switch (event._tag) {
    case "Spawned":
      return stay({ _tag: "Running", failures: state.failures, since: event.at })
    case "SpawnFailed":
      return afterFailure(kind, state.failures + 1)
    default:
      // A stop cannot come between: the interpreter answers a Spawn before it takes the next event.
      return stay(state)
  }
}

const whileRunning = (
  kind: ServiceKind,
  state: ServiceState & { _tag: "Running" },
  event: ServiceEvent,
): Transition => {
  switch (event._tag) {
    case "Ended":
      return afterFailure(kind, countFailure(restartPolicy, state.failures, event.at - state.since))
    case "Stop":
    case "Hold":
      return [{ _tag: "Stopping", isByHand: event._tag === "Hold" }, [{ _tag: "Terminate" }]]
    default:
      return stay(state)
  }
}

const whileWaiting = (state: ServiceState & { _tag: "Backoff" }, event: ServiceEvent): Transition => {
  switch (event._tag) {
    case "RetryDue":
      return [{ _tag: "Starting", failures: state.failures }, [{ _tag: "Spawn" }]]
    case "StartNow":
      return [{ _tag: "Starting", failures: state.failures }, [{ _tag: "CancelRetry" }, { _tag: "Spawn" }]]
    case "Stop":
      return [initial, [{ _tag: "CancelRetry" }]]
    case "Hold":
      return [held, [{ _tag: "CancelRetry" }]]
    default:
      return stay(state)
  }
}

const whileStopping = (state: ServiceState & { _tag: "Stopping" }, event: ServiceEvent): Transition => {
  switch (event._tag) {
    case "Ended":
    case "Abandoned":
      return stay(state.isByHand ? held : initial)
    case "StopOverdue":
      return [state, [{ _tag: "Kill" }]]
    case "Stop":
    case "Hold":
      // The newer wish decides what it is afterwards.
      return stay({ _tag: "Stopping", isByHand: event._tag === "Hold" })
    default:
      return stay(state)
  }
}
