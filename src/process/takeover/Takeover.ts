// Keeps an agent from running beside the reference, and replaces the reference's supervisord when the operator says so:
// each group of its programs is stopped when ours is about to start or stop, the watchdog before all of them, and
// supervisord itself is ended when nothing that the master names is left with it. node-behaviour.md (Services).
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { NodeConfig } from "../../config/NodeConfig.ts"
import type { PartitionId } from "../../domain/ids.ts"
import { canBeTakenOver, refusalOf } from "./reference.ts"
import { findReference } from "./search.ts"
import { Succession, type TakeoverError } from "./Succession.ts"

/** The reference runs on the same instance root; the message names everything that was found. */
export class ReferenceRuns extends Schema.TaggedError<ReferenceRuns>()("ReferenceRuns", {
  instanceRoot: Schema.String,
  message: Schema.String,
}) {}

export interface TakeoverOptions {
  /** Whether a live supervisord is replaced; else it is a reason not to start. */
  readonly takeOver: boolean
  /** Put before the paths of the machine's own files. */
  readonly systemRoot?: string
}

interface Shape {
  /** Ends what the reference still runs of a partition; returns when nothing of it is left. */
  readonly release: (id: PartitionId) => Effect.Effect<void, TakeoverError>
  /** Whether the reference still runs the partition's programs: then its user's processes are not all ours. */
  readonly isForeign: (id: PartitionId) => boolean
  /** The master names these partitions, and each of their actors knows: what else there is, nobody wants. */
  readonly follow: (named: ReadonlyArray<PartitionId>) => Effect.Effect<void>
}

export class Takeover extends Context.Service<Takeover, Shape>()("slapgrid/process/takeover/Takeover") {
  /** Fails when the reference runs and cannot be, or is not to be, taken over from. */
  static readonly layer = (options: TakeoverOptions) =>
    Layer.effect(
      Takeover,
      Effect.gen(function* () {
        const config = yield* NodeConfig
        const { findings, supervisords } = yield* findReference(config, options.systemRoot)
        const obstacles = options.takeOver ? findings.filter((one) => !canBeTakenOver(one)) : findings
        if (obstacles.length > 0) {
          const { instanceRoot } = config
          return yield* new ReferenceRuns({ instanceRoot, message: refusalOf(instanceRoot, obstacles) })
        }
        const successions = yield* Effect.forEach(supervisords, Succession.begin)
        return Takeover.of({
          release: (id) => Effect.forEach(successions, (one) => one.release(id), { discard: true }),
          isForeign: (id) => successions.some((one) => one.isForeign(id)),
          follow: (named) => Effect.sync(() => successions.forEach((one) => one.follow(named))),
        })
      }),
    )

  /** For nodes that have nobody to take over from. */
  static readonly layerNone = Layer.succeed(
    Takeover,
    Takeover.of({ release: () => Effect.void, isForeign: () => false, follow: () => Effect.void }),
  )
}
