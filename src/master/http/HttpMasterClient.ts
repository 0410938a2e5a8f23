// The master over HTTP (slap-protocol.md): the port that the node works with, and the calls for other programs, over the
// same connections.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { DesiredState } from "../../domain/DesiredState.ts"
import type { ComputerId } from "../../domain/ids.ts"
import { sha256Hex } from "../../files/machine.ts"
import { MasterClient } from "../MasterClient.ts"
import type { MasterError } from "../MasterError.ts"
import { MasterTools } from "../MasterTools.ts"
import {
  type Reader,
  readCertificate,
  readComputer,
  readComputerStatus,
  readPartition,
  readText,
  readTreeAddresses,
  readUrl,
} from "./answers.ts"
import { callOf, calls, query, type SlapCall } from "./calls.ts"
import { makeSend, type MasterPlace, type Send } from "./sending.ts"

export interface HttpMasterOptions extends MasterPlace {
  readonly computerId: ComputerId
}

/** The options come checked (config): a master URL that is none, is a defect. */
const layer = (options: HttpMasterOptions): Layer.Layer<MasterClient | MasterTools> =>
  Layer.effectContext(
    Effect.map(makeSend(options), (send) =>
      Context.make(MasterClient, makeClient(send, options.computerId)).pipe(
        Context.add(MasterTools, makeTools(send, options.computerId)),
      ),
    ),
  )

export const HttpMasterClient = { layer }

/** Sends a call and reads its answer. */
const asking = (send: Send) =>
  Effect.fnUntraced(function* <A>(call: SlapCall, read: Reader<A>) {
    const { answer, place } = yield* send(call)
    return yield* Effect.fromResult(read(place, answer))
  })

const makeClient = (send: Send, computer: ComputerId): MasterClient["Service"] => {
  const ask = asking(send)
  return MasterClient.of({
    desiredState: makeDesiredState(send, computer),
    report: (report) => Effect.asVoid(send(callOf(report, computer))),
    useComputer: (journal) => Effect.asVoid(send(calls.useComputer(computer, journal))),
    partitionCertificate: (id) => ask(calls.getComputerPartitionCertificate(computer, id), readCertificate),
  })
}

const makeTools = (send: Send, computer: ComputerId): MasterTools["Service"] => {
  const ask = asking(send)
  return MasterTools.of({
    computer,
    partition: (id) => ask(calls.registerComputerPartition(computer, id), readPartition(computer, id)),
    format: (formatted) => Effect.asVoid(send(calls.loadComputerConfigurationFromXML(computer, formatted))),
    bang: (message) => Effect.asVoid(send(calls.computerBang(computer, message))),
    sharedInstanceError: (id, shared) => Effect.asVoid(send(calls.sharedInstanceError(computer, id, shared))),
    treeAddresses: (id) => ask(calls.getHostingSubscriptionIpList(computer, id), readTreeAddresses),
    computerStatus: ask(calls.getComputerStatus(computer), readComputerStatus),
    hateoasUrl: ask(calls.getHateoasUrl, readUrl),
    runId: ask(calls.getRunId, readText),
  })
}

/** Most masters say the same for hours: what was made of it is good as long as its bytes are the same. */
interface LastAnswer {
  readonly method: string
  readonly etag: string | undefined
  readonly digest: string
  readonly state: DesiredState
}

const makeDesiredState = (send: Send, computer: ComputerId): Effect.Effect<DesiredState, MasterError> => {
  let last: LastAnswer | undefined

  const computerDocument = Effect.fnUntraced(function* (method: string) {
    const call = query(method, { computer_id: computer })
    const known = last?.method === method ? last : undefined
    const condition = known?.etag === undefined ? undefined : { "if-none-match": known.etag }
    // Its caller has a pace of its own, and is the one who finds out that the master is back.
    const { answer, place } = yield* send(call, condition, { isAlwaysSent: true })
    if (answer.status === 304 && known !== undefined) {
      return known.state
    }
    const digest = sha256Hex(answer.body)
    const state =
      digest === known?.digest ? known.state : yield* Effect.fromResult(readComputer(computer)(place, answer))
    last = { method, etag: answer.etag, digest, state }
    return state
  })

  // Older masters know the older name only.
  return Effect.catchIf(
    computerDocument("getFullComputerInformation"),
    (error) => error.reason === "NotFound",
    (first) =>
      Effect.mapError(computerDocument("getComputerInformation"), (second) =>
        second.reason === "NotFound" ? first : second,
      ),
  )
}
