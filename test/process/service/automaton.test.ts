import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { exited } from "../../../src/domain/ExitStatus.ts"
import type { ServiceKind } from "../../../src/domain/ServiceSpec.ts"
import {
  initial,
  type ServiceAction,
  type ServiceEvent,
  type ServiceState,
  transition,
} from "../../../src/process/service/automaton.ts"

const stopped: ServiceState = { _tag: "Stopped" }
const starting: ServiceState = { _tag: "Starting", failures: 2 }
const running: ServiceState = { _tag: "Running", failures: 2, since: 1000 }
const backoff: ServiceState = { _tag: "Backoff", failures: 2 }
const stopping: ServiceState = { _tag: "Stopping", isByHand: false }
const holding: ServiceState = { _tag: "Stopping", isByHand: true }
const held: ServiceState = { _tag: "Held" }
const exitedState: ServiceState = { _tag: "Exited" }

const start: ServiceEvent = { _tag: "Start" }
const startNow: ServiceEvent = { _tag: "StartNow" }
const stop: ServiceEvent = { _tag: "Stop" }
const hold: ServiceEvent = { _tag: "Hold" }
const diedBefore: ServiceEvent = { _tag: "DiedBefore" }
const heldBefore: ServiceEvent = { _tag: "HeldBefore" }
const spawned: ServiceEvent = { _tag: "Spawned", at: 5000 }
const spawnFailed: ServiceEvent = { _tag: "SpawnFailed" }
const endedSoon: ServiceEvent = { _tag: "Ended", at: 10_999, exit: exited(0) }
const endedLate: ServiceEvent = { _tag: "Ended", at: 11_000, exit: exited(1) }
const retryDue: ServiceEvent = { _tag: "RetryDue" }
const stopOverdue: ServiceEvent = { _tag: "StopOverdue" }
const adopted: ServiceEvent = { _tag: "Adopted", since: 3000 }
const endedBefore: ServiceEvent = { _tag: "EndedBefore" }
const abandoned: ServiceEvent = { _tag: "Abandoned" }
const events = [
  abandoned,
  start,
  startNow,
  hold,
  heldBefore,
  diedBefore,
  adopted,
  endedBefore,
  stop,
  spawned,
  spawnFailed,
  endedSoon,
  endedLate,
  retryDue,
  stopOverdue,
]

const spawn: ServiceAction = { _tag: "Spawn" }
const alarm: ServiceAction = { _tag: "Alarm" }
const retry = (delay: number): ServiceAction => ({ _tag: "Retry", delay })

type Edge = readonly [ServiceState, ServiceEvent, ServiceState, ...ReadonlyArray<ServiceAction>]

/** What an operator's hand does is the same for both kinds. */
const byHand: ReadonlyArray<Edge> = [
  [held, start, { _tag: "Starting", failures: 0 }, spawn],
  [stopped, startNow, { _tag: "Starting", failures: 0 }, spawn],
  [exitedState, startNow, { _tag: "Starting", failures: 0 }, spawn],
  [held, startNow, { _tag: "Starting", failures: 0 }, spawn],
  [stopped, hold, held],
  [stopped, heldBefore, held],
  [exitedState, heldBefore, held],
  [held, stop, stopped],
  [held, adopted, { _tag: "Running", failures: 0, since: 3000 }],
  [held, endedBefore, exitedState],
  [running, hold, holding, { _tag: "Terminate" }],
  [backoff, startNow, { _tag: "Starting", failures: 2 }, { _tag: "CancelRetry" }, spawn],
  [backoff, hold, held, { _tag: "CancelRetry" }],
  [stopping, hold, holding],
  [holding, stop, stopping],
  [holding, endedSoon, held],
  [holding, endedLate, held],
  [holding, abandoned, held],
  [holding, stopOverdue, holding, { _tag: "Kill" }],
]

/** The edges that lead somewhere or do something; every other pair of state and event leaves all as it is. */
const edges: Record<ServiceKind, ReadonlyArray<Edge>> = {
  service: [
    ...[stopped, exitedState, held].map((state): Edge => [
      state,
      diedBefore,
      { _tag: "Backoff", failures: 1 },
      alarm,
      retry(0),
    ]),
    [stopped, start, { _tag: "Starting", failures: 0 }, spawn],
    [exitedState, start, { _tag: "Starting", failures: 0 }, spawn],
    [stopped, adopted, { _tag: "Running", failures: 0, since: 3000 }],
    [stopped, endedBefore, exitedState],
    [exitedState, adopted, { _tag: "Running", failures: 0, since: 3000 }],
    [exitedState, stop, stopped],
    [starting, spawned, { _tag: "Running", failures: 2, since: 5000 }],
    [starting, spawnFailed, { _tag: "Backoff", failures: 3 }, alarm, retry(200)],
    [running, endedSoon, { _tag: "Backoff", failures: 3 }, alarm, retry(200)],
    [running, endedLate, { _tag: "Backoff", failures: 1 }, alarm, retry(0)],
    [running, stop, stopping, { _tag: "Terminate" }],
    [backoff, retryDue, { _tag: "Starting", failures: 2 }, spawn],
    [backoff, stop, stopped, { _tag: "CancelRetry" }],
    [stopping, endedSoon, stopped],
    [stopping, abandoned, stopped],
    [stopping, endedLate, stopped],
    [stopping, stopOverdue, stopping, { _tag: "Kill" }],
    ...byHand,
  ],
  run: [
    ...[stopped, exitedState, held].map((state): Edge => [state, diedBefore, exitedState]),
    [stopped, start, { _tag: "Starting", failures: 0 }, spawn],
    [exitedState, start, { _tag: "Starting", failures: 0 }, spawn],
    [stopped, adopted, { _tag: "Running", failures: 0, since: 3000 }],
    [stopped, endedBefore, exitedState],
    [exitedState, adopted, { _tag: "Running", failures: 0, since: 3000 }],
    [exitedState, stop, stopped],
    [starting, spawned, { _tag: "Running", failures: 2, since: 5000 }],
    [starting, spawnFailed, exitedState],
    [running, endedSoon, exitedState],
    [running, endedLate, exitedState],
    [running, stop, stopping, { _tag: "Terminate" }],
    [backoff, retryDue, { _tag: "Starting", failures: 2 }, spawn],
    [backoff, stop, stopped, { _tag: "CancelRetry" }],
    [stopping, endedSoon, stopped],
    [stopping, abandoned, stopped],
    [stopping, endedLate, stopped],
    [stopping, stopOverdue, stopping, { _tag: "Kill" }],
    ...byHand,
  ],
}

const named = (state: ServiceState) => (state === holding ? "Stopping by hand" : state._tag)
const shown = (event: ServiceEvent) => (event === endedSoon ? "Ended soon" : event._tag)

describe.each(["service", "run"] as const)("%s", (kind) => {
  for (const state of [stopped, starting, running, backoff, stopping, holding, exitedState, held]) {
    for (const event of events) {
      const edge = edges[kind].find(([from, on]) => from === state && on === event)
      const [, , to = state, ...actions] = edge ?? []
      it(`${named(state)} × ${shown(event)} → ${to._tag} [${actions.map(({ _tag }) => _tag).join(", ")}]`, () => {
        expect(transition(kind, state, event)).toStrictEqual([to, actions])
      })
    }
  }
})

it("begins stopped", () => {
  expect(initial).toStrictEqual(stopped)
})

it("a program that fails for ever is tried ever more rarely, up to the cap, and never given up", () => {
  let state: ServiceState = { _tag: "Starting", failures: 0 }
  const delays: Array<number> = []
  for (let round = 0; round < 20; round++) {
    const [next, actions]: readonly [ServiceState, ReadonlyArray<ServiceAction>] = transition(
      "service",
      state,
      spawnFailed,
    )
    delays.push(...actions.flatMap((action) => (action._tag === "Retry" ? [action.delay] : [])))
    ;[state] = transition("service", next, retryDue)
  }
  expect(delays.slice(0, 12)).toStrictEqual([0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000])
  expect(delays.at(-1)).toBe(30_000)
})
