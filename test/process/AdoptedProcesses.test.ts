// Real processes that are nobody's children here. The test's clock stands still: what is told without it was an event,
// what needs it needs no more than it is turned.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import { execFileSync } from "node:child_process"
import { expect } from "vitest"
import { NodeConfig } from "../../src/config/NodeConfig.ts"
import { AdoptedProcesses } from "../../src/process/AdoptedProcesses.ts"
import { groupName, makeGroup, memberName, removeGroup, writableBase } from "../../src/process/containment/cgroup.ts"
import { Containment } from "../../src/process/containment/Containment.ts"
import { type ProcessRecord } from "../../src/process/ProcessTable.ts"
import { processFacts } from "../../src/process/procfs.ts"
import { settle } from "../support/Calls.ts"
import { nodeConfig, program, slappart0 } from "../support/facts.ts"
import { isAlive } from "../support/processes.ts"
import { inCi, isRoot } from "../support/scratch.ts"
import { eventually } from "../support/waiting.ts"

const config = nodeConfig()

/** Leads a session, in the cgroup if there is one, and has lost its parent. */
const orphan = (cgroup: string | undefined) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const join = cgroup === undefined ? "" : 'echo $$ > "$0/cgroup.procs"; '
      const script = `${join}setsid sleep 1000 > /dev/null 2>&1 & echo $!`
      return Number(execFileSync("sh", ["-c", script, cgroup ?? "sh"], { encoding: "utf8" }))
    }),
    (pid) => Effect.sync(() => (isAlive(pid) ? process.kill(pid, "SIGKILL") : undefined)),
  )

/** The place of the program `web`. */
const place = Effect.acquireRelease(
  Effect.sync(() => {
    const base = writableBase()
    if (base === undefined) throw new Error("cgroup v2 has to be writable where these tests run as root")
    const owner = `${base}/${groupName(config.instanceRoot, slappart0)}`
    const cgroup = `${owner}/${memberName("program web")}`
    makeGroup(owner)
    makeGroup(cgroup)
    return { owner, cgroup }
  }),
  ({ owner }) => Effect.sync(() => removeGroup(owner)),
)

const adopted = Effect.fnUntraced(function* (
  pid: number,
  cgroup: string | undefined,
  startTime = processFacts(pid)?.startTime ?? "",
) {
  const containment = cgroup === undefined ? Containment.layerSession : Containment.layer
  const layer = AdoptedProcesses.layer.pipe(
    Layer.provide(containment),
    Layer.provide(Layer.succeed(NodeConfig, config)),
  )
  const { adopt } = Context.get(yield* Layer.build(layer), AdoptedProcesses)
  const record = { version: 1, spec: program("web"), pid, startTime, cgroup: cgroup ?? null } as ProcessRecord
  const exit = yield* Effect.forkChild(adopt(record).exit)
  yield* settle
  return { exit }
})

/** Returns when it is gone, or waits for nothing but its new parent. */
const kill = (pid: number) =>
  Effect.suspend(() => {
    process.kill(pid, "SIGKILL")
    const look = Effect.sync(() => (isAlive(pid) ? undefined : true))
    return TestClock.withLive(eventually(`the end of ${pid}`, look))
  })

describe("the death of an adopted process", () => {
  it.effect("is known at the next look, 0.3 s later at most", () =>
    Effect.gen(function* () {
      const pid = yield* orphan(undefined)
      const { exit } = yield* adopted(pid, undefined)
      yield* TestClock.adjust("1 minute")
      expect(exit.pollUnsafe()).toBeUndefined()
      yield* kill(pid)
      yield* TestClock.adjust("300 millis")
      expect(yield* Fiber.join(exit)).toStrictEqual({ _tag: "Unknown" })
    }),
  )

  it.effect("is known of one whose number another process has by now", () =>
    Effect.gen(function* () {
      const pid = yield* orphan(undefined)
      const { exit } = yield* adopted(pid, undefined, "1")
      yield* TestClock.adjust("300 millis")
      expect(yield* Fiber.join(exit)).toStrictEqual({ _tag: "Unknown" })
      expect(isAlive(pid)).toBe(true)
    }),
  )

  it.effect.runIf(inCi || isRoot)("is known at once where its cgroup tells", () =>
    Effect.gen(function* () {
      const { cgroup } = yield* place
      const pid = yield* orphan(cgroup)
      const { exit } = yield* adopted(pid, cgroup)
      process.kill(pid, "SIGKILL")
      expect(yield* Fiber.join(exit)).toStrictEqual({ _tag: "Unknown" })
    }),
  )
})
