import { assert, describe, it } from "@effect/vitest"
import { type NodeUsage, ratesBetween, type Usage } from "../../src/domain/NodeUsage.ts"
import { release, slappart0, slappart1 } from "../support/facts.ts"

const usage = (cpu: number, memory = 0, processes = 0): Usage => ({ cpu, memory, processes })

const at = (time: number, cpu: number, changes: Partial<NodeUsage> = {}): NodeUsage => ({
  at: time,
  agent: usage(cpu),
  software: [],
  partitions: [],
  ...changes,
})

describe("ratesBetween", () => {
  it.each([
    ["half a processor", at(1000, 100), at(3000, 1100), 50],
    ["two processors", at(0, 0), at(1000, 2000), 200],
    ["nothing", at(0, 5), at(1000, 5), 0],
    ["a counter that began anew", at(0, 5000), at(1000, 10), 0],
    ["no time between", at(1000, 0), at(1000, 10), null],
    ["rounded to a tenth", at(0, 0), at(3000, 1), 0],
    ["rounded to a tenth, up", at(0, 0), at(3000, 2), 0.1],
  ])("%s", (_, before, after, percent) => {
    assert.strictEqual(ratesBetween(before, after).agent.cpuPercent, percent)
  })

  it("compares each with itself; what is new has no rate yet, what is gone is gone", () => {
    const before = at(0, 0, {
      software: [{ url: release, ...usage(10) }],
      partitions: [
        { id: slappart0, ...usage(100), services: [{ name: "web", ...usage(100) }] },
        { id: slappart1, ...usage(7), services: [] },
      ],
    })
    const after = at(1000, 0, {
      software: [{ url: release, ...usage(20, 1, 2) }],
      partitions: [
        {
          id: slappart0,
          ...usage(200, 3, 4),
          services: [
            { name: "web", ...usage(150, 5, 6) },
            { name: "db", ...usage(50, 7, 8) },
          ],
        },
      ],
    })
    assert.deepStrictEqual(ratesBetween(before, after), {
      agent: { cpuPercent: 0, memory: 0, processes: 0 },
      software: [{ url: release, cpuPercent: 1, memory: 1, processes: 2 }],
      partitions: [
        {
          id: slappart0,
          cpuPercent: 10,
          memory: 3,
          processes: 4,
          services: [
            { name: "web", cpuPercent: 5, memory: 5, processes: 6 },
            { name: "db", cpuPercent: null, memory: 7, processes: 8 },
          ],
        },
      ],
    })
  })
})
