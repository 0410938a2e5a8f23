import { describe, expect, it } from "vitest"
import { refusal } from "../../src/process/privileges.ts"

describe("refusal", () => {
  it.each([
    [0, 0],
    [0, 5],
    [5, 0],
  ])("uid %d, gid %d", (uid, gid) => {
    expect(refusal({ uid, gid }, "/i/slappart0")).toBe(
      `/i/slappart0 belongs to uid ${uid} and gid ${gid}: nothing is run as root; chown it to its own user`,
    )
  })

  it("nobody else is refused", () => {
    expect(refusal({ uid: 1, gid: 1 }, "/i/slappart0")).toBeUndefined()
  })
})
