import { gzipSync } from "node:zlib"
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { expect, vi } from "vitest"
import type { Report } from "../../../src/domain/Report.ts"
import type { MasterClient } from "../../../src/master/MasterClient.ts"
import type { MasterErrorReason } from "../../../src/master/MasterError.ts"
import { fakeMaster } from "./server.ts"
import { bang, clientOf, computerXml, release, slappart0, started } from "./support.ts"

describe("calls", () => {
  it.effect("the desired state is asked with the computer's id", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ body: computerXml }))
      const client = yield* clientOf(master.url)
      const state = yield* client.desiredState
      expect(state.partitions.map(({ id }) => id)).toStrictEqual([0, 1, 2, 3, 4].map((n) => `slappart${n}`))
      expect(master.received).toMatchObject([
        {
          verb: "GET",
          path: "/getFullComputerInformation",
          query: { computer_id: "COMP-1" },
          headers: { "user-agent": "slapgrid/1.2.3", accept: "*/*" },
        },
      ])
    }),
  )

  it.effect("reports are form posts whose answer is ignored", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ body: "<Ignored" }))
      const client = yield* clientOf(master.url)
      yield* client.report({ _tag: "Software", url: release, state: "error", log: "a=b&c é\n\uD800" })
      yield* client.report(bang)
      expect(master.received).toMatchObject([
        {
          verb: "POST",
          path: "/softwareReleaseError",
          query: {},
          form: { url: "https://x/software.cfg", computer_id: "COMP-1", error_log: "a=b&c é\n\uFFFD" },
          headers: { "content-type": "application/x-www-form-urlencoded", "user-agent": "slapgrid/1.2.3" },
        },
        { path: "/softwareInstanceBang", form: { computer_partition_id: "slappart0", message: "hello" } },
      ])
    }),
  )

  it.effect("a partition's certificate is read, and its key kept out of logs", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({
        body: '<marshal><dictionary id="i2"><string>certificate</string><string>C</string><string>key</string><string>K</string></dictionary></marshal>',
      }))
      const client = yield* clientOf(master.url)
      const { certificate, key } = yield* client.partitionCertificate(slappart0)
      expect([certificate, Redacted.value(key), Redacted.isRedacted(key)]).toStrictEqual(["C", "K", true])
      expect(master.received[0]?.query).toStrictEqual({ computer_id: "COMP-1", computer_partition_id: "slappart0" })
    }),
  )

  it.effect("the master's URL may have a path, no final slash, and a user", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ status: 500 }))
      const client = yield* clientOf(`${master.url.replace("://", "://me:p%40ss@")}slap/v1`)
      const error = yield* Effect.flip(client.report(started))
      expect(master.received).toMatchObject([
        { path: "/slap/v1/startedComputerPartition", headers: { authorization: `Basic ${btoa("me:p@ss")}` } },
      ])
      expect(error.message).not.toMatch(/me:|p@ss|p%40ss/)
    }),
  )

  it.effect("a master that offers a validator is asked for changes only", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(({ headers }) =>
        headers["if-none-match"] === '"7"' ? { status: 304 } : { body: computerXml, headers: { etag: '"7"' } },
      )
      const client = yield* clientOf(master.url)
      const first = yield* client.desiredState
      const second = yield* client.desiredState
      expect(second).toBe(first)
      expect(master.received.map(({ headers }) => headers["if-none-match"])).toStrictEqual([undefined, '"7"'])
    }),
  )

  it.effect("an answer of the same bytes is not read again, any other is", () =>
    Effect.gen(function* () {
      const other = computerXml.replaceAll("slappart4", "slappart9")
      const bodies = [computerXml, computerXml, "<broken", computerXml, other]
      const master = yield* fakeMaster(() => ({ body: bodies.shift() ?? "" }))
      const client = yield* clientOf(master.url)
      const first = yield* client.desiredState
      expect(yield* client.desiredState).toBe(first)
      expect(yield* Effect.flip(client.desiredState)).toMatchObject({ reason: "InvalidAnswer" })
      expect(yield* client.desiredState).toBe(first)
      expect((yield* client.desiredState).partitions.at(-1)?.id).toBe("slappart9")
      expect(master.received.map(({ headers }) => headers["if-none-match"])).toStrictEqual(Array(5).fill(undefined))
    }),
  )

  it.effect("a master that lacks getFullComputerInformation is asked by the older name", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(({ path }) =>
        path === "/getComputerInformation" ? { body: computerXml } : { status: 404 },
      )
      const client = yield* clientOf(master.url)
      const state = yield* client.desiredState
      expect(state.computer).toBe("COMP-1")
      expect(master.received.map(({ path }) => path)).toStrictEqual([
        "/getFullComputerInformation",
        "/getComputerInformation",
      ])
    }),
  )

  it.effect("a master that knows neither has no such computer", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ status: 404 }))
      const client = yield* clientOf(master.url)
      const error = yield* Effect.flip(client.desiredState)
      expect(error).toMatchObject({ reason: "NotFound", method: "getFullComputerInformation", status: 404 })
    }),
  )
})

describe("the status table", () => {
  const rows: ReadonlyArray<readonly [status: number, reason: MasterErrorReason, isRetryable: boolean]> = [
    [400, "Refused", false],
    [401, "Unauthorised", true],
    [403, "Unauthorised", true],
    [404, "NotFound", false],
    [408, "NotReady", true],
    [409, "Refused", false],
    [422, "Refused", false],
    [429, "Unavailable", true],
    [500, "Unavailable", true],
    [502, "Unavailable", true],
    [503, "Unavailable", true],
    [304, "Refused", false],
  ]

  it.effect.each(rows)("%s", ([status, reason, isRetryable]) =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ status }))
      const client = yield* clientOf(master.url)
      for (const call of [client.desiredState, client.report(started), client.partitionCertificate(slappart0)]) {
        const error = yield* Effect.flip(Effect.asVoid(call))
        expect(error).toMatchObject({ _tag: "MasterError", status, reason, isRetryable })
        expect(error.message).toContain(`at ${master.host}: status ${status}`)
      }
    }),
  )

  it.effect.each([200, 201, 204])("%s is success", (status) =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ status }))
      const client = yield* clientOf(master.url)
      yield* client.report(started)
      expect(master.received.length).toBe(1)
    }),
  )

  it.effect("404 is harmless where nothing has to be done about it", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ status: 404 }))
      const client = yield* clientOf(master.url)
      yield* client.report({ _tag: "Software", url: release, state: "building" })
      yield* client.report({ _tag: "Partition", id: slappart0, state: "destroyed" })
      const others: ReadonlyArray<Report> = [
        { _tag: "Software", url: release, state: "available" },
        { _tag: "Software", url: release, state: "destroyed" },
        { _tag: "Partition", id: slappart0, state: "stopped" },
        bang,
      ]
      for (const report of others) {
        const error = yield* Effect.flip(client.report(report))
        expect(error.reason).toBe("NotFound")
      }
    }),
  )

  it.effect("nobody listens", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(fakeMaster(() => ({})))
      const client = yield* clientOf(gone.url)
      const error = yield* Effect.flip(client.desiredState)
      expect(error).toMatchObject({ reason: "Unreachable", status: undefined, isRetryable: true })
      expect(error.message).toBe(
        `getFullComputerInformation at ${gone.host}: no answer: connect ECONNREFUSED ${gone.host}; ask again later`,
      )
    }),
  )

  it.effect("the connection is reset", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => new Error("reset"))
      const client = yield* clientOf(master.url)
      const error = yield* Effect.flip(client.report(started))
      expect(error).toMatchObject({ reason: "Unreachable", status: undefined })
      expect(master.received.length).toBe(1)
    }),
  )

  it.effect("TLS is spoken to a master that has none", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({}))
      const client = yield* clientOf(master.url.replace("http:", "https:"))
      const error = yield* Effect.flip(client.report(started))
      expect(error).toMatchObject({ reason: "Unreachable", status: undefined })
    }),
  )
})

describe("answers", () => {
  const document = (xml: string | Uint8Array) => () => ({ body: xml })
  const other = computerXml.replaceAll("COMP-1", "COMP-9")
  const cases: ReadonlyArray<readonly [what: string, body: string | Uint8Array, message: string]> = [
    ["a login page", "<html><body>Hello</body></html>", "the document is <html>, not <marshal>"],
    ["nothing", "", "the document is empty"],
    ["a value of another kind", "<marshal><none/></marshal>", "not a Computer"],
    ["another computer's", other, 'the document is about computer "COMP-9", not COMP-1'],
    ["another encoding", Buffer.from("<marshal><string>\xe9</string></marshal>", "latin1"), "bytes that are not UTF-8"],
  ]

  it.effect.each(cases)("%s", ([, body, message]) =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(document(body))
      const client = yield* clientOf(master.url)
      const error = yield* Effect.flip(client.desiredState)
      expect(error).toMatchObject({ reason: "InvalidAnswer", status: 200, isRetryable: true })
      expect(error.message).toContain(message)
      expect(error.message).toContain(master.host)
    }),
  )

  it.effect("a certificate document with something else in it; the message shows no piece of it", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(document("<marshal><int>secret</int></marshal>"))
      const client = yield* clientOf(master.url)
      const error = yield* Effect.flip(client.partitionCertificate(slappart0))
      expect(error).toMatchObject({ reason: "InvalidAnswer" })
      expect(error.message).toContain("does not hold a certificate and a key")
      expect(error.message).not.toContain("secret")
    }),
  )

  it.effect("an explanation of the master is quoted, short and harmless", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({
        status: 409,
        body: `<html>\n<h1>No\u001B[31m way</h1>\u202E ${"x".repeat(1000)}`,
      }))
      const client = yield* clientOf(master.url)
      const { message } = yield* Effect.flip(client.report(started))
      expect(message).toContain(String.raw`status 409 (No\u{1b}[31m way \u{202e} xxx`)
      expect(message.length).toBeLessThan(500)
    }),
  )

  it.effect("an error that echoes a key is not quoted", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ status: 500, body: "-----BEGIN PRIVATE KEY-----secret" }))
      const client = yield* clientOf(master.url)
      const { message } = yield* Effect.flip(client.report(started))
      expect(message).not.toMatch(/secret|KEY/)
    }),
  )
})

describe("redirects", () => {
  it.effect("of a GET are followed, and lead no credentials astray", () =>
    Effect.gen(function* () {
      const second = yield* fakeMaster(() => ({ body: computerXml }))
      const first = yield* fakeMaster(({ path }) =>
        path === "/here/getFullComputerInformation"
          ? { status: 302, headers: { location: `${second.url}there?computer_id=COMP-1` } }
          : { status: 301, headers: { location: "here/getFullComputerInformation" } },
      )
      const client = yield* clientOf(first.url.replace("://", "://me:secret@"))
      const state = yield* client.desiredState
      expect(state.computer).toBe("COMP-1")
      expect(first.received.map(({ headers }) => headers.authorization !== undefined)).toStrictEqual([true, true])
      expect(second.received).toMatchObject([{ path: "/there", query: { computer_id: "COMP-1" } }])
      expect(second.received[0]?.headers.authorization).toBeUndefined()
    }),
  )

  it.effect("without end end", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ status: 307, headers: { location: "/again" } }))
      const client = yield* clientOf(master.url)
      const error = yield* Effect.flip(client.desiredState)
      expect(error).toMatchObject({ reason: "Refused", status: 307 })
      expect(master.received.length).toBe(6)
    }),
  )

  it.effect("of a POST are told", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ status: 302, headers: { location: "/login" } }))
      const client = yield* clientOf(master.url)
      const error = yield* Effect.flip(client.report(started))
      expect(error).toMatchObject({ reason: "Refused", status: 302 })
      expect(error.message).toContain("put the final address into master_url")
      expect(master.received.length).toBe(1)
    }),
  )
})

describe("proxies", () => {
  /** For this test, and nothing of the machine's own. */
  const withProxies = (variables: Readonly<Record<string, string>>) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        for (const name of ["http_proxy", "https_proxy", "no_proxy"]) {
          vi.stubEnv(name, variables[name])
          vi.stubEnv(name.toUpperCase(), variables[name.toUpperCase()])
        }
      }),
      () => Effect.sync(() => vi.unstubAllEnvs()),
    )

  it.effect.each(["http_proxy", "HTTP_PROXY"])("of %s are used, but not where no_proxy or NO_PROXY say so", (name) =>
    Effect.gen(function* () {
      const proxy = yield* fakeMaster(() => ({ body: computerXml }))
      const master = yield* fakeMaster(() => ({ body: computerXml }), undefined, "0.0.0.0")
      const asked = Effect.fnUntraced(function* (variables: Readonly<Record<string, string>>) {
        const before = [proxy, master].map(({ received }) => received.length)
        yield* withProxies({ [name]: proxy.url, ...variables })
        yield* (yield* clientOf(master.url)).desiredState
        return [proxy, master].map(({ received }, index) => received.length - (before[index] ?? 0))
      }, Effect.scoped)
      expect(yield* asked({})).toStrictEqual([1, 0])
      expect(yield* asked({ no_proxy: "elsewhere.invalid" })).toStrictEqual([1, 0])
      expect(yield* asked({ no_proxy: "elsewhere.invalid,0.0.0.0" })).toStrictEqual([0, 1])
      expect(yield* asked({ NO_PROXY: "0.0.0.0" })).toStrictEqual([0, 1])
    }),
  )

  it.effect("of the environment are used, but not for this machine's own master", () =>
    Effect.gen(function* () {
      const proxy = yield* fakeMaster(() => ({ body: computerXml }))
      const local = yield* fakeMaster(() => ({ body: computerXml }))
      yield* withProxies({ http_proxy: proxy.url })
      const remoteClient = yield* clientOf("http://master.invalid/")
      const localClient = yield* clientOf(local.url)
      yield* remoteClient.desiredState
      yield* localClient.desiredState
      expect(proxy.received.map(({ headers, path }) => [headers.host, path])).toStrictEqual([
        ["master.invalid", "/getFullComputerInformation"],
      ])
      expect(local.received.length).toBe(1)
    }),
  )
})

/** A master that never answers, what tells that it got a call, and what tells that the caller went away. */
const silentMaster = Effect.gen(function* () {
  const arrived = Promise.withResolvers<void>()
  const left = Promise.withResolvers<void>()
  const master = yield* fakeMaster((_, request) => {
    request.socket.once("close", () => left.resolve())
    arrived.resolve()
    return undefined
  })
  return { master, arrived: Effect.promise(() => arrived.promise), left: Effect.promise(() => left.promise) }
})

describe("time and connections", () => {
  it.effect("a call without an answer ends after 60 s", () =>
    Effect.gen(function* () {
      const { arrived, left, master } = yield* silentMaster
      const client = yield* clientOf(master.url)
      const fiber = yield* Effect.forkChild(Effect.flip(client.desiredState))
      yield* arrived
      yield* TestClock.adjust("59 seconds")
      expect(fiber.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(fiber)
      expect(error).toMatchObject({ reason: "Unreachable", status: undefined })
      expect(error.message).toContain("no complete answer within 60 s")
      yield* left
    }),
  )

  it.effect("interruption ends the call's connection", () =>
    Effect.gen(function* () {
      const { arrived, left, master } = yield* silentMaster
      const client = yield* clientOf(master.url)
      const fiber = yield* Effect.forkChild(client.report(started))
      yield* arrived
      yield* Fiber.interrupt(fiber)
      yield* left
    }),
  )

  it.effect("connections end with the scope", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ body: "OK" }))
      const ends: Array<Promise<void>> = []
      master.server.on("connection", (socket) => {
        const { promise, resolve } = Promise.withResolvers<void>()
        socket.once("close", () => resolve())
        ends.push(promise)
      })
      const scope = yield* Scope.make()
      const client = yield* Scope.provide(clientOf(master.url), scope)
      yield* Effect.all([client.report(started), client.report(bang)], { concurrency: "unbounded" })
      expect(ends).toHaveLength(2)
      yield* Scope.close(scope, Exit.void)
      yield* Effect.promise(() => Promise.all(ends))
    }),
  )
})

describe("a master that is not there", () => {
  const report = Effect.fnUntraced(function* (client: MasterClient["Service"]) {
    return yield* Effect.flip(client.report(started))
  })

  it.effect("is called by few, asked for the desired state by all the same, and followed when it is back", () =>
    Effect.gen(function* () {
      let status = 503
      const master = yield* fakeMaster(() => ({ status, body: computerXml }))
      const client = yield* clientOf(master.url)
      for (let call = 0; call < 5; call++) {
        expect((yield* report(client)).status).toBe(503)
      }
      const held = yield* report(client)
      expect(held).toMatchObject({ reason: "Unavailable", status: undefined, isRetryable: true, mayHaveArrived: false })
      expect(held.message).toContain("not called, because the master was not there 5 times in a row")
      expect(master.received.length).toBe(5)
      expect((yield* Effect.flip(client.desiredState)).status).toBe(503)
      status = 200
      yield* client.desiredState
      yield* client.report(started)
      expect(master.received.length).toBe(8)
    }),
  )

  it.effect("is called again when its time has come", () =>
    Effect.gen(function* () {
      let status = 503
      const master = yield* fakeMaster(() => ({ status }))
      const client = yield* clientOf(master.url)
      for (let call = 0; call < 6; call++) yield* report(client)
      status = 200
      yield* TestClock.adjust("1300 millis")
      yield* client.report(started)
      yield* client.report(started)
      expect(master.received.length).toBe(7)
    }),
  )

  it.effect("is something else than one that refuses some calls", () =>
    Effect.gen(function* () {
      const statuses = [500, 404, 409, 500, 401, 500, 500, 500, 500, 500]
      const answers = statuses.values()
      const master = yield* fakeMaster(() => ({ status: answers.next().value ?? 200 }))
      const client = yield* clientOf(master.url)
      for (const status of statuses) expect((yield* report(client)).status).toBe(status)
      yield* client.report(started)
    }),
  )

  const waits: ReadonlyArray<readonly [status: number, header: string, milliseconds: number | undefined]> = [
    [429, "120", 120_000],
    [503, "0", 0],
    [503, "Thu, 01 Jan 1970 00:02:00 GMT", 120_000],
    [503, "Thu, 01 Jan 1970 00:00:00 GMT", 0],
    [429, "99999999", 3_600_000],
    [429, "soon", undefined],
    [429, "-5", undefined],
  ]

  it.effect.each(waits)("%s with Retry-After %s", ([status, header, milliseconds]) =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ status, headers: { "retry-after": header } }))
      const client = yield* clientOf(master.url)
      expect((yield* report(client)).retryAfter).toBe(milliseconds)
      const second = yield* report(client)
      expect(second.retryAfter).toBe(milliseconds)
      expect(master.received.length).toBe(milliseconds === undefined || milliseconds === 0 ? 2 : 1)
    }),
  )
})

describe("compressed answers", () => {
  it.effect("are asked for and read", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({
        body: gzipSync(computerXml),
        headers: { "content-encoding": "gzip" },
      }))
      const client = yield* clientOf(master.url)
      expect((yield* client.desiredState).computer).toBe("COMP-1")
      expect(master.received[0]?.headers["accept-encoding"]).toBe("gzip")
    }),
  )

  const broken: ReadonlyArray<readonly [what: string, body: () => Uint8Array, encoding: string, message: string]> = [
    ["half an answer", () => gzipSync(computerXml).subarray(0, 100), "gzip", "the answer cannot be decompressed"],
    ["garbage", () => Buffer.from("garbage"), "gzip", "the answer cannot be decompressed"],
    ["another encoding", () => Buffer.from("x"), "br", "it is encoded as br, which was not asked for"],
  ]

  it.effect.each(broken)("%s", ([, body, encoding, message]) =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ body: body(), headers: { "content-encoding": encoding } }))
      const client = yield* clientOf(master.url)
      const error = yield* Effect.flip(client.desiredState)
      expect(error.reason).toBe("InvalidAnswer")
      expect(error.message).toContain(message)
    }),
  )
})

describe("addresses", () => {
  it.effect("can be IPv6 literals", () =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => ({ body: computerXml }), undefined, "::1")
      expect(master.url).toContain("//[::1]:")
      const client = yield* clientOf(master.url)
      yield* client.desiredState
      expect(master.received[0]?.headers.host).toBe(master.host)
    }),
  )
})
