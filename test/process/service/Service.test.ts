// The interpreter of the automaton under a clock that the test moves. Retries are jittered by a quarter, so that a wait
// is told apart by what lies safely below and above.
import { describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { exited, signaled } from "../../../src/domain/ExitStatus.ts"
import type { ServiceSpec } from "../../../src/domain/ServiceSpec.ts"
import { sessionEnclosure } from "../../../src/process/containment/Containment.ts"
import type { Inheritance, Memory } from "../../../src/process/service/inheritance.ts"
import { makeService, type Service, type ServiceDependencies } from "../../../src/process/service/Service.ts"
import { settle, Watch } from "../../support/Calls.ts"
import { program } from "../../support/facts.ts"
import { ScriptedSpawner } from "../../support/ScriptedSpawner.ts"

const stopTimeout = 10_000

const commandOf = (spec: ServiceSpec) => ({
  path: spec.path,
  cwd: "/",
  env: {},
  credentials: undefined,
  output: 1,
  enclosure: sessionEnclosure,
})

/** One service with everything around it in the test's hands. */
const supervised = Effect.fnUntraced(function* (
  spec: ServiceSpec = program("web-on-watch"),
  changes: Partial<ServiceDependencies> = {},
  inheritance?: Inheritance,
) {
  const spawner = new ScriptedSpawner()
  const watch = new Watch()
  const scope = yield* Scope.make()
  const told = { alarms: 0, changes: 0 }
  const service: Service = yield* makeService(
    spec,
    {
      spawn: () => spawner.spawn(commandOf(spec)),
      stopTimeout,
      onChange: Effect.andThen(
        Effect.sync(() => told.changes++),
        watch.changed,
      ),
      onAlarm: () => Effect.sync(() => void told.alarms++),
      remember: () => Effect.void,
      keepLog: () => Effect.succeed(Effect.void),
      isLeaving: () => false,
      ...changes,
    },
    Effect.runForkWith(yield* Effect.context()),
    inheritance,
  ).pipe(Scope.provide(scope))
  const until = (state: string) => watch.until(() => service.status.state === state)
  return { spawner, service, until, told, stop: Scope.close(scope, Exit.void) }
})

describe("start", () => {
  it.effect("nothing runs before it; a second one changes nothing", () =>
    Effect.gen(function* () {
      const { service, spawner, until, stop } = yield* supervised()
      yield* settle
      expect([spawner.processes.length, service.status.state]).toStrictEqual([0, "stopped"])
      yield* TestClock.setTime(7000)
      yield* service.start("1")
      yield* service.start("1")
      yield* until("running")
      yield* settle
      expect(spawner.processes).toHaveLength(1)
      expect(service.status).toStrictEqual({
        name: "web-on-watch",
        kind: "service",
        log: ".slappart0_web.log",
        state: "running",
        pid: 1000,
        since: 7000,
        restarts: 0,
        lastExit: undefined,
        error: undefined,
        isHeld: false,
      })
      yield* stop
    }),
  )
})

describe("a service that ends by itself", () => {
  it.effect("is started again at once, with an alarm, whatever its status", () =>
    Effect.gen(function* () {
      const { service, spawner, told, stop } = yield* supervised()
      yield* service.start("1")
      yield* (yield* spawner.next).ends(exited(0))
      yield* spawner.next
      yield* settle
      expect(service.status).toMatchObject({ state: "running", pid: 1001, restarts: 1, lastExit: exited(0) })
      expect(told.alarms).toBe(1)
      yield* stop
    }),
  )

  it.effect("has what its last run left in its group killed before the next start", () =>
    Effect.gen(function* () {
      const { service, spawner, stop } = yield* supervised()
      yield* service.start("1")
      const first = yield* spawner.next
      yield* first.ends(exited(1))
      yield* spawner.next
      yield* first.killed
      yield* stop
    }),
  )

  it.effect("waits longer each time it fails fast", () =>
    Effect.gen(function* () {
      const { service, spawner, until, stop } = yield* supervised()
      yield* service.start("1")
      yield* (yield* spawner.next).ends(exited(1))
      for (const delay of [100, 200, 400, 800]) {
        yield* (yield* spawner.next).ends(exited(1))
        yield* until("backoff")
        yield* TestClock.adjust(delay * 0.74)
        expect([service.status.state, service.status.pid, spawner.untaken]).toStrictEqual(["backoff", undefined, 0])
        yield* TestClock.adjust(delay * 0.52)
      }
      yield* spawner.next
      expect(service.status.restarts).toBe(5)
      yield* stop
    }),
  )

  it.effect("is forgiven after a stable run", () =>
    Effect.gen(function* () {
      const { service, spawner, until, stop } = yield* supervised()
      yield* service.start("1")
      yield* (yield* spawner.next).ends(exited(1))
      yield* (yield* spawner.next).ends(exited(1))
      yield* until("backoff")
      yield* TestClock.adjust(125)
      const third = yield* spawner.next
      yield* until("running")
      yield* TestClock.adjust(10_000)
      yield* third.ends(signaled("SIGSEGV"))
      // No clock moves: it is as if it had never failed.
      yield* spawner.next
      yield* settle
      expect(service.status).toMatchObject({ state: "running", restarts: 3, lastExit: signaled("SIGSEGV") })
      yield* stop
    }),
  )
})

it.effect("its end is told after it was started again, with the deployment it ran for", () =>
  Effect.gen(function* () {
    const alarms: Array<unknown> = []
    const { service, spawner, until, stop } = yield* supervised(program("web-on-watch"), {
      onAlarm: (_, deployment) => Effect.sync(() => void alarms.push([deployment, spawner.processes.length])),
    })
    yield* service.start("1.5")
    yield* (yield* spawner.next).ends(exited(1))
    yield* spawner.next
    yield* until("running")
    yield* settle
    expect(alarms).toStrictEqual([["1.5", 2]])
    yield* stop
  }),
)

describe("a program that cannot be started", () => {
  it.effect("is tried again with backoff; the error stands until it runs; failed tries are no restarts", () =>
    Effect.gen(function* () {
      const { service, spawner, told, until, stop } = yield* supervised()
      spawner.refuse("no such file", "no such file", "disk full")
      yield* service.start("1")
      yield* until("backoff")
      yield* settle
      yield* TestClock.adjust(125)
      yield* settle
      expect(service.status).toMatchObject({ state: "backoff", error: "disk full", restarts: 0, pid: undefined })
      // The first two are told together, after the try that comes at once.
      expect(told.alarms).toBe(2)
      yield* TestClock.adjust(250)
      yield* spawner.next
      yield* settle
      expect(service.status).toMatchObject({ state: "running", error: undefined, restarts: 0 })
      yield* stop
    }),
  )

  it.effect("after it has run: only the start that succeeds counts as a restart", () =>
    Effect.gen(function* () {
      const { service, spawner, until, stop } = yield* supervised()
      yield* service.start("1")
      const first = yield* spawner.next
      spawner.refuse("busy", "busy")
      yield* first.ends(exited(1))
      yield* until("backoff")
      yield* settle
      yield* TestClock.adjust(125)
      yield* settle
      expect(service.status).toMatchObject({ state: "backoff", restarts: 0, lastExit: exited(1), error: "busy" })
      yield* TestClock.adjust(250)
      yield* spawner.next
      yield* settle
      expect(service.status).toMatchObject({ state: "running", restarts: 1 })
      yield* stop
    }),
  )

  it.effect("even by a defect: supervision goes on", () =>
    Effect.gen(function* () {
      const { service, until, stop } = yield* supervised(program("web-on-watch"), {
        spawn: () => Effect.die(new Error("a bug")),
      })
      yield* service.start("1")
      yield* until("backoff")
      yield* settle
      expect(service.status).toMatchObject({ state: "backoff", error: "a bug" })
      yield* stop
      expect(service.status.state).toBe("stopped")
    }),
  )

  it.effect("those who are told cannot end the supervision either", () =>
    Effect.gen(function* () {
      const { service, spawner, stop } = yield* supervised(program("web-on-watch"), {
        onChange: Effect.die("bad reader"),
        onAlarm: () => Effect.die("bad listener"),
      })
      yield* service.start("1")
      yield* (yield* spawner.next).ends(exited(1))
      yield* spawner.next
      yield* stop
      expect([service.status.state, spawner.living]).toStrictEqual(["stopped", []])
    }),
  )
})

describe("etc/run", () => {
  it.effect("is not started again when it ends, raises no alarm, and starts again for another deployment", () =>
    Effect.gen(function* () {
      const { service, spawner, told, until, stop } = yield* supervised(program("once", { kind: "run" }))
      yield* service.start("1")
      yield* (yield* spawner.next).ends(exited(2))
      yield* until("exited")
      yield* TestClock.adjust(3600_000)
      expect(spawner.untaken).toBe(0)
      expect(service.status).toMatchObject({ state: "exited", lastExit: exited(2), pid: undefined, restarts: 0 })
      yield* service.start("1")
      yield* settle
      expect(spawner.untaken).toBe(0)
      yield* service.start("2")
      yield* spawner.next
      expect(told.alarms).toBe(0)
      yield* stop
    }),
  )

  it.effect("is not run twice for a deployment that is named again while its end is not yet looked at", () =>
    Effect.gen(function* () {
      const { service, spawner, until, stop } = yield* supervised(program("once", { kind: "run" }))
      yield* service.start("1")
      const process = yield* spawner.next
      yield* until("running")
      yield* settle
      yield* process.ends(exited(0))
      // Until its fiber has taken the end from the queue, the program seems to run.
      for (let turn = 0; turn < 20; turn++) {
        yield* service.start("1")
        yield* Effect.yieldNow
      }
      yield* settle
      expect([service.status.state, spawner.processes.length]).toStrictEqual(["exited", 1])
      yield* stop
    }),
  )

  it.effect("one that cannot be started is exited with its error", () =>
    Effect.gen(function* () {
      const { service, spawner, until, stop } = yield* supervised(program("once", { kind: "run" }))
      spawner.refuse("permission denied")
      yield* service.start("1")
      yield* until("exited")
      expect(service.status).toMatchObject({ state: "exited", error: "permission denied" })
      yield* stop
    }),
  )

  it.effect("children of one that ended long ago go when it is stopped", () =>
    Effect.gen(function* () {
      const { service, spawner, until, stop } = yield* supervised(program("daemon", { kind: "run" }))
      yield* service.start("1")
      const process = yield* spawner.next
      yield* process.ends(exited(0))
      yield* until("exited")
      yield* stop
      yield* process.killed
    }),
  )
})

describe("leaving", () => {
  it.effect("while a program is started waits until it can be found again", () =>
    Effect.gen(function* () {
      const spawner = new ScriptedSpawner()
      const spec = program("web-on-watch")
      const spawning = yield* Deferred.make<void>()
      const spawned = yield* Deferred.make<void>()
      const remembered: Array<number | undefined> = []
      const { service, stop } = yield* supervised(spec, {
        spawn: Effect.fnUntraced(function* () {
          const process = yield* spawner.spawn(commandOf(spec))
          yield* Deferred.succeed(spawning, undefined)
          yield* Deferred.await(spawned)
          return process
        }),
        remember: (_, memory) =>
          Effect.sync(() =>
            remembered.push(memory !== undefined && "process" in memory ? memory.process.pid : undefined),
          ),
        isLeaving: () => true,
      })
      yield* Effect.forkChild(service.start("1"))
      yield* Deferred.await(spawning)
      const leaving = yield* Effect.forkChild(stop)
      yield* settle
      yield* Deferred.succeed(spawned, undefined)
      yield* Fiber.join(leaving)
      const [process] = spawner.processes
      expect([remembered.at(-1), process?.isAlive, process?.signals]).toStrictEqual([process?.pid, true, []])
    }),
  )
})

describe("stop", () => {
  it.effect("asks with SIGTERM, and waits for the end", () =>
    Effect.gen(function* () {
      const { service, spawner, stop, until } = yield* supervised()
      yield* service.start("1")
      const process = yield* spawner.next
      process.obeys = false
      const stopping = yield* Effect.forkChild(stop)
      yield* process.terminated
      yield* until("stopping")
      yield* TestClock.adjust(stopTimeout - 1)
      expect([service.status.state, service.status.pid, process.signals]).toStrictEqual(["stopping", 1000, ["SIGTERM"]])
      expect(stopping.pollUnsafe()).toBeUndefined()
      yield* process.ends(exited(0))
      yield* Fiber.join(stopping)
      expect([service.status.state, process.signals]).toStrictEqual(["stopped", ["SIGTERM"]])
    }),
  )

  it.effect("kills after the grace time", () =>
    Effect.gen(function* () {
      const { service, spawner, stop } = yield* supervised()
      yield* service.start("1")
      const process = yield* spawner.next
      process.obeys = false
      const stopping = yield* Effect.forkChild(stop)
      yield* process.terminated
      yield* settle
      yield* TestClock.adjust(stopTimeout)
      yield* Fiber.join(stopping)
      expect([service.status.state, service.status.lastExit, process.signals]).toStrictEqual([
        "stopped",
        signaled("SIGKILL"),
        ["SIGTERM", "SIGKILL"],
      ])
    }),
  )

  it.effect("goes on without a process that even SIGKILL does not end", () =>
    Effect.gen(function* () {
      const { service, spawner, stop } = yield* supervised()
      yield* service.start("1")
      const process = yield* spawner.next
      process.obeys = false
      process.isMortal = false
      const stopping = yield* Effect.forkChild(stop)
      yield* process.terminated
      yield* settle
      yield* TestClock.adjust(stopTimeout)
      yield* settle
      expect(stopping.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust(10_000)
      yield* Fiber.join(stopping)
      expect([service.status.state, process.isAlive]).toStrictEqual(["stopped", true])
    }),
  )

  it.effect("ends a wait for the next try, and nothing starts afterwards", () =>
    Effect.gen(function* () {
      const { service, spawner, stop, told, until } = yield* supervised()
      spawner.refuse("a", "b")
      yield* service.start("1")
      yield* until("backoff")
      yield* settle
      yield* stop
      const { changes } = told
      yield* TestClock.adjust(3600_000)
      expect([service.status.state, spawner.processes.length, told.changes]).toStrictEqual(["stopped", 0, changes])
    }),
  )

  it.effect("of a program that never ran returns", () =>
    Effect.gen(function* () {
      const { stop } = yield* supervised()
      yield* stop
    }),
  )

  it.effect("of a program that is just ending by itself raises nothing new", () =>
    Effect.gen(function* () {
      const { service, spawner, stop } = yield* supervised()
      yield* service.start("1")
      const process = yield* spawner.next
      yield* process.ends(exited(1))
      // Both events lie in the queue at once.
      yield* stop
      yield* settle
      expect([service.status.state, spawner.living]).toStrictEqual(["stopped", []])
    }),
  )

  it.effect("a start that comes after it changes nothing", () =>
    Effect.gen(function* () {
      const { service, spawner, stop } = yield* supervised()
      yield* service.start("1")
      yield* spawner.next
      yield* stop
      yield* service.start("1")
      yield* settle
      expect([service.status.state, spawner.living]).toStrictEqual(["stopped", []])
    }),
  )
})

describe("by hand", () => {
  it.effect("a stop holds until the next processing, and survives a start that is none", () =>
    Effect.gen(function* () {
      const { service, spawner, stop, told } = yield* supervised()
      yield* service.start("1")
      yield* spawner.next
      yield* service.hold
      expect(service.status).toMatchObject({ state: "stopped", isHeld: true, pid: undefined })
      expect([spawner.living, told.alarms]).toStrictEqual([[], 0])
      yield* service.start("1", false)
      expect(service.status.isHeld).toBe(true)
      yield* service.start("1")
      expect(service.status).toMatchObject({ state: "running", isHeld: false })
      yield* stop
    }),
  )

  it.effect("a stop kills after the grace time, and returns when nothing is left", () =>
    Effect.gen(function* () {
      const { service, spawner, stop } = yield* supervised()
      spawner.disobey()
      yield* service.start("1")
      const process = yield* spawner.next
      const holding = yield* Effect.forkChild(service.hold)
      yield* process.terminated
      yield* settle
      expect(holding.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust(stopTimeout)
      yield* Fiber.join(holding)
      expect([process.isAlive, service.status.isHeld]).toStrictEqual([false, true])
      yield* stop
    }),
  )

  it.effect("a start does not wait for the next try, and starts again what has done its work", () =>
    Effect.gen(function* () {
      const { service, spawner, until, stop } = yield* supervised()
      spawner.refuse("a", "b", "c")
      yield* service.start("1")
      yield* until("backoff")
      yield* settle
      yield* service.startNow
      expect(service.status).toMatchObject({ state: "backoff", error: "c" })
      yield* service.startNow
      expect(service.status.state).toBe("running")
      yield* stop
      const once = yield* supervised(program("once", { kind: "run" }))
      yield* once.service.start("1")
      yield* (yield* once.spawner.next).ends(exited(0))
      yield* once.until("exited")
      yield* once.service.start("1")
      expect(once.service.status.state).toBe("exited")
      yield* once.service.startNow
      expect(once.service.status.state).toBe("running")
      yield* once.stop
    }),
  )

  it.effect("a signal reaches what runs, and says when nothing does", () =>
    Effect.gen(function* () {
      const { service, spawner, stop } = yield* supervised()
      expect(yield* service.signal("SIGHUP")).toBe(false)
      yield* service.start("1")
      const process = yield* spawner.next
      expect(yield* service.signal("SIGHUP")).toBe(true)
      expect(process.signals).toStrictEqual(["SIGHUP"])
      yield* stop
    }),
  )

  it.effect("a stop is known to the next agent, also after an orderly end of this one", () =>
    Effect.gen(function* () {
      const remembered: Array<unknown> = []
      const { service, stop } = yield* supervised(program("web-on-watch"), {
        remember: (_, memory) => Effect.sync(() => void remembered.push(memory)),
      })
      yield* service.start("1")
      yield* service.hold
      yield* stop
      expect(remembered.at(-1)).toStrictEqual({ isHeld: true, deployment: "1" })
      const next = yield* Effect.scoped(
        Effect.gen(function* () {
          const spawner = new ScriptedSpawner()
          const inherited = yield* makeService(
            program("web-on-watch"),
            {
              spawn: () => spawner.spawn(commandOf(program("web-on-watch"))),
              stopTimeout,
              onChange: Effect.void,
              onAlarm: () => Effect.void,
              remember: () => Effect.void,
              keepLog: () => Effect.succeed(Effect.void),
              isLeaving: () => false,
            },
            Effect.runForkWith(yield* Effect.context()),
            { isHeld: true, deployment: "1" },
          )
          yield* inherited.start("1", false)
          return inherited.status
        }),
      )
      expect(next).toMatchObject({ state: "stopped", isHeld: true })
    }),
  )

  it.effect("a stop leaves what has done its work as it is, but nothing that it left behind", () =>
    Effect.gen(function* () {
      const { service, spawner, until, stop } = yield* supervised(program("once", { kind: "run" }))
      yield* service.start("1")
      const process = yield* spawner.next
      yield* process.ends(exited(0))
      yield* until("exited")
      yield* service.hold
      yield* process.killed
      yield* service.start("1")
      expect([service.status.state, service.status.isHeld, spawner.untaken]).toStrictEqual(["exited", false, 0])
      yield* service.start("2")
      yield* spawner.next
      yield* stop
    }),
  )

  it.effect("a start waits for the end of what is being stopped; a stop after that counts", () =>
    Effect.gen(function* () {
      const { service, spawner, stop } = yield* supervised()
      spawner.disobey()
      yield* service.start("1")
      const first = yield* spawner.next
      const holding = yield* Effect.forkChild(service.hold)
      yield* first.terminated
      const starting = yield* Effect.forkChild(service.startNow)
      yield* settle
      expect([starting.pollUnsafe(), spawner.untaken]).toStrictEqual([undefined, 0])
      yield* first.ends(exited(0))
      yield* Fiber.join(holding)
      yield* Fiber.join(starting)
      expect(service.status.state).toBe("running")
      const second = yield* spawner.next
      const all = yield* Effect.forkChild(
        Effect.all([service.hold, service.startNow, service.hold], { concurrency: "unbounded" }),
      )
      yield* second.terminated
      yield* settle
      yield* second.ends(exited(0))
      yield* Fiber.join(all)
      expect([service.status.isHeld, spawner.untaken]).toStrictEqual([true, 0])
      yield* stop
    }),
  )

  it.effect("a stop that the agent did not live to see is gone on with by the next one", () =>
    Effect.gen(function* () {
      const remembered: Array<Memory> = []
      const { service, spawner, stop } = yield* supervised(program("web-on-watch"), {
        remember: (_, memory) => Effect.sync(() => void remembered.push(memory)),
        isLeaving: () => true,
      })
      spawner.disobey()
      yield* service.start("1")
      const process = yield* spawner.next
      const holding = yield* Effect.forkChild(service.hold)
      yield* process.terminated
      yield* settle
      yield* stop
      yield* Fiber.join(holding)
      const memory = remembered.at(-1)
      expect(memory).toMatchObject({ process: { pid: process.pid }, isStopping: true, deployment: "1" })
      const next = yield* supervised(program("web-on-watch"), {}, memory)
      yield* TestClock.adjust(stopTimeout)
      yield* next.until("stopped")
      expect([process.signals, next.service.status.isHeld]).toStrictEqual([["SIGTERM", "SIGTERM", "SIGKILL"], true])
      yield* next.stop
    }),
  )

  it.effect("the late end of what nobody could end is not taken for that of its successor", () =>
    Effect.gen(function* () {
      const { service, spawner, stop, told } = yield* supervised()
      yield* service.start("1")
      const first = yield* spawner.next
      first.obeys = false
      first.isMortal = false
      const holding = yield* Effect.forkChild(service.hold)
      yield* first.terminated
      yield* settle
      yield* TestClock.adjust(stopTimeout)
      yield* settle
      yield* TestClock.adjust(10_000)
      yield* Fiber.join(holding)
      yield* service.startNow
      const second = yield* spawner.next
      yield* first.ends(signaled("SIGKILL"))
      yield* settle
      expect(service.status).toMatchObject({ state: "running", pid: second.pid, lastExit: undefined })
      expect(told.alarms).toBe(0)
      yield* stop
    }),
  )

  it.effect("whoever waits is answered when the supervision ends", () =>
    Effect.gen(function* () {
      const { service, spawner, stop } = yield* supervised()
      yield* service.start("1")
      yield* spawner.next
      const waiting = yield* Effect.forkChild(
        Effect.all([service.hold, service.startNow, service.hold], { concurrency: "unbounded" }),
      )
      yield* stop
      yield* Fiber.join(waiting)
      yield* Effect.all([service.hold, service.startNow])
      expect(spawner.living).toStrictEqual([])
    }),
  )
})

describe("the keeper of the log", () => {
  it.effect("one at a time, from a start to the next one or to the end of the supervision", () =>
    Effect.gen(function* () {
      const events: Array<string> = []
      const { service, spawner, until, stop } = yield* supervised(program("web-on-watch"), {
        keepLog: (_, { pid }) =>
          Effect.sync(() => {
            events.push(`from ${pid}`)
            return Effect.sync(() => void events.push(`to ${pid}`))
          }),
      })
      yield* service.start("1")
      const first = yield* spawner.next
      yield* until("running")
      spawner.refuse("no")
      yield* first.ends(exited(1))
      yield* until("backoff")
      yield* TestClock.adjust("1 second")
      yield* spawner.next
      yield* until("running")
      yield* settle
      expect(events).toStrictEqual(["from 1000", "to 1000", "from 1001"])
      yield* stop
      expect(events).toStrictEqual(["from 1000", "to 1000", "from 1001", "to 1001"])
    }),
  )
})
