// A directory stands in for a cgroup: what is written to which file is what matters here.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import { expect } from "vitest"
import { applyLimits, enableLimits, limitsOf } from "../../../src/process/containment/limits.ts"
import { scratchDirectory } from "../../support/scratch.ts"

const none = { memory: undefined, pids: undefined, processors: undefined }
const all = limitsOf({ memory: 1024 * 1024, pids: 50, processors: 1.5 })

/** A group with these controllers. */
const group = (available: string, enabled = "") =>
  Effect.map(scratchDirectory, (root) => {
    fs.writeFileSync(`${root}/cgroup.controllers`, available)
    fs.writeFileSync(`${root}/cgroup.subtree_control`, enabled)
    return { root, text: (file: string) => fs.readFileSync(`${root}/${file}`, "utf8") }
  })

describe("limitsOf", () => {
  it.each([
    [none, []],
    [{ ...none, memory: 5_000_000 }, ["memory.max 5000000"]],
    [{ ...none, pids: 7 }, ["pids.max 7"]],
    [{ ...none, processors: 0.5 }, ["cpu.max 50000 100000"]],
    [{ ...none, processors: 0.001 }, ["cpu.max 1000 100000"]],
    [{ ...none, processors: 16 }, ["cpu.max 1600000 100000"]],
  ])("%o", (limits, files) => {
    expect(limitsOf(limits).map(({ file, text }) => `${file} ${text}`)).toStrictEqual(files)
  })
})

describe("enableLimits", () => {
  it.effect("asks for the controllers that are there and not in use, and tells which are missing", () =>
    Effect.gen(function* () {
      const { root, text } = yield* group("cpu memory", "memory")
      const enabled = enableLimits(root, all, process.pid)
      expect(enabled.map(({ option, problem }) => [option, problem])).toStrictEqual([
        ["partition_memory_max", undefined],
        ["partition_pids_max", `the pids controller of cgroup v2 is not available in ${root}`],
        ["partition_cpu_max", undefined],
      ])
      expect(text("cgroup.subtree_control")).toBe("+cpu")
    }),
  )

  it("without cgroups none is in force", () => {
    expect(enableLimits(undefined, all, 1).every(({ problem }) => problem?.includes("no cgroups"))).toBe(true)
  })
})

describe("applyLimits", () => {
  it.effect("sets what is limited, and lifts what an earlier agent had limited", () =>
    Effect.gen(function* () {
      const { root, text } = yield* group("")
      applyLimits(root, all)
      expect([text("memory.max"), text("pids.max"), text("cpu.max")]).toStrictEqual(["1048576", "50", "150000 100000"])
      applyLimits(root, limitsOf({ ...none, pids: 9 }))
      expect([text("memory.max"), text("pids.max"), text("cpu.max")]).toStrictEqual(["max", "9", "max"])
    }),
  )

  it.effect("touches nothing where there are neither limits nor controllers", () =>
    Effect.gen(function* () {
      const { root } = yield* group("")
      applyLimits(root, [])
      expect(fs.readdirSync(root).sort()).toStrictEqual(["cgroup.controllers", "cgroup.subtree_control"])
    }),
  )
})
