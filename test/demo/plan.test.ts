// What the demo asks of a master, asked of the embedded one; and what its node is told, read as the node reads it.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Redacted from "effect/Redacted"
import { parseDialect } from "../../src/config/dialect.ts"
import { resolveSettings } from "../../src/config/settings.ts"
import {
  formatForm,
  nodeConfiguration,
  partitions,
  requestForm,
  supplyForm,
  wantedInstances,
} from "../../src/demo/plan.ts"
import { grantedOf } from "../../src/demo/Web.ts"
import { encodeMarshal } from "../../src/master/wire/marshal.ts"
import { makeMaster } from "../master/local/master.ts"

const software = "/tmp/demo/release/software.cfg"

describe("the demo's order", () => {
  it.effect("gets a partition for each instance, and later what they have published", () =>
    Effect.gen(function* () {
      const master = yield* makeMaster
      const post = (path: string, form: Readonly<Record<string, string>>) =>
        Effect.map(master.post(path, form), ({ body, status }) => {
          assert.strictEqual(status, 200, body)
          return body
        })
      const request = (index: number) =>
        Effect.map(post("requestComputerPartition", requestForm(software, wantedInstances[index]!)), grantedOf)
      yield* post("loadComputerConfigurationFromXML", formatForm())
      yield* post("supplySupply", supplyForm(software))
      for (const [index, partition] of partitions.entries()) {
        assert.deepStrictEqual(yield* request(index), { partition, url: undefined })
      }
      yield* post("setComputerPartitionConnectionXml", {
        computer_id: "COMP-DEMO",
        computer_partition_id: "slappart1",
        connection_xml: encodeMarshal(new Map([["url", "http://127.0.0.1:1/?a=1&b=<2>"]])),
      })
      assert.deepStrictEqual(yield* request(1), { partition: "slappart1", url: "http://127.0.0.1:1/?a=1&b=<2>" })
    }),
  )

  it("takes an answer that is no instance for one without anything", () => {
    for (const document of ["", "<marshal><none/></marshal>", "not found"]) {
      assert.deepStrictEqual(grantedOf(document), { partition: undefined, url: undefined })
    }
  })
})

describe("the demo's slapos.cfg", () => {
  it.each([true, false])("is a whole configuration (root: %j)", (isRoot) => {
    const text = nodeConfiguration({
      masterUrl: "http://127.0.0.1:5000/",
      instanceRoot: "/tmp/demo/instance",
      softwareRoot: "/tmp/demo/software",
      buildout: "/usr/bin/buildout",
      isRoot,
    })
    const document = Result.getOrThrow(parseDialect(text))
    const { config, problems } = resolveSettings(
      { flags: {}, file: { path: "slapos.cfg", document } },
      { fileHint: "slapos.cfg", complete: true, buildout: undefined },
    )
    assert.deepStrictEqual(problems, [])
    assert.strictEqual(config?.rootCheck, isRoot)
    assert.strictEqual(config?.syncInterval, 1000)
    assert.strictEqual(config && Redacted.value(config.masterUrl), "http://127.0.0.1:5000/")
  })
})
