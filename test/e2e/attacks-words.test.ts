// Attacks by what strangers write: documents, archives, names, the output of promises, logs, and what a master says. Each is
// first seen to succeed against a careless reader.
//
// | SECURITY.md, what is promised                        | tests                        |
// | ---------------------------------------------------- | ---------------------------- |
// | documents and archives are read strictly             | a report with …, an archive… |
// | strangers' words steer nothing; harm is bounded      | what the agent says …, …     |
// | names from the master are checked                    | a master that names …        |
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { lchownSync, mkdirSync, mkdtempSync, readdirSync, statSync, symlinkSync } from "node:fs"
import { blocks, exhausts, log as addLine, writeFile } from "../support/attacks/careless.ts"
import { documents } from "../support/attacks/documents.ts"
import { makeRelease, type Node, type Outcome, put, table } from "../support/attacks/machine.ts"
import { makeDirectory, makeFile, type Victim } from "../support/attacks/victims.ts"
import { type Program, runToEnd } from "../support/Program.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import { makeScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestPartition } from "../support/TestNode.ts"
import { eventually } from "../support/waiting.ts"

interface Stage {
  readonly node: Node
  readonly agent: Program
  readonly partition: TestPartition
  readonly victims: Readonly<Record<"status" | "log" | "result" | "outside", Victim>>
}

class Theatre extends Context.Service<Theatre, Stage>()("test/e2e/attacks-words/Theatre") {}

// The last is one character for ESC [, which JSON leaves as it is.
const steering = "\u001b]0;owned\u0007\u001b[2J\u009b2J"
const forged = "2026-01-01T00:00:00.000Z ERROR node: the disk fails"
/** A file name that is two lines, the second of which is not its own. */
const oddName = `odd${steering}\n${forged}`
const outcomes: Array<Outcome> = []

const promises: Readonly<Record<string, string>> = {
  "etc/promise/steers": `#!/usr/bin/python3 -IS\nprint(${JSON.stringify(`${steering}\n${forged}`)})\nraise SystemExit(1)\n`,
  "etc/promise/floods": "#!/bin/sh\nexec cat /dev/zero\n",
  "etc/promise/linked": "#!/bin/sh\necho kept\n",
  "etc/promise/hangs": "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n",
}

const makeStage = Effect.gen(function* () {
  const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), {
    partitions: 1,
    settings: { promise_timeout: "2", service_log_max_size: "64K", stop_timeout: "2" },
  })
  const partition = node.partitions[0]!
  const outside = `${node.scratch.path}/outside`
  mkdirSync(outside)
  const victims = {
    status: makeFile(`${outside}/status`),
    log: makeFile(`${outside}/log`),
    result: makeFile(`${outside}/result`),
    outside: makeDirectory(`${node.scratch.path}/elsewhere`, "file"),
  }
  for (const [place, text] of Object.entries(promises)) put(partition, place, text)
  put(partition, `etc/service/${oddName}`, "no program\n")
  put(
    partition,
    "etc/service/sparse",
    "#!/bin/sh\necho begun\ntruncate -s 1T .slappart0_sparse.log\nwhile :; do echo more; sleep 0.1; done\n",
  )
  for (const [place, victim] of [
    ["result/linked.status.json", victims.result],
    ["log/linked.log", victims.log],
  ] as const) {
    put(partition, `.slapgrid/promise/${place}.made`, "")
    symlinkSync(victim.path, `${partition.path}/.slapgrid/promise/${place}`)
    lchownSync(`${partition.path}/.slapgrid/promise/${place}`, partition.uid, partition.gid)
  }
  const software = makeRelease(node)
  const ids = ["../elsewhere", "..", "etc", `a\n${forged}`, "-rf", "x/../../elsewhere"]
  yield* node.master.scripted.script({
    partitions: [
      { id: partition.id, software, timestamp: "1000" },
      ...ids.map((id) => ({ id, software, timestamp: "1000" })),
    ],
    software: [`${software} `, `${software}\n[buildout]\nparts = evil`].map((url) => ({ url })),
  })
  const agent = yield* node.startAgent
  yield* node.master.awaitReport(partition.id, "error")
  return Theatre.of({ node, agent, partition, victims })
})

/** A victim, and a link to it. */
const makeLinked = (path: string) => {
  const victim = makeFile(path)
  symlinkSync(path, `${path}.link`)
  return { victim, link: `${path}.link` }
}

/** Control characters but the newline. */
const steers = (text: string): boolean => /(?!\n)\p{Cc}/u.test(text)

describe.runIf(runsRootTests)("attacks in words", () => {
  layer(Layer.effect(Theatre, makeStage), { excludeTestServices: true, timeout: "2 minutes" })((it) => {
    it.effect.each(documents)("$name", (document) =>
      Effect.gen(function* () {
        const { node } = yield* Theatre
        const directory = mkdtempSync(`${node.scratch.path}/document-`)
        const careless = document.careless(makeFile(`${directory}/careless-victim`), directory)
        const slapgrid = yield* document.slapgrid(makeFile(`${directory}/victim`), directory)
        outcomes.push({ attack: document.name, careless: careless ?? "unharmed", slapgrid: slapgrid ?? "refused" })
        assert.isDefined(careless)
        assert.isUndefined(slapgrid)
      }),
    )

    it.effect("what the agent says of names and promises steers no terminal and forges no line", () =>
      Effect.gen(function* () {
        const { agent, node, partition } = yield* Theatre
        const careless = [...readdirSync(`${partition.path}/etc/service`), `${steering}\n${forged}`].join("\n")
        assert.isTrue(steers(careless) && careless.split("\n").includes(forged))
        yield* eventually(
          "all promises",
          Effect.map(node.status, ({ partitions }) => (partitions[0]?.promises.length === 4 ? true : undefined)),
        )
        const commands = [
          ["status"],
          ["status", "--json"],
          ["explain", partition.id],
          ["plan"],
          ["promise", "--only-cp", partition.id],
          ["promise", "--only-cp", partition.id, "--json"],
        ]
        for (const words of commands) {
          const { stdout } = yield* runToEnd([...node.slapgrid, ...words, "--configuration-file", node.configFile])
          assert.include(stdout, partition.id)
          assert.isFalse(steers(stdout), words.join(" "))
          assert.notInclude(stdout.split("\n"), forged)
        }
        assert.include(agent.log, "owned")
        outcomes.push({
          attack: "a program's name and a promise's words steer a terminal",
          careless: "steered",
          slapgrid: "escaped",
        })
      }),
    )

    it.effect("a promise that floods or hangs is ended, and files of promises that are links lead nowhere", () =>
      Effect.gen(function* () {
        const { node, partition, victims } = yield* Theatre
        const { partitions } = yield* node.status
        const said = new Map(
          partitions[0]?.promises.map(({ hasFailed, message, name }) => [name, { hasFailed, message }]),
        )
        assert.deepInclude(said.get("linked"), { hasFailed: false })
        assert.include(said.get("floods")?.message ?? "", "printed more than")
        assert.include(said.get("hangs")?.message ?? "", "timed out")
        assert.isAtMost(said.get("steers")?.message?.length ?? 0, 5_100)
        for (const victim of Object.values(victims)) assert.isUndefined(victim.harm(), victim.path)
        assert.isTrue(statSync(`${partition.path}/.slapgrid/promise/result/linked.status.json`).isFile())
        const floods = blocks(`${partition.path}/etc/promise/floods`)
        outcomes.push({ attack: "a promise prints without end", careless: floods ?? "unharmed", slapgrid: "ended" })
        const hangs = blocks(`${partition.path}/etc/promise/hangs`)
        outcomes.push({ attack: "a promise never ends", careless: hangs ?? "unharmed", slapgrid: "ended" })
        const [result, log] = ["result", "log"].map((name) =>
          makeLinked(`${node.scratch.path}/outside/careless-${name}`),
        )
        writeFile(result!.link, partition)
        addLine(log!.link, partition)
        const harms = [result!.victim.harm(), log!.victim.harm()]
        outcomes.push({
          attack: "a promise's result is a link",
          careless: harms[0] ?? "unharmed",
          slapgrid: "replaced",
        })
        outcomes.push({ attack: "a promise's log is a link", careless: harms[1] ?? "unharmed", slapgrid: "refused" })
        assert.deepStrictEqual([floods, hangs, ...harms], ["blocked", "blocked", "overwritten", "overwritten"])
      }),
    )

    it.effect("a log that is made a sparse terabyte is cut to its size", () =>
      Effect.gen(function* () {
        const { partition } = yield* Theatre
        const log = `${partition.path}/.slappart0_sparse.log`
        const { size } = yield* eventually(
          "a log of its size",
          Effect.sync(() => {
            const stats = statSync(log, { throwIfNoEntry: false })
            return stats !== undefined && stats.size > 0 && stats.size <= 64 * 1024 ? stats : undefined
          }),
        )
        assert.isAtMost(size, 64 * 1024)
        const control = `${partition.path}/control`
        put(partition, "control", "")
        yield* runToEnd(["truncate", "-s", "1T", control])
        const careless = exhausts(control)
        outcomes.push({ attack: "a log becomes a sparse terabyte", careless: careless ?? "unharmed", slapgrid: "cut" })
        assert.strictEqual(careless, "crashed")
      }),
    )

    it.effect("a master that names what no partition can be is not followed there", () =>
      Effect.gen(function* () {
        const { agent, node, victims } = yield* Theatre
        const { partitions, software } = yield* node.status
        assert.deepStrictEqual(
          partitions.map(({ id }) => id),
          ["slappart0"],
        )
        assert.isTrue(software.every(({ url }) => !/\s/.test(url)))
        assert.isUndefined(victims.outside.harm())
        assert.include(agent.log, "a partition id is a plain directory name")
        outcomes.push({
          attack: "a master names partitions outside",
          careless: "as a path: written there",
          slapgrid: "refused",
        })
        process.stdout.write(`\n${table(outcomes)}\n\n`)
      }),
    )
  })
})
