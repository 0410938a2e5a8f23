import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as Redacted from "effect/Redacted"
import { NodeConfig, type NodeConfigShape } from "../../src/config/NodeConfig.ts"
import { CertificateWatch } from "../../src/desired/CertificateWatch.ts"
import { StatusBoard } from "../../src/report/StatusBoard.ts"
import { makeAuthority } from "../support/Authority.ts"
import { nodeConfig } from "../support/facts.ts"
import { eventually } from "../support/waiting.ts"

const authority = Effect.acquireRelease(Effect.sync(makeAuthority), ({ remove }) => Effect.sync(remove))

const watched = <A, E>(config: Partial<NodeConfigShape>, test: Effect.Effect<A, E, StatusBoard>) =>
  Effect.provide(
    test,
    CertificateWatch.layer.pipe(
      Layer.provideMerge(StatusBoard.layer),
      Layer.provide(
        Layer.succeed(NodeConfig, nodeConfig({ masterUrl: Redacted.make("https://master.invalid/"), ...config })),
      ),
    ),
  )

const trust = Effect.gen(function* () {
  return (yield* (yield* StatusBoard).get).trust
})

/** What is told once it is something else. */
const nextTrust = (before: unknown) =>
  Effect.gen(function* () {
    yield* TestClock.adjust("1 minute")
    return yield* TestClock.withLive(
      eventually(
        "news of certificates",
        Effect.map(trust, (now) => (JSON.stringify(now) === JSON.stringify(before) ? undefined : now)),
      ),
    )
  })

it.effect("certificates that end soon are told, and no longer when they were renewed", () =>
  Effect.gen(function* () {
    yield* TestClock.setTime(yield* TestClock.withLive(Clock.currentTimeMillis))
    const { caFile, directory, issue } = yield* authority
    const repositoryPath = `${directory}/pki`
    mkdirSync(repositoryPath)
    const good = issue("good", { days: [-1, 100] })
    const own = issue("own", { days: [-1, 12.5] })
    const old = issue("old", { days: [-9, -2] })
    writeFileSync(`${repositoryPath}/slappart0.crt`, readFileSync(old.certFile))
    writeFileSync(`${repositoryPath}/slappart1.crt`, readFileSync(good.certFile))
    writeFileSync(`${repositoryPath}/slappart2.crt`, "")
    const certificates = { ...own, repositoryPath }
    yield* watched(
      { certificates, masterCaFile: caFile },
      Effect.gen(function* () {
        const first = yield* trust
        assert.isFalse(first.isMasterUnverified)
        assert.deepStrictEqual(
          first.certificates.map(({ path, problem }) => [path, problem.split(",")[0]?.split(" on ")[0]]),
          [
            [own.certFile, "expires in 12 days"],
            [caFile, "expires in 1 day"],
            [`${repositoryPath}/slappart0.crt`, "has expired"],
          ],
        )
        writeFileSync(own.certFile, readFileSync(good.certFile))
        const second = yield* nextTrust(first)
        assert.deepStrictEqual(
          second.certificates.map(({ path }) => path),
          [caFile, `${repositoryPath}/slappart0.crt`],
        )
        writeFileSync(own.certFile, "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
        const third = yield* nextTrust(second)
        assert.strictEqual(third.certificates[0]?.problem, "holds a certificate that cannot be read")
      }),
    )
  }),
)

it.effect("a master that is not verified is told; without https there is nothing to tell", () =>
  Effect.gen(function* () {
    const verified = { isMasterUnverified: false, certificates: [] }
    const absent = { certFile: "/none.crt", keyFile: "/none.key", repositoryPath: "/none" }
    assert.deepStrictEqual(yield* watched({ masterVerify: false }, trust), { ...verified, isMasterUnverified: true })
    const http = { masterVerify: false, masterUrl: Redacted.make("http://master.invalid/"), certificates: absent }
    assert.deepStrictEqual(yield* watched(http, trust), verified)
    assert.deepStrictEqual((yield* watched({ certificates: absent }, trust)).certificates, [
      { path: "/none.crt", expires: undefined, problem: "cannot be read" },
    ])
  }),
)
