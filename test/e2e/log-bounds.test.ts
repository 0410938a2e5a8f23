// A program that writes 1 MB/s for seconds under the built agent: what is left of it is one end of what it wrote, on a
// file system that takes the head off a file and on one that cannot, and also where no backup can be written.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { mkdirSync, statSync } from "node:fs"
import { leadersBelow } from "../support/leaders.ts"
import { layOut, logOf, placeOf } from "../support/prepared.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import { makeScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestPartition } from "../support/TestNode.ts"
import { eventually, textOf } from "../support/waiting.ts"

const limit = 64 * 1024
const seconds = 4
const linesPerSecond = 16_000
const lines = seconds * linesPerSecond

/** All of it: lines of 64 bytes without a blank. */
const written = Array.from({ length: lines }, (_, index) => `${`${index}-`.padEnd(63, "x")}\n`).join("")

/** Writes 1 MB in each of the seconds, a part every 10 ms, then stays. */
const writer = `#!/usr/bin/python3 -IS
import os, time
index, begin = 0, time.monotonic()
while index < ${lines}:
    until = min(${lines}, int((time.monotonic() - begin) * ${linesPerSecond}))
    os.write(1, "".join(("%d-" % i).ljust(63, "x") + "\\n" for i in range(index, until)).encode())
    index = until
    time.sleep(0.01)
open("done", "w").close()
while True:
    time.sleep(1000)
`

const mountTmpfs = ({ gid, path, uid }: TestPartition) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const options = `size=40m,mode=750,uid=${uid},gid=${gid}`
      execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", path])
    }),
    () => Effect.sync(() => void execFileSync("umount", ["--lazy", path])),
  )

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

/** What is left, without the blanks that stand for the end of the line at the cut. */
const leftOf = (log: string): string => `${textOf(`${log}.1`) ?? ""}${textOf(log) ?? ""}`.replaceAll(" ", "")

describe.runIf(runsRootTests)("the log of a program that writes 1 MB/s", () => {
  it.live("keeps one end of what was written, where the head can be cut off and where not, without a restart", () =>
    Effect.gen(function* () {
      const settings = { service_log_max_size: "64K" }
      const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 3, settings })
      const [, onTmpfs, withoutBackup] = node.partitions
      yield* mountTmpfs(onTmpfs!)
      for (const partition of node.partitions) {
        layOut(partition, { "service/writer": writer }, "1000")
        yield* node.master.change(partition.id, { software: "file:///none/software.cfg", timestamp: "1000" })
      }
      // Nothing can be put in place of a directory.
      mkdirSync(`${logOf(withoutBackup!, "service/writer")}.1`)
      const agent = yield* node.startAgent
      const all = node.partitions.map((partition) => logOf(partition, "service/writer"))
      yield* eventually(
        "bounded logs of programs that have written everything",
        Effect.sync(() => {
          for (const log of all.slice(0, 2)) assert.isAtMost(sizeOf(`${log}.1`), limit, "never more is copied")
          const isDone = node.partitions.every(({ path }) => textOf(`${path}/done`) !== undefined)
          // The end of the cut line is blanked last.
          const isOneEnd = (log: string) => sizeOf(log) <= limit && written.endsWith(leftOf(log))
          return isDone && all.every(isOneEnd) ? true : undefined
        }),
      )
      for (const log of all.slice(0, 2)) assert.isAtLeast(leftOf(log).length, limit / 2)
      const told = agent.lines.filter(({ level }) => level === "warn" || level === "error")
      assert.lengthOf(told, 1, agent.log)
      assert.include(told[0]?.message, "older lines of its log are lost, because its backup cannot be written")
      for (const partition of node.partitions) {
        assert.lengthOf(
          leadersBelow(placeOf(partition, "service/writer")).get(placeOf(partition, "service/writer")) ?? [],
          1,
        )
        const { services } = (yield* node.status).partitions.find(({ id }) => id === partition.id) ?? { services: [] }
        assert.deepStrictEqual(
          services.map(({ restarts }) => restarts),
          [0],
        )
      }
    }),
  )
})
