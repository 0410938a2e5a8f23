// The end of a scripted supervisord, step by step: what is told to it, in which order, and what waits for what.
import { describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as fs from "node:fs"
import { expect } from "vitest"
import { NodeConfig } from "../../../src/config/NodeConfig.ts"
import { isAwaited } from "../../../src/process/takeover/Succession.ts"
import { Takeover, type TakeoverOptions } from "../../../src/process/takeover/Takeover.ts"
import { nodeConfig, partitionId, slappart0, slappart1 } from "../../support/facts.ts"
import { scratchDirectory } from "../../support/scratch.ts"
import { makeScriptedSupervisord, type ScriptedProgram } from "../../support/ScriptedSupervisord.ts"
import { eventually } from "../../support/waiting.ts"

const slappart2 = partitionId("slappart2")

const layer = (root: string, options: TakeoverOptions = { takeOver: true }) =>
  Takeover.layer({ systemRoot: root, ...options }).pipe(
    Layer.provide(Layer.succeed(NodeConfig, nodeConfig({ instanceRoot: root }))),
  )

const groups = ["slappart0:web", "slappart0:db", "slappart1:web", "slappart2:web", "watchdog:watchdog"]

const takingOver = Effect.fnUntraced(function* (programs: ReadonlyArray<ScriptedProgram | string> = groups) {
  const root = yield* scratchDirectory
  const supervisord = yield* makeScriptedSupervisord(`${root}/sv.sock`, programs)
  const scope = yield* Scope.make()
  const takeover = Context.get(yield* Scope.provide(Layer.build(layer(root)), scope), Takeover)
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const isGone = eventually(
    "the end of supervisord",
    Effect.sync(() => (supervisord.isAlive ? undefined : true)),
  )
  return { root, supervisord, takeover, isGone }
})

it.live("nobody to take over from: nothing to do", () =>
  Effect.gen(function* () {
    const root = yield* scratchDirectory
    const { follow, isForeign, release } = Context.get(yield* Layer.build(layer(root)), Takeover)
    yield* release(slappart0)
    yield* follow([slappart0])
    expect(isForeign(slappart0)).toBe(false)
  }),
)

describe("refused", () => {
  it.live("beside a supervisord, unless it is to be taken over", () =>
    Effect.gen(function* () {
      const root = yield* scratchDirectory
      const { pid, told } = yield* makeScriptedSupervisord(`${root}/sv.sock`, groups)
      const error = yield* Effect.flip(Layer.build(layer(root, { takeOver: false })))
      expect(error._tag).toBe("ReferenceRuns")
      expect(error.message).toContain(
        `supervisord (pid ${pid}) listens on ${root}/sv.sock and has the programs of slappart0, slappart1, slappart2:`,
      )
      expect(told).toStrictEqual([])
    }),
  )

  it.live("with everything else that is in the way, even then", () =>
    Effect.gen(function* () {
      const root = yield* scratchDirectory
      const { told } = yield* makeScriptedSupervisord(`${root}/sv.sock`, groups)
      fs.mkdirSync(`${root}/etc/opt/slapos`, { recursive: true })
      fs.writeFileSync(`${root}/etc/opt/slapos/slapos.cfg`, `[slapos]\ninstance_root = ${root}\n`)
      fs.writeFileSync(`${root}/etc/crontab`, "* * * * * root slapos node instance\n* * * * * root slapgrid-ur\n")
      const { message } = yield* Effect.flip(Layer.build(layer(root)))
      expect(message.split("\n").slice(1)).toStrictEqual([
        `  ${root}/etc/crontab:1 starts slapos node instance: remove the line or make it a comment`,
        `  ${root}/etc/crontab:2 starts slapgrid-ur: remove the line or make it a comment`,
      ])
      expect(told).toStrictEqual([])
    }),
  )
})

describe("a group", () => {
  it.live("is stopped alone and once, the watchdog before the first", () =>
    Effect.gen(function* () {
      const { supervisord, takeover } = yield* takingOver()
      expect(takeover.isForeign(slappart0)).toBe(true)
      yield* takeover.release(slappart0)
      expect(takeover.isForeign(slappart0)).toBe(false)
      yield* takeover.release(slappart0)
      yield* takeover.release(partitionId("another"))
      expect(supervisord.told).toStrictEqual(["stop watchdog", "stop slappart0"])
      yield* takeover.release(slappart1)
      expect(supervisord.told.slice(2)).toStrictEqual(["stop slappart1"])
      expect(supervisord.programs.filter(({ pid }) => pid !== 0).map(({ group }) => group)).toStrictEqual(["slappart2"])
    }),
  )

  it.live("is taken over when its last program has ended, and the others do not wait for it", () =>
    Effect.gen(function* () {
      const { supervisord, takeover } = yield* takingOver()
      supervisord.stubborn.add("slappart0")
      const release = yield* Effect.forkChild(takeover.release(slappart0))
      yield* supervisord.watch.until(() => supervisord.told.includes("stop slappart0"))
      yield* takeover.release(slappart1)
      expect([release.pollUnsafe(), takeover.isForeign(slappart0)]).toStrictEqual([undefined, true])
      supervisord.endPrograms("slappart0")
      yield* Fiber.join(release)
      expect(takeover.isForeign(slappart0)).toBe(false)
    }),
  )

  it.live("that cannot be stopped fails alone, and is tried again when that is asked for", () =>
    Effect.gen(function* () {
      const { supervisord, takeover } = yield* takingOver()
      supervisord.refused.add("slappart0")
      const { message } = yield* Effect.flip(takeover.release(slappart0))
      expect(message).toContain(`slappart0 cannot be taken over from supervisord (pid ${supervisord.pid})`)
      expect(message).toContain("FAILED")
      yield* takeover.release(slappart1)
      supervisord.refused.clear()
      yield* takeover.release(slappart0)
      expect(takeover.isForeign(slappart0)).toBe(false)
    }),
  )

  it.live("needs nothing of a supervisord that has ended with it", () =>
    Effect.gen(function* () {
      const { supervisord, takeover } = yield* takingOver()
      yield* supervisord.die
      yield* takeover.release(slappart0)
    }),
  )

  it.live("that a dead supervisord left running is not started a second time", () =>
    Effect.gen(function* () {
      const orphan = spawn("sleep", ["infinity"], { stdio: "ignore" })
      const { pid = 0 } = orphan
      const { supervisord, takeover } = yield* takingOver([{ group: "slappart0", name: "web", pid }, "slappart1:web"])
      yield* supervisord.die
      const { message } = yield* Effect.flip(takeover.release(slappart0))
      expect(message).toContain(`left programs of slappart0 running: end web (pid ${pid})`)
      yield* takeover.release(slappart1)
      orphan.kill("SIGKILL")
      yield* eventually(
        "the take-over",
        Effect.match(takeover.release(slappart0), { onFailure: () => undefined, onSuccess: () => true }),
      )
    }),
  )
})

describe("supervisord", () => {
  it.live("is ended when all of its groups are taken over", () =>
    Effect.gen(function* () {
      const { isGone, supervisord, takeover } = yield* takingOver()
      for (const id of [slappart0, slappart1, slappart2]) yield* takeover.release(id)
      yield* isGone
      expect(supervisord.told.at(-1)).toBe("shutdown")
    }),
  )

  it.live("is ended at once when it has none", () =>
    Effect.gen(function* () {
      const { isGone, supervisord } = yield* takingOver(["watchdog:watchdog"])
      yield* isGone
      expect(supervisord.told).toStrictEqual(["shutdown"])
    }),
  )

  it.live("is ended with what nobody wants when all that the master names is taken over", () =>
    Effect.gen(function* () {
      const { isGone, supervisord, takeover } = yield* takingOver()
      yield* takeover.follow([slappart0, slappart1])
      yield* takeover.release(slappart0)
      expect([supervisord.isAlive, takeover.isForeign(slappart2)]).toStrictEqual([true, true])
      yield* takeover.release(slappart1)
      yield* isGone
      expect(supervisord.told.slice(-2)).toStrictEqual(["stop slappart2", "shutdown"])
    }),
  )

  it.live("is left with what is not taken over when the node ends before", () =>
    Effect.gen(function* () {
      const root = yield* scratchDirectory
      const supervisord = yield* makeScriptedSupervisord(`${root}/sv.sock`, groups)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { release } = Context.get(yield* Layer.build(layer(root)), Takeover)
          yield* release(slappart0)
        }),
      )
      expect([supervisord.isAlive, supervisord.told]).toStrictEqual([true, ["stop watchdog", "stop slappart0"]])
    }),
  )
})

describe("something to wait for", () => {
  it.each([
    ["nothing left, nothing named", [], undefined, false],
    ["something left before the master's first word", ["a"], undefined, true],
    ["what is left is named", ["a"], ["a", "b"], true],
    ["what is left is not named", ["a"], ["b"], false],
    ["one of two is named", ["a", "b"], ["b"], true],
    ["nothing left", [], ["a"], false],
  ] as const)("%s", (_, left, named, expected) => {
    expect(isAwaited(new Set(left), named === undefined ? undefined : new Set(named))).toBe(expected)
  })
})
