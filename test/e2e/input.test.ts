// What a user can get wrong at the start: each has one message that says what, where and what to do, and an exit status.
//
// | what                         | test                                                                     |
// | ---------------------------- | ------------------------------------------------------------------------ |
// | no such file                 | no such file, no such certificate, no such root, no such buildout        |
// | unknown option value         | an unknown log format, option values of the wrong type, all at once      |
// | port in use                  | a master's port that is in use                                           |
// | (and what comes with them)   | an unknown flag, an empty file, a database that is none, no agent to ask |
// | unwritable roots             | ordinary-user.test.ts                                                    |
// | second agent                 | ending.test.ts                                                           |
// | partition ids, profiles      | failures.test.ts                                                         |
import { assert, layer } from "@effect/vitest"
import { writeFileSync } from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { runToEnd } from "../support/Program.ts"
import { slapgrid } from "../support/slapgrid.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode } from "../support/TestNode.ts"

class Node extends Context.Service<Node, TestNode<ScriptedTestMaster>>()("test/e2e/input/Node") {
  static readonly layer = Layer.effect(
    Node,
    makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 0 }),
  )
}

interface Mistake {
  readonly what: string
  /** Words after `slapgrid`; what has to be there beforehand is made here. */
  readonly words: (node: TestNode) => ReadonlyArray<string>
  readonly told: (node: TestNode) => ReadonlyArray<string>
}

const withFile = (node: TestNode, text: string): ReadonlyArray<string> => {
  const path = `${node.scratch.path}/given.cfg`
  writeFileSync(path, text)
  return ["--configuration-file", path]
}

const withSettings = (node: TestNode, settings: Readonly<Record<string, string>>): ReadonlyArray<string> => {
  node.configure(settings)
  return ["--configuration-file", node.configFile]
}

const mistakes: ReadonlyArray<Mistake> = [
  {
    what: "no such file",
    words: () => ["--configuration-file", "/nonexistent/slapos.cfg"],
    told: () => ["/nonexistent/slapos.cfg does not exist; create it or name another", "command line"],
  },
  {
    what: "an empty file",
    words: (node) => withFile(node, ""),
    told: () => ["computer_id", "instance_root", "software_root", "master_url", "is mandatory", "given.cfg"],
  },
  {
    what: "a file that is no configuration",
    words: (node) => withFile(node, "computer_id = COMP-1\n"),
    told: () => ["given.cfg:1"],
  },
  {
    what: "no such root",
    words: (node) => withSettings(node, { instance_root: "/nonexistent/instance" }),
    told: () => ["instance_root", "the directory /nonexistent/instance does not exist; create it or correct the path"],
  },
  {
    what: "no such certificate",
    words: (node) => [...withSettings(node, {}), "--key-file", "/nonexistent/key", "--cert_file=/nonexistent/crt"],
    told: () => [
      "--key-file",
      "the file /nonexistent/key does not exist",
      "the file /nonexistent/crt does not exist",
      "certificate_repository_path",
      "is mandatory with a key_file or cert_file",
    ],
  },
  {
    what: "no such buildout",
    words: (node) => [...withSettings(node, {}), "--buildout", "/nonexistent/buildout"],
    told: () => ["--buildout", "the file /nonexistent/buildout does not exist; create it or correct the path"],
  },
  {
    what: "option values of the wrong type, all at once",
    words: (node) =>
      withSettings(node, {
        sync_interval: "soon",
        root_check: "maybe",
        software_min_free_space: "much",
        master_url: "x",
      }),
    told: (node) => [
      "sync_interval",
      "root_check",
      "software_min_free_space",
      "master_url",
      `${node.configFile}:`,
      "soon",
      "write true or false",
      "such as 1000M",
      "such as https://slap.example.com/",
    ],
  },
  {
    what: "a computer id that is none",
    words: (node) => withSettings(node, { computer_id: "../COMP" }),
    told: () => ["computer_id", "../COMP"],
  },
  { what: "an unknown log format", words: () => ["--log-format", "yaml"], told: () => ["log-format", "yaml", "json"] },
  { what: "an unknown flag", words: () => ["--frobnicate"], told: () => ["--frobnicate", "slapgrid --help"] },
  {
    what: "an unknown subcommand",
    words: () => ["frobnicate"],
    told: () => ["frobnicate", "slapgrid --help"],
  },
  {
    what: "a master's port that is in use",
    words: (node) => {
      const { port } = new URL(node.master.url)
      return ["master", "--database", `${node.scratch.path}/other.db`, "--port", port]
    },
    told: (node) => [
      `127.0.0.1 port ${new URL(node.master.url).port} is in use by another program: stop it, choose another port, or 0`,
    ],
  },
  {
    what: "a master's database in no directory",
    words: () => ["master", "--database", "/nonexistent/master.db", "--port", "0"],
    told: () => ["/nonexistent/master.db"],
  },
  {
    what: "a master's database that is none",
    words: (node) => {
      writeFileSync(
        `${node.scratch.path}/text.db`,
        "this is no database, but it is long enough to look like one\n".repeat(99),
      )
      return ["master", "--database", `${node.scratch.path}/text.db`, "--port", "0"]
    },
    told: (node) => [`${node.scratch.path}/text.db`],
  },
  {
    what: "no agent to ask",
    words: (node) => ["status", ...withSettings(node, {})],
    told: (node) => ["no slapgrid is running there", node.instanceRoot, "start it with slapgrid"],
  },
]

layer(Node.layer, { excludeTestServices: true, timeout: "2 minutes" })("bad input", (it) => {
  it.effect.each(mistakes)("$what: one message, and exit status 1", ({ told, words }) =>
    Effect.gen(function* () {
      const node = yield* Node
      const { ended, log, stdout } = yield* runToEnd([...slapgrid, ...words(node)])
      assert.deepStrictEqual(ended, { code: 1, signal: null }, log)
      assert.strictEqual(stdout, "")
      assert.match(log, /^slapgrid: /)
      assert.lengthOf(log.match(/slapgrid: /g) ?? [], 1, log)
      assert.notMatch(log, /^\s+at /m, "no stack")
      for (const part of told(node)) assert.include(log, part)
    }),
  )
})
