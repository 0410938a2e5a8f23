import { expect, it } from "vitest"
import { namedSoftware } from "../../src/domain/DesiredState.ts"
import { desiredPartition, desiredSoftware, desiredState, release, softwareUrl } from "../support/facts.ts"

it("a release is named that is offered, one that is to go, and one that a partition has", () => {
  const [going, used] = [softwareUrl("/going.cfg"), softwareUrl("/used.cfg")]
  const state = desiredState({
    software: [desiredSoftware(), desiredSoftware({ url: going, requested: "destroyed" })],
    partitions: [
      desiredPartition({ software: used }),
      desiredPartition({ software: undefined, requested: "destroyed" }),
    ],
  })
  expect(namedSoftware(state)).toStrictEqual([release, going, used])
})
