// The agent's own face on this machine: HTTP on a socket in its 0700 directory, so that whoever can connect is the
// agent's user or root. Answers come from the status board; nothing here can hold the agent up.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { MasterSync } from "../desired/MasterSync.ts"
import { Plans } from "../desired/Plans.ts"
import { Departure } from "../process/Departure.ts"
import { CommandRefused, ServiceCommands } from "../process/ServiceCommands.ts"
import { NodeMeter } from "../process/usage/NodeMeter.ts"
import { ServiceCommand } from "../process/service/commands.ts"
import { StatusBoard } from "../report/StatusBoard.ts"
import { ControlError, socketName } from "./protocol.ts"

interface Answer {
  readonly status: number
  readonly body: unknown
}

export class ControlServer extends Context.Service<ControlServer, { readonly path: string }>()(
  "slapgrid/control/ControlServer",
) {
  /** `directory` belongs to the agent alone, and the agent holds its lock: a socket found there is a dead agent's. */
  static readonly layer = (directory: string) =>
    Layer.effect(
      ControlServer,
      Effect.gen(function* () {
        const board = yield* StatusBoard
        const sync = yield* MasterSync
        const { leave } = yield* Departure
        const run = Effect.runPromiseWith(yield* Effect.context())
        const commands = yield* ServiceCommands
        const meter = yield* NodeMeter
        const plans = yield* Plans
        const routes: Readonly<Record<string, (body: string) => Effect.Effect<unknown, CommandRefused>>> = {
          "GET /status": () => board.get,
          "GET /plan": () => plans.get,
          "GET /usage": () => Effect.flatMap(board.get, ({ software }) => meter.read(software.map(({ url }) => url))),
          // Answered first: the socket is gone when the node is.
          "POST /detach": () => Effect.as(Effect.forkDetach(Effect.delay(leave, "50 millis")), {}),
          "POST /sync": () => Effect.as(sync.syncNow, {}),
          "POST /services": (body) => Effect.flatMap(parseCommand(body), commands.run),
        }
        const answer = (request: IncomingMessage, body: string): Effect.Effect<Answer> => {
          const route = routes[`${request.method ?? ""} ${request.url ?? ""}`]
          return route === undefined
            ? Effect.succeed({ status: 404, body: { error: `no such call: ${request.method} ${request.url}` } })
            : Effect.map(route(body), (body): Answer => ({ status: 200, body })).pipe(
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
        yield* listen(directory, (request, response) => {
          void readBody(request)
            .then((body) => run(answer(request, body)))
            .then(
              (it) => send(response, it),
              () => response.destroy(),
            )
        })
        yield* removedAtEnd(`${directory}/${socketName}`)
        return { path: `${directory}/${socketName}` }
      }),
    )
}

const parseCommand = (body: string): Effect.Effect<ServiceCommand, CommandRefused> =>
  Schema.decodeEffect(Schema.fromJsonString(ServiceCommand))(body).pipe(
    Effect.mapError((error) => new CommandRefused({ message: `this is no command: ${error.message}` })),
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

const send = (response: ServerResponse, { body, status }: Answer): void => {
  response.writeHead(status, { "content-type": "application/json" })
  response.end(JSON.stringify(body))
}

const listen = (directory: string, handle: (request: IncomingMessage, response: ServerResponse) => void) =>
  Effect.acquireRelease(
    Effect.callback<Server, ControlError>((resume) => {
      const path = `${directory}/${socketName}`
      const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, handle)
      server.maxConnections = 64
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
