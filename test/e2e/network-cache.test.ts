// Releases that come from a network cache and go there, between real agents.
import { assert, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import {
  chownSync,
  closeSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import * as Effect from "effect/Effect"
import { distributionOf } from "../../src/build/networkcache/entries.ts"
import { type FakeCache, makeCache, makeSigner, type Signer } from "../support/FakeCache.ts"
import { makeAuthority } from "../support/Authority.ts"
import { belongingTo } from "../support/processes.ts"
import { runToEnd } from "../support/Program.ts"
import { isRoot } from "../support/ScratchMachine.ts"
import { makeEmbeddedMaster } from "../support/TestMaster.ts"
import { makeNode, type NodeOptions, type TestNode } from "../support/TestNode.ts"
import { eventually } from "../support/waiting.ts"

const machine = {
  multiarch: execFileSync("gcc", ["-dumpmachine"], { encoding: "utf8" }).trim(),
  os: distributionOf(readFileSync("/etc/os-release", "utf8")),
}

const nodeWith = (options: Partial<NodeOptions>) =>
  makeNode((scratch, ids) => makeEmbeddedMaster(`${scratch.path}/master.db`, ids), { partitions: 1, ...options })

const node = nodeWith({})

/** Lines of `[networkcache]`, which stand in `[slapos]` as well. */
const downloads = (cache: FakeCache, { certificate }: Signer) => ({
  "download-binary-cache-url": cache.cacheUrl,
  "download-binary-dir-url": cache.dirUrl,
  "signature-certificate-list": `\n${certificate.trim().replaceAll(/^/gm, "  ")}`,
})

const uploads = (cache: FakeCache, { keyFile }: Signer) => ({
  "upload-binary-cache-url": cache.cacheUrl,
  "upload-binary-dir-url": cache.dirUrl,
  "signature-private-key-file": keyFile,
})

/** An archive of a release whose buildout is a line of shell, as another node's tar would make it. */
const archiveOf = (folder: string): Buffer => {
  const directory = mkdtempSync(join(tmpdir(), "slapgrid-release-"))
  const release = join(directory, folder)
  mkdirSync(join(release, "bin"), { recursive: true })
  writeFileSync(join(release, "bin/buildout"), "#!/bin/sh\nmkdir -p etc/run && touch installed\n", { mode: 0o755 })
  writeFileSync(join(release, "instance.cfg"), "[buildout]\n")
  const archive = execFileSync("tar", ["--create", "--gzip", folder], { cwd: directory })
  rmSync(directory, { recursive: true })
  return archive
}

const publish = (cache: FakeCache, signer: Signer, { softwareRoot }: TestNode, path: string, url: string) =>
  cache.publish(
    basename(path),
    archiveOf(basename(path)),
    { software_url: url, software_root: softwareRoot, ...machine },
    signer,
  )

it.live("a release from the cache is installed without buildout, and can be instantiated", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const [cache, signer, machine] = [yield* makeCache(), yield* makeSigner, yield* node]
      const url = `${machine.scratch.path}/release/cached.cfg`
      const path = machine.releaseDirectory(url)
      publish(cache, signer, machine, path, url)
      // Nothing is bootstrapped with it.
      machine.configure({ ...downloads(cache, signer), buildout: "/bin/false" })
      const agent = yield* machine.startAgent
      yield* machine.supply(url)
      yield* machine.master.awaitReport(url, "available")
      yield* agent.awaitLine("comes from the network cache")
      const partition = yield* machine.request("cached", { software: url })
      yield* machine.master.awaitReport(partition.id, "started")
      assert.isTrue(readdirSync(partition.path).includes("installed"))
      const { gid, mode, uid } = lstatSync(path)
      assert.deepStrictEqual([uid, gid, mode & 0o7777], [machine.software.uid, machine.software.gid, 0o755])
      assert.deepStrictEqual(readdirSync(path).sort(), [".completed", "bin", "instance.cfg"])
      assert.deepStrictEqual(readdirSync(machine.softwareRoot), [basename(path)])
    }),
  ),
)

it.live("a release that may only come from the cache is not built when it cannot, and comes when it can", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const [cache, signer, machine] = [yield* makeCache(), yield* makeSigner, yield* node]
      const url = `${machine.scratch.path}/release/cached.cfg`
      const path = machine.releaseDirectory(url)
      const force = { "download-from-binary-cache-force-url-list": `\n  ${machine.scratch.path}/` }
      machine.configure({ ...downloads(cache, signer), ...force })
      yield* machine.startAgent
      yield* machine.supply(url)
      const { message, seq } = yield* machine.master.awaitReport(url, "error")
      assert.include(message, "may only come from the network cache")
      assert.include(message, "the network cache does not have it")
      assert.deepStrictEqual(readdirSync(machine.softwareRoot), [])
      publish(cache, signer, machine, path, url)
      yield* machine.ask
      yield* machine.master.awaitReport(url, "available", { after: seq })
    }),
  ),
)

it.live("a release that one node built and uploaded is what a second one takes from the cache, and only takes", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const authority = yield* Effect.acquireRelease(Effect.sync(makeAuthority), ({ remove }) => Effect.sync(remove))
      authority.issue("cache")
      const cache = yield* makeCache({
        ca: authority.read("ca.crt"),
        key: authority.read("cache.key"),
        cert: authority.read("cache.crt"),
        requestCert: true,
        rejectUnauthorized: false,
      })
      cache.fault = ({ client, verb }, response) =>
        verb !== "GET" && client === undefined && Boolean(response.writeHead(403).end())
      const files = (of: string) => {
        const { certFile, keyFile } = authority.issue(of)
        return { [`${of}-ca-file`]: authority.caFile, [`${of}-cert-file`]: certFile, [`${of}-key-file`]: keyFile }
      }
      const [first, signer] = [yield* node, yield* makeSigner]
      const networkCache = {
        ...downloads(cache, signer),
        ...uploads(cache, signer),
        ...files("shacache"),
        ...files("shadir"),
      }
      first.configure(networkCache)
      const agent = yield* first.startAgent
      yield* first.supply(first.release)
      yield* agent.awaitLine(`${first.release} is in the network cache`)
      yield* first.master.awaitReport(first.release, "available")
      agent.signal("SIGTERM")
      yield* agent.exit
      const path = first.releaseDirectory(first.release)
      assert.deepStrictEqual(readdirSync(first.softwareRoot), [basename(path)])
      assert.deepStrictEqual(
        cache.asked.map(({ client, path, verb }) => [verb, path.split("/")[1], client]),
        [
          ["GET", "shadir", undefined],
          ["GET", "shacache", "shacache"],
          ["POST", "shacache", "shacache"],
          ["PUT", "shadir", "shadir"],
        ],
      )
      // Releases know their own place: the second node has the same one.
      const [built, asked] = [`${first.scratch.path}/built`, cache.asked.length]
      renameSync(path, built)
      const second = yield* nodeWith({ identities: () => Effect.succeed([first.software, ...first.partitions]) })
      second.configure({ ...networkCache, software_root: first.softwareRoot, buildout: "/bin/false" })
      const other = yield* second.startAgent
      yield* second.supply(first.release)
      const partition = yield* second.request("from the cache", { software: first.release })
      yield* second.master.awaitReport(partition.id, "started")
      assert.include(other.log, "comes from the network cache")
      // As it was, but for what is the first node's own.
      const differing = execFileSync("diff", [
        "--recursive",
        "--brief",
        "--no-dereference",
        built,
        path,
        "--exclude=.*",
      ])
      assert.strictEqual(differing.toString(), "")
      other.signal("SIGTERM")
      yield* other.exit
      assert.deepStrictEqual(
        cache.asked.slice(asked).map(({ client, path, verb }) => [verb, path.split("/")[1], client]),
        [
          ["GET", "shadir", undefined],
          ["GET", "shacache", undefined],
        ],
      )
    }),
  ),
)

it.live("a pass over releases without an agent ends when what it built is in the cache", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const [cache, signer, machine] = [yield* makeCache(), yield* makeSigner, yield* node]
      machine.configure(uploads(cache, signer))
      yield* machine.supply(machine.release)
      const { ended, log } = yield* runToEnd([
        ...machine.slapgrid,
        "software",
        "--configuration-file",
        machine.configFile,
      ])
      assert.strictEqual(ended.code, 0, log)
      assert.deepStrictEqual([...cache.index.keys()], [basename(machine.releaseDirectory(machine.release))])
    }),
  ),
)

it.live("an upload holds nobody, and leaves no process and no file when its release or its agent goes", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const [cache, signer, machine] = [yield* makeCache(), yield* makeSigner, yield* node]
      machine.configure(uploads(cache, signer))
      cache.fault = ({ verb }) => verb === "POST"
      const remains = () => readdirSync(machine.softwareRoot).filter((name) => name.startsWith(".slapgrid-"))
      const untilStalled = (count: number) =>
        eventually(
          `upload number ${count}`,
          Effect.sync(() => cache.asked.filter(({ verb }) => verb === "POST")[count - 1]),
        )
      let agent = yield* machine.startAgent

      yield* machine.supply(machine.release)
      yield* untilStalled(1)
      yield* machine.master.awaitReport(machine.release, "available")
      assert.lengthOf(remains(), 1)
      yield* machine.supply(machine.release, "destroyed")
      const { seq } = yield* machine.master.awaitReport(machine.release, "destroyed")
      assert.deepStrictEqual(readdirSync(machine.softwareRoot), [])

      yield* machine.supply(machine.release)
      yield* untilStalled(2)
      yield* machine.run("served meanwhile")
      assert.lengthOf(remains(), 1)
      agent.signal("SIGTERM")
      assert.deepStrictEqual(yield* agent.exit, { code: 0, signal: null })
      assert.deepStrictEqual(remains(), [])
      yield* machine.master.awaitReport(machine.release, "available", { after: seq })

      // The next agent goes on with it.
      cache.fault = () => false
      agent = yield* machine.startAgent
      yield* agent.awaitLine(`${machine.release} is in the network cache`)

      // Zeros that are nowhere on the disk, and that keep tar busy for long.
      const large = machine.writeProfile("large.cfg", `[buildout]\nextends = ${machine.release}\n`)
      const path = machine.releaseDirectory(large)
      mkdirSync(path)
      const zeros = openSync(`${path}/zeros`, "wx")
      ftruncateSync(zeros, 2 ** 36)
      closeSync(zeros)
      const { gid, uid } = machine.software
      if (isRoot) for (const one of [path, `${path}/zeros`]) chownSync(one, uid, gid)
      yield* machine.supply(large)
      yield* machine.master.awaitReport(large, "available")
      const packing = () => belongingTo({ path: machine.softwareRoot, hasUid: () => false })
      yield* eventually(
        "tar and gzip",
        Effect.sync(() => (remains().length > 0 && packing().length > 1 ? true : undefined)),
      )
      agent.signal("SIGKILL")
      yield* eventually(
        "the end of tar and gzip",
        Effect.sync(() => (packing().length === 0 ? true : undefined)),
      )
      assert.lengthOf(remains(), 1)
      yield* machine.startAgent
      yield* eventually(
        "the removal of the archive",
        Effect.sync(() => (remains().length === 0 ? true : undefined)),
      )
    }),
  ),
)
