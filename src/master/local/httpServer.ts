// node:http in a Scope: a listener whose requests are answered by an Effect. Closing is prompt and in order: no new
// connections, then answers under way are finished or abandoned, then what is still open is cut.
import * as crypto from "node:crypto"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Answer } from "./call.ts"

export class ListenError extends Schema.TaggedError<ListenError>()("ListenError", {
  host: Schema.String,
  port: Schema.Int,
  reason: Schema.Literals(["PortInUse", "NotPermitted", "Failed"]),
  message: Schema.String,
}) {}

/** What was received, body and all. */
export interface Received {
  readonly method: string
  /** As it stood in the request line, with the query. */
  readonly target: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}

/** Largest request body, in bytes. */
export const bodyLimit = 16 * 1024 * 1024

const plain = (status: number, why: string): Answer => ({
  status,
  contentType: "text/plain; charset=utf-8",
  body: `${why}\n`,
})

const codeOf = (cause: unknown): string | undefined =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined

const listenError = (host: string, port: number, cause: unknown): ListenError => {
  const at = `${host} port ${port}`
  switch (codeOf(cause)) {
    case "EADDRINUSE":
      return new ListenError({
        host,
        port,
        reason: "PortInUse",
        message: `${at} is in use by another program: stop it, choose another port, or 0 for any free one`,
      })
    case "EACCES":
      return new ListenError({
        host,
        port,
        reason: "NotPermitted",
        message: `${at} may not be used by this user: choose a port from 1024 up`,
      })
    default:
      return new ListenError({ host, port, reason: "Failed", message: `cannot listen on ${at}: ${String(cause)}` })
  }
}

const listen = (server: http.Server, host: string, port: number): Effect.Effect<number, ListenError> =>
  Effect.callback((resume) => {
    server.once("error", (cause) => resume(Effect.fail(listenError(host, port, cause))))
    server.listen({ host, port, exclusive: true }, () => {
      const address: AddressInfo | string | null = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : port))
    })
  })

/**
 * Ends with the whole body, or with a refusal. What is too large is read to its end all the same (within the server's
 * time limit) and dropped: a client that is cut while it sends never sees the answer. Never ends when the client leaves.
 */
const readBody = (request: http.IncomingMessage): Effect.Effect<string, Answer> =>
  Effect.callback((resume) => {
    const chunks: Array<Buffer> = []
    let size = 0
    request.on("data", (chunk: Buffer) => {
      size += chunk.length
      if (size <= bodyLimit) chunks.push(chunk)
      else chunks.length = 0
    })
    request.on("end", () =>
      resume(
        size <= bodyLimit
          ? Effect.succeed(Buffer.concat(chunks).toString("utf8"))
          : Effect.fail(plain(413, `the request is larger than ${bodyLimit} bytes`)),
      ),
    )
  })

const isUnmodified = (request: http.IncomingMessage, tag: string): boolean =>
  (request.headers["if-none-match"] ?? "").split(",").some((known) => known.trim().replace(/^W\//, "") === tag)

/** A GET's answer carries a validator: a node that has the document already is told so in a few bytes. */
const send = (request: http.IncomingMessage, response: http.ServerResponse, answer: Answer): void => {
  if (request.method === "GET" && answer.status === 200) {
    const tag = `"${crypto.createHash("sha256").update(answer.body).digest("base64url")}"`
    response.setHeader("ETag", tag)
    if (isUnmodified(request, tag)) {
      response.writeHead(304).end()
      return
    }
  }
  const body = Buffer.from(answer.body, "utf8")
  response.writeHead(answer.status, { "Content-Type": answer.contentType, "Content-Length": body.length }).end(body)
}

const serve = (
  request: http.IncomingMessage,
  response: http.ServerResponse,
  handle: (received: Received) => Effect.Effect<Answer>,
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const body = yield* readBody(request)
    const { method = "GET", url = "/", headers } = request
    return yield* Effect.uninterruptible(handle({ method, target: url, headers, body }))
  }).pipe(
    Effect.catch((refusal: Answer) => Effect.succeed(refusal)),
    Effect.catchDefect((defect) =>
      Effect.as(
        Effect.logError(`the embedded master failed to answer ${request.method} ${request.url}`, defect),
        plain(500, "internal error of the embedded master"),
      ),
    ),
    Effect.flatMap((answer) => Effect.sync(() => send(request, response, answer))),
  )

/** Listens until the scope closes; returns the port, which is the one asked for unless that was 0. */
export const listenAndServe = (
  options: { readonly host: string; readonly port: number },
  handle: (received: Received) => Effect.Effect<Answer>,
): Effect.Effect<number, ListenError, Scope.Scope> =>
  Effect.gen(function* () {
    const server = yield* Effect.acquireRelease(
      Effect.sync(() => http.createServer({ requestTimeout: 60_000, headersTimeout: 20_000 })),
      (server) =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        }),
    )
    const fork = yield* FiberSet.makeRuntime()
    server.on("request", (request, response) => {
      const fiber = fork(serve(request, response, handle))
      response.once("close", () => fiber.interruptUnsafe())
    })
    const port = yield* listen(server, options.host, options.port)
    server.on("error", () => undefined)
    yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
    return port
  })
