import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { expect } from "vitest"
import { forgetGroup, killAllGroups, registerGroup } from "../../src/process/liveGroups.ts"
import { scratchDirectory } from "../support/scratch.ts"

describe("killAllGroups", () => {
  it.effect("kills every group, also behind one whose cgroup refuses", () =>
    Effect.gen(function* () {
      const cgroup = yield* scratchDirectory
      fs.mkdirSync(`${cgroup}/cgroup.kill`)
      const started = [cgroup, undefined].map((where) => {
        const child = spawn("sleep", ["1000"], { detached: true, stdio: "ignore" })
        registerGroup(child.pid!, where)
        return { pid: child.pid!, ended: once(child, "exit") }
      })
      killAllGroups()
      const ends = yield* Effect.promise(() => Promise.all(started.map(({ ended }) => ended)))
      for (const { pid } of started) forgetGroup(pid)
      expect(ends).toStrictEqual([
        [null, "SIGKILL"],
        [null, "SIGKILL"],
      ])
    }),
  )
})
