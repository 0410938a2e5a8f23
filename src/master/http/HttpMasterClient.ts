// The master over HTTP (slap-protocol.md). It never repeats a call that may have arrived: callers know whether and when
// that makes sense. While the master is not there, it does not even try.
import { unescape } from "node:querystring"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { DesiredState } from "../../domain/DesiredState.ts"
import type { ComputerId } from "../../domain/ids.ts"
import { MasterClient, type PartitionCertificate } from "../MasterClient.ts"
import type { MasterError } from "../MasterError.ts"
import { decodeComputer } from "../wire/computer.ts"
import { decodeAnswer, type SlapValue } from "../wire/marshal.ts"
import { admit, after, closed, type Outcome } from "./breaker.ts"
import { callOf, post, query, type SlapCall } from "./calls.ts"
import { type CertificateFiles, Connections, type Pool } from "./Connections.ts"
import { type Answer, exchangeOnKept } from "./exchange.ts"
import {
  type CallPlace,
  heldBack,
  invalidAnswer,
  retryAfterOf,
  statusError,
  timedOut,
  transportError,
} from "./failures.ts"

export interface HttpMasterOptions {
  readonly masterUrl: string
  readonly computerId: ComputerId
  readonly certificates: (CertificateFiles & { readonly repositoryPath: string }) | undefined
  /** CAs that may have signed the master's certificate; undefined: the system's. */
  readonly masterCaFile: string | undefined
  /** False: the master's certificate is not verified, and anybody can be the master. True when missing. */
  readonly masterVerify?: boolean
  /** Our own version, told in `User-Agent`. */
  readonly version: string
}

const timeoutSeconds = 60

/** The options come checked (config): a master URL that is none, is a defect. */
const layer = (options: HttpMasterOptions): Layer.Layer<MasterClient> => Layer.effect(MasterClient, make(options))

export const HttpMasterClient = { layer }

const make = Effect.fnUntraced(function* (options: HttpMasterOptions) {
  const { computerId } = options
  const send = yield* makeSend(options)
  let lastState: { readonly method: string; readonly etag: string; readonly state: DesiredState } | undefined

  const computerDocument = Effect.fnUntraced(function* (method: string) {
    const call = query(method, { computer_id: computerId })
    const known = lastState?.method === method ? lastState : undefined
    // Its caller has a pace of its own, and is the one who finds out that the master is back.
    const { answer, place } = yield* send(call, known && { "if-none-match": known.etag }, { isAlwaysSent: true })
    if (answer.status === 304 && known !== undefined) {
      return known.state
    }
    const value = yield* document(place, answer)
    const state = yield* Effect.mapError(Effect.fromResult(decodeComputer(value, computerId)), (error) =>
      invalidAnswer(place, answer.status, error.message),
    )
    lastState = answer.etag === undefined ? undefined : { method, etag: answer.etag, state }
    return state
  })

  // Older masters know the older name only.
  const desiredState = Effect.catchIf(
    computerDocument("getFullComputerInformation"),
    (error) => error.reason === "NotFound",
    (first) =>
      Effect.mapError(computerDocument("getComputerInformation"), (second) =>
        second.reason === "NotFound" ? first : second,
      ),
  )

  return MasterClient.of({
    desiredState,
    report: (report) => Effect.asVoid(send(callOf(report, computerId))),
    useComputer: (journal) =>
      Effect.asVoid(send(post("useComputer", { computer_id: computerId, use_string: journal }))),
    partitionCertificate: Effect.fnUntraced(function* (id) {
      const fields = { computer_id: computerId, computer_partition_id: id }
      const { answer, place } = yield* send(query("getComputerPartitionCertificate", fields))
      return yield* Effect.fromResult(certificateOf(place, answer))
    }),
  })
})

interface Sent {
  readonly answer: Answer
  readonly place: CallPlace
}

type Send = (
  call: SlapCall,
  headers?: Readonly<Record<string, string>>,
  options?: { readonly isAlwaysSent: boolean },
) => Effect.Effect<Sent, MasterError>

/** Sends calls over connections that end with the scope. Succeeds with a 2xx, a harmless 404, or the 304 asked for. */
const makeSend = Effect.fnUntraced(function* (options: HttpMasterOptions) {
  const { authorization, base } = parseMasterUrl(options.masterUrl)
  const connections = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const { certificates, masterCaFile: caFile, masterVerify: isVerified = true } = options
      return new Connections(base, certificates, { caFile, isVerified })
    }),
    (opened) => Effect.promise(() => opened.destroy()),
  )
  const common = { ...authorization, "user-agent": `slapgrid/${options.version}`, accept: "*/*" }

  const attempt = async (call: SlapCall, headers: Readonly<Record<string, string>>, signal: AbortSignal) => {
    const url = new URL(call.method, base)
    const fields = new URLSearchParams(call.fields).toString()
    const request =
      call.verb === "GET"
        ? { url: new URL(`?${fields}`, url), verb: call.verb, headers: { ...common, ...headers }, body: undefined }
        : { url, verb: call.verb, headers: { ...common, ...headers, ...formHeaders }, body: fields }
    const own = await partitionConnection(connections, options.certificates, call)
    const pool = own ?? (await connections.computer())
    try {
      return await exchangeOnKept(pool.dispatcher, request, signal)
    } catch (cause) {
      throw new ExchangeFailure(cause, pool)
    } finally {
      await own?.dispatcher.destroy()
    }
  }

  const guard = makeGuard()
  const send: Send = (call, headers = {}, { isAlwaysSent } = { isAlwaysSent: false }) => {
    const place = { method: call.method, master: base }
    const sent = Effect.tryPromise({
      try: (signal) => attempt(call, headers, signal),
      catch: (thrown) => (thrown instanceof ExchangeFailure ? thrown : new ExchangeFailure(thrown, undefined)),
    }).pipe(
      Effect.catch((failure) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.fail(transportError(place, failure, invalidCertificate(failure, now))),
        ),
      ),
      Effect.timeoutOrElse({
        duration: `${timeoutSeconds} seconds`,
        orElse: () => Effect.fail(timedOut(place, timeoutSeconds)),
      }),
      Effect.flatMap((answer) =>
        isFine(call, headers, answer.status)
          ? Effect.succeed({ answer, place })
          : Effect.flatMap(Clock.currentTimeMillis, (now) =>
              Effect.fail(statusError(place, answer.status, answer.body, retryAfterOf(answer.retryAfter, now))),
            ),
      ),
    )
    return guard(place, sent, isAlwaysSent)
  }
  return send
})

/** Leaves a master alone that is not there (breaker.ts). */
const makeGuard = () => {
  let breaker = closed
  const learn = (outcome: Outcome) =>
    Effect.gen(function* () {
      breaker = after(breaker, outcome, yield* Clock.currentTimeMillis, 0.75 + (yield* Random.next) / 2)
    })
  return <A>(place: CallPlace, call: Effect.Effect<A, MasterError>, isAlwaysSent: boolean) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const { isAdmitted, next } = admit(breaker, now)
      if (!isAdmitted && !isAlwaysSent) {
        return yield* heldBack(place, breaker.failures, breaker.heldUntil - now)
      }
      breaker = next
      return yield* call.pipe(
        Effect.tap(learn("Answered")),
        Effect.tapError((error) => learn(outcomeOf(error))),
      )
    })
}

/** One bad call makes a master answer 500, and none of the others. */
const outcomeOf = ({ reason, retryAfter, status }: MasterError): Outcome =>
  reason === "Unreachable" || (reason === "Unavailable" && status !== 500) ? { retryAfter } : "Answered"

/** A call that got no whole answer; `pool` is there once it was known. */
class ExchangeFailure extends Error {
  readonly pool: Pool | undefined
  constructor(cause: unknown, pool: Pool | undefined) {
    super("the call failed", { cause })
    this.pool = pool
  }
}

/** The file of the certificate that was shown, if it is not valid now: masters do not tell that they mind. */
const invalidCertificate = ({ pool }: ExchangeFailure, now: number): string | undefined => {
  const shown = pool?.shown
  return shown !== undefined && (now < shown.validity.from || now > shown.validity.until) ? shown.file : undefined
}

const formHeaders = { "content-type": "application/x-www-form-urlencoded" }

const isFine = (call: SlapCall, headers: Readonly<Record<string, string>>, status: number): boolean =>
  (status >= 200 && status < 300) ||
  (status === 404 && call.missingIsHarmless) ||
  (status === 304 && headers["if-none-match"] !== undefined)

/** A connection with the partition's own pair, if the call asks for it and there is one. */
const partitionConnection = (
  connections: Connections,
  certificates: HttpMasterOptions["certificates"],
  { partition }: SlapCall,
): Promise<Pool | undefined> => {
  if (partition === undefined || certificates === undefined) {
    return Promise.resolve(undefined)
  }
  const stem = `${certificates.repositoryPath.replace(/\/+$/, "")}/${partition}`
  return connections.own({ keyFile: `${stem}.key`, certFile: `${stem}.crt` })
}

const document = (place: CallPlace, answer: Answer): Effect.Effect<SlapValue, MasterError> =>
  Effect.fromResult(
    Result.mapError(decodeAnswer(answer.body), (error) => invalidAnswer(place, answer.status, error.message)),
  )

/** Problems are told without a piece of the document: it holds a key. */
const certificateOf = (place: CallPlace, answer: Answer): Result.Result<PartitionCertificate, MasterError> => {
  const decoded = Result.getOrElse(decodeAnswer(answer.body), () => null)
  const fields = decoded instanceof Map ? decoded : new Map<SlapValue, SlapValue>()
  const certificate: SlapValue | undefined = fields.get("certificate")
  const key: SlapValue | undefined = fields.get("key")
  return typeof certificate === "string" && typeof key === "string"
    ? Result.succeed({ certificate, key: Redacted.make(key) })
    : Result.fail(invalidAnswer(place, answer.status, "the answer does not hold a certificate and a key"))
}

/** The URL below which the methods are, and a header made of the user and password in it. */
const parseMasterUrl = (text: string): { readonly base: URL; readonly authorization: Record<string, string> } => {
  const base = new URL(text.endsWith("/") ? text : `${text}/`)
  const { password, username } = base
  base.username = ""
  base.password = ""
  const pair = Buffer.from(`${unescape(username)}:${unescape(password)}`).toString("base64")
  return { base, authorization: username === "" && password === "" ? {} : { authorization: `Basic ${pair}` } }
}
