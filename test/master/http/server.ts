// A node:http(s) server on loopback that plays the master.
import * as http from "node:http"
import * as https from "node:https"
import type { AddressInfo } from "node:net"
import { TLSSocket } from "node:tls"
import * as Effect from "effect/Effect"

export interface Received {
  readonly verb: string
  readonly path: string
  readonly query: Record<string, string>
  readonly form: Record<string, string>
  readonly headers: http.IncomingHttpHeaders
  /** The name in the client's certificate. */
  readonly client: string | undefined
}

export interface Reply {
  readonly status?: number
  readonly body?: string | Uint8Array
  readonly headers?: Record<string, string>
}

/** What is to be answered; undefined leaves the call without an answer, an Error resets the connection. */
export type Script = (received: Received, request: http.IncomingMessage) => Reply | Error | undefined

export interface FakeMaster {
  readonly url: string
  readonly host: string
  readonly received: Array<Received>
  readonly server: http.Server
}

export const fakeMaster = (script: Script, tls?: https.ServerOptions, address = "127.0.0.1") =>
  Effect.acquireRelease(
    Effect.promise(async (): Promise<FakeMaster> => {
      const received: Array<Received> = []
      const server = tls === undefined ? http.createServer() : https.createServer(tls)
      server.on("request", (request: http.IncomingMessage, response: http.ServerResponse) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => {
          const seen = describe(request, Buffer.concat(chunks).toString())
          received.push(seen)
          answer(request, response, script(seen, request))
        })
      })
      await new Promise<void>((resolve) => {
        server.listen(0, address, resolve)
      })
      const name = address.includes(":") ? `[${address}]` : address
      const host = `${name}:${(server.address() as AddressInfo).port}`
      return { url: `${tls === undefined ? "http" : "https"}://${host}/`, host, received, server }
    }),
    ({ server }) =>
      Effect.promise(
        () =>
          new Promise<void>((resolve) => {
            server.close(() => resolve())
            server.closeAllConnections()
          }),
      ),
  )

const describe = (request: http.IncomingMessage, body: string): Received => {
  const url = new URL(request.url ?? "", "http://master")
  const { socket } = request
  return {
    verb: request.method ?? "",
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    form: Object.fromEntries(new URLSearchParams(body)),
    headers: request.headers,
    client: socket instanceof TLSSocket ? String(socket.getPeerCertificate().subject?.CN) : undefined,
  }
}

const answer = (
  request: http.IncomingMessage,
  response: http.ServerResponse,
  reply: Reply | Error | undefined,
): void => {
  if (reply instanceof Error) {
    request.socket.resetAndDestroy()
  } else if (reply !== undefined) {
    response.writeHead(reply.status ?? 200, reply.headers)
    response.end(reply.body ?? "")
  }
}
