// Processes that no record tells of, because their agent was killed in the moment of a start, or could not write: the
// next agent ends them before it starts the program, so that nothing runs twice, and touches nothing else.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync, writeFileSync } from "node:fs"
import { leadersBelow } from "../support/leaders.ts"
import { layOut, placeOf } from "../support/prepared.ts"
import { isAlive } from "../support/processes.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import { makeScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type NodeOptions } from "../support/TestNode.ts"
import { awaitFile, eventually } from "../support/waiting.ts"

const program = `#!/bin/sh
echo $$ >>\${0##*/}.starts
while :; do read _; done
`
const names = ["lost", "known", "other"]

const checkStray = (options: Partial<NodeOptions>) =>
  Effect.gen(function* () {
    const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 2, ...options })
    const [partition, neighbour] = node.partitions
    for (const one of node.partitions) {
      layOut(one, Object.fromEntries(names.map((name) => [`service/${name}`, program])), "1000")
      yield* node.master.change(one.id, { software: "file:///none/software.cfg", timestamp: "1000" })
    }
    const places = node.partitions.flatMap((one) => names.map((name) => placeOf(one, `service/${name}`)))
    const running = eventually(
      "all programs",
      Effect.sync(() => {
        const leaders = leadersBelow(node.instanceRoot)
        const pids = places.map((place) => leaders.get(place) ?? [])
        for (const [index, found] of pids.entries()) assert.isAtMost(found.length, 1, places[index])
        const told = node.partitions.flatMap((one) => names.map((name) => node.starts(one, name).at(-1)))
        return pids.every(([pid], index) => pid !== undefined && pid === told[index]) ? pids.flat() : undefined
      }),
    )
    const first = yield* node.startAgent
    const [lost, ...others] = yield* running
    const table = `${node.instanceRoot}/var/run/slapgrid/services`
    // Only the one that is taken out below is to be a stray.
    yield* awaitFile(table, (text) =>
      others.concat(lost!).every((pid) => text.includes(`"pid":${pid},`)) ? true : undefined,
    )
    first.signal("SIGKILL")
    yield* first.exit
    const isLost = (line: string) =>
      line.includes(`"partition":"${partition!.id}"`) && line.includes(`"name":"lost-on-watch"`)
    const lines = readFileSync(table, "utf8").split("\n")
    assert.isTrue(lines.some(isLost))
    writeFileSync(table, lines.filter((line) => !isLost(line)).join("\n"))

    yield* node.startAgent
    yield* node.awaitStart(partition!, "lost", 2)
    const [again, ...same] = yield* running
    assert.notStrictEqual(again, lost)
    assert.isFalse(isAlive(lost!))
    assert.deepStrictEqual(same, others)
    assert.lengthOf(node.starts(neighbour!, "lost"), 1)
  })

describe.runIf(runsRootTests)("a process that no record tells of ends before its program starts", () => {
  it.live("in cgroups", () => checkStray({}))
  it.live("without cgroups", () => checkStray({ isWithoutCgroups: true }))
})

it.live("a process that no record tells of ends before its program starts, as an ordinary user", () =>
  checkStray({ isOrdinary: true }),
)
