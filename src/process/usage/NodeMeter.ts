// Reads what everything that the agent runs uses: processor time, memory and processes of each partition and service.
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { NodeConfig } from "../../config/NodeConfig.ts"
import type { PartitionId, SoftwareUrl } from "../../domain/ids.ts"
import type { NodeUsage, Usage } from "../../domain/NodeUsage.ts"
import { pathExists, releaseDirectory } from "../../files/machine.ts"
import { Containment } from "../containment/Containment.ts"
import { PartitionServices } from "../PartitionServices.ts"
import type { ServiceGroup } from "../service/ServiceGroup.ts"
import { addUsage, Counters, noUsage } from "./Counters.ts"

export class NodeMeter extends Context.Service<
  NodeMeter,
  {
    /** Of everything, and of the builds of these releases. */
    readonly read: (releases: ReadonlyArray<SoftwareUrl>) => Effect.Effect<NodeUsage>
  }
>()("slapgrid/process/usage/NodeMeter") {
  static readonly layer = Layer.effect(
    NodeMeter,
    Effect.gen(function* () {
      const { softwareRoot } = yield* NodeConfig
      const { groups } = yield* PartitionServices
      const { groupOf } = yield* Containment

      const partition = (counters: Counters, id: PartitionId, group: ServiceGroup) =>
        Effect.sync(() => {
          const own = groupOf(id)
          const services = group
            .processes()
            .map(({ name, process }) => ({ name, group: process.cgroup, usage: counters.of(process) }))
          // What an earlier agent started can be in a group elsewhere.
          const elsewhere = services.filter(({ group }) => !isBelow(group, own)).map(({ usage }) => usage)
          const below = own === undefined ? noUsage : counters.ofGroup(own)
          return {
            id,
            ...elsewhere.reduce(addUsage, below),
            services: services.map(({ name, usage }) => ({ name, ...usage })),
          }
        })

      const release = (counters: Counters, url: SoftwareUrl) => {
        const group = groupOf(releaseDirectory(softwareRoot, url))
        const usage = group !== undefined && pathExists(group) ? counters.ofGroup(group) : noUsage
        return usage.processes === 0 ? [] : [{ url, ...usage }]
      }

      const read = Effect.fnUntraced(function* (releases: ReadonlyArray<SoftwareUrl>) {
        const counters = new Counters()
        const at = Number(yield* Clock.monotonicTimeNanos) / 1e6
        const partitions = yield* Effect.forEach(
          [...groups].sort(([a], [b]) => (a < b ? -1 : 1)),
          // Others get their turn: files are read for thousands of processes.
          ([id, group]) => Effect.andThen(Effect.yieldNow, partition(counters, id, group)),
        )
        return { at, agent: ownUsage(), software: releases.flatMap((url) => release(counters, url)), partitions }
      })
      return NodeMeter.of({ read })
    }),
  )
}

const isBelow = (group: string | undefined, above: string | undefined): boolean =>
  group !== undefined && above !== undefined && group.startsWith(`${above}/`)

const ownUsage = (): Usage => {
  const { system, user } = process.cpuUsage()
  return { cpu: (system + user) / 1000, memory: process.memoryUsage.rss(), processes: 1 }
}
