import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { isFree } from "../../src/domain/DesiredState.ts"
import { describeExit, exited, signaled, unknownExit } from "../../src/domain/ExitStatus.ts"
import { subjectOf } from "../../src/domain/Report.ts"
import { fullName, specKey } from "../../src/domain/ServiceSpec.ts"
import { desiredPartition, program, release, slappart0, slappart1 } from "../support/facts.ts"

describe("isFree", () => {
  it.each([
    ["destroyed", undefined, true],
    ["destroyed", release, false],
    ["stopped", undefined, false],
    ["started", undefined, false],
  ] as const)("%s with %s: %s", (requested, software, free) => {
    expect(isFree(desiredPartition({ requested, software }))).toBe(free)
  })
})

it.each([
  [exited(3), "exit status 3"],
  [signaled("SIGKILL"), "killed by SIGKILL"],
  [unknownExit, "ended with unknown status"],
])("%j is '%s'", (status, words) => {
  expect(describeExit(status)).toBe(words)
})

describe("subjects: reports with the same one replace each other", () => {
  it("an error and a success of one partition share theirs; another partition and a bang do not", () => {
    const subjects = [
      subjectOf({ _tag: "Partition", id: slappart0, state: "started" }),
      subjectOf({ _tag: "Partition", id: slappart0, state: "error", log: "x" }),
      subjectOf({ _tag: "Partition", id: slappart1, state: "started" }),
      subjectOf({ _tag: "Bang", id: slappart0, message: "x" }),
      subjectOf({ _tag: "Software", url: release, state: "available" }),
      subjectOf({ _tag: "Software", url: release, state: "error", log: "x" }),
    ]
    expect(subjects.map((subject) => subjects.indexOf(subject))).toStrictEqual([0, 0, 2, 3, 4, 4])
  })
})

describe("programs", () => {
  it("are called by partition and name", () => {
    expect(fullName(program("web-on-watch"))).toBe("slappart0:web-on-watch")
  })

  it.each([
    ["the same", {}, true],
    ["another content", { hash: "2" }, false],
    ["another path", { path: "/elsewhere" }, false],
    ["another kind", { kind: "run", path: program("web").path }, false],
  ] as const)("%s", (_, changes, same) => {
    expect(specKey(program("web", changes)) === specKey(program("web"))).toBe(same)
  })
})
