import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { exited } from "../../../src/domain/ExitStatus.ts"
import type { ServiceSpec } from "../../../src/domain/ServiceSpec.ts"
import { sessionEnclosure as enclosure } from "../../../src/process/containment/Containment.ts"
import { difference, makeServiceGroup } from "../../../src/process/service/ServiceGroup.ts"
import { settle, Watch } from "../../support/Calls.ts"
import { program } from "../../support/facts.ts"
import { ScriptedSpawner } from "../../support/ScriptedSpawner.ts"

const a = program("a-on-watch")
const b = program("b-on-watch")
const c = program("c", { kind: "run" })
const changed = (spec: ServiceSpec): ServiceSpec => ({ ...spec, hash: "2" })

describe("difference", () => {
  const names = (specs: ReadonlyArray<ServiceSpec>) => specs.map(({ hash, name }) => `${name} ${hash}`)
  it.each([
    ["nothing", [], [], [], []],
    ["the same", [a, b], [b, a], [], []],
    ["new ones", [], [a, c], [], ["a-on-watch 1", "c 1"]],
    ["one more", [a], [a, b], [], ["b-on-watch 1"]],
    ["one less", [a, b], [b], ["a-on-watch"], []],
    ["one changed", [a, b], [changed(a), b], ["a-on-watch"], ["a-on-watch 2"]],
    ["none left", [a, b], [], ["a-on-watch", "b-on-watch"], []],
    ["another kind", [a], [{ ...a, kind: "run" as const }], ["a-on-watch"], ["a-on-watch 1"]],
    ["one name twice: the last counts", [], [a, changed(a)], [], ["a-on-watch 2"]],
    ["one name twice and running", [changed(a)], [a, changed(a)], [], []],
  ])("%s", (_, current, wanted, stop, start) => {
    const result = difference(new Map(current.map((spec) => [spec.name, spec])), wanted)
    expect({ stop: result.stop, start: names(result.start) }).toStrictEqual({ stop, start })
  })
})

const grouped = Effect.gen(function* () {
  const spawner = new ScriptedSpawner()
  const watch = new Watch()
  const scope = yield* Scope.make()
  const group = yield* makeServiceGroup({
    dependencies: {
      spawn: (spec) =>
        spawner.spawn({ path: spec.path, cwd: "/", env: {}, credentials: undefined, output: 1, enclosure }),
      stopTimeout: 10_000,
      onChange: watch.changed,
      onAlarm: () => Effect.void,
      remember: () => Effect.void,
      keepLog: () => Effect.succeed(Effect.void),
      isLeaving: () => false,
    },
    endRest: Effect.void,
    inherited: [],
  }).pipe(Scope.provide(scope))
  const pids = () => Object.fromEntries(group.status().map(({ name, pid }) => [name, pid]))
  return { spawner, group, watch, pids, close: Scope.close(scope, Exit.void) }
})

describe("hold", () => {
  it.effect("leaves the programs that there are now, all down, until a processing", () =>
    Effect.gen(function* () {
      const { close, group, pids, spawner } = yield* grouped
      yield* group.apply([a, b], "1")
      yield* settle
      yield* group.hold([a, changed(b), c])
      expect(pids()).toStrictEqual({ "a-on-watch": undefined, "b-on-watch": undefined, c: undefined })
      expect(group.status().map(({ isHeld, name }) => [name, isHeld])).toStrictEqual([
        ["a-on-watch", true],
        ["b-on-watch", true],
        ["c", true],
      ])
      yield* group.apply([a, changed(b), c], "1", false)
      expect(spawner.processes).toHaveLength(2)
      yield* group.apply([a, changed(b), c], "1")
      yield* settle
      expect(pids()).toStrictEqual({ "a-on-watch": 1002, "b-on-watch": 1003, c: 1004 })
      yield* close
    }),
  )
})

describe("apply", () => {
  it.effect("starts only those stopped by hand that it is to release, and a changed one stays down, too", () =>
    Effect.gen(function* () {
      const { close, group, pids, spawner } = yield* grouped
      yield* group.apply([a, b, c], "1")
      yield* settle
      for (const { name } of [a, b, c]) yield* group.program(name)!.hold
      yield* group.apply([a, changed(b), c], "2", (name) => name === c.name)
      yield* settle
      expect(pids()).toStrictEqual({ "a-on-watch": undefined, "b-on-watch": undefined, c: 1003 })
      expect(group.status().map(({ isHeld, name }) => [name, isHeld])).toStrictEqual([
        ["a-on-watch", true],
        ["c", false],
        ["b-on-watch", true],
      ])
      expect(spawner.processes).toHaveLength(4)
      yield* close
    }),
  )

  it.effect("touches only the difference", () =>
    Effect.gen(function* () {
      const { close, group, pids, spawner } = yield* grouped
      yield* group.apply([a, b, c], "1")
      yield* settle
      expect(pids()).toStrictEqual({ "a-on-watch": 1000, "b-on-watch": 1001, c: 1002 })
      yield* group.apply([changed(a), c], "1")
      yield* settle
      expect(pids()).toStrictEqual({ c: 1002, "a-on-watch": 1003 })
      expect(spawner.processes.map(({ signals }) => signals.length)).toStrictEqual([1, 1, 0, 0])
      yield* group.apply([changed(a), c], "1")
      yield* settle
      expect(spawner.processes).toHaveLength(4)
      yield* close
    }),
  )

  it.effect("old programs are gone before new ones start", () =>
    Effect.gen(function* () {
      const { close, group, spawner } = yield* grouped
      yield* group.apply([a], "1")
      const old = yield* spawner.next
      old.obeys = false
      const applying = yield* Effect.forkChild(group.apply([changed(a), b], "1"))
      yield* old.terminated
      yield* settle
      expect(spawner.untaken).toBe(0)
      yield* old.ends(exited(0))
      yield* Fiber.join(applying)
      yield* settle
      expect(spawner.living.map(({ command }) => command.path)).toStrictEqual([a.path, b.path])
      yield* close
    }),
  )

  it.effect("ended etc/run programs start again only for a new deployment", () =>
    Effect.gen(function* () {
      const { close, group, spawner, watch } = yield* grouped
      yield* group.apply([a, c], "1")
      yield* spawner.next
      yield* (yield* spawner.next).ends(exited(0))
      yield* watch.until(() => group.status().some(({ state }) => state === "exited"))
      yield* group.apply([a, c], "1")
      yield* settle
      expect(spawner.untaken).toBe(0)
      yield* group.apply([a, c], "2")
      expect((yield* spawner.next).command.path).toBe(c.path)
      yield* settle
      expect(spawner.untaken).toBe(0)
      yield* close
    }),
  )

  it.effect("two programs of one name are one, and nothing is left of it", () =>
    Effect.gen(function* () {
      const { close, group, spawner } = yield* grouped
      yield* group.apply([a, changed(a)], "1")
      yield* group.apply([a, changed(a)], "1")
      yield* settle
      expect(spawner.processes).toHaveLength(1)
      yield* close
      expect(spawner.living).toStrictEqual([])
    }),
  )

  it.effect("an interruption does not leave it half done", () =>
    Effect.gen(function* () {
      const { close, group, spawner } = yield* grouped
      yield* group.apply([a], "1")
      const old = yield* spawner.next
      old.obeys = false
      const applying = yield* Effect.forkChild(group.apply([b], "1"))
      yield* old.terminated
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(applying))
      yield* old.ends(exited(0))
      yield* Fiber.join(interrupting)
      yield* settle
      expect(spawner.living.map(({ command }) => command.path)).toStrictEqual([b.path])
      yield* close
    }),
  )
})

describe("the end", () => {
  it.effect("stops all side by side: the slowest alone decides how long it takes", () =>
    Effect.gen(function* () {
      const { group, spawner } = yield* grouped
      spawner.disobey()
      yield* group.apply([a, b, c], "1")
      const all = [yield* spawner.next, yield* spawner.next, yield* spawner.next]
      const stopping = yield* Effect.forkChild(group.stopAll)
      for (const process of all) yield* process.terminated
      yield* settle
      yield* TestClock.adjust(10_000)
      yield* Fiber.join(stopping)
      expect(all.map(({ signals }) => signals)).toStrictEqual([
        ["SIGTERM", "SIGKILL"],
        ["SIGTERM", "SIGKILL"],
        ["SIGTERM", "SIGKILL"],
      ])
      expect(group.status()).toStrictEqual([])
    }),
  )

  it.effect("of the scope stops all", () =>
    Effect.gen(function* () {
      const { close, group, spawner } = yield* grouped
      yield* group.apply([a, b, c], "1")
      yield* settle
      yield* close
      expect([spawner.processes.length, spawner.living]).toStrictEqual([3, []])
    }),
  )

  it.effect("a stopped group can be filled again", () =>
    Effect.gen(function* () {
      const { close, group, spawner } = yield* grouped
      yield* group.apply([a], "1")
      yield* group.stopAll
      yield* group.apply([a], "1")
      yield* settle
      expect(spawner.living).toHaveLength(1)
      yield* close
    }),
  )
})
