// The embedded SLAP master: one machine's master without another program, and the one that tests run against. It knows
// no authentication: whoever reaches its port decides what this machine runs, so it listens on loopback unless told
// otherwise, and turns away what a web browser sends on behalf of a page.
import * as net from "node:net"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Answer } from "./call.ts"
import { text } from "./call.ts"
import type { ListenError, Received } from "./httpServer.ts"
import { listenAndServe } from "./httpServer.ts"
import { answer } from "./routes.ts"
import type { Store, StoreError } from "./store.ts"
import { openStore } from "./store.ts"

export interface LocalMasterOptions {
  /** Path of the database file, created when missing, or `:memory:`. */
  readonly database: string
  /** Address or name to listen on; 127.0.0.1 when missing. */
  readonly host?: string
  /** 0: any free port. */
  readonly port: number
}

const hostOf = (authority: string): string => authority.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1")

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || host.startsWith("127.")

/**
 * A page in a browser on this machine could post forms here, or reach us through a name that it made point at
 * loopback. Programs send neither `Origin` nor `Sec-Fetch-Site`, and call loopback by address or as `localhost`.
 */
const comesFromPage = (host: string, { headers }: Received): boolean => {
  const site = headers["sec-fetch-site"]
  const named = hostOf(headers.host ?? host)
  return (
    headers.origin !== undefined ||
    (site !== undefined && site !== "none" && site !== "same-origin") ||
    (isLoopback(host) && net.isIP(named) === 0 && named !== "localhost")
  )
}

const isForm = (contentType: string | undefined): boolean =>
  contentType === undefined || /^application\/x-www-form-urlencoded *(?:;|$)/i.test(contentType)

const handle = (store: Store, host: string) => (received: Received) =>
  Effect.gen(function* () {
    const { method, target, headers, body } = received
    if (comesFromPage(host, received)) return text("requests of web pages are not served\n", 403)
    if (body !== "" && !isForm(headers["content-type"])) {
      return text("the body has to be application/x-www-form-urlencoded\n", 415)
    }
    const now = yield* Clock.currentTimeMillis
    const [path = "/", ...query] = target.split("?")
    const request = {
      method,
      path,
      query: new URLSearchParams(query.join("?")),
      form: new URLSearchParams(method === "POST" ? body : ""),
    }
    return yield* store.transaction((tables) => answer(tables, now, request))
  }).pipe(
    Effect.catchTag("StoreError", (error) =>
      Effect.as(Effect.logError(error.message), text("the master's database failed: see its log\n", 503)),
    ),
    Effect.catch((refusal: Answer) => Effect.succeed(refusal)),
  )

const urlOf = (host: string, port: number): string => {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host
  return `http://${net.isIPv6(reachable) ? `[${reachable}]` : reachable}:${port}/`
}

const make = ({
  database,
  host = "127.0.0.1",
  port,
}: LocalMasterOptions): Effect.Effect<LocalMaster["Service"], StoreError | ListenError, Scope.Scope> =>
  Effect.gen(function* () {
    const store = yield* openStore(database)
    const bound = yield* listenAndServe({ host, port }, handle(store, host))
    if (!isLoopback(host)) {
      yield* Effect.logWarning(
        `the embedded master listens on ${host} port ${bound} without authentication: whoever reaches it decides what this machine runs`,
      )
    }
    return { url: urlOf(host, bound) }
  })

export class LocalMaster extends Context.Service<
  LocalMaster,
  {
    /** The `master_url` of its nodes and clients, with the final slash. */
    readonly url: string
  }
>()("slapgrid/master/local/LocalMaster") {
  /** Serves until the scope closes. */
  static readonly layer = (options: LocalMasterOptions) => Layer.effect(LocalMaster, make(options))
}
