// Answers what the next sync would do, with what the master says now and without doing it. Who supervises the node knows
// the rest, and says so here.
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { DesiredState } from "../domain/DesiredState.ts"
import type { NodePlan } from "../domain/Plan.ts"
import { MasterClient } from "../master/MasterClient.ts"
import type { MasterError } from "../master/MasterError.ts"

/** Makes a plan for an answer of the master, or for its failure: then with what it said last. */
export type Planner = (answer: DesiredState | MasterError) => Effect.Effect<NodePlan>

export class Plans extends Context.Service<
  Plans,
  {
    /** The plan now: with one question to the master. */
    readonly get: Effect.Effect<NodePlan>
    /** Called once, by the supervisor. */
    readonly provide: (planner: Planner) => Effect.Effect<void>
  }
>()("slapgrid/desired/Plans") {
  static readonly layer = Layer.effect(
    Plans,
    Effect.gen(function* () {
      const client = yield* MasterClient
      const planner = yield* Deferred.make<Planner>()
      return Plans.of({
        get: Effect.gen(function* () {
          const answer = yield* Effect.catch(client.desiredState, Effect.succeed)
          const plan = yield* Deferred.await(planner)
          return yield* plan(answer)
        }),
        provide: (given) => Effect.asVoid(Deferred.succeed(planner, given)),
      })
    }),
  )
}
