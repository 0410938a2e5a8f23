// What OpenSSL's command line makes is verified here, and it verifies what is made here.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { expect } from "vitest"
import { isSignedByOneOf, signWith } from "../../../src/build/networkcache/signature.ts"
import { makeSigner, makeSignerOf } from "../../support/FakeCache.ts"
import { scratchDirectory } from "../../support/scratch.ts"

const text = `{"sha512": "ab", "software_url": "https://example.com/ünïcode"}`

describe("a signature", () => {
  it.effect("that openssl made is good for that text, that signature and that certificate alone", () =>
    Effect.gen(function* () {
      const [signer, other] = [yield* makeSignerOf(2048), yield* makeSigner]
      const signature = signer.sign(text)
      expect(isSignedByOneOf(text, signature, [signer.certificate])).toBe(true)
      expect(isSignedByOneOf(text, signature, [other.certificate, signer.certificate])).toBe(true)
      expect(isSignedByOneOf(text, signature, [other.certificate])).toBe(false)
      expect(isSignedByOneOf(text, signature, [])).toBe(false)
      expect(isSignedByOneOf(`${text} `, signature, [signer.certificate])).toBe(false)
      const flipped = Buffer.from(signature, "base64")
      flipped[10] = (flipped[10] ?? 0) ^ 1
      for (const wrong of [flipped.toString("base64"), "", "AAAA", "no base64 at all!", signature.slice(4)]) {
        expect(isSignedByOneOf(text, wrong, [signer.certificate])).toBe(false)
      }
    }),
  )

  it.effect("over another hash is none", () =>
    Effect.gen(function* () {
      const signer = yield* makeSigner
      const sha256 = execFileSync("openssl", ["dgst", "-sha256", "-sign", signer.keyFile], { input: text })
      expect(isSignedByOneOf(text, sha256.toString("base64"), [signer.certificate])).toBe(false)
    }),
  )

  it.effect("that is made here is verified by openssl", () =>
    Effect.gen(function* () {
      const [signer, other] = [yield* makeSignerOf(2048), yield* makeSigner]
      const signature = signWith(text, readFileSync(signer.keyFile, "utf8"))
      expect(signer.verifies(text, signature)).toBe(true)
      expect(signer.verifies(`${text} `, signature)).toBe(false)
      expect(other.verifies(text, signature)).toBe(false)
    }),
  )

  it.effect("of a certificate without an RSA key is none", () =>
    Effect.gen(function* () {
      const root = yield* scratchDirectory
      const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
      const words = ["req", "-x509", ...key, "-subj", "/CN=x", "-keyout", `${root}/key`, "-out", `${root}/certificate`]
      execFileSync("openssl", words, { stdio: "pipe" })
      const signature = execFileSync("openssl", ["dgst", "-sha1", "-sign", `${root}/key`], { input: text })
      const certificate = readFileSync(`${root}/certificate`, "utf8")
      expect(isSignedByOneOf(text, signature.toString("base64"), [certificate])).toBe(false)
    }),
  )
})
