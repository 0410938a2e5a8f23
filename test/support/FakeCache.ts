// A network cache on loopback: content by hash and an index, over http or https, which lies, stalls and breaks when a
// test says so. Signers are made with the openssl command, and sign with it.
import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as http from "node:http"
import * as https from "node:https"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { TLSSocket } from "node:tls"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export const sha512 = (bytes: Uint8Array): string => createHash("sha512").update(bytes).digest("hex")

export interface Signer {
  /** PEM text of its certificate. */
  readonly certificate: string
  readonly certificateFile: string
  readonly keyFile: string
  /** Signs with `openssl dgst`. */
  readonly sign: (text: string) => string
  /** Whether `openssl dgst` finds the signature good. */
  readonly verifies: (text: string, signature: string) => boolean
}

/** Gone with the Scope. */
export const makeSignerOf = Effect.fnUntraced(function* (bits: number) {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "slapgrid-signer-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true })),
  )
  const file = (name: string) => join(directory, name)
  const request = ["req", "-x509", "-newkey", `rsa:${bits}`, "-nodes", "-days", "2", "-subj", "/CN=signer"]
  execFileSync("openssl", [...request, "-keyout", file("key"), "-out", file("certificate")], { stdio: "pipe" })
  const certificate = readFileSync(file("certificate"), "utf8")
  execFileSync("openssl", ["x509", "-in", file("certificate"), "-noout", "-pubkey", "-out", file("public")])
  const signer: Signer = {
    certificate,
    certificateFile: file("certificate"),
    keyFile: file("key"),
    sign: (text) => {
      writeFileSync(file("text"), text)
      return execFileSync("openssl", ["dgst", "-sha1", "-sign", file("key"), file("text")]).toString("base64")
    },
    verifies: (text, signature) => {
      writeFileSync(file("signature"), Buffer.from(signature, "base64"))
      const words = ["dgst", "-sha1", "-verify", file("public"), "-signature", file("signature")]
      const { status, stdout } = spawnSync("openssl", words, { input: text, encoding: "utf8" })
      return status === 0 && stdout === "Verified OK\n"
    },
  }
  return signer
})

/** One of the usual size takes ten times as long to make. */
export const makeSigner = makeSignerOf(1024)

export interface Asked {
  readonly verb: string
  readonly path: string
  readonly authorization: string | undefined
  /** The name in the client's certificate, when that is of the server's CA. */
  readonly client: string | undefined
}

/** Answers in its own way; false: as usual. */
type Fault = (asked: Asked, response: http.ServerResponse, body: Buffer) => boolean

export class FakeCache {
  readonly contents = new Map<string, Buffer>()
  readonly index = new Map<string, Array<readonly [string, string]>>()
  readonly asked: Array<Asked> = []
  fault: Fault = () => false
  url = ""

  get cacheUrl(): string {
    return `${this.url}/shacache`
  }

  get dirUrl(): string {
    return `${this.url}/shadir/`
  }

  /** Has content, and an entry for it. */
  publish(key: string, content: Buffer, entry: Readonly<Record<string, unknown>>, signer: Signer): void {
    const hash = sha512(content)
    this.contents.set(hash, content)
    const text = JSON.stringify({ sha512: hash, ...entry })
    this.index.set(key, [...(this.index.get(key) ?? []), [text, signer.sign(text)]])
  }

  answer(request: http.IncomingMessage, response: http.ServerResponse, body: Buffer): void {
    const { headers, method = "", socket, url = "" } = request
    const client =
      socket instanceof TLSSocket && socket.authorized ? socket.getPeerCertificate().subject?.CN : undefined
    const asked = { verb: method, path: url, authorization: headers.authorization, client: client?.toString() }
    this.asked.push(asked)
    if (this.fault(asked, response, body)) return
    const [, place = "", name = ""] = url.split("/")
    if (method === "GET") {
      const found =
        place === "shacache" ? this.contents.get(name) : this.index.has(name) && JSON.stringify(this.index.get(name))
      response.writeHead(found ? 200 : 404).end(found || "not found")
    } else if (method === "POST" && url === "/shacache") {
      this.contents.set(sha512(body), body)
      response.writeHead(201).end(sha512(body))
    } else if (method === "PUT" && place === "shadir") {
      const pair = JSON.parse(body.toString()) as readonly [string, string]
      this.index.set(name, [...(this.index.get(name) ?? []), pair])
      response.writeHead(201).end()
    } else response.writeHead(405).end()
  }
}

/** Gone with the Scope. */
export const makeCache = (tls?: https.ServerOptions): Effect.Effect<FakeCache, never, Scope.Scope> =>
  Effect.gen(function* () {
    const cache = new FakeCache()
    const server = yield* Effect.acquireRelease(
      Effect.sync(() => (tls === undefined ? http.createServer() : https.createServer(tls))),
      (server) =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        }),
    )
    server.on("request", (request: http.IncomingMessage, response: http.ServerResponse) => {
      const chunks: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => chunks.push(chunk))
      request.on("end", () => cache.answer(request, response, Buffer.concat(chunks)))
    })
    yield* Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    })
    const { port } = server.address() as AddressInfo
    cache.url = `http${tls === undefined ? "" : "s"}://127.0.0.1:${port}`
    return cache
  })
