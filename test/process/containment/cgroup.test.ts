import { assert, describe, it } from "@effect/vitest"
import { delegatedGroup, findMount, groupName, memberName, ownGroup } from "../../../src/process/containment/cgroup.ts"

const line = (root: string, path: string, type: string) => `41 31 0:38 ${root} ${path} rw,relatime - ${type} ${type} rw`

describe("findMount", () => {
  it.each([
    ["the usual place", [line("/", "/sys/fs/cgroup", "cgroup2")], { root: "/", path: "/sys/fs/cgroup" }],
    [
      "a hybrid machine",
      [line("/", "/sys/fs/cgroup/cpu", "cgroup"), line("/", "/sys/fs/cgroup/unified", "cgroup2")],
      { root: "/", path: "/sys/fs/cgroup/unified" },
    ],
    ["a container", [line("/box", "/sys/fs/cgroup", "cgroup2")], { root: "/box", path: "/sys/fs/cgroup" }],
    ["no cgroup2", [line("/", "/sys/fs/cgroup/cpu", "cgroup")], undefined],
    ["nothing", [], undefined],
  ])("%s", (_, lines, expected) => {
    assert.deepStrictEqual(findMount(lines.join("\n")), expected)
  })
})

describe("ownGroup", () => {
  const mount = { root: "/", path: "/sys/fs/cgroup" }
  it.each([
    ["the root group", mount, "9:name=systemd:/\n0::/\n", "/sys/fs/cgroup"],
    [
      "a service of systemd",
      mount,
      "0::/system.slice/slapgrid.service\n",
      "/sys/fs/cgroup/system.slice/slapgrid.service",
    ],
    ["a container", { root: "/box", path: "/cg" }, "0::/box/inner\n", "/cg/inner"],
    ["a group outside the mount", { root: "/box", path: "/cg" }, "0::/elsewhere\n", undefined],
    ["cgroup v1 alone", mount, "3:cpu:/\n", undefined],
  ])("%s", (_, where, self, expected) => {
    assert.strictEqual(ownGroup(where, self), expected)
  })
})

describe("delegatedGroup", () => {
  it.each([
    ["a unit without a group for the agent", "/cg/system.slice/slapgrid.service", "/cg/system.slice/slapgrid.service"],
    ["a unit with one", "/cg/system.slice/slapgrid.service/agent", "/cg/system.slice/slapgrid.service"],
    ["another group of that name", "/cg/agent", "/cg/agent"],
    ["a group in one of that name", "/cg/a.service/agent/inner", "/cg/a.service/agent/inner"],
  ])("%s", (_, own, expected) => {
    assert.strictEqual(delegatedGroup(own), expected)
  })
})

describe("names of groups", () => {
  it("are plain, whatever a partition calls its programs", () => {
    for (const name of ["cgroup.procs", "../..", "a/b", "\n", ""]) assert.match(memberName(name), /^p-[0-9a-f]{16}$/)
  })

  it("differ by instance root, owner and member", () => {
    const names = [
      groupName("/a", "p0"),
      groupName("/a", "p1"),
      groupName("/b", "p0"),
      memberName("x"),
      memberName("y"),
    ]
    assert.strictEqual(new Set(names).size, names.length)
  })
})
