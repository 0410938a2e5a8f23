// Clients that mean to keep a server busy, against the control socket and against a server without limits.
import { createServer } from "node:http"
import { connect, type Socket } from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A connection that is meant to last. */
export interface Hold {
  readonly isOpen: () => boolean
  /** When the other side has had enough. */
  readonly end: Effect.Effect<void>
}

export interface Client {
  readonly name: string
  readonly hold: (path: string) => Effect.Effect<Hold, never, Scope.Scope>
}

/** Sends it again and again, as fast as it is taken; its end is seen by that. */
const repeat = (socket: Socket, piece: Buffer): void => {
  const send = () => {
    while (!socket.destroyed && socket.write(piece));
  }
  socket.on("drain", send)
  send()
}

const client = (name: string, speak: (socket: Socket) => void): Client => ({
  name,
  hold: (path) =>
    Effect.acquireRelease(
      Effect.callback<Socket>((resume) => {
        const socket = connect(path)
        socket.on("error", () => undefined)
        socket.once("connect", () => {
          // To see its end.
          socket.resume()
          speak(socket)
          resume(Effect.succeed(socket))
        })
      }),
      (socket) => Effect.sync(() => socket.destroy()),
    ).pipe(
      Effect.map((socket) => ({
        isOpen: () => !socket.closed,
        end: Effect.callback<void>((resume) => {
          const ended = () => resume(Effect.void)
          socket.once("close", ended)
          if (socket.closed) ended()
        }),
      })),
    ),
})

const request = "POST /services HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

export const clients: ReadonlyArray<Client> = [
  client("says nothing", () => undefined),
  client("says a header and no end", (socket) => socket.write("GET /status HTTP/1.1\r\nHost: x\r\nX-A: ")),
  client("sends 16 MB", (socket) => {
    socket.write(`${request}Content-Length: 16777216\r\n\r\n`)
    socket.write(Buffer.alloc(16_777_215, 0x20))
  }),
  client("sends a body without end", (socket) => {
    socket.write(`${request}Transfer-Encoding: chunked\r\n\r\n`)
    repeat(socket, Buffer.from(`10000\r\n${" ".repeat(0x10000)}\r\n`))
  }),
  client("asks without end and reads no answer", (socket) => {
    socket.pause()
    repeat(socket, Buffer.from("GET /status HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000)))
  }),
  client("sends a byte of 1 GB in a while", (socket) => {
    socket.write(`${request}Content-Length: 1000000000\r\n\r\n{`)
  }),
]

/** Takes whatever comes, for as long as it comes. */
export const makeCarelessServer = (path: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const server = createServer({ requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0 }, (asked, answer) => {
        let body = ""
        asked.setEncoding("utf8").on("data", (text: string) => (body += text))
        asked.on("end", () => answer.end(body))
      })
      server.listen(path, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      }),
  ).pipe(Effect.as(path))
