import { describe, expect, it } from "vitest"
import { describeCertificates, warningOf } from "../../src/desired/certificates.ts"

const day = 86_400_000
const now = Date.UTC(2026, 0, 31, 12)
const until = (days: number, from = now - 365 * day) => ({ from, until: now + days * day })

describe("warningOf", () => {
  const cases: ReadonlyArray<
    readonly [
      what: string,
      use: "shown" | "trusted",
      validities: Parameters<typeof warningOf>[2],
      problem: string | undefined,
    ]
  > = [
    ["long valid", "shown", [until(31)], undefined],
    ["exactly 30 days", "shown", [until(30)], "expires in 30 days, on 2026-03-02T12:00Z"],
    ["a day and a half", "shown", [until(1.5)], "expires in 1 day, on 2026-02-02T00:00Z"],
    ["hours", "shown", [until(0.5)], "expires within a day, on 2026-02-01T00:00Z"],
    ["over", "shown", [until(-1)], "has expired on 2026-01-30T12:00Z"],
    ["to come", "shown", [until(90, now + day)], "is not valid before 2026-02-01T12:00Z"],
    ["a chain is as good as its weakest", "shown", [until(90), until(2)], "expires in 2 days, on 2026-02-02T12:00Z"],
    ["one good CA is enough", "trusted", [until(-9), until(90)], undefined],
    ["no CA is good for long", "trusted", [until(-9), until(3)], "expires in 3 days, on 2026-02-03T12:00Z"],
    ["empty", "shown", [], "holds no certificate"],
    ["garbage", "trusted", undefined, "holds a certificate that cannot be read"],
  ]

  it.each(cases)("%s", (_, use, validities, problem) => {
    expect(warningOf("/x.crt", use, validities, now)?.problem).toBe(problem)
  })
})

describe("describeCertificates", () => {
  const warnings = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ path: `/${index}.crt`, expires: 0, problem: "has expired" }))

  it("has a line for each of a few, and one for all others", () => {
    expect(describeCertificates(warnings(2))).toStrictEqual([
      "the certificate in /0.crt has expired",
      "the certificate in /1.crt has expired",
    ])
    expect(describeCertificates(warnings(500)).slice(2)).toStrictEqual([
      "the certificate in /2.crt has expired",
      "497 more certificates expire within 30 days, or have expired",
    ])
  })
})
