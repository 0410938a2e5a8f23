import { createPrivateKey, generateKeyPairSync, sign } from "node:crypto"
import { describe, expect, it } from "vitest"
import { keyProblem } from "../../src/files/certificates.ts"
import { makeGiantPair } from "../support/attacks/keys.ts"

const pkcs8 = { type: "pkcs8", format: "pem" } as const
const spki = { type: "spki", format: "pem" } as const
const encodings = { privateKeyEncoding: pkcs8, publicKeyEncoding: spki }

/** Milliseconds of the processor. */
const cost = (work: () => void): number => {
  const before = process.cpuUsage()
  work()
  const { system, user } = process.cpuUsage(before)
  return (system + user) / 1000
}

describe("keyProblem", () => {
  it.each([
    ["RSA of 2048 bits", generateKeyPairSync("rsa", { modulusLength: 2048, ...encodings })],
    ["P-256", generateKeyPairSync("ec", { namedCurve: "prime256v1", ...encodings })],
    ["Ed25519", generateKeyPairSync("ed25519", encodings)],
    ["RSA of 8192 bits", { privateKey: makeGiantPair(8192).key }],
  ])("takes %s", (_, { privateKey }) => {
    expect(keyProblem(privateKey)).toBeUndefined()
  })

  it.each([
    ["one bit more than is taken", makeGiantPair(8208).key, "8208 bits"],
    ["a giant", makeGiantPair(131_072).key, "bytes, more than"],
    ["Diffie-Hellman", generateKeyPairSync("x25519", encodings).privateKey, "it is a x25519 key"],
    ["no key", "nothing", "no private key"],
    ["megabytes", " ".repeat(2 ** 21), "bytes, more than"],
  ])("refuses %s", (_, pem, problem) => {
    expect(keyProblem(pem)).toContain(problem)
  })

  it("costs nothing beside the signature of who trusts such a key", () => {
    const { key } = makeGiantPair(12_288)
    const careless = cost(() => sign("sha256", Buffer.from("x"), createPrivateKey(key)))
    expect(cost(() => keyProblem(key))).toBeLessThan(careless / 5)
    expect(careless).toBeGreaterThan(300)
  })
})
