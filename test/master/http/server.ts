// A node:http(s) server on loopback that plays the master, and private certificates made with the openssl command.
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import * as http from "node:http"
import * as https from "node:https"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
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

export const fakeMaster = (script: Script, tls?: https.ServerOptions) =>
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
        server.listen(0, "127.0.0.1", resolve)
      })
      const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
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

export interface Authority {
  readonly directory: string
  readonly caFile: string
  /** Makes `<name>.crt` and `<name>.key`, signed by this authority. */
  readonly issue: (name: string, subject?: string) => { readonly certFile: string; readonly keyFile: string }
  readonly read: (file: string) => Buffer
  readonly remove: () => void
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]

export const makeAuthority = (): Authority => {
  const directory = mkdtempSync(join(tmpdir(), "slapgrid-ca-"))
  const openssl = (...words: ReadonlyArray<string>) => execFileSync("openssl", words, { cwd: directory, stdio: "pipe" })
  openssl("req", "-x509", ...newKey, "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.crt")
  return {
    directory,
    caFile: join(directory, "ca.crt"),
    issue: (name, subject = name) => {
      const extensions = [
        "-addext",
        "subjectAltName=IP:127.0.0.1,DNS:master.invalid",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
      ]
      const files = ["-CA", "ca.crt", "-CAkey", "ca.key", "-keyout", `${name}.key`, "-out", `${name}.crt`]
      openssl("req", "-x509", ...newKey, "-subj", `/CN=${subject}`, ...extensions, ...files)
      return { certFile: join(directory, `${name}.crt`), keyFile: join(directory, `${name}.key`) }
    },
    read: (file) => readFileSync(join(directory, file)),
    remove: () => rmSync(directory, { recursive: true }),
  }
}
