// The Python of the demo's release, run by Python: it reads what the embedded master writes, and the other way round.
import { spawnSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { instanceTemplate, softwareProfile } from "../../src/demo/assets/profile.ts"
import { recipeModule, recipeSetup } from "../../src/demo/assets/recipe.ts"
import { serverProgram } from "../../src/demo/assets/server.ts"
import { formatForm, requestForm } from "../../src/demo/plan.ts"
import { decodeMarshal } from "../../src/master/wire/marshal.ts"
import { makeMaster } from "../master/local/master.ts"

/** Runs Python code that prints JSON; `input` is its `input`, the recipe's module is there as well. */
const python = (code: string, input: unknown): unknown => {
  const program = `import json, sys\nmodule, input = json.load(sys.stdin)\nexec(module)\nprint(json.dumps(${code}))\n`
  const run = spawnSync("/usr/bin/python3", ["-I", "-c", program], {
    input: JSON.stringify([recipeModule, input]),
    encoding: "utf8",
  })
  assert.strictEqual(run.stderr, "")
  return JSON.parse(run.stdout)
}

const texts = { url: "http://127.0.0.1:1/?a=1&b=<2>", quote: `"'`, more: "&amp; ]]>" }

describe("the recipe", () => {
  it.effect("reads its parameters from the master's document", () =>
    Effect.gen(function* () {
      const master = yield* makeMaster
      yield* master.post("loadComputerConfigurationFromXML", formatForm())
      yield* master.post("requestComputerPartition", requestForm("/sr.cfg", { title: "a & b", greeting: "<Hi> &amp;" }))
      const { body } = yield* master.get("registerComputerPartition", {
        computer_reference: "COMP-DEMO",
        computer_partition_reference: "slappart0",
      })
      const code = `(lambda d: [d["instance_title"], d["greeting"], first_address(d)])(value(ElementTree.fromstring(input)[0][1])["_parameter_dict"])`
      assert.deepStrictEqual(python(code, body), ["a & b", "<Hi> &amp;", "127.0.0.1"])
    }),
  )

  it("writes connection parameters as a master reads them", () => {
    const document = python(`"<marshal>%s</marshal>" % dictionary(input)`, texts)
    const decoded = Result.getOrThrow(decodeMarshal(String(document)))
    assert.deepStrictEqual(decoded, new Map(Object.entries(texts).sort(([a], [b]) => (a < b ? -1 : 1))))
  })

  it("chooses ports so that partitions with other numbers cannot meet", () => {
    const ports = python(`[free_port("127.0.0.1", number) % 20 for number in input]`, [0, 1, 2, 21])
    assert.deepStrictEqual(ports, [0, 1, 2, 1])
  })

  it("is Python, all of it, and its template takes all values", () => {
    const sources = [recipeModule, recipeSetup, serverProgram]
    assert.deepStrictEqual(python(`[compile(text, "x", "exec") and 1 for text in input]`, sources), [1, 1, 1])
    const values = { "eggs-directory": "/e", "develop-eggs-directory": "/d", python: "/p", server: "/s" }
    const filled = String(python("input[0] % input[1]", [instanceTemplate, values]))
    assert.include(filled, "eggs-directory = /e\n")
    assert.include(filled, "wrapper = ${buildout:directory}/etc/service/http\n")
    assert.include(softwareProfile("/tmp/demo/release"), "develop = /tmp/demo/release/recipe\n")
  })
})
