// The client over HTTP under virtual time: it counts the calls that have no answer yet, so that a test can wait for the
// real network to come to rest before its clock goes on.
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as Redacted from "effect/Redacted"
import { HttpMasterClient } from "../../src/master/http/HttpMasterClient.ts"
import { MasterClient } from "../../src/master/MasterClient.ts"
import { computerId } from "./facts.ts"
import { eventually } from "./waiting.ts"

export const countedClient = (masterUrl: string) => {
  let open = 0
  const counted = <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      open++
      return Effect.ensuring(
        call,
        Effect.sync(() => void open--),
      )
    })
  const layer = Layer.effect(
    MasterClient,
    Effect.map(MasterClient, (client) => ({
      ...client,
      desiredState: counted(client.desiredState),
      report: (report) => counted(client.report(report)),
      partitionCertificate: (id) => counted(client.partitionCertificate(id)),
    })),
  ).pipe(
    Layer.provide(
      HttpMasterClient.layer({
        masterUrl: Redacted.make(masterUrl),
        computerId,
        certificates: undefined,
        masterCaFile: undefined,
        version: "0",
      }),
    ),
  )
  /** Until every call, but for those that the master holds, has had its answer, and all that follows was done. */
  const rest = (holds = false) =>
    TestClock.withLive(
      eventually(
        "the end of all calls",
        Effect.gen(function* () {
          for (let look = 0; look < 3; look++) {
            yield* Effect.sleep(1)
            if (!holds && open > 0) return undefined
          }
          return true
        }),
      ),
    )
  return { layer, rest }
}
