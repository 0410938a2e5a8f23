// Secrets that a node is given, and everything that it says to anybody: none of them is in there.
//
// | secret                                             | given by                                  |
// | -------------------------------------------------- | ----------------------------------------- |
// | the password of the master                         | `master_url`                              |
// | the password of the network cache                  | `download-…-url`                          |
// | the password of a release's source                 | the release's URL                         |
// | the computer's key                                 | `key_file`                                |
// | a partition's certificate and key                  | the master                                |
// | parameters, and what an instance published         | the master                                |
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs"
import { makeRelease, put } from "../support/attacks/machine.ts"
import { makeAuthority } from "../support/Authority.ts"
import { type Program, runToEnd } from "../support/Program.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode } from "../support/TestNode.ts"

const secrets = {
  master: "pw-of-the-master",
  cache: "pw-of-the-cache",
  release: "pw-of-the-release",
  partitionKey: "cGFydGl0aW9uLWtleQ",
  parameter: "value-of-a-parameter",
  connection: "value-that-was-published",
} as const

interface Planted {
  readonly node: TestNode<ScriptedTestMaster>
  readonly agent: Program
  readonly computerKey: string
}

class Node extends Context.Service<Node, Planted>()("test/e2e/secrets/Node") {}

const pem = (label: string, content: string): string => `-----BEGIN ${label}-----\n${content}\n-----END ${label}-----\n`

const plant = Effect.gen(function* () {
  const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 2 })
  const authority = yield* Effect.acquireRelease(Effect.sync(makeAuthority), ({ remove }) => Effect.sync(remove))
  const { certFile, keyFile } = authority.issue("COMP-1")
  const repository = `${node.scratch.path}/pki`
  mkdirSync(repository)
  const cache = `http://cacheuser:${secrets.cache}@127.0.0.1:1`
  node.configure({
    master_url: node.master.url.replace("//", `//agent:${secrets.master}@`),
    cert_file: certFile,
    key_file: keyFile,
    certificate_repository_path: repository,
    "download-binary-cache-url": `${cache}/cache`,
    "download-binary-dir-url": `${cache}/dir`,
    "signature-certificate-list": `\n${authority.read("ca.crt").toString().trim().replaceAll(/^/gm, "  ")}`,
  })
  const [good, bad] = node.partitions
  put(good!, "etc/promise/fails", "#!/bin/sh\necho it fails; exit 1\n")
  put(good!, "etc/service/dies", "#!/bin/sh\nexit 1\n")
  const software = makeRelease(node)
  const given = {
    software,
    timestamp: "1000",
    parameters: { password: secrets.parameter },
    connection: { password: secrets.connection },
    certificate: { certificate: pem("CERTIFICATE", "certificate"), key: pem("PRIVATE KEY", secrets.partitionKey) },
  }
  const unreachable = `http://user:${secrets.release}@127.0.0.1:1/software.cfg`
  yield* node.master.change(good!.id, given)
  yield* node.master.change(bad!.id, { ...given, software: unreachable })
  yield* node.master.supply(unreachable)
  const agent = yield* node.startAgent
  yield* node.master.awaitReport(good!.id, "error")
  yield* node.master.awaitReport(unreachable, "error")
  // The second line of the key's content: the first is the same for all of a kind.
  const computerKey = readFileSync(keyFile, "utf8").split("\n")[2] ?? ""
  return Node.of({ node, agent, computerKey })
})

/** Everything in files that others than root may read, but for partitions' own keys. */
const readable = (path: string): string =>
  readdirSync(path, { withFileTypes: true })
    .map((entry) => {
      const place = `${path}/${entry.name}`
      if (entry.isDirectory()) return (statSync(place).mode & 0o055) === 0 ? "" : readable(place)
      return entry.isFile() ? readFileSync(place, "utf8") : ""
    })
    .join("\n")

const commands = [
  ["status"],
  ["status", "--json"],
  ["plan"],
  ["plan", "--json"],
  ["explain", "slappart0"],
  ["explain", "slappart1"],
  ["promise", "--json"],
  ["software", "--json"],
]

describe.runIf(runsRootTests)("secrets", () => {
  layer(Layer.effect(Node, plant), { excludeTestServices: true, timeout: "2 minutes" })((it) => {
    it.effect("are in no log, answer, report or file that others read", () =>
      Effect.gen(function* () {
        const { agent, computerKey, node } = yield* Node
        const said = new Map<string, string>()
        for (const words of commands) {
          const { log, stdout } = yield* runToEnd([...node.slapgrid, ...words, "--configuration-file", node.configFile])
          said.set(words.join(" "), `${stdout}\n${log}`)
        }
        said.set("the agent's log", agent.log)
        for (const [where, text] of said) assert.match(text, /slappart0|software\.cfg/, where)
        const calls = yield* node.master.scripted.calls
        const told = JSON.stringify(calls.map(({ form, query }) => ({ form, query })))
        assert.include(told, "it fails")
        // A release's own files and what its master is told of it have its URL.
        const { release, ...others } = secrets
        const everywhere = [told, readable(node.instanceRoot), readable(node.softwareRoot), ...said.values()].join("\n")
        const search = (text: string, looked: ReadonlyArray<string>) => looked.filter((one) => text.includes(one))
        assert.deepStrictEqual(search(everywhere, [computerKey, ...Object.values(others)]), [])
        assert.deepStrictEqual(search([...said.values()].join("\n"), [release]), [])
        assert.include([...said.values()].join("\n"), "http://***@127.0.0.1:1/software.cfg")
        assert.include(told, release)
      }),
    )

    it.effect("a partition's key is in the file that is its own", () =>
      Effect.gen(function* () {
        const { node } = yield* Node
        const file = `${node.scratch.path}/pki/slappart0.key`
        assert.include(readFileSync(file, "utf8"), secrets.partitionKey)
        const { mode, uid } = statSync(file)
        assert.deepStrictEqual([mode & 0o777, uid], [0o400, node.partition("slappart0").uid])
      }),
    )
  })
})
