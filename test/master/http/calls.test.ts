import { describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { ComputerId, PartitionId, SoftwareUrl } from "../../../src/domain/ids.ts"
import type { Report } from "../../../src/domain/Report.ts"
import { callOf } from "../../../src/master/http/calls.ts"
import { exchanges } from "../wire/vectors.ts"

const computer = Schema.decodeSync(ComputerId)("COMP-1")
const id = Schema.decodeSync(PartitionId)("slappart0")
const url = Schema.decodeSync(SoftwareUrl)("/srv/profiles/software.cfg")

const software = { url, computer_id: computer }
const partition = { computer_id: computer, computer_partition_id: id }

describe("callOf", () => {
  const cases: ReadonlyArray<readonly [method: string, report: Report, fields: object, missingIsHarmless: boolean]> = [
    ["buildingSoftwareRelease", { _tag: "Software", url, state: "building" }, software, true],
    ["availableSoftwareRelease", { _tag: "Software", url, state: "available" }, software, false],
    ["destroyedSoftwareRelease", { _tag: "Software", url, state: "destroyed" }, software, false],
    [
      "softwareReleaseError",
      { _tag: "Software", url, state: "error", log: "no such file" },
      { ...software, error_log: "no such file" },
      false,
    ],
    ["startedComputerPartition", { _tag: "Partition", id, state: "started" }, partition, false],
    ["stoppedComputerPartition", { _tag: "Partition", id, state: "stopped" }, partition, false],
    ["destroyedComputerPartition", { _tag: "Partition", id, state: "destroyed" }, partition, true],
    [
      "softwareInstanceError",
      { _tag: "Partition", id, state: "error", log: "failed" },
      { ...partition, error_log: "failed" },
      false,
    ],
    ["softwareInstanceBang", { _tag: "Bang", id, message: "hello" }, { ...partition, message: "hello" }, false],
    [
      "updateComputerPartitionRelatedInstanceList",
      { _tag: "Related", id, references: ["a & b", "c"] },
      {
        ...partition,
        instance_reference_xml:
          '<marshal><list id="i2"><string>a &amp;amp; b</string><string>c</string></list></marshal>',
      },
      false,
    ],
  ]

  it.each(cases)("%s", (method, report, fields, missingIsHarmless) => {
    expect(callOf(report, computer)).toStrictEqual({
      method,
      verb: "POST",
      fields,
      missingIsHarmless,
      isRepeatable: true,
      partition: method === "softwareInstanceBang" ? id : undefined,
    })
    // The reference sends the same fields, in the same order.
    const captured = exchanges.find(({ path }) => path === `/${method}`)
    expect(Object.keys(callOf(report, computer).fields)).toStrictEqual(Object.keys(captured?.form ?? fields))
  })

  it("keeps the end of a long log", () => {
    const { fields } = callOf({ _tag: "Software", url, state: "error", log: `${"x".repeat(1_000_000)}cause` }, computer)
    expect(fields["error_log"]).toMatch(/^x{49995}cause$/)
  })
})
