// Limits per partition on a plain directory that stands for the cgroup mount: the files that the kernel would show, and
// its rule that a group with processes of its own passes no controller on.
import * as Effect from "effect/Effect"
import { assert, beforeEach, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { LimitStatus } from "../../../src/domain/NodeStatus.ts"
import {
  type Controller,
  controllersFor,
  enableControllers,
  planLimits,
} from "../../../src/process/containment/limits.ts"
import { PartitionLimiter } from "../../../src/process/containment/PartitionLimiter.ts"
import { inTime } from "../../support/waiting.ts"

const none = { memory: undefined, pids: undefined, processors: undefined }
const all = { memory: 64 * 1024 ** 2, pids: 50, processors: 1.5 }
const noProblems: ReadonlyMap<Controller, string> = new Map()

let base = ""
beforeEach(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), "slapgrid-cgroup-"))
  return () => fs.rmSync(base, { recursive: true })
})

const textOf = (file: string): string => fs.readFileSync(file, "utf8")

/** A group as the kernel shows it. */
const makeGroup = (group: string, controllers: string, processes: ReadonlyArray<number> = []): string => {
  fs.mkdirSync(group, { recursive: true })
  fs.writeFileSync(`${group}/cgroup.controllers`, controllers)
  fs.writeFileSync(`${group}/cgroup.subtree_control`, "")
  fs.writeFileSync(`${group}/cgroup.procs`, processes.map((pid) => `${pid}\n`).join(""))
  return group
}

/** Writes as the kernel takes it. */
const kernel = (file: string, text: string): void => {
  const group = path.dirname(file)
  switch (path.basename(file)) {
    case "cgroup.subtree_control":
      if (textOf(`${group}/cgroup.procs`) !== "") throw Object.assign(new Error("busy"), { code: "EBUSY" })
      return fs.writeFileSync(file, `${textOf(file)}${text.slice(1)} `)
    case "cgroup.procs": {
      const above = `${path.dirname(group)}/cgroup.procs`
      const left = textOf(above)
        .split("\n")
        .filter((pid) => pid !== text)
      fs.writeFileSync(above, left.join("\n"))
      return fs.appendFileSync(file, `${text}\n`)
    }
    default:
      fs.writeFileSync(file, text)
  }
}

describe("controllersFor", () => {
  it("names those that a limit needs", () => {
    assert.deepStrictEqual(controllersFor(none), [])
    assert.deepStrictEqual(controllersFor(all), ["memory", "pids", "cpu"])
    assert.deepStrictEqual(controllersFor({ ...none, processors: 1 }), ["cpu"])
  })
})

describe("planLimits", () => {
  const status = (option: LimitStatus["option"], value: number, changes: Partial<LimitStatus> = {}): LimitStatus => ({
    option,
    value,
    heldBy: "cgroup",
    problem: undefined,
    ...changes,
  })
  const memory = status("partition_memory_max", all.memory)

  it("says what the files of a partition's group shall say", () => {
    assert.deepStrictEqual(planLimits(all, noProblems, true), {
      status: [memory, status("partition_pids_max", 50), status("partition_cpu_max", 1.5)],
      files: [
        ["memory.max", "67108864"],
        ["pids.max", "50"],
        ["cpu.max", "150000 100000"],
      ],
      countsMemory: true,
      maxProcesses: undefined,
    })
  })

  it("takes away what nobody asks for any more", () => {
    assert.deepStrictEqual(planLimits(none, noProblems, true), {
      status: [],
      files: [
        ["memory.max", "max"],
        ["pids.max", "max"],
        ["cpu.max", "max"],
      ],
      countsMemory: false,
      maxProcesses: undefined,
    })
  })

  it.each([
    ["root falls back to the user's limit for processes", true, "rlimit", 50],
    ["an ordinary user, who is every partition's, does not", false, undefined, undefined],
  ] as const)("without the controllers %s", (_, isRoot, heldBy, maxProcesses) => {
    const problems = new Map<Controller, string>([
      ["pids", "no pids"],
      ["cpu", "no cpu"],
    ])
    const plan = planLimits(all, problems, isRoot)
    assert.deepStrictEqual(plan.status, [
      memory,
      status("partition_pids_max", 50, { heldBy, problem: "no pids" }),
      status("partition_cpu_max", 1.5, { heldBy: undefined, problem: "no cpu" }),
    ])
    assert.deepStrictEqual(plan.files, [["memory.max", "67108864"]])
    assert.strictEqual(plan.maxProcesses, maxProcesses)
  })
})

describe("enableControllers", () => {
  it("turns on what is there, and names what is not", () => {
    makeGroup(base, "cpu io memory")
    const problems = enableControllers({ base, own: `${base}/agent` }, ["memory", "pids", "cpu"], kernel)
    assert.deepStrictEqual([...problems], [["pids", `the cgroup ${base} has no controller pids`]])
    assert.strictEqual(textOf(`${base}/cgroup.subtree_control`), "memory cpu ")
  })

  it("leaves alone what is on already", () => {
    makeGroup(base, "memory", [1])
    fs.writeFileSync(`${base}/cgroup.subtree_control`, "memory\n")
    assert.deepStrictEqual([...enableControllers({ base, own: base }, ["memory"], kernel)], [])
  })

  it("moves the agent and what it started into a group of its own, where that is all there is", () => {
    const child = spawn("sleep", ["100"], { stdio: "ignore" })
    try {
      makeGroup(base, "memory pids", [process.pid, child.pid!])
      assert.deepStrictEqual([...enableControllers({ base, own: base }, ["memory", "pids"], kernel)], [])
      assert.strictEqual(textOf(`${base}/agent/cgroup.procs`), `${process.pid}\n${child.pid}\n`)
      assert.strictEqual(textOf(`${base}/cgroup.subtree_control`), "memory pids ")
    } finally {
      child.kill("SIGKILL")
    }
  })

  it("moves nobody else, not even one that it cannot see", () => {
    for (const other of [1, 0]) {
      makeGroup(base, "memory", [process.pid, other])
      const problems = enableControllers({ base, own: base }, ["memory"], kernel)
      assert.include(problems.get("memory"), `other processes are in the cgroup ${base}`)
      assert.isFalse(fs.existsSync(`${base}/agent`))
    }
  })

  it("does not move a unit's main process, which systemd could not start again", () => {
    const unit = makeGroup(`${base}/slapgrid.service`, "memory", [process.pid])
    const problems = enableControllers({ base: unit, own: unit }, ["memory"], kernel)
    assert.include(problems.get("memory"), "DelegateSubgroup=agent")
    assert.strictEqual(textOf(`${unit}/cgroup.procs`), `${process.pid}\n`)
  })

  it("tells what else goes wrong", () => {
    makeGroup(base, "memory")
    const refuse = () => {
      throw Object.assign(new Error("no"), { code: "EACCES" })
    }
    assert.deepStrictEqual(
      [...enableControllers({ base, own: base }, ["memory"], refuse)],
      [["memory", `the controller memory of the cgroup ${base} cannot be used (EACCES)`]],
    )
    const absent = `${base}/none`
    assert.deepStrictEqual(
      [...enableControllers({ base: absent, own: absent }, ["memory"], kernel)],
      [["memory", `the controller memory of the cgroup ${absent} cannot be used (ENOENT)`]],
    )
  })
})

describe("a partition's group", () => {
  const silent = { onProblem: () => undefined, onOutOfMemory: () => undefined }

  it("gets its limits, and counts the memory of its services", () => {
    const group = makeGroup(`${base}/p`, "memory pids cpu")
    new PartitionLimiter(planLimits(all, noProblems, true), silent, kernel).apply("slappart0", group)
    assert.strictEqual(textOf(`${group}/memory.max`), "67108864")
    assert.strictEqual(textOf(`${group}/pids.max`), "50")
    assert.strictEqual(textOf(`${group}/cpu.max`), "150000 100000")
    assert.strictEqual(textOf(`${group}/cgroup.subtree_control`), "memory ")
  })

  it("loses the limits of an earlier configuration, and gets no files that the kernel has not", () => {
    const group = makeGroup(`${base}/p`, "")
    fs.writeFileSync(`${group}/memory.max`, "67108864")
    new PartitionLimiter(planLimits(none, noProblems, true), silent, kernel).apply("slappart0", group)
    assert.strictEqual(textOf(`${group}/memory.max`), "max")
    assert.isFalse(fs.existsSync(`${group}/pids.max`))
  })

  it("that cannot be limited is told, with the file and the reason", () => {
    const told: Array<string> = []
    const onProblem = (partition: string, message: string) => void told.push(`${partition}: ${message}`)
    const plan = planLimits({ ...none, pids: 5 }, noProblems, true)
    new PartitionLimiter(plan, { ...silent, onProblem }).apply("slappart0", `${base}/none`)
    assert.deepStrictEqual(told, [`slappart0: ${base}/none/pids.max cannot be set to 5 (ENOENT)`])
  })

  it.live("tells once of each process that was killed for want of memory, and of none from before", () =>
    Effect.gen(function* () {
      const group = makeGroup(`${base}/p`, "")
      const events = (kills: number) => fs.writeFileSync(`${group}/memory.events`, `max 7\noom 2\noom_kill ${kills}\n`)
      events(3)
      const plan = planLimits(none, noProblems, true)
      const told: Array<number> = []
      yield* Effect.callback<void>((resume) => {
        const limiter = new PartitionLimiter(plan, {
          ...silent,
          onOutOfMemory: (_, killed) => {
            told.push(killed)
            if (told.length === 1) events(6)
            else {
              limiter.close()
              resume(Effect.void)
            }
          },
        })
        limiter.apply("slappart0", group)
        events(4)
        return Effect.sync(() => limiter.close())
      }).pipe(inTime("news of two kills"))
      assert.deepStrictEqual(told, [1, 2])
    }),
  )
})
