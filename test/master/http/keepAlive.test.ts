// One connection for many calls, and what becomes of a call whose kept connection the master has just given up.
import type { IncomingMessage } from "node:http"
import type { Socket } from "node:net"
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { afterAll, beforeAll, expect } from "vitest"
import type { MasterClient } from "../../../src/master/MasterClient.ts"
import { type Authority, makeAuthority } from "../../support/Authority.ts"
import { fakeMaster, type Script } from "./server.ts"
import { bang, clientOf, computerXml, started } from "./support.ts"

let authority: Authority

beforeAll(() => {
  authority = makeAuthority()
  authority.issue("master")
})

afterAll(() => authority.remove())

type Client = MasterClient["Service"]
const schemes = ["http", "https"] as const
type Scheme = (typeof schemes)[number]

/** A client, and a master that knows which call came over which connection. */
const connected = Effect.fnUntraced(function* (scheme: Scheme, script: Script = () => ({ body: computerXml })) {
  /** The number of the connection, by call. */
  const calls: Array<number> = []
  const sockets: Array<Socket> = []
  const tls = { key: authority.read("master.key"), cert: authority.read("master.crt") }
  const master = yield* fakeMaster(
    (received, request) => {
      if (!sockets.includes(request.socket)) sockets.push(request.socket)
      calls.push(sockets.indexOf(request.socket))
      return script(received, request)
    },
    scheme === "https" ? tls : undefined,
  )
  const client = yield* clientOf(master.url, { masterCaFile: authority.caFile })
  return { master, client, calls, sockets }
})

const paths = ({ received }: { readonly received: ReadonlyArray<{ readonly path: string }> }) =>
  received.map(({ path }) => path.slice(1))

describe.each(schemes)("over %s", (scheme) => {
  it.effect("many calls of all kinds share a connection", () =>
    Effect.gen(function* () {
      const { calls, client, sockets } = yield* connected(scheme)
      for (let round = 0; round < 25; round++) {
        yield* client.desiredState
        yield* client.report(started)
      }
      expect(calls).toHaveLength(50)
      expect(sockets).toHaveLength(1)
    }),
  )

  it.effect("one that the master closes between two calls is told to nobody, and nothing is said twice", () =>
    Effect.gen(function* () {
      const { client, master, sockets } = yield* connected(scheme)
      const closing = Effect.promise(async () => {
        const closed = sockets.map((socket) => new Promise<void>((resolve) => socket.once("close", () => resolve())))
        for (const socket of sockets.splice(0)) socket.end()
        await Promise.all(closed)
      })
      yield* client.report(started)
      yield* closing
      yield* client.desiredState
      yield* closing
      yield* client.useComputer("<journal/>")
      yield* client.report(bang)
      expect(paths(master)).toStrictEqual([
        "startedComputerPartition",
        "getFullComputerInformation",
        "useComputer",
        "softwareInstanceBang",
      ])
    }),
  )

  const ends: ReadonlyArray<readonly [how: string, end: (socket: Socket) => unknown]> = [
    ["closed", (socket) => socket.end()],
    ["destroyed", (socket) => socket.destroy()],
    // What is below TLS cannot be reached from here.
    ...(scheme === "http" ? ([["reset", (socket: Socket) => socket.resetAndDestroy()]] as const) : []),
  ]
  const calls: ReadonlyArray<readonly [name: string, call: (client: Client) => Effect.Effect<unknown, unknown>]> = [
    ["getFullComputerInformation", (client) => client.desiredState],
    ["startedComputerPartition", (client) => client.report(started)],
  ]

  /** A master that ends a connection with its second call, as one does that has just stopped waiting for it. */
  const impatient = (end: (socket: Socket) => unknown) => {
    const served = new Set<Socket>()
    return (_: unknown, { socket }: IncomingMessage) => {
      if (!served.has(socket)) {
        served.add(socket)
        return { body: computerXml }
      }
      end(socket)
      return undefined
    }
  }

  for (const [how, end] of ends) {
    it.effect.each(calls)(`one that is ${how} while a call is on its way to it is no failure of %s`, ([name, call]) =>
      Effect.gen(function* () {
        const { client, master } = yield* connected(scheme, impatient(end))
        yield* client.report(started)
        yield* call(client)
        expect(paths(master)).toStrictEqual(["startedComputerPartition", name, name])
      }),
    )

    it.effect(`a journal is never on one that could be ${how}: it has its own`, () =>
      Effect.gen(function* () {
        const { client, master } = yield* connected(scheme, impatient(end))
        yield* client.report(started)
        yield* client.useComputer("<journal/>")
        yield* client.useComputer("<journal/>")
        expect(paths(master)).toStrictEqual(["startedComputerPartition", "useComputer", "useComputer"])
      }),
    )
  }
})

describe("a master that breaks every connection", () => {
  it.effect("is called once more, and then as often as anybody calls", () =>
    Effect.gen(function* () {
      let breaks = false
      const { client, master } = yield* connected("http", () => (breaks ? new Error("reset") : { body: computerXml }))
      yield* client.report(started)
      breaks = true
      for (const calls of [3, 4, 5]) {
        expect(yield* Effect.flip(client.report(started))).toMatchObject({ reason: "Unreachable", status: undefined })
        expect(master.received).toHaveLength(calls)
      }
    }),
  )

  it.effect("gets a journal once, and may have it", () =>
    Effect.gen(function* () {
      let breaks = false
      const { client, master } = yield* connected("http", () => (breaks ? new Error("reset") : {}))
      yield* client.useComputer("<journal/>")
      breaks = true
      expect(yield* Effect.flip(client.useComputer("<journal/>"))).toMatchObject({ mayHaveArrived: true })
      expect(master.received).toHaveLength(2)
    }),
  )
})
