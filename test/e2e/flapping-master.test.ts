// A master that fails in another way every second, while wishes change, a program dies and usage is reported: in the end
// everything is as wanted, the master has heard of all of it, and what nobody touched runs as it did.
import { rmSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { isAlive } from "../support/processes.ts"
import { layOut, placeOf, prepareRelease, type Programs, want } from "../support/prepared.ts"
import { leadersBelow } from "../support/leaders.ts"
import { type Fault, named } from "../support/ScriptedMaster.ts"
import { makeScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode } from "../support/TestNode.ts"
import { layOutUsage, leftReports, movementsOf, sorted, writtenBy } from "../support/usage.ts"
import { eventually, textOf } from "../support/waiting.ts"

const program = (version: number): Programs => ({
  "service/web": `#!/bin/sh\n# version ${version}\necho $$ >>web.starts\nwhile :; do read _; done\n`,
})

/** The master does not know this one, at times. */
const unknown = "slappart1"

const troubles: ReadonlyArray<Fault & { readonly only?: string }> = [
  { _tag: "Reset" },
  { _tag: "Status", status: 503 },
  { _tag: "Status", status: 429, headers: { "Retry-After": "2" } },
  { _tag: "Held" },
  { _tag: "Garbage" },
  { _tag: "Truncated" },
  { _tag: "CutOff" },
  { _tag: "Status", status: 404, only: unknown },
]

it.live(
  "a flapping master: all states converge, each report arrives, and nothing that runs is touched",
  () =>
    Effect.gen(function* () {
      const settings = { report_interval: "1", stop_timeout: "5" }
      const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), {
        partitions: 3,
        sync: "every second",
        settings,
      })
      const { scripted } = node.master
      const software = prepareRelease(node)
      const wanted = new Map<string, { readonly timestamp: string; readonly requested: string }>()
      const wish = (id: string, version: number, requested: string) =>
        Effect.suspend(() => {
          wanted.set(id, { timestamp: String(version), requested })
          want(node, node.partition(id), program(version))
          return node.master.change(id, { software, requested, timestamp: String(version) })
        })
      for (const partition of node.partitions) {
        layOut(partition, program(1), "1")
        layOutUsage(node, partition)
        yield* wish(partition.id, 1, "started")
      }
      yield* node.startAgent
      const pidOf = (id: string) => leadersBelow(node.instanceRoot).get(placeOf(node.partition(id), "service/web"))?.[0]
      const [steady] = yield* Effect.forEach(["slappart2", "slappart0", unknown], (id) =>
        eventually(
          `${id} that runs`,
          Effect.sync(() => pidOf(id)),
        ),
      )

      for (const [index, fault] of [...troubles, ...troubles].entries()) {
        const asked = (yield* scripted.calls).length - 1
        const which =
          fault.only === undefined ? "*" : named("startedComputerPartition", { computer_partition_id: fault.only })
        const { hits } = yield* scripted.inject(which, fault)
        yield* wish(index % 2 === 0 ? "slappart0" : unknown, index + 2, index % 6 === 4 ? "stopped" : "started")
        const pid = pidOf("slappart0")
        if (index === 3 && pid !== undefined) process.kill(pid, "SIGKILL")
        // The agent met it, if anything can be met of it.
        if (fault.only === undefined)
          yield* eventually(
            "a call",
            Effect.map(hits, (count) => (count > 1 ? true : undefined)),
          )
        else yield* scripted.awaitCall(named("getFullComputerInformation"), { after: asked + 1 })
        yield* scripted.clearFaults
      }

      yield* wish(unknown, 100, "started")
      for (const [id, { requested, timestamp }] of wanted) {
        yield* eventually(
          `${id} ${requested}, and told`,
          Effect.gen(function* () {
            const status = (yield* node.status).partitions.find((one) => one.id === id)
            if (status?.state !== requested || textOf(`${node.partition(id).path}/.timestamp`) !== timestamp)
              return undefined
            if (id === "slappart2") return true
            const last = (yield* node.master.reports).findLast(({ name, state }) => name === id && state !== "bang")
            return last?.state === requested ? true : undefined
          }),
        )
      }
      const bang = named("softwareInstanceBang", { computer_partition_id: "slappart0" })
      // One that was held was taken in the end.
      yield* scripted.awaitCall((call) => bang(call) && (call.fault === undefined || call.fault === "Held"))

      for (const { path } of node.partitions) rmSync(`${path}/etc/report/usage`)
      const { usage } = yield* eventually(
        "the end of all that was to be sent",
        Effect.map(node.status, (status) =>
          status.usage.pending.length === 0 && leftReports(node).length === 0 ? status : undefined,
        ),
      )
      const syncs = (yield* scripted.calls).filter(named("getFullComputerInformation"))
      const patience = syncs.flatMap(({ at, faultStatus }, index) => {
        const next = syncs[index + 1]
        return faultStatus === 429 && next !== undefined ? [next.at - at] : []
      })
      assert.isAbove(patience.length, 0)
      // Milliseconds; timers have no more than that.
      for (const waited of patience) assert.isAtLeast(waited, 1990)
      const journals = new Set(
        (yield* scripted.calls).filter(named("useComputer")).map(({ form }) => form["use_string"] ?? ""),
      )
      const written = node.partitions.flatMap((partition) => writtenBy(node, partition))
      assert.deepStrictEqual(sorted([...journals].flatMap(movementsOf)), sorted(written))
      assert.isAbove(written.length, 0)
      assert.isUndefined(usage.error)
      assert.strictEqual(pidOf("slappart2"), steady)
      assert.isTrue(steady !== undefined && isAlive(steady))
      assert.lengthOf(node.starts(node.partition("slappart2"), "web"), 1)
    }),
  { timeout: 180_000 },
)
