import { describe, expect, it } from "vitest"
import { parseSignal, resolveTargets } from "../../../src/process/service/commands.ts"

const known = new Map([
  ["slappart0", ["web-on-watch", "once"]],
  ["slappart1", ["web-on-watch"]],
  ["slappart2", []],
])

describe("resolveTargets", () => {
  it.each([
    ["a program", ["slappart0:once"], ["slappart0:once"]],
    ["a service with its whole name", ["slappart0:web-on-watch"], ["slappart0:web-on-watch"]],
    ["a service without the end", ["slappart1:web"], ["slappart1:web-on-watch"]],
    ["a partition", ["slappart0"], ["slappart0:web-on-watch", "slappart0:once"]],
    ["each once", ["slappart1", "slappart1:web", "slappart1"], ["slappart1:web-on-watch"]],
  ])("%s", (_, targets, expected) => {
    const { problems, programs } = resolveTargets(targets, known)
    expect(problems).toStrictEqual([])
    expect(programs.map(({ partition, program }) => `${partition}:${program}`)).toStrictEqual(expected)
  })

  it("everything that is wrong is told at once, with what there is", () => {
    const targets = ["slappart9", "slappart0:none", "slappart2", "a:b:c", "slappart0:", ""]
    expect(resolveTargets(targets, known).problems).toStrictEqual([
      "there is no partition slappart9; there are: slappart0, slappart1, slappart2",
      "slappart0 has no program none; it has: once, web-on-watch",
      "slappart2 has no programs now",
      "a:b:c names no program: write PARTITION or PARTITION:PROGRAM, such as slappart0:web",
      "slappart0: names no program: write PARTITION or PARTITION:PROGRAM, such as slappart0:web",
      "there is no partition ; there are: slappart0, slappart1, slappart2",
    ])
  })
})

describe("parseSignal", () => {
  const signals = { SIGHUP: 1, SIGKILL: 9, SIGUSR1: 10 }
  it.each([
    ["HUP", "SIGHUP"],
    ["sighup", "SIGHUP"],
    ["9", "SIGKILL"],
    ["SIGUSR1", "SIGUSR1"],
    ["99", undefined],
    ["0", undefined],
    ["-9", undefined],
    ["toString", undefined],
    ["", undefined],
  ])("%s", (text, name) => {
    expect(parseSignal(text, signals)).toBe(name)
  })
})
