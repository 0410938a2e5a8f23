// Releases from a cache that is sound, away, slow or lying, on a real software root. Everything is tried over http and
// over https with a private CA.
//
// | what a cache does                     | test: built from source over … is a release                          |
// | ------------------------------------- | -------------------------------------------------------------------- |
// | has the release                       | (a release in the cache, over …) is put in its place whole           |
// | does not have it                      | that the cache does not have; of which the index is empty            |
// | wrong hash                            | whose content is another                                             |
// | wrong signature                       | whose entry was changed …; whose signature is of another entry       |
// | untrusted signer                      | that a stranger alone has signed                                     |
// | wrong distribution, wrong machine     | for another distribution alone; for another machine alone            |
// | truncated transfer                    | whose content is cut off; whose transfer breaks                      |
// | stalled transfer                      | for which a cache stalls with … (connection, index, content)         |
// | hostile archive                       | whose archive …; every trick by itself: files/archive/unpack.test.ts |
// | hostile answers                       | whose index is a page; whose index never ends; … that it is broken   |
// | is away                               | whose cache is down                                                  |
//
// Signatures by and for the openssl command: signature.test.ts, upload.test.ts. Client certificates: upload.test.ts.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Redacted from "effect/Redacted"
import * as fs from "node:fs"
import { createServer } from "node:net"
import type { AddressInfo, Socket } from "node:net"
import { expect } from "vitest"
import type { NetworkCacheConfig } from "../../../src/config/networkCache.ts"
import { md5Hex } from "../../../src/files/machine.ts"
import { type FakeCache, makeCache, makeSigner, sha512, type Signer } from "../../support/FakeCache.ts"
import { release } from "../../support/facts.ts"
import { openBelow, stranger } from "../../support/scratch.ts"
import { gzipped, type Member } from "../../support/tarball.ts"
import { folder, makeNode, makePrivateCa, type Options, os } from "./support.ts"

const archive = (...members: ReadonlyArray<Member>): Buffer =>
  gzipped(
    { name: `${folder}/`, type: "5", mode: 0o700 },
    { name: `${folder}/bin/buildout`, mode: 0o750, content: "#!/bin/sh\n" },
    { name: `${folder}/.completed`, content: "elsewhere" },
    ...members.map((one) => ({ ...one, name: `${folder}/${one.name}` })),
  )

/** A node that trusts one signer, beside a cache. */
const trusting = (
  { cacheUrl, dirUrl }: Pick<FakeCache, "cacheUrl" | "dirUrl">,
  certificate: string,
  options?: Options,
) =>
  makeNode(
    {
      download: { cacheUrl: Redacted.make(cacheUrl), dirUrl: Redacted.make(dirUrl.replace(/\/$/, "")) },
      trusted: [certificate],
    },
    options,
  )

/** As the server of a cache: `https` with a certificate of a private CA, which the node knows. */
const schemes = ["http", "https"] as const
type Scheme = (typeof schemes)[number]

const makeServer = Effect.fnUntraced(function* (scheme: Scheme) {
  if (scheme === "http") return { cache: yield* makeCache(), config: {} }
  const { caFile, server } = yield* makePrivateCa
  const files = { caFile, certFile: undefined, keyFile: undefined }
  return { cache: yield* makeCache({ ...server, requestCert: false }), config: { shacache: files, shadir: files } }
})

/** A cache with an archive that fits, and a node that trusts its signer. */
const makePair = Effect.fnUntraced(function* (options: Options = {}, scheme: Scheme = "http") {
  const bytes = archive()
  const { cache, config } = yield* makeServer(scheme)
  const signer = yield* makeSigner
  const node = yield* trusting(cache, signer.certificate, { ...options, config: { ...config, ...options.config } })
  const entry = { software_url: release, software_root: node.softwareRoot, multiarch: "x86_64-linux-gnu", os }
  const publish = (content: Buffer, changes: Readonly<Record<string, unknown>> = {}) =>
    cache.publish(folder, content, { ...entry, ...changes }, signer)
  return { ...node, cache, signer, entry, publish, bytes }
})

/** Nothing is in the software root and nothing there is open. */
const expectUntouched = (softwareRoot: string): void => {
  expect(fs.readdirSync(softwareRoot)).toStrictEqual([])
  expect(openBelow(softwareRoot)).toStrictEqual([])
}

describe("a release in the cache", () => {
  it.effect.each(schemes)("over %s is put in its place whole, 0755 and the software owner's; told once", (scheme) =>
    Effect.gen(function* () {
      const { bytes, cache, fetch, path, publish, softwareRoot, told } = yield* makePair({}, scheme)
      publish(bytes)
      expect(yield* fetch).toBe("Installed")
      expect(fs.readdirSync(path)).toStrictEqual(["bin"])
      const { gid, mode, uid } = fs.statSync(path)
      expect([uid, gid, mode & 0o7777]).toStrictEqual([stranger.uid, stranger.gid, 0o755])
      expect(fs.statSync(`${path}/bin/buildout`).uid).toBe(stranger.uid)
      expect(fs.readdirSync(softwareRoot)).toStrictEqual([folder])
      expect(openBelow(softwareRoot)).toStrictEqual([])
      expect(cache.asked.map((asked) => `${asked.verb} ${asked.path}`)).toStrictEqual([
        `GET /shadir/${folder}`,
        `GET /shacache/${sha512(bytes)}`,
      ])
      expect(told).toStrictEqual([expect.stringContaining("comes from the network cache (1 MB)")])
    }),
  )

  it.effect("is found behind entries that are not for here, and behind an archive that is gone", () =>
    Effect.gen(function* () {
      const { bytes, cache, fetch, path, publish } = yield* makePair()
      const stranger = yield* makeSigner
      const evil = archive({ name: "evil" })
      cache.publish(folder, evil, { software_url: release, multiarch: "x86_64-linux-gnu", os }, stranger)
      publish(evil, { multiarch: "aarch64-linux-gnu" })
      publish(evil, { os: ["debian", "1", ""] })
      publish(evil, { software_root: "/srv/elsewhere" })
      publish(evil, { software_url: "https://example.com/other.cfg" })
      const gone = archive({ name: "gone" })
      publish(gone)
      cache.contents.delete(sha512(gone))
      publish(bytes)
      expect(yield* fetch).toBe("Installed")
      expect(fs.readdirSync(path)).toStrictEqual(["bin"])
      const contents = cache.asked.map(({ path }) => path).filter((path) => path.startsWith("/shacache/"))
      expect(contents).toStrictEqual([`/shacache/${sha512(gone)}`, `/shacache/${sha512(bytes)}`])
    }),
  )

  it.effect("is asked for with the password of the URL, which is nowhere told", () =>
    Effect.gen(function* () {
      const cache = yield* makeCache()
      const signer = yield* makeSigner
      const url = cache.url.replace("//", "//user:p%40ss@")
      const places = { cacheUrl: `${url}/shacache`, dirUrl: `${url}/shadir` }
      const { fetch, told } = yield* trusting(places, signer.certificate)
      const bytes = archive()
      cache.publish(folder, bytes, { multiarch: "x86_64-linux-gnu", os }, signer)
      cache.contents.clear()
      expect(yield* fetch).toBe("Missing")
      cache.contents.set(sha512(bytes), bytes)
      expect(yield* fetch).toBe("Installed")
      expect(new Set(cache.asked.map(({ authorization }) => authorization))).toStrictEqual(
        new Set([`Basic ${Buffer.from("user:p@ss").toString("base64")}`]),
      )
      expect(told.join("\n")).not.toContain("p%40ss")
    }),
  )

  it.effect("comes over https from a server of a private CA, and shows it no certificate", () =>
    Effect.gen(function* () {
      const ca = yield* makePrivateCa
      const cache = yield* makeCache({ ...ca.server, rejectUnauthorized: false })
      const signer = yield* makeSigner
      cache.publish(folder, archive(), { multiarch: "x86_64-linux-gnu", os }, signer)
      const unknown = yield* trusting(cache, signer.certificate)
      expect(yield* unknown.fetch).toBe("Missing")
      expect(unknown.told.join()).toContain("is built from source")
      const files = ca.filesOf("node")
      const node = yield* trusting(cache, signer.certificate, { config: { shacache: files, shadir: files } })
      expect(yield* node.fetch).toBe("Installed")
      expect(cache.asked.map(({ client }) => client)).toStrictEqual([undefined, undefined])
    }),
  )

  it.effect("needs no compiler on the machine", () =>
    Effect.gen(function* () {
      const { bytes, fetch, publish } = yield* makePair({ compiler: undefined })
      publish(bytes, { multiarch: `${process.arch === "x64" ? "x86_64" : "aarch64"}-linux-gnu` })
      expect(yield* fetch).toBe("Installed")
    }),
  )
})

describe("not looked for is a release", () => {
  const absent = { cacheUrl: "http://127.0.0.1:1", dirUrl: "http://127.0.0.1:1" }
  it.effect.each<readonly [string, Partial<NetworkCacheConfig>, string | undefined]>([
    ["without a cache", { download: undefined }, undefined],
    ["that the blacklist names", { neverDownloaded: ["https://example.com/"] }, undefined],
    ["when nobody is trusted", { trusted: [] }, "signature-certificate-list names nobody"],
  ])("%s", ([, config, why]) =>
    Effect.gen(function* () {
      const { fetch, softwareRoot, told } = yield* trusting(absent, "", { config })
      expect(yield* fetch).toBe("Missing")
      expectUntouched(softwareRoot)
      expect(told).toStrictEqual(why === undefined ? [] : [expect.stringContaining(why)])
    }),
  )

  it.effect("that is there, also in parts", () =>
    Effect.gen(function* () {
      const { fetch, path } = yield* trusting(absent, "")
      fs.mkdirSync(path)
      expect(yield* fetch).toBe("Missing")
      expect(fs.readdirSync(path)).toStrictEqual([])
    }),
  )
})

describe.each(schemes)("built from source over %s is a release", (scheme) => {
  type Pair = Effect.Success<ReturnType<typeof makePair>> & { readonly stranger: Signer }
  const lies: ReadonlyArray<readonly [what: string, arrange: (pair: Pair) => unknown, told: string | undefined]> = [
    ["that the cache does not have", () => undefined, undefined],
    ["of which the index is empty", ({ cache }) => cache.index.set(folder, []), undefined],
    ["for another machine alone", ({ bytes, publish }) => publish(bytes, { multiarch: "s390x-linux-gnu" }), undefined],
    ["for another distribution alone", ({ bytes, publish }) => publish(bytes, { os: ["debian", "7", ""] }), undefined],
    [
      "whose entry was changed after it was signed",
      ({ bytes, cache, publish }) => {
        publish(bytes, { software_root: "/other" })
        const [[text, signature] = ["", ""]] = cache.index.get(folder) ?? []
        cache.index.set(folder, [[text.replace("/other", ""), signature]])
      },
      "none of its 1 entries in the network cache is signed by anybody who is trusted",
    ],
    [
      "whose signature is of another entry",
      ({ bytes, cache, publish }) => {
        publish(bytes, { os: ["debian", "7", ""] })
        publish(bytes)
        const [[, old] = ["", ""], [text] = [""]] = cache.index.get(folder) ?? []
        cache.index.set(folder, [[text, old]])
      },
      "none of its 1 entries in the network cache is signed by anybody who is trusted",
    ],
    [
      "that a stranger alone has signed",
      ({ bytes, cache, entry, stranger }) => cache.publish(folder, bytes, entry, stranger),
      "none of its 1 entries in the network cache is signed by anybody who is trusted",
    ],
    [
      "whose content is another",
      ({ bytes, cache, publish }) => {
        publish(bytes)
        cache.contents.set(sha512(bytes), archive({ name: "evil" }))
      },
      "the content is not what its name says",
    ],
    [
      "whose content is cut off",
      ({ bytes, cache, publish }) => {
        publish(bytes)
        cache.contents.set(sha512(bytes), bytes.subarray(0, 100))
      },
      "the content is not what its name says",
    ],
    [
      "whose transfer breaks",
      ({ bytes, cache, publish }) => {
        publish(bytes)
        cache.fault = ({ path }, response) => {
          if (!path.startsWith("/shacache")) return false
          response.writeHead(200, { "content-length": bytes.length })
          response.write(bytes.subarray(0, 100), () => response.destroy())
          return true
        }
      },
      "/shacache/",
    ],
    [
      "whose index is a page",
      ({ cache }) => {
        cache.fault = (_, response) => Boolean(response.end("<html>welcome</html>"))
      },
      "is no index of a network cache",
    ],
    [
      "whose index never ends",
      ({ cache }) => {
        cache.fault = (_, response) => {
          const more = () => void response.write("[".repeat(1024 * 1024), (error) => (error ? undefined : more()))
          more()
          return true
        }
      },
      "is larger than",
    ],
    [
      "of which the server says that it is broken",
      ({ cache }) => {
        cache.fault = (_, response) => Boolean(response.writeHead(503).end())
      },
      "answers with status 503",
    ],
    [
      "whose archive leads out",
      ({ publish }) => publish(archive({ name: "../../evil", content: "x" })),
      "leads out with '..'",
    ],
    [
      "whose archive has a link out",
      ({ publish }) => publish(archive({ name: "l", type: "2", target: "/etc/shadow" })),
      "outside its folder",
    ],
    [
      "whose archive has an absolute name",
      ({ publish }) => publish(gzipped({ name: "/etc/evil", content: "x" })),
      "has an absolute name",
    ],
    [
      "whose archive has another name of a file outside",
      ({ publish }) => publish(archive({ name: "l", type: "1", target: "../../etc/shadow" })),
      "leads out with '..'",
    ],
    ["whose archive has a device", ({ publish }) => publish(archive({ name: "d", type: "3" })), "holds a device"],
    ["whose archive is none", ({ publish }) => publish(Buffer.from("no archive")), "is no gzip file"],
    [
      "whose archive is another release's",
      ({ publish }) => publish(gzipped({ name: `${md5Hex("other")}/f`, content: "x" })),
      "is not in the folder",
    ],
  ]

  it.effect.each(lies)("%s", ([, arrange, expected]) =>
    Effect.gen(function* () {
      const pair = yield* makePair({}, scheme)
      arrange({ ...pair, stranger: yield* makeSigner })
      expect(yield* pair.fetch).toBe("Missing")
      expectUntouched(pair.softwareRoot)
      const warnings = pair.told.filter((line) => line.startsWith("Warn"))
      expect(warnings).toStrictEqual(expected === undefined ? [] : [expect.stringContaining(expected)])
    }),
  )

  it.effect("whose cache is down", () =>
    Effect.gen(function* () {
      const server = createServer()
      yield* Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void)))
      const url = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`
      yield* Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      const { certificate } = yield* makeSigner
      const { fetch, softwareRoot, told } = yield* trusting({ cacheUrl: url, dirUrl: url }, certificate)
      expect(yield* fetch).toBe("Missing")
      expectUntouched(softwareRoot)
      expect(told).toStrictEqual([expect.stringContaining("ECONNREFUSED")])
    }),
  )

  it.effect("for which there would not be the space that is to stay free", () =>
    Effect.gen(function* () {
      const { bytes, fetch, publish, softwareRoot, told } = yield* makePair({ minFreeSpace: 2 ** 52 }, scheme)
      publish(bytes)
      expect(yield* fetch).toBe("Missing")
      expectUntouched(softwareRoot)
      expect(told).toStrictEqual([expect.stringContaining("there is no space for more than 0 bytes")])
    }),
  )

  it.effect.each([
    ["the index", "/shadir/", 20_000, "no complete answer in 20 s"],
    ["the content", "/shacache/", 15_000, "bytes in 15 s"],
  ] as const)("for which a cache stalls with %s: it costs seconds", ([, place, milliseconds, expected]) =>
    Effect.gen(function* () {
      const { bytes, cache, fetch, publish, softwareRoot, told } = yield* makePair({}, scheme)
      publish(bytes)
      const stalled = yield* Effect.sync(() => Promise.withResolvers<void>())
      cache.fault = ({ path }, response) => {
        if (!path.startsWith(place)) return false
        response.writeHead(200, { "content-length": 100_000 })
        response.write(bytes.subarray(0, 100), () => stalled.resolve())
        return true
      }
      const fiber = yield* Effect.forkChild(fetch)
      yield* Effect.promise(() => stalled.promise)
      yield* TestClock.adjust(milliseconds)
      expect(yield* Fiber.join(fiber)).toBe("Missing")
      expectUntouched(softwareRoot)
      expect(told).toStrictEqual([expect.stringContaining(expected)])
    }),
  )

  it.effect("for which a cache stalls with the connection: it costs seconds", () =>
    Effect.gen(function* () {
      const { certificate } = yield* makeSigner
      const accepted = Promise.withResolvers<void>()
      const sockets = new Set<Socket>()
      const server = createServer((socket) => {
        sockets.add(socket.on("error", () => undefined))
        accepted.resolve()
      })
      yield* Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void)))
      yield* Effect.addFinalizer(() =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        }),
      )
      const url = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`
      const { fetch, softwareRoot, told } = yield* trusting({ cacheUrl: url, dirUrl: url }, certificate)
      const fiber = yield* Effect.forkChild(fetch)
      yield* Effect.promise(() => accepted.promise)
      yield* TestClock.adjust(20_000)
      expect(yield* Fiber.join(fiber)).toBe("Missing")
      expectUntouched(softwareRoot)
      expect(told).toStrictEqual([expect.stringContaining("no complete answer in 20 s")])
    }),
  )
})

describe("a release that may come from nowhere else", () => {
  const forced = { onlyDownloaded: ["https://example.com/"] }

  it.effect.each<readonly [string, Options, string]>([
    ["is not in the cache", { config: forced }, "the network cache does not have it"],
    ["has no cache", { config: { ...forced, download: undefined } }, "no download-binary-cache-url"],
    ["is also on the blacklist", { config: { ...forced, neverDownloaded: ["https://"] } }, "blacklist names it"],
  ])("fails when it %s", ([, options, why]) =>
    Effect.gen(function* () {
      const { fetch, softwareRoot, told } = yield* makePair(options)
      const error = yield* Effect.flip(fetch)
      expect(error.message).toContain(
        `${release} may only come from the network cache (download-from-binary-cache-force-url-list), but `,
      )
      expect(error.message).toContain(why)
      expect(told).toStrictEqual([])
      expectUntouched(softwareRoot)
    }),
  )

  it.effect("fails while there is a directory, and comes when that is gone", () =>
    Effect.gen(function* () {
      const { bytes, fetch, path, publish } = yield* makePair({ config: forced })
      publish(bytes)
      fs.mkdirSync(`${path}/half`, { recursive: true })
      expect((yield* Effect.flip(fetch)).message).toContain("is there already; remove it to have it fetched")
      fs.rmSync(path, { recursive: true })
      expect(yield* fetch).toBe("Installed")
    }),
  )
})

describe("what is half done", () => {
  it.effect("is gone when the fetch is interrupted while it comes", () =>
    Effect.gen(function* () {
      const { bytes, cache, fetch, publish, softwareRoot } = yield* makePair()
      publish(bytes)
      const asked = Promise.withResolvers<void>()
      cache.fault = ({ path }) => {
        if (path.startsWith("/shacache")) asked.resolve()
        return path.startsWith("/shacache")
      }
      const fiber = yield* Effect.forkChild(fetch)
      yield* Effect.promise(() => asked.promise)
      yield* Fiber.interrupt(fiber)
      expectUntouched(softwareRoot)
    }),
  )

  it.effect("is gone when the fetch is interrupted while it is unpacked", () =>
    Effect.gen(function* () {
      const files = Array.from({ length: 20_000 }, (_, index) => ({ name: `d/f${index}`, content: "x" }))
      const { fetch, publish, softwareRoot } = yield* makePair()
      publish(archive(...files))
      const unpacking = Effect.promise(async () => {
        for await (const { filename } of fs.promises.watch(softwareRoot)) if (filename?.includes(folder)) return
      })
      const watching = yield* Effect.forkChild(unpacking)
      const fiber = yield* Effect.forkChild(fetch)
      yield* Fiber.join(watching)
      yield* Fiber.interrupt(fiber)
      expectUntouched(softwareRoot)
    }),
  )

  it.effect("by an agent that was killed is removed by the next", () =>
    Effect.gen(function* () {
      const { bytes, fetch, publish, path, softwareRoot } = yield* makePair()
      fs.mkdirSync(`${softwareRoot}/.slapgrid-new-${folder}/sub`, { recursive: true })
      publish(bytes)
      expect(yield* fetch).toBe("Installed")
      expect(fs.readdirSync(path)).toStrictEqual(["bin"])
      expect(fs.readdirSync(softwareRoot)).toStrictEqual([folder])
    }),
  )
})
