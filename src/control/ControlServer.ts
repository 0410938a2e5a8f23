// The agent's own face on this machine: HTTP on a socket in its 0700 directory, so that whoever can connect is the
// agent's user or root. Answers come from the status board; nothing here can hold the agent up.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import * as fs from "node:fs"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { Passes } from "../desired/Passes.ts"
import { Plans } from "../desired/Plans.ts"
import { PassRequest } from "../domain/Pass.ts"
import { Departure } from "../process/Departure.ts"
import { CommandRefused, ServiceCommands } from "../process/ServiceCommands.ts"
import { NodeMeter } from "../process/usage/NodeMeter.ts"
import { ServiceCommand } from "../process/service/commands.ts"
import { StatusBoard } from "../report/StatusBoard.ts"
import { sendEvents } from "./eventStream.ts"
import { ControlError, socketName } from "./protocol.ts"

type Answer =
  | { readonly status: number; readonly body: unknown }
  /** One that goes on. */
  | { readonly events: Stream.Stream<unknown> }

/** An answer that is given at once. */
const whole = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<Answer, E> =>
  Effect.map(effect, (body) => ({ status: 200, body }))

export class ControlServer extends Context.Service<ControlServer, { readonly path: string }>()(
  "slapgrid/control/ControlServer",
) {
  /** `directory` belongs to the agent alone, and the agent holds its lock: a socket found there is a dead agent's. */
  static readonly layer = (directory: string) =>
    Layer.effect(
      ControlServer,
      Effect.gen(function* () {
        const board = yield* StatusBoard
        const { begin } = yield* Passes
        const { leave } = yield* Departure
        const run = Effect.runPromiseWith(yield* Effect.context())
        const commands = yield* ServiceCommands
        const meter = yield* NodeMeter
        const plans = yield* Plans
        const routes: Readonly<Record<string, (body: string) => Effect.Effect<Answer, CommandRefused>>> = {
          "GET /status": () => whole(board.get),
          "GET /plan": () => whole(plans.get),
          "GET /usage": () =>
            whole(Effect.flatMap(board.get, ({ software }) => meter.read(software.map(({ url }) => url)))),
          // Answered first: the socket is gone when the node is.
          "POST /detach": () => whole(Effect.as(Effect.forkDetach(Effect.delay(leave, "50 millis")), {})),
          "POST /passes": (body) =>
            parse(
              PassRequest,
              "pass",
            )(body).pipe(
              Effect.flatMap(begin),
              Effect.map((events) => ({ events })),
            ),
          "POST /services": (body) => whole(Effect.flatMap(parse(ServiceCommand, "command")(body), commands.run)),
        }
        const answer = (request: IncomingMessage, body: string): Effect.Effect<Answer> => {
          const route = routes[`${request.method ?? ""} ${request.url ?? ""}`]
          return route === undefined
            ? Effect.succeed({ status: 404, body: { error: `no such call: ${request.method} ${request.url}` } })
            : route(body).pipe(
                Effect.catch(({ message }) => Effect.succeed<Answer>({ status: 400, body: { error: message } })),
                // A rejected promise that nobody looks at would end the agent.
                Effect.catchCause((cause) =>
                  Effect.as(Effect.logError(`the call ${request.method} ${request.url} failed`, cause), {
                    status: 500,
                    body: { error: "the agent failed to answer: see its log" },
                  }),
                ),
              )
        }
        const serve = (request: IncomingMessage, response: ServerResponse) =>
          Effect.flatMap(
            Effect.promise(() => readBody(request)),
            (body) =>
              Effect.flatMap(answer(request, body), (it) =>
                "events" in it ? sendEvents(response, it.events) : Effect.sync(() => send(response, it)),
              ),
          )
        yield* listen(directory, (request, response) => {
          run(serve(request, response)).catch(() => response.destroy())
        })
        yield* removedAtEnd(`${directory}/${socketName}`)
        return { path: `${directory}/${socketName}` }
      }),
    )
}

const parse =
  <A>(schema: Schema.Decoder<A>, what: string) =>
  (body: string): Effect.Effect<A, CommandRefused> =>
    Schema.decodeEffect(Schema.fromJsonString(schema))(body).pipe(
      Effect.mapError((error) => new CommandRefused({ message: `this is no ${what}: ${error.message}` })),
    )

/** More names than any node has programs take less. */
const maxBody = 1024 * 1024

/** Rejects when there is too much of it, or the connection is lost. */
const readBody = async (request: IncomingMessage): Promise<string> => {
  const parts: Array<Buffer> = []
  let size = 0
  for await (const part of request) {
    parts.push(part)
    size += part.length
    if (size > maxBody) throw new Error("too large")
  }
  return Buffer.concat(parts).toString("utf8")
}

/** Milliseconds that a client may leave an answer unread. */
const sendPatience = 10_000

const send = (response: ServerResponse, { body, status }: Extract<Answer, { readonly status: number }>): void => {
  response.setTimeout(sendPatience, () => response.destroy())
  response.writeHead(status, { "content-type": "application/json" })
  response.end(JSON.stringify(body))
}

const listen = (directory: string, handle: (request: IncomingMessage, response: ServerResponse) => void) =>
  Effect.acquireRelease(
    Effect.callback<Server, ControlError>((resume) => {
      const path = `${directory}/${socketName}`
      const server = createServer(
        { requestTimeout: 5_000, headersTimeout: 5_000, connectionsCheckingInterval: 1_000 },
        handle,
      )
      server.maxConnections = 64
      // One after the other without reading would pile up answers.
      server.maxRequestsPerSocket = 1
      const failed = (cause: unknown) => {
        const why = cause instanceof Error ? cause.message : String(cause)
        resume(new ControlError({ path, message: `cannot listen on ${path}: ${why}`, isAbsent: false }))
      }
      try {
        fs.rmSync(path, { force: true })
        // A socket's path is bounded at 107 bytes; through the open directory it is always short.
        const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
        // For the server's whole life: a connection that cannot be accepted must not end the agent.
        server.on("error", failed)
        server.once("listening", () => {
          fs.chmodSync(path, 0o600)
          resume(Effect.succeed(server))
        })
        // Bound at once, so that the directory need not be held open for it.
        server.listen(`/proc/self/fd/${fd}/${socketName}`)
        fs.closeSync(fd)
      } catch (cause) {
        failed(cause)
      }
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      }),
  )

/** Removes the socket with the Scope, or with a process that ends without closing it (a second signal). */
const removedAtEnd = (path: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const remove = () => fs.rmSync(path, { force: true })
      process.on("exit", remove)
      return remove
    }),
    (remove) =>
      Effect.sync(() => {
        process.off("exit", remove)
        remove()
      }),
  )
