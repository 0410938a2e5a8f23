// The embedded master as its clients meet it: over HTTP.
import { assert, describe, it } from "@effect/vitest"
import * as http from "node:http"
import * as net from "node:net"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { bodyLimit } from "../../../src/master/local/httpServer.ts"
import { LocalMaster } from "../../../src/master/local/LocalMaster.ts"
import { formatXml } from "./master.ts"

const start = Effect.map(Layer.build(LocalMaster.layer({ database: ":memory:", port: 0 })), (context) =>
  Context.get(context, LocalMaster),
)

interface Answered {
  readonly status: number
  readonly headers: Headers
  readonly body: string
}

const ask = (url: string, init?: RequestInit): Effect.Effect<Answered> =>
  Effect.promise(async () => {
    const response = await fetch(url, init)
    return { status: response.status, headers: response.headers, body: await response.text() }
  })

const post = (url: string, form: Record<string, string>, headers: Record<string, string> = {}) =>
  ask(url, { method: "POST", body: new URLSearchParams(form), headers })

/** Sends raw bytes and ends with what came back when the server closed the connection. */
const raw = (url: string, bytes: string): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const socket = net.connect(Number(new URL(url).port), "127.0.0.1", () => socket.write(bytes))
    let received = ""
    socket.on("data", (chunk) => (received += chunk.toString()))
    socket.on("close", () => resume(Effect.succeed(received)))
  })

const status = (url: string, headers: Record<string, string>): Effect.Effect<number | undefined> =>
  Effect.callback((resume) => {
    http.get(`${url}status.json`, { headers, agent: false }, (response) => {
      response.resume()
      resume(Effect.succeed(response.statusCode))
    })
  })

describe("LocalMaster", () => {
  it.effect("answers forms and queries with documents", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      const xml = formatXml(["slappart0"])
      assert.strictEqual((yield* post(`${url}loadComputerConfigurationFromXML`, { xml })).body, "done")
      const { body, headers } = yield* ask(`${url}getFullComputerInformation?computer_id=COMP-1`)
      assert.include(body, "<string>slappart0</string>")
      assert.match(headers.get("content-type") ?? "", /^text\/xml/)
      const told = JSON.parse((yield* ask(`${url}status.json`)).body)
      assert.strictEqual(told.computers[0].partitions[0].free, true)
    }),
  )

  it.effect("offers a validator, and answers 304 until the document changes", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      const supply = (sr: string) => post(`${url}supplySupply`, { computer_id: "COMP-1", url: sr, state: "available" })
      yield* post(`${url}loadComputerConfigurationFromXML`, { xml: formatXml(["slappart0"]) })
      const document = `${url}getFullComputerInformation?computer_id=COMP-1`
      const first = yield* ask(document)
      const condition = { headers: { "If-None-Match": first.headers.get("etag") ?? "" } }
      const same = yield* ask(document, condition)
      assert.deepStrictEqual([same.status, same.body], [304, ""])
      yield* supply("/sr.cfg")
      assert.strictEqual((yield* ask(document, condition)).status, 200)
    }),
  )

  it.effect("tells which port is in use and what to do", () =>
    Effect.gen(function* () {
      const port = Number(new URL((yield* start).url).port)
      const error = yield* Effect.flip(Layer.build(LocalMaster.layer({ database: ":memory:", port })))
      assert.deepInclude(error, { _tag: "ListenError", reason: "PortInUse", port })
      assert.match(error.message, new RegExp(`port ${port} is in use.*choose another port`))
    }),
  )

  it.effect("refuses a body beyond its limit and keeps serving", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      const huge = yield* post(`${url}useComputer`, { use_string: "x".repeat(bodyLimit) })
      assert.strictEqual(huge.status, 413)
      assert.strictEqual((yield* ask(url)).status, 200)
    }),
  )

  it.effect("survives what is no HTTP and requests that break off", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      assert.match(yield* raw(url, "\x00\x01nonsense\r\n\r\n"), /^HTTP\/1.1 400/)
      const broken = net.connect(Number(new URL(url).port), "127.0.0.1")
      broken.end("POST /useComputer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
      yield* Effect.callback<void>((resume) => {
        broken.resume().on("close", () => resume(Effect.void))
      })
      assert.strictEqual((yield* ask(`${url}%ff%00?computer_id=%zz`)).status, 404)
      assert.strictEqual((yield* ask(url)).status, 200)
    }),
  )

  it.effect("turns web pages away", () =>
    Effect.gen(function* () {
      const { url } = yield* start
      const port = new URL(url).port
      const statuses = [
        yield* status(url, {}),
        yield* status(url, { Host: `localhost:${port}` }),
        yield* status(url, { "Sec-Fetch-Site": "none" }),
        yield* status(url, { Origin: "http://example.invalid" }),
        yield* status(url, { "Sec-Fetch-Site": "cross-site" }),
        yield* status(url, { Host: `rebound.example.invalid:${port}` }),
      ]
      assert.deepStrictEqual(statuses, [200, 200, 200, 403, 403, 403])
      const json = yield* ask(`${url}supplySupply`, {
        method: "POST",
        body: "{}",
        headers: { "Content-Type": "text/plain" },
      })
      assert.strictEqual(json.status, 415)
    }),
  )

  it.effect("closes promptly although clients hold idle and half-sent connections", () =>
    Effect.gen(function* () {
      const cut = yield* Effect.scoped(
        Effect.gen(function* () {
          const { url } = yield* start
          const half = net.connect(Number(new URL(url).port), "127.0.0.1")
          const closed = new Promise<void>((resolve) => half.on("error", () => resolve()).on("close", () => resolve()))
          half.write("POST /useComputer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
          yield* ask(url)
          return { closed, url }
        }),
      )
      yield* Effect.promise(() => cut.closed)
      const refused = yield* Effect.promise(() =>
        fetch(cut.url).then(
          () => false,
          () => true,
        ),
      )
      assert.isTrue(refused)
    }),
  )
})
