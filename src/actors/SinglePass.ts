// A pass without an agent: a process of its own asks the master once, does the work and ends. What it started runs on
// without supervision until an agent adopts it, and what it did is told before it ends.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { Passes } from "../desired/Passes.ts"
import { type PassEvent, type PassRequest, passStatus } from "../domain/Pass.ts"
import { Departure } from "../process/Departure.ts"
import { PartitionServices } from "../process/PartitionServices.ts"
import { Outbox } from "../report/Outbox.ts"
import { NodeSupervisor } from "./NodeSupervisor.ts"

type End = Extract<PassEvent, { readonly _tag: "Ended" }>

/** How long the master has for all reports; one that is not told is told again by the next pass. */
const reportLimit = "1 minute"
/** How long programs have that died while nobody looked, and are started again. */
const startLimit = "2 seconds"

export class SinglePass extends Context.Service<
  SinglePass,
  {
    /** Runs a pass; when it has told its end, this process has nothing more to do. */
    readonly run: (request: PassRequest) => Stream.Stream<PassEvent>
  }
>()("slapgrid/actors/SinglePass") {
  static readonly layer = Layer.effect(
    SinglePass,
    Effect.gen(function* () {
      const { isUnmarked } = yield* NodeSupervisor
      const { begin } = yield* Passes
      const { pending } = yield* Outbox
      const { groups } = yield* PartitionServices
      const { leave } = yield* Departure
      // First of all at the end, whatever that is: services are left as they are.
      yield* Effect.addFinalizer(() => leave)

      const programs = Effect.sync(() => [...groups.values()].flatMap((group) => group.status()))
      const areDecided = Effect.map(
        programs,
        (all) => !all.some(({ state }) => state === "starting" || state === "backoff"),
      )
      const areTold = Effect.map(pending, (count) => count === 0 && !isUnmarked())

      const finish = Effect.fnUntraced(function* (end: End) {
        yield* holdsWithin(areDecided, startLimit)
        const isOffline = end.status === passStatus.masterAway
        const isTold = isOffline || (yield* holdsWithin(areTold, reportLimit))
        const isRunning = (yield* programs).some(({ pid }) => pid !== undefined)
        return conclude(end, isTold, isRunning)
      })

      const run = (request: PassRequest) =>
        Stream.mapEffect(Stream.unwrap(begin(request)), (event): Effect.Effect<PassEvent> =>
          event._tag === "Ended" ? finish(event) : Effect.succeed(event),
        )
      return SinglePass.of({ run })
    }),
  )
}

/** Whether it holds before the time is over. */
const holdsWithin = (holds: Effect.Effect<boolean>, limit: "1 minute" | "2 seconds"): Effect.Effect<boolean> =>
  Effect.repeat(holds, { until: (it) => it, schedule: Schedule.spaced("50 millis") }).pipe(
    Effect.as(true),
    Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.succeed(false) }),
  )

/** The end of a pass as that of its process: what is left to know stands in the last line. */
export const conclude = (end: End, isTold: boolean, isRunning: boolean): End => {
  const untold = "the master has not taken all reports: what they are about is done again by the next pass"
  const status = !isTold && end.status !== passStatus.failed ? passStatus.masterAway : end.status
  const lines = [
    ...(end.message === undefined ? [] : [end.message]),
    ...(isTold ? [] : [untold]),
    ...(isRunning ? ["services run, and nobody supervises them until slapgrid is started"] : []),
  ]
  return { _tag: "Ended", status, message: lines.length === 0 ? undefined : lines.join("\n") }
}
