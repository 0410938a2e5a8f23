import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { killGroup, makeGroup, removeGroup, writableBase } from "../../../src/process/containment/cgroup.ts"
import { processFacts } from "../../../src/process/procfs.ts"
import { Counters, parseGroupTime, parseResident, parseTimes } from "../../../src/process/usage/Counters.ts"
import { inCi, isRoot, scratchDirectory } from "../../support/scratch.ts"

describe("parsing", () => {
  const stat = (command: string) =>
    `42 (${command}) S 1 40 41 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0 987654 1000 200 18446744073709551615`

  it.each(["sh", "a b", "x) S 9 (y", "new\nline"])("times of a process called %j", (command) => {
    assert.deepStrictEqual(parseTimes(stat(command)), {
      state: "S",
      session: 41,
      startTime: "987654",
      cpu: (11 + 22 + 33 + 44) * 10,
    })
  })

  it("of what is not there", () => {
    assert.isUndefined(parseTimes(""))
    assert.isUndefined(parseTimes("1 (x) S"))
    assert.strictEqual(parseResident("Name:\tkthreadd\n"), 0)
    assert.strictEqual(parseGroupTime(""), 0)
  })

  it("memory and a group's time", () => {
    assert.strictEqual(parseResident("VmSize:\t 100 kB\nVmRSS:\t    12 kB\n"), 12 * 1024)
    assert.strictEqual(parseGroupTime("usage_usec 1500\nuser_usec 1000\n"), 1.5)
  })
})

/** A busy shell with one child in a session of its own, up when this returns; the callback sees it alive. */
const withBusy = <A>(use: (leader: number) => A, prelude = ""): Effect.Effect<A> =>
  Effect.acquireUseRelease(
    Effect.promise(async () => {
      const script = `${prelude} sleep 300 & i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo up; wait`
      const child = spawn("/bin/sh", ["-c", script], { detached: true, stdio: ["ignore", "pipe", "inherit"] })
      await once(child.stdout, "data")
      return child
    }),
    (child) => Effect.sync(() => use(child.pid!)),
    (child) =>
      Effect.promise(async () => {
        process.kill(-child.pid!, "SIGKILL")
        await once(child, "exit")
      }),
  )

describe("a session", () => {
  it.live("counts its processes, and nobody's once the pid is another's", () =>
    withBusy((leader) => {
      const { startTime } = processFacts(leader)!
      const usage = new Counters().of({ pid: leader, startTime, cgroup: undefined })
      assert.strictEqual(usage.processes, 2)
      assert.isAbove(usage.cpu, 0)
      assert.isAbove(usage.memory, 100_000)
      const recycled = new Counters().of({ pid: leader, startTime: "1", cgroup: undefined })
      assert.deepStrictEqual(recycled, { cpu: 0, memory: 0, processes: 0 })
    }),
  )
})

describe("a cgroup", () => {
  it.live.runIf(inCi || isRoot)("counts itself and what is below it", () =>
    Effect.gen(function* () {
      const base = writableBase()
      if (base === undefined) throw new Error("cgroup v2 has to be writable where these tests run as root")
      const group = `${base}/slapgrid-test-usage-${process.pid}`
      makeGroup(group)
      makeGroup(`${group}/member`)
      yield* withBusy((leader) => {
        const counters = new Counters()
        const member = counters.of({ pid: leader, startTime: "", cgroup: `${group}/member` })
        assert.strictEqual(member.processes, 2)
        assert.isAbove(member.cpu, 0)
        assert.isAbove(member.memory, 100_000)
        assert.deepInclude(counters.ofGroup(group), { memory: member.memory, processes: 2 })
      }, `echo $$ >${group}/member/cgroup.procs;`)
      yield* killGroup(group)
      removeGroup(group)
    }),
  )

  it.effect("is believed about its memory where the kernel counts that; one that is gone uses nothing", () =>
    Effect.gen(function* () {
      const group = yield* scratchDirectory
      fs.writeFileSync(`${group}/cgroup.procs`, `${process.pid}\n`)
      fs.writeFileSync(`${group}/cpu.stat`, "usage_usec 2000\n")
      fs.writeFileSync(`${group}/memory.current`, "4096\n")
      assert.deepStrictEqual(new Counters().ofGroup(group), { cpu: 2, memory: 4096, processes: 1 })
      assert.deepStrictEqual(new Counters().ofGroup(`${group}/none`), { cpu: 0, memory: 0, processes: 0 })
    }),
  )
})
