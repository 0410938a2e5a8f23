// Two ends of an agent: it stops, and its services with it; or it leaves (an upgrade), and they run on for the next one
// to adopt. Stopping is the rule; whoever wants to leave says so, and whoever runs the node ends it then.
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export class Departure extends Context.Service<
  Departure,
  {
    /** From now on the end of the node leaves services running. */
    readonly leave: Effect.Effect<void>
    /** Waits until somebody wants the node to leave. */
    readonly wanted: Effect.Effect<void>
    readonly isLeaving: () => boolean
  }
>()("slapgrid/process/Departure") {
  static readonly layer = Layer.effect(
    Departure,
    Effect.map(Deferred.make<void>(), (left) =>
      Departure.of({
        leave: Effect.asVoid(Deferred.succeed(left, undefined)),
        wanted: Deferred.await(left),
        isLeaving: () => Deferred.isDoneUnsafe(left),
      }),
    ),
  )
}
