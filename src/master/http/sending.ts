// How calls of the protocol are made over HTTP: over kept connections, with the right certificate, and not at all while
// the master is not there. Nothing is repeated that may have arrived: callers know whether and when that makes sense.
import { unescape } from "node:querystring"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import type { MasterError } from "../MasterError.ts"
import { admit, after, closed, type Outcome } from "./breaker.ts"
import type { SlapCall } from "./calls.ts"
import { type CertificateFiles, Connections, type Pool } from "./Connections.ts"
import { type Answer, exchangeOnKept } from "./exchange.ts"
import { type CallPlace, heldBack, retryAfterOf, statusError, timedOut, transportError } from "./failures.ts"

export interface MasterPlace {
  /** With the user and password that may stand in it. */
  readonly masterUrl: Redacted.Redacted
  readonly certificates: (CertificateFiles & { readonly repositoryPath: string }) | undefined
  /** CAs that may have signed the master's certificate; undefined: the system's. */
  readonly masterCaFile: string | undefined
  /** False: the master's certificate is not verified, and anybody can be the master. True when missing. */
  readonly masterVerify?: boolean
  /** Our own version, told in `User-Agent`. */
  readonly version: string
}

const timeoutSeconds = 60

export interface Sent {
  readonly answer: Answer
  readonly place: CallPlace
}

export type Send = (
  call: SlapCall,
  headers?: Readonly<Record<string, string>>,
  options?: { readonly isAlwaysSent: boolean },
) => Effect.Effect<Sent, MasterError>

/** Sends calls over connections that end with the scope. Succeeds with a 2xx, a harmless 404, or the 304 asked for. */
export const makeSend = Effect.fnUntraced(function* (options: MasterPlace) {
  const { authorization, base } = parseMasterUrl(Redacted.value(options.masterUrl))
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
    const own =
      (await partitionConnection(connections, options.certificates, call)) ?? (await unkept(connections, call))
    const pool = own ?? (await connections.computer())
    try {
      return await exchangeOnKept(pool, request, call.isRepeatable, signal)
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
  certificates: MasterPlace["certificates"],
  { partition }: SlapCall,
): Promise<Pool | undefined> => {
  if (partition === undefined || certificates === undefined) {
    return Promise.resolve(undefined)
  }
  const stem = `${certificates.repositoryPath.replace(/\/+$/, "")}/${partition}`
  return connections.own({ keyFile: `${stem}.key`, certFile: `${stem}.crt` })
}

/** On a kept connection that the master has just given up nobody could tell whether what must not be repeated arrived. */
const unkept = (connections: Connections, { isRepeatable }: SlapCall): Promise<Pool | undefined> =>
  isRepeatable ? Promise.resolve(undefined) : connections.fresh()

/** The URL below which the methods are, and a header made of the user and password in it. */
const parseMasterUrl = (text: string): { readonly base: URL; readonly authorization: Record<string, string> } => {
  const base = new URL(text.endsWith("/") ? text : `${text}/`)
  const { password, username } = base
  base.username = ""
  base.password = ""
  const pair = Buffer.from(`${unescape(username)}:${unescape(password)}`).toString("base64")
  return { base, authorization: username === "" && password === "" ? {} : { authorization: `Basic ${pair}` } }
}
