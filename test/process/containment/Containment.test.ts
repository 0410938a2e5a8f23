import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { NodeConfig } from "../../../src/config/NodeConfig.ts"
import { Containment, kinOf } from "../../../src/process/containment/Containment.ts"
import {
  childGroups,
  isPopulated,
  killGroup,
  makeGroup,
  removeGroup,
  writableBase,
} from "../../../src/process/containment/cgroup.ts"
import type { ProcessFacts } from "../../../src/process/procfs.ts"
import { nodeConfig } from "../../support/facts.ts"

const process_ = (pid: number, parent: number, group: number, session: number, state = "S"): ProcessFacts => ({
  pid,
  parent,
  group,
  session,
  state,
  startTime: "1",
  uid: 0,
})

describe("kinOf", () => {
  it.each([
    ["the leader alone", [process_(10, 1, 10, 10), process_(11, 1, 11, 11)], [10]],
    [
      "children and grandchildren",
      [process_(10, 1, 10, 10), process_(11, 10, 10, 10), process_(12, 11, 10, 10)],
      [10, 11, 12],
    ],
    ["an orphan of the session", [process_(12, 1, 12, 10)], [12]],
    ["an orphan of the group", [process_(12, 1, 10, 7)], [12]],
    [
      "a child that made its own session",
      [process_(10, 1, 10, 10), process_(12, 10, 12, 12), process_(13, 12, 12, 12)],
      [10, 12, 13],
    ],
    ["no zombies", [process_(10, 1, 10, 10, "Z"), process_(11, 10, 10, 10)], [11]],
    ["nobody else", [process_(20, 1, 20, 20), process_(21, 20, 20, 20)], []],
  ])("finds %s", (_, processes, expected) => {
    assert.deepStrictEqual(
      kinOf(10, processes).map(({ pid }) => pid),
      expected,
    )
  })
})

describe("cgroups", () => {
  const base = writableBase()

  it.live("hold double-forked daemons and end them", () =>
    Effect.gen(function* () {
      if (base === undefined) throw new Error("cgroup v2 has to be writable where these tests run as root")
      const path = `${base}/slapgrid-test-${process.pid}`
      makeGroup(path)
      makeGroup(`${path}/member`)
      const script =
        'echo $$ >"$0/cgroup.procs"; (setsid sh -c "trap \\"\\" TERM; echo up; sleep 300 & wait" &) ; exit 0'
      const child = spawn("/bin/sh", ["-c", script, `${path}/member`], { stdio: ["ignore", "pipe", "inherit"] })
      yield* Effect.promise(() => once(child.stdout, "data"))
      assert.isTrue(isPopulated(path))
      assert.deepStrictEqual(childGroups(path), [`${path}/member`])
      yield* killGroup(path)
      assert.isFalse(isPopulated(path))
      removeGroup(path)
      assert.isFalse(fs.existsSync(path))
    }),
  )

  it.live("that an agent left frozen, killed while it trimmed a log, go on for its successor", () =>
    Effect.gen(function* () {
      const containment = yield* Containment
      const owner = `partition ${process.pid}`
      const { cgroup = "", isNew } = containment.enclosure(owner, "program web")
      yield* Effect.addFinalizer(() => Effect.sync(() => removeGroup(containment.groupOf(owner) ?? "")))
      assert.strictEqual(isNew, true)
      const freezer = `${cgroup}/cgroup.freeze`
      fs.writeFileSync(freezer, "1")
      assert.strictEqual(containment.adopted(owner, "program other", cgroup).cgroup, undefined)
      assert.strictEqual(fs.readFileSync(freezer, "utf8"), "1\n")
      assert.strictEqual(containment.adopted(owner, "program web", cgroup).cgroup, cgroup)
      assert.strictEqual(fs.readFileSync(freezer, "utf8"), "0\n")
      fs.writeFileSync(freezer, "1")
      assert.strictEqual(containment.enclosure(owner, "program web").isNew, false)
      assert.strictEqual(fs.readFileSync(freezer, "utf8"), "0\n")
    }).pipe(
      Effect.provide(Containment.layer),
      Effect.provideService(NodeConfig, nodeConfig({ instanceRoot: "/srv/slapgrid-test" })),
    ),
  )

  it("that are not there are empty, and removing them is nothing", () => {
    assert.isFalse(isPopulated("/sys/fs/cgroup/no-such-group"))
    removeGroup("/sys/fs/cgroup/no-such-group")
  })
})
