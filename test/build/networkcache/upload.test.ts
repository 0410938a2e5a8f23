// Releases that go to a cache, packed by the machine's own tar.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as Redacted from "effect/Redacted"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { expect } from "vitest"
import { parseEntry } from "../../../src/build/networkcache/entries.ts"
import type { NetworkCacheConfig } from "../../../src/config/networkCache.ts"
import { type FakeCache, makeCache, makeSigner, sha512, type Signer } from "../../support/FakeCache.ts"
import { release, softwareUrl } from "../../support/facts.ts"
import { isRoot, openBelow, scratchDirectory, stranger } from "../../support/scratch.ts"
import { eventually } from "../../support/waiting.ts"
import { folder, makeNode, makePrivateCa, type Options, os } from "./support.ts"

const placesOf = ({ cacheUrl, dirUrl }: FakeCache) => ({
  cacheUrl: Redacted.make(cacheUrl),
  dirUrl: Redacted.make(dirUrl.replace(/\/$/, "")),
})

const uploads = (cache: FakeCache, { certificate, keyFile }: Signer): Partial<NetworkCacheConfig> => ({
  upload: placesOf(cache),
  download: placesOf(cache),
  trusted: [certificate],
  signatureKeyFile: keyFile,
})

/** What a build leaves. */
const build = (path: string): void => {
  fs.mkdirSync(`${path}/bin`, { recursive: true })
  fs.writeFileSync(`${path}/bin/buildout`, "#!/bin/sh\n", { mode: 0o750 })
  fs.linkSync(`${path}/bin/buildout`, `${path}/bin/again`)
  fs.symlinkSync(`${path}/bin/buildout`, `${path}/link`)
  for (const name of [".completed", ".netrc", ".slapgrid-build.log"]) fs.writeFileSync(`${path}/${name}`, "own")
  if (isRoot) execFileSync("chown", ["-R", `${stranger.uid}:${stranger.gid}`, path])
}

const makeBuilt = Effect.fnUntraced(function* (options: Options = {}) {
  const [cache, signer] = [yield* makeCache(), yield* makeSigner]
  const node = yield* makeNode(uploads(cache, signer), options)
  build(node.path)
  return { ...node, cache, signer }
})

/** Uploads go on in real time, but for their waits. */
const untilTold = (told: ReadonlyArray<string>, words: string, count = 1) =>
  TestClock.withLive(
    eventually(
      `'${words}' in what was told`,
      Effect.sync(() => told.filter((line) => line.includes(words))[count - 1]),
    ),
  )

const untilSame = (list: () => ReadonlyArray<string>, wanted: ReadonlyArray<string>) =>
  eventually(
    `${JSON.stringify(wanted)} as what is there`,
    Effect.sync(() => (list().join() === wanted.join() ? true : undefined)),
  )

const expectClean = (softwareRoot: string): void => {
  expect(fs.readdirSync(softwareRoot)).toStrictEqual([folder])
  expect(openBelow(softwareRoot)).toStrictEqual([])
}

const asked = ({ asked }: FakeCache) => asked.map(({ path, verb }) => `${verb} ${path.split("/")[1]}`)

describe("a release that was built", () => {
  it.effect("is in the cache with a signed entry, and comes back from there", () =>
    Effect.gen(function* () {
      const { cache, commands, fetch, path, signer, softwareRoot, told, upload } = yield* makeBuilt()
      yield* upload()
      yield* untilTold(told, `${release} is in the network cache (1 MB)`)
      expectClean(softwareRoot)
      expect(asked(cache)).toStrictEqual(["GET shacache", "POST shacache", "PUT shadir"])
      const [[text, signature] = ["", ""]] = cache.index.get(folder) ?? []
      expect(signer.verifies(text, signature)).toBe(true)
      const [[hash, content = Buffer.alloc(0)] = []] = cache.contents
      expect(parseEntry(text)).toStrictEqual({
        sha512: hash,
        softwareUrl: release,
        softwareRoot,
        multiarch: "x86_64-linux-gnu",
        os,
      })
      // What servers of the reference ask for.
      expect(JSON.parse(text)).toMatchObject({ file: "file", urlmd5: "urlmd5" })
      const names = execFileSync("tar", ["--list", "--gzip"], { input: content, encoding: "utf8" }).trim().split("\n")
      expect(names).toStrictEqual([
        `${folder}/`,
        `${folder}/bin/`,
        `${folder}/bin/again`,
        `${folder}/bin/buildout`,
        `${folder}/link`,
      ])
      const tar = commands.find(({ argv }) => argv.includes("tar"))
      expect(tar?.credentials?.uid).toBe(isRoot ? stranger.uid : undefined)
      fs.rmSync(path, { recursive: true })
      expect(yield* fetch).toBe("Installed")
      expect(fs.readdirSync(path)).toStrictEqual(["bin", "link"])
    }),
  )

  it.effect("is not sent again when the cache has its content, but told again", () =>
    Effect.gen(function* () {
      const { cache, told, upload } = yield* makeBuilt()
      yield* upload()
      yield* untilTold(told, "is in the network cache")
      yield* upload()
      yield* untilTold(told, "is in the network cache", 2)
      expect(asked(cache).slice(3)).toStrictEqual(["GET shacache", "PUT shadir"])
      expect(cache.contents.size).toBe(1)
    }),
  )

  it.effect.each<readonly [string, Partial<NetworkCacheConfig>, string | undefined]>([
    ["nowhere is configured", { upload: undefined }, undefined],
    ["the blacklist names it", { neverUploaded: ["https://example.com/"] }, "blacklist names it"],
    ["there is no key", { signatureKeyFile: undefined }, "there is no signature-private-key-file"],
  ])("is not uploaded when %s", ([, config, why]) =>
    Effect.gen(function* () {
      const { cache, commands, noted, told, upload } = yield* makeBuilt({ config })
      yield* upload()
      if (why !== undefined) yield* untilTold(told, why)
      expect(noted()).toStrictEqual([])
      expect(commands).toStrictEqual([])
      expect(cache.asked).toStrictEqual([])
    }),
  )

  it.effect("is not uploaded when it has parts elsewhere, nor when its URL has a password", () =>
    Effect.gen(function* () {
      const { cache, path, told, upload } = yield* makeBuilt()
      fs.writeFileSync(`${path}/.shared`, "")
      yield* upload()
      yield* untilTold(told, "it has parts outside its directory")
      yield* upload(softwareUrl("https://user:secret@example.com/software.cfg"))
      yield* untilTold(told, "its URL has a password")
      expect(cache.asked).toStrictEqual([])
    }),
  )
})

describe("over https to a cache that wants certificates", () => {
  interface Files {
    readonly certFile: string | undefined
    readonly keyFile: string | undefined
  }

  /** A built release beside such a cache; `choose` says what is shown to the content's server. */
  const makeSecured = Effect.fnUntraced(function* (choose: (own: Files, ofAnotherCa: Files) => Files) {
    const [ca, anotherCa] = [yield* makePrivateCa, yield* makePrivateCa]
    const cache = yield* makeCache({ ...ca.server, rejectUnauthorized: true })
    const content = choose(ca.filesOf("content"), anotherCa.filesOf("content"))
    const config = {
      ...uploads(cache, yield* makeSigner),
      shacache: { ...content, caFile: ca.caFile },
      shadir: ca.filesOf("index"),
    }
    const node = yield* makeNode(config)
    build(node.path)
    return { ...node, cache }
  })

  it.effect.each<readonly [string, (own: Files) => Files]>([
    ["its own", (own) => own],
    [
      "one in a file with its key",
      ({ certFile = "", keyFile = "" }) => {
        fs.appendFileSync(certFile, fs.readFileSync(keyFile))
        return { certFile, keyFile: undefined }
      },
    ],
  ])("a release goes with %s for each of the two servers", ([, choose]) =>
    Effect.gen(function* () {
      const { cache, told, upload } = yield* makeSecured(choose)
      yield* upload()
      yield* untilTold(told, "is in the network cache")
      expect(cache.asked.map(({ client }) => client)).toStrictEqual(["content", "content", "index"])
    }),
  )

  it.effect.each<readonly [string, (own: Files, ofAnotherCa: Files) => Files, string]>([
    ["none", () => ({ certFile: undefined, keyFile: undefined }), ", without a client certificate"],
    ["one of a CA that the cache does not know", (_, other) => other, "/content.crt;"],
    ["one with another's key", (own, other) => ({ ...own, keyFile: other.keyFile }), "key values mismatch"],
  ])("a release does not go with %s", ([, choose, why]) =>
    Effect.gen(function* () {
      const { cache, softwareRoot, told, upload } = yield* makeSecured(choose)
      yield* upload()
      const line = yield* untilTold(told, "could not be uploaded to the network cache")
      expect(line).toContain(why)
      expect(cache.asked).toStrictEqual([])
      expectClean(softwareRoot)
    }),
  )

  it.effect("a release that is refused for its certificate tells which one it was", () =>
    Effect.gen(function* () {
      const { cache, told, upload } = yield* makeSecured((own) => own)
      cache.fault = (_, response) => Boolean(response.writeHead(403).end())
      yield* upload()
      yield* untilTold(told, "answers with status 403, with /")
    }),
  )
})

describe("an upload that fails", () => {
  it.effect("is tried three times, half an hour apart, and holds nobody meanwhile", () =>
    Effect.gen(function* () {
      const { cache, softwareRoot, told, upload } = yield* makeBuilt()
      cache.fault = ({ verb }, response) => verb === "PUT" && Boolean(response.writeHead(503).end())
      yield* upload()
      const words = "could not be uploaded to the network cache"
      yield* untilTold(told, words)
      expectClean(softwareRoot)
      expect(told.at(-1)).toContain("status 503; it is tried again in 30 minutes")
      yield* TestClock.adjust("29 minutes")
      expect(asked(cache)).toHaveLength(3)
      yield* TestClock.adjust("1 minute")
      yield* untilTold(told, words, 2)
      yield* TestClock.adjust("30 minutes")
      yield* untilTold(told, words, 3)
      expect(told.at(-1)).toMatch(/status 503; it is tried again when slapgrid is started$/)
      yield* TestClock.adjust("10 hours")
      expect(asked(cache).filter((one) => one.startsWith("PUT"))).toHaveLength(3)
      expectClean(softwareRoot)
    }),
  )

  it.effect("is made good by the next try", () =>
    Effect.gen(function* () {
      const { cache, noted, told, upload } = yield* makeBuilt()
      cache.fault = (_, response) => Boolean(response.destroy())
      yield* upload()
      yield* untilTold(told, "could not be uploaded")
      expect(noted()).toStrictEqual([folder])
      cache.fault = () => false
      yield* TestClock.adjust("30 minutes")
      yield* untilTold(told, "is in the network cache")
      yield* TestClock.withLive(untilSame(noted, []))
    }),
  )

  it.effect("because the cache stalls is ended, leaves nothing and is tried again", () =>
    Effect.gen(function* () {
      const { cache, softwareRoot, told, upload } = yield* makeBuilt()
      const sent = Promise.withResolvers<void>()
      cache.fault = ({ verb }) => {
        if (verb === "POST") sent.resolve()
        return verb === "POST"
      }
      yield* upload()
      yield* Effect.promise(() => sent.promise)
      expect(fs.readdirSync(softwareRoot)).toHaveLength(2)
      yield* TestClock.adjust("20 minutes")
      yield* untilTold(told, "only 0 bytes in 600 s; it is tried again in 30 minutes")
      expectClean(softwareRoot)
      cache.fault = () => false
      yield* TestClock.adjust("30 minutes")
      yield* untilTold(told, "is in the network cache")
    }),
  )

  it.effect("because packing does not come to an end is ended with all that it started", () =>
    Effect.gen(function* () {
      const { running, softwareRoot, told, upload } = yield* makeBuilt({ isTarEndless: true })
      yield* upload()
      yield* TestClock.withLive(
        eventually(
          "tar",
          Effect.sync(() => (running.size > 0 ? true : undefined)),
        ),
      )
      yield* TestClock.adjust("6 hours")
      yield* untilTold(told, "it took longer than 6 hours; it is tried again in 30 minutes")
      expect(running.size).toBe(0)
      expectClean(softwareRoot)
    }),
  )

  it.effect("by a cache that stores something else is told to no index", () =>
    Effect.gen(function* () {
      const { cache, told, upload } = yield* makeBuilt()
      cache.fault = ({ verb }, response) =>
        verb === "POST" && Boolean(response.writeHead(201).end(sha512(Buffer.from("x"))))
      yield* upload()
      yield* untilTold(told, "has stored something else than what was sent")
      expect(asked(cache)).not.toContain("PUT shadir")
    }),
  )

  it.effect("for want of space is ended before the disk is full", () =>
    Effect.gen(function* () {
      const { cache, softwareRoot, told, upload } = yield* makeBuilt({ minFreeSpace: 2 ** 52 })
      yield* upload()
      yield* untilTold(told, "not enough space")
      expect(cache.asked).toStrictEqual([])
      expectClean(softwareRoot)
    }),
  )

  it.effect("in tar tells tar's words", () =>
    Effect.gen(function* () {
      const { path, softwareRoot, told, upload } = yield* makeBuilt()
      fs.rmSync(path, { recursive: true })
      yield* upload()
      yield* untilTold(told, `tar: ${folder}: Cannot stat: No such file or directory`)
      expect(fs.readdirSync(softwareRoot)).toStrictEqual([])
    }),
  )

  it.effect("with a key that is none does not tell the key", () =>
    Effect.gen(function* () {
      const { signer, told, upload } = yield* makeBuilt()
      fs.writeFileSync(signer.keyFile, "my secret")
      yield* upload()
      yield* untilTold(told, "is no RSA key in PEM without a passphrase")
      expect(told.join("\n")).not.toContain("my secret")
    }),
  )
})

it.effect("where no agent goes on, an upload is waited for, and tried once", () =>
  Effect.gen(function* () {
    const { cache, softwareRoot, told, upload } = yield* makeBuilt({ isWaiting: true })
    cache.fault = ({ verb }, response) => verb === "PUT" && Boolean(response.writeHead(503).end())
    yield* upload()
    expect(told.at(-1)).toMatch(
      /could not be uploaded to the network cache: .* status 503; it is tried again when slapgrid is started$/,
    )
    expectClean(softwareRoot)
    cache.fault = () => false
    yield* upload()
    expect(told.at(-1)).toContain("is in the network cache")
  }),
)

it.effect("an upload ends before its release changes, and nothing of it is left", () =>
  Effect.gen(function* () {
    const { cache, endUpload, noted, softwareRoot, upload } = yield* makeBuilt()
    const asks = Promise.withResolvers<void>()
    cache.fault = () => {
      asks.resolve()
      return true
    }
    yield* upload()
    yield* Effect.promise(() => asks.promise)
    expect(noted()).toStrictEqual([folder])
    yield* endUpload
    expectClean(softwareRoot)
    expect(noted()).toStrictEqual([])
    expect(cache.index.size).toBe(0)
    yield* endUpload
  }),
)

describe("an upload that its agent's end cut short", () => {
  /** What an agent left that was uploading when it ended, and what the next one is made with. */
  const makeCutShort = Effect.gen(function* () {
    const [cache, signer, root] = [yield* makeCache(), yield* makeSigner, yield* scratchDirectory]
    const config = uploads(cache, signer)
    const asks = Promise.withResolvers<void>()
    cache.fault = () => {
      asks.resolve()
      return true
    }
    yield* Effect.scoped(
      Effect.gen(function* () {
        const { path, upload } = yield* makeNode(config, { root })
        build(path)
        yield* upload()
        yield* Effect.promise(() => asks.promise)
      }),
    )
    cache.fault = () => false
    return { cache, config, root, path: `${root}/software/${folder}` }
  })

  it.effect("is taken up by the next one", () =>
    Effect.gen(function* () {
      const { cache, config, root } = yield* makeCutShort
      const { noted } = yield* makeNode(config, { root })
      yield* TestClock.withLive(untilSame(noted, []))
      expect([...cache.index.keys()]).toStrictEqual([folder])
    }),
  )

  it.effect.each<readonly [string, (path: string) => void, Options]>([
    ["whose release is gone", (path) => fs.rmSync(path, { recursive: true }), {}],
    ["whose release has to be built again", (path) => fs.rmSync(`${path}/.completed`), {}],
    ["that is no longer wanted", () => undefined, { config: { upload: undefined } }],
  ])("is forgotten when it is one %s", ([, change, options]) =>
    Effect.gen(function* () {
      const { cache, config, path, root } = yield* makeCutShort
      change(path)
      const asked = cache.asked.length
      const { commands, noted } = yield* makeNode(config, { ...options, root })
      expect(noted()).toStrictEqual([])
      expect(commands).toStrictEqual([])
      expect(cache.asked).toHaveLength(asked)
    }),
  )

  it.effect("is left to the next agent by a pass", () =>
    Effect.gen(function* () {
      const { cache, config, root } = yield* makeCutShort
      const asked = cache.asked.length
      const { noted } = yield* makeNode(config, { root, isWaiting: true })
      expect(noted()).toStrictEqual([folder])
      expect(cache.asked).toHaveLength(asked)
    }),
  )
})
