import { copyFileSync, rmSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { afterAll, beforeAll, expect, vi } from "vitest"
import type { HttpMasterOptions } from "../../../src/master/http/HttpMasterClient.ts"
import { type Authority, makeAuthority } from "../../support/Authority.ts"
import { makeGiantPair } from "../../support/attacks/keys.ts"
import { fakeMaster, type Script } from "./server.ts"
import { bang, clientOf, computerXml, slappart0, started } from "./support.ts"

let authority: Authority
let stranger: Authority

beforeAll(() => {
  authority = makeAuthority()
  stranger = makeAuthority()
  for (const name of ["master", "COMP-1", "COMP-1-renewed", "partition"]) {
    authority.issue(name)
  }
  stranger.issue("COMP-1")
})

afterAll(() => {
  authority.remove()
  stranger.remove()
})

const tlsMaster = (script: Script = () => ({ body: computerXml })) =>
  fakeMaster(script, {
    key: authority.read("master.key"),
    cert: authority.read("master.crt"),
    ca: authority.read("ca.crt"),
    requestCert: true,
    rejectUnauthorized: true,
  })

const file = (name: string): string => join(authority.directory, name)
const pair = (name: string) => ({ certFile: file(`${name}.crt`), keyFile: file(`${name}.key`) })

const trusted = (name = "COMP-1"): Partial<HttpMasterOptions> => ({
  certificates: { ...pair(name), repositoryPath: authority.directory },
  masterCaFile: authority.caFile,
})

describe("https", () => {
  it.effect("works with the right certificates", () =>
    Effect.gen(function* () {
      const master = yield* tlsMaster()
      const client = yield* clientOf(master.url, trusted())
      const state = yield* client.desiredState
      expect(state.computer).toBe("COMP-1")
      yield* client.report(started)
      expect(master.received.map(({ client }) => client)).toStrictEqual(["COMP-1", "COMP-1"])
    }),
  )

  it.effect("is refused by the master without a client certificate", () =>
    Effect.gen(function* () {
      const master = yield* tlsMaster()
      const client = yield* clientOf(master.url, { masterCaFile: authority.caFile })
      const error = yield* Effect.flip(client.report(started))
      expect(error).toMatchObject({ reason: "Unreachable", status: undefined })
      expect(error.message).toContain("refuses or misses this computer's certificate")
      expect(master.received).toStrictEqual([])
    }),
  )

  it.effect("is refused by the master with a certificate of somebody else", () =>
    Effect.gen(function* () {
      const master = yield* tlsMaster()
      const certificates = {
        certFile: join(stranger.directory, "COMP-1.crt"),
        keyFile: join(stranger.directory, "COMP-1.key"),
        repositoryPath: stranger.directory,
      }
      const client = yield* clientOf(master.url, { ...trusted(), certificates })
      yield* TestClock.setTime(yield* TestClock.withLive(Clock.currentTimeMillis))
      const error = yield* Effect.flip(client.report(started))
      expect(error.reason).toBe("Unreachable")
      expect(error.message).toContain("refuses or misses this computer's certificate")
      expect(master.received).toStrictEqual([])
    }),
  )

  it.effect("is refused by the master with a certificate that has expired, which it does not tell: we do", () =>
    Effect.gen(function* () {
      const master = yield* tlsMaster()
      authority.issue("old", { days: [-9, -2] })
      const client = yield* clientOf(master.url, trusted("old"))
      yield* TestClock.setTime(yield* TestClock.withLive(Clock.currentTimeMillis))
      const error = yield* Effect.flip(client.report(started))
      expect(error.reason).toBe("Unreachable")
      expect(error.message).toContain(`the certificate in ${file("old.crt")} is not valid today`)
    }),
  )

  it.effect("works with anybody when nothing is to be verified", () =>
    Effect.gen(function* () {
      stranger.issue("other", { altName: "DNS:elsewhere.invalid", isSelfSigned: true })
      const pair = { key: stranger.read("other.key"), cert: stranger.read("other.crt") }
      const master = yield* fakeMaster(() => ({}), pair)
      yield* (yield* clientOf(master.url, { ...trusted(), masterVerify: false })).report(started)
      const error = yield* Effect.flip((yield* clientOf(master.url, trusted())).report(started))
      expect(error.message).toContain("is self-signed and not trusted here")
      expect(master.received.length).toBe(1)
    }),
  )

  it.effect.each(["the system's CAs", "another CA"])("is refused by us when the master is not known to %s", (which) =>
    Effect.gen(function* () {
      const master = yield* tlsMaster()
      const masterCaFile = which === "another CA" ? stranger.caFile : undefined
      const client = yield* clientOf(master.url, { ...trusted(), masterCaFile })
      const error = yield* Effect.flip(client.report(started))
      expect(error).toMatchObject({ reason: "Unreachable", status: undefined })
      expect(error.message).toContain("is signed by no CA that is trusted here")
      expect(error.message).toContain("master_ca_file")
      expect(master.received).toStrictEqual([])
    }),
  )

  it.effect("is refused by us when the certificate is for another name", () =>
    Effect.gen(function* () {
      const master = yield* tlsMaster()
      const client = yield* clientOf(master.url.replace("127.0.0.1", "localhost"), trusted())
      const error = yield* Effect.flip(client.report(started))
      expect(error.reason).toBe("Unreachable")
      expect(error.message).toContain("the master's certificate is for another name")
    }),
  )

  it.effect("goes through a proxy without a change", () =>
    Effect.gen(function* () {
      const master = yield* tlsMaster()
      const proxy = yield* fakeMaster(() => ({ status: 500 }))
      const wanted: Array<string | undefined> = []
      proxy.server.on("connect", (request, client) => {
        wanted.push(request.url)
        const upstream = connect(Number(new URL(master.url).port), "127.0.0.1", () => {
          client.write("HTTP/1.1 200 OK\r\n\r\n")
          upstream.pipe(client)
          client.pipe(upstream)
        })
        client.on("error", () => upstream.destroy()).on("close", () => upstream.destroy())
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.unstubAllEnvs()))
      for (const name of ["https_proxy", "HTTPS_PROXY"]) {
        vi.stubEnv(name, proxy.url)
      }
      for (const name of ["no_proxy", "NO_PROXY"]) {
        vi.stubEnv(name, "")
      }
      const client = yield* clientOf("https://master.invalid:8443/", trusted())
      yield* client.report(started)
      expect(wanted).toStrictEqual(["master.invalid:8443"])
      expect(master.received.map(({ client }) => client)).toStrictEqual(["COMP-1"])
    }),
  )

  it.effect("works with an IPv6 literal, which the certificate has to name", () =>
    Effect.gen(function* () {
      authority.issue("six", { altName: "IP:::1" })
      for (const name of ["six", "master"]) {
        const pair = { key: authority.read(`${name}.key`), cert: authority.read(`${name}.crt`) }
        const master = yield* fakeMaster(() => ({ body: computerXml }), pair, "::1")
        const { desiredState } = yield* clientOf(master.url, trusted())
        const told = yield* Effect.match(desiredState, {
          onSuccess: ({ computer }) => computer,
          onFailure: ({ message }) => message,
        })
        expect(told).toContain(name === "six" ? "COMP-1" : "the master's certificate is for another name")
      }
    }),
  )

  it.effect("leads to no http", () =>
    Effect.gen(function* () {
      const plain = yield* fakeMaster(() => ({ body: computerXml }))
      const master = yield* tlsMaster(() => ({ status: 302, headers: { location: plain.url } }))
      const client = yield* clientOf(master.url, trusted())
      const error = yield* Effect.flip(client.desiredState)
      expect(error).toMatchObject({ reason: "Refused", status: 302 })
      expect(plain.received).toStrictEqual([])
    }),
  )
})

describe("certificate files", () => {
  it.effect("are used anew when they were renewed", () =>
    Effect.gen(function* () {
      for (const end of ["crt", "key"]) {
        copyFileSync(file(`COMP-1.${end}`), file(`current.${end}`))
      }
      const master = yield* tlsMaster(() => ({}))
      const client = yield* clientOf(master.url, trusted("current"))
      yield* client.report(started)
      for (const end of ["crt", "key"]) {
        copyFileSync(file(`COMP-1-renewed.${end}`), file(`current.${end}`))
      }
      yield* client.report(started)
      expect(master.received.map(({ client }) => client)).toStrictEqual(["COMP-1", "COMP-1-renewed"])
    }),
  )

  it.effect("that are missing are named", () =>
    Effect.gen(function* () {
      const master = yield* tlsMaster()
      const client = yield* clientOf(master.url, trusted("absent"))
      const error = yield* Effect.flip(client.report(started))
      expect(error).toMatchObject({ reason: "Unauthorised", status: undefined, isRetryable: true })
      expect(error.message).toContain("absent.key cannot be read")
    }),
  )

  it.effect("that hold something else are named, their content is not shown", () =>
    Effect.gen(function* () {
      writeFileSync(file("garbage.crt"), authority.read("COMP-1.crt"))
      writeFileSync(file("garbage.key"), "secret")
      const master = yield* tlsMaster()
      const client = yield* clientOf(master.url, trusted("garbage"))
      const error = yield* Effect.flip(client.report(started))
      expect(error).toMatchObject({ reason: "Unauthorised", status: undefined })
      expect(error.message).toContain("the certificate files cannot be used")
      expect(error.message).not.toContain("secret")
    }),
  )

  it.effect("that do not belong together are told", () =>
    Effect.gen(function* () {
      const master = yield* tlsMaster()
      const certificates = { ...pair("COMP-1"), keyFile: file("partition.key"), repositoryPath: authority.directory }
      const client = yield* clientOf(master.url, { ...trusted(), certificates })
      const error = yield* Effect.flip(client.report(started))
      expect(error).toMatchObject({ reason: "Unauthorised" })
      expect(error.message).toContain("the certificate files cannot be used")
    }),
  )
})

describe("a partition's bang", () => {
  it.effect("shows the partition's own certificate, or the computer's where there is none", () =>
    Effect.gen(function* () {
      const master = yield* tlsMaster(() => ({}))
      const client = yield* clientOf(master.url, trusted())
      yield* client.report(bang)
      copyFileSync(file("partition.crt"), file(`${slappart0}.crt`))
      yield* client.report(bang)
      copyFileSync(file("partition.key"), file(`${slappart0}.key`))
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          rmSync(file(`${slappart0}.crt`))
          rmSync(file(`${slappart0}.key`))
        }),
      )
      yield* client.report(bang)
      yield* client.report(started)
      expect(master.received.map(({ client, path }) => [path, client])).toStrictEqual([
        ["/softwareInstanceBang", "COMP-1"],
        ["/softwareInstanceBang", "COMP-1"],
        ["/softwareInstanceBang", "partition"],
        ["/startedComputerPartition", "COMP-1"],
      ])
    }),
  )

  it.effect("is not signed with a key that would keep the agent busy, which a partition can make", () =>
    Effect.gen(function* () {
      const master = yield* tlsMaster(() => ({}))
      const client = yield* clientOf(master.url, trusted())
      const { certificate, key } = makeGiantPair(12_288)
      writeFileSync(file(`${slappart0}.crt`), certificate)
      writeFileSync(file(`${slappart0}.key`), key)
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          rmSync(file(`${slappart0}.crt`))
          rmSync(file(`${slappart0}.key`))
        }),
      )
      const error = yield* Effect.flip(client.report(bang))
      expect(error).toMatchObject({ reason: "Unauthorised" })
      expect(error.message).toContain(`${file(`${slappart0}.key`)} is not used: its key has 12288 bits`)
      yield* client.report(started)
      expect(master.received.map(({ client }) => client)).toStrictEqual(["COMP-1"])
    }),
  )
})
