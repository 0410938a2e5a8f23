// `slapgrid master`: the embedded master, for one machine and for tests.
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { LocalMaster } from "../master/local/LocalMaster.ts"
import { toFailure } from "./exit.ts"
import { loggingLayer, type LogFormat } from "./logging.ts"

export interface MasterOptions {
  readonly database: string
  readonly host: string
  readonly port: number
  readonly logFormat: LogFormat
}

export const master = ({ database, host, logFormat, port }: MasterOptions) =>
  Layer.launch(
    Layer.effectDiscard(
      Effect.gen(function* () {
        const { url } = yield* LocalMaster
        // For whoever started it with port 0: the only line on stdout.
        process.stdout.write(`${url}\n`)
        yield* Effect.logInfo(`the master listens on ${url}, its state is in ${database}`)
      }),
    ).pipe(Layer.provide(LocalMaster.layer({ database, host, port }))),
  ).pipe(Effect.mapError(toFailure), Effect.annotateLogs({ actor: "master" }), Effect.provide(loggingLayer(logFormat)))
