// What partitions and their programs take of the machine at this moment, for an operator who looks. Counters only grow:
// rates are the reader's, who knows when it asked before.
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { NodeUsage, PartitionUsage } from "../domain/NodeUsage.ts"
import { agentPid } from "../files/machine.ts"
import { Containment, programMember } from "./containment/Containment.ts"
import { PartitionServices } from "./PartitionServices.ts"
import { processUsage } from "./procfs.ts"

export class Usage extends Context.Service<Usage, { readonly get: Effect.Effect<NodeUsage> }>()(
  "slapgrid/process/Usage",
) {
  static readonly layer = Layer.effect(
    Usage,
    Effect.gen(function* () {
      const { groups } = yield* PartitionServices
      const containment = yield* Containment

      const ofPartition = (id: string): PartitionUsage => {
        const services = [...groups].find(([one]) => one === id)?.[1].status() ?? []
        return {
          id,
          services: services.flatMap(({ name, pid }) => {
            if (pid === undefined) return []
            const { processor, processes } = containment.membersOf(id, programMember(name), pid)
            const living = processes.map(processUsage)
            return [
              {
                name,
                processes: processes.length,
                memory: living.reduce((sum, one) => sum + one.memory, 0),
                processor: processor ?? living.reduce((sum, one) => sum + one.processor, 0),
              },
            ]
          }),
        }
      }
      const get = Effect.gen(function* () {
        const partitions = yield* Effect.forEach([...groups.keys()].sort(), (id) =>
          // Thousands of programs are some files each: others get their turn in between.
          Effect.andThen(
            Effect.yieldNow,
            Effect.sync(() => ofPartition(id)),
          ),
        )
        return { at: yield* Clock.currentTimeMillis, agent: processUsage(agentPid()), partitions }
      })
      return Usage.of({ get })
    }),
  )
}
