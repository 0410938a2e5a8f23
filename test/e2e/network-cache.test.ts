// Releases that come from a network cache and go there, between real agents.
import { assert, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import * as Effect from "effect/Effect"
import { distributionOf } from "../../src/build/networkcache/entries.ts"
import { type FakeCache, makeCache, makeSigner, type Signer } from "../support/FakeCache.ts"
import { makeEmbeddedMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode } from "../support/TestNode.ts"

const machine = {
  multiarch: execFileSync("gcc", ["-dumpmachine"], { encoding: "utf8" }).trim(),
  os: distributionOf(readFileSync("/etc/os-release", "utf8")),
}

const node = makeNode((scratch, ids) => makeEmbeddedMaster(`${scratch.path}/master.db`, ids), { partitions: 1 })

/** Lines of `[networkcache]`, which stand in `[slapos]` as well. */
const downloads = (cache: FakeCache, { certificate }: Signer) => ({
  "download-binary-cache-url": cache.cacheUrl,
  "download-binary-dir-url": cache.dirUrl,
  "signature-certificate-list": `\n${certificate.trim().replaceAll(/^/gm, "  ")}`,
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
