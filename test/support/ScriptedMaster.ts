// A SLAP master that does what a test says: it serves the desired state it was given, remembers every call, lets a test
// wait for one, and fails on demand. It shares nothing with the embedded master but the XML writer, so that a
// misunderstanding there cannot hide itself; it has a real port, so that programs in other processes can use it.
import * as crypto from "node:crypto"
import * as http from "node:http"
import * as https from "node:https"
import { TLSSocket } from "node:tls"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Answer, Script } from "./scriptedAnswers.ts"
import { answerTo } from "./scriptedAnswers.ts"

export type { Script, ScriptedPartition, ScriptedSoftware } from "./scriptedAnswers.ts"

/** One call, in the order of arrival; recorded when its body is complete, before it is answered. */
export interface Call {
  readonly index: number
  /** HTTP's. */
  readonly method: string
  readonly path: string
  /** SLAP's: the path without its slash. */
  readonly name: string
  readonly query: Readonly<Record<string, string>>
  readonly form: Readonly<Record<string, string>>
  readonly headers: http.IncomingHttpHeaders
  /** The name in the client's certificate. */
  readonly client: string | undefined
  /** Milliseconds since 1970, of the machine's clock whatever clock the test uses. */
  readonly at: number
  /** The fault it met. */
  readonly fault: Fault["_tag"] | undefined
  /** The status that this fault gave it. */
  readonly faultStatus: number | undefined
}

export type Fault =
  /** The connection is reset before any answer. */
  | { readonly _tag: "Reset" }
  /** This status and body instead of an answer: 403, 404, 503, or a 200 with a made-up body. */
  | {
      readonly _tag: "Status"
      readonly status: number
      readonly body?: string
      readonly headers?: Readonly<Record<string, string>>
    }
  /** 200 with bytes that are neither XML nor UTF-8. */
  | { readonly _tag: "Garbage" }
  /** A whole HTTP answer with the first half of the document. */
  | { readonly _tag: "Truncated" }
  /** The connection is reset after half of the body. */
  | { readonly _tag: "CutOff" }
  /** The right answer, but not before `release`. */
  | { readonly _tag: "Held" }

export type Which = string | ((call: Call) => boolean)

export interface Injection {
  /** Lets the held calls go, present and future ones. */
  readonly release: Effect.Effect<void>
  /** No further call meets this fault; those held are let go. */
  readonly clear: Effect.Effect<void>
  /** How many calls met it. */
  readonly hits: Effect.Effect<number>
}

export interface ScriptedMasterShape {
  /** The node's `master_url`. */
  readonly url: string
  /** The computer it serves; others get 404. */
  readonly computer: string
  /** Replaces the named parts of what is served from now on. */
  readonly script: (change: Partial<Script>) => Effect.Effect<void>
  readonly calls: Effect.Effect<ReadonlyArray<Call>>
  /** The first matching call, past or future; with `after`, the first beyond that index. */
  readonly awaitCall: (predicate: (call: Call) => boolean, options?: { readonly after?: number }) => Effect.Effect<Call>
  /** Makes the next `times` calls of SLAP's method `which` (`*`: of all), or which it holds of, fail; without `times` until cleared. */
  readonly inject: (which: Which, fault: Fault, times?: number) => Effect.Effect<Injection>
  readonly clearFaults: Effect.Effect<void>
}

/** A predicate: SLAP's method `name` with at least these fields in its query or form. */
export const named =
  (name: string, fields: Readonly<Record<string, string>> = {}) =>
  (call: Call): boolean =>
    call.name === name &&
    Object.entries(fields).every(([key, value]) => call.form[key] === value || call.query[key] === value)

/** One injected fault: how often it still strikes, and the answers it holds back. */
class ActiveFault {
  readonly #which: Which
  readonly fault: Fault
  hits = 0
  #left: number
  #isReleased = false
  readonly #held: Array<() => void> = []

  constructor(which: Which, fault: Fault, times: number) {
    this.#which = which
    this.fault = fault
    this.#left = times
  }

  /** Whether this call meets the fault; counts it when it does. */
  strikes(call: Call): boolean {
    const which = this.#which
    const isMeant = typeof which === "string" ? which === "*" || which === call.name : which(call)
    if (this.#left <= 0 || !isMeant) return false
    this.#left -= 1
    this.hits += 1
    return true
  }

  hold(answer: () => void): void {
    if (this.#isReleased) answer()
    else this.#held.push(answer)
  }

  release(): void {
    this.#isReleased = true
    for (const answer of this.#held.splice(0)) answer()
  }

  clear(): void {
    this.#left = 0
    this.release()
  }
}

interface Waiter {
  readonly matches: (call: Call) => boolean
  readonly resume: (call: Call) => void
}

const send = (request: http.IncomingMessage, response: http.ServerResponse, answer: Answer, script: Script): void => {
  if (response.destroyed) return
  if (script.validators && request.method === "GET" && answer.status === 200) {
    const tag = `"${crypto.createHash("sha1").update(answer.body).digest("hex")}"`
    response.setHeader("ETag", tag)
    if (request.headers["if-none-match"] === tag) {
      response.writeHead(304).end()
      return
    }
  }
  response.writeHead(answer.status, { "Content-Type": "text/xml; charset=utf-8" }).end(answer.body)
}

const half = (body: string): string => body.slice(0, body.length / 2)

/** Everything that happens inside node:http's callbacks; the service below wraps it in effects. */
class Machine {
  readonly computer: string
  script: Script = { software: [], partitions: [], document: undefined, validators: false }
  readonly calls: Array<Call> = []
  readonly waiters = new Set<Waiter>()
  faults: ReadonlyArray<ActiveFault> = []

  constructor(computer: string) {
    this.computer = computer
  }

  receive(request: http.IncomingMessage, response: http.ServerResponse): void {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => this.#arrived(request, response, Buffer.concat(chunks).toString("utf8")))
  }

  #arrived(request: http.IncomingMessage, response: http.ServerResponse, body: string): void {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost")
    const name = pathname.slice(1)
    const asked: Call = {
      index: this.calls.length,
      method: request.method ?? "",
      path: pathname,
      name,
      query: Object.fromEntries(searchParams),
      form: Object.fromEntries(new URLSearchParams(body)),
      headers: request.headers,
      client:
        request.socket instanceof TLSSocket ? request.socket.getPeerCertificate().subject?.CN?.toString() : undefined,
      at: Date.now(),
      fault: undefined,
      faultStatus: undefined,
    }
    const met = this.faults.find((candidate) => candidate.strikes(asked))
    const fault = met?.fault
    const call: Call = {
      ...asked,
      fault: fault?._tag,
      faultStatus: fault?._tag === "Status" ? fault.status : undefined,
    }
    // Recorded first and answered then: whoever saw the answer finds the call among `calls`.
    this.calls.push(call)
    this.#answer(request, response, call, met)
    for (const waiter of [...this.waiters].filter(({ matches }) => matches(call))) {
      this.waiters.delete(waiter)
      waiter.resume(call)
    }
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse, call: Call, met: ActiveFault | undefined) {
    const right = () => answerTo(this.computer, this.script, call)
    switch (met?.fault._tag) {
      case undefined:
        return send(request, response, right(), this.script)
      case "Held":
        return met?.hold(() => send(request, response, right(), this.script))
      case "Reset":
        return request.socket.resetAndDestroy()
      case "Status":
        return response.writeHead(met.fault.status, met.fault.headers).end(met.fault.body ?? "")
      case "Garbage":
        return response.writeHead(200).end(Buffer.from([0xff, 0xfe, 0x00, 0x3c, 0x80]))
      case "Truncated":
        return response.writeHead(200).end(half(right().body))
      case "CutOff": {
        const { body } = right()
        response.writeHead(200, { "Content-Length": Buffer.byteLength(body) })
        return response.write(half(body), () => request.socket.resetAndDestroy())
      }
    }
  }

  awaitCall(waiter: Waiter): void {
    const known = this.calls.find(waiter.matches)
    if (known === undefined) this.waiters.add(waiter)
    else waiter.resume(known)
  }

  inject(which: Which, fault: Fault, times: number): ActiveFault {
    const active = new ActiveFault(which, fault, times)
    this.faults = [active, ...this.faults]
    return active
  }
}

const serve = (
  machine: Machine,
  port: number,
  tls: https.ServerOptions | undefined,
): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: http.Server; readonly port: number }>((resume) => {
      const server = tls === undefined ? http.createServer() : https.createServer(tls)
      server.on("request", (request, response) => machine.receive(request, response))
      server.once("error", (cause) => resume(Effect.die(cause)))
      server.listen(port, "127.0.0.1", () => {
        const address = server.address()
        const bound = typeof address === "object" && address !== null ? address.port : port
        resume(Effect.succeed({ server, port: bound }))
      })
    }),
    ({ server }) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      }),
  ).pipe(Effect.map((listening) => listening.port))

const shape = (machine: Machine, url: string): ScriptedMasterShape => ({
  url,
  computer: machine.computer,
  script: (change) =>
    Effect.sync(() => {
      machine.script = { ...machine.script, ...change }
    }),
  calls: Effect.sync(() => [...machine.calls]),
  awaitCall: (predicate, { after = -1 } = {}) =>
    Effect.callback((resume) => {
      const waiter: Waiter = {
        matches: (call) => call.index > after && predicate(call),
        resume: (call) => resume(Effect.succeed(call)),
      }
      machine.awaitCall(waiter)
      return Effect.sync(() => machine.waiters.delete(waiter))
    }),
  inject: (which, fault, times = Number.POSITIVE_INFINITY) =>
    Effect.sync(() => {
      const active = machine.inject(which, fault, times)
      return {
        release: Effect.sync(() => active.release()),
        clear: Effect.sync(() => active.clear()),
        hits: Effect.sync(() => active.hits),
      }
    }),
  clearFaults: Effect.sync(() => {
    for (const active of machine.faults) active.clear()
    machine.faults = []
  }),
})

export interface ScriptedMasterOptions {
  /** `COMP-1` when missing. */
  readonly computer?: string
  /** Any free port when missing. */
  readonly port?: number
  /** Speaks https when there. */
  readonly tls?: https.ServerOptions
}

/** A scripted master until the scope closes; a port in use is a defect. */
export const makeScriptedMaster = ({ computer = "COMP-1", port = 0, tls }: ScriptedMasterOptions = {}): Effect.Effect<
  ScriptedMasterShape,
  never,
  Scope.Scope
> =>
  Effect.suspend(() => {
    const machine = new Machine(computer)
    const scheme = tls === undefined ? "http" : "https"
    return Effect.map(serve(machine, port, tls), (bound) => shape(machine, `${scheme}://127.0.0.1:${bound}/`))
  })

export class ScriptedMaster extends Context.Service<ScriptedMaster, ScriptedMasterShape>()(
  "slapgrid/test/ScriptedMaster",
) {
  static readonly layer = (options?: ScriptedMasterOptions) => Layer.effect(ScriptedMaster, makeScriptedMaster(options))
}
