// A master behind TLS: with the right certificates on both sides the node follows it; whatever is wrong ends before
// anything was said, and the status tells which check failed. One agent, before whom the master changes.
//
// | rule                                                          | test                                               |
// | ------------------------------------------------------------- | -------------------------------------------------- |
// | private CA, client certificates required                      | right ones work: …                                 |
// | each partition's own pair for its bang                        | right ones work: …                                 |
// | certificates reread when their files change                   | right ones work: …                                 |
// | wrong host name, expired, self-signed, TLS 1.0                | a master with …                                    |
// | the computer's own certificate wrong, expired, missing        | a computer with …, without a certificate …         |
// | the system's CAs                                              | the system's CAs …                                 |
// | `master_verify = off` warns at every start and in status      | master_verify = off …                              |
// | an expired or nearly expired certificate is told              | right ones work: …, a computer with …              |
import { assert, layer } from "@effect/vitest"
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs"
import type { ServerOptions } from "node:https"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { type Authority, makeAuthority } from "../support/Authority.ts"
import {
  laidOutRelease,
  laidOutTimestamp,
  type LaidOutNode,
  makeLaidOutNode,
  put,
  shell,
  startsOf,
} from "../support/Layout.ts"
import { isAlive } from "../support/processes.ts"
import { type Program, runToEnd } from "../support/Program.ts"
import { makeScriptedMaster, named, type ScriptedMasterShape } from "../support/ScriptedMaster.ts"
import { eventually } from "../support/waiting.ts"

const makeCertificates = Effect.acquireRelease(
  Effect.sync(() => {
    const authority = makeAuthority()
    authority.issue("master")
    authority.issue("elsewhere", { altName: "DNS:elsewhere.invalid" })
    authority.issue("expired", { days: [-9, -1] })
    authority.issue("future", { days: [1, 9] })
    authority.issue("self-signed", { isSelfSigned: true })
    authority.issue("COMP-1", { days: [-1, 90] })
    authority.issue("COMP-1-renewed", { days: [-1, 5.5] })
    authority.issue("slappart0", { subject: "own of slappart0" })
    return authority
  }),
  ({ remove }) => Effect.sync(remove),
)

/** What a master shows, and that it wants to see a certificate of its CA. */
const shows = (authority: Authority, name: string): ServerOptions => ({
  key: authority.read(`${name}.key`),
  cert: authority.read(`${name}.crt`),
  ca: authority.read("ca.crt"),
  requestCert: true,
  rejectUnauthorized: true,
})

interface Setting {
  readonly node: LaidOutNode
  readonly authority: Authority
  readonly certificates: Readonly<Record<"cert_file" | "key_file" | "certificate_repository_path", string>>
  /** Puts a certificate and its key where the agent looks for its own. */
  readonly wear: (name: string, from?: Authority) => void
  /** A master like that, at the one address, for the life of the Scope. */
  readonly master: (tls: ServerOptions) => Effect.Effect<ScriptedMasterShape, never, Scope.Scope>
  readonly url: string
  readonly agent: () => Program
  /** Starts another agent with other settings. */
  readonly restart: (settings: Readonly<Record<string, string>>) => Effect.Effect<Program>
}

const makeSetting: Effect.Effect<Setting, never, Scope.Scope> = Effect.gen(function* () {
  const authority = yield* makeCertificates
  const node = yield* makeLaidOutNode({ partitions: 1 })
  for (const partition of node.partitions) put(partition, "etc/service/web", shell(partition, "web", "exec sleep 9999"))
  const place = `${node.scratch.path}/ssl`
  mkdirSync(place)
  mkdirSync(`${place}/pki`)
  const wear = (name: string, from = authority) => {
    copyFileSync(`${from.directory}/${name}.crt`, `${place}/computer.crt`)
    copyFileSync(`${from.directory}/${name}.key`, `${place}/computer.key`)
  }
  wear("COMP-1")
  for (const end of ["crt", "key"]) {
    copyFileSync(`${authority.directory}/slappart0.${end}`, `${place}/pki/slappart0.${end}`)
    chmodSync(`${place}/pki/slappart0.${end}`, 0o400)
  }
  // Only to learn a free port.
  const { url } = yield* Effect.scoped(makeScriptedMaster({ tls: shows(authority, "master") }))
  const master = Effect.fnUntraced(function* (tls: ServerOptions) {
    const made = yield* makeScriptedMaster({ port: Number(new URL(url).port), tls })
    yield* made.script({
      partitions: node.partitions.map(({ id }) => ({ id, software: laidOutRelease, timestamp: laidOutTimestamp })),
    })
    return made
  })
  const certificates = {
    cert_file: `${place}/computer.crt`,
    key_file: `${place}/computer.key`,
    certificate_repository_path: `${place}/pki`,
  }
  const settings = { master_url: url, ...certificates }
  node.configure({ ...settings, master_ca_file: authority.caFile })
  const scope = yield* Effect.scope
  let agent = yield* node.startAgent
  const restart = Effect.fnUntraced(function* (changes: Readonly<Record<string, string>>) {
    agent.signal("SIGTERM")
    yield* agent.exit
    node.configure({ ...settings, ...changes })
    agent = yield* Scope.provide(node.startAgent, scope)
    return agent
  })
  return { node, authority, certificates, wear, master, url, restart, agent: () => agent }
})

class Tls extends Context.Service<Tls, Setting>()("test/e2e/tls/Tls") {
  static readonly layer = Layer.effect(Tls, makeSetting)
}

const statusText = ({ node }: Setting) =>
  Effect.map(runToEnd([...node.slapgrid, "status", "--configuration-file", node.configFile]), ({ stdout }) => stdout)

const awaitStanding = ({ node }: Setting, wanted: string) =>
  eventually(
    `the master's standing '${wanted}'`,
    Effect.map(node.status, ({ sync }) => (sync.standing === wanted ? sync : undefined)),
  )

const awaitError = ({ node }: Setting, text: string) =>
  eventually(
    `'${text}' as what is wrong with the master`,
    Effect.map(node.status, ({ sync }) => (sync.error?.includes(text) === true ? sync.error : undefined)),
  )

/** `slapgrid plan` of a computer without an agent: one question to the master. */
const plan = Effect.fnUntraced(function* (
  { node, url }: Setting,
  settings: Readonly<Record<string, string>>,
  env: Readonly<Record<string, string>> = {},
) {
  const root = `${node.scratch.path}/planned`
  mkdirSync(root, { recursive: true })
  const options = { computer_id: "COMP-1", master_url: url, instance_root: root, software_root: root, ...settings }
  const lines = Object.entries(options).map(([key, value]) => `${key} = ${value}`)
  writeFileSync(`${root}/slapos.cfg`, `[slapos]\n${lines.join("\n")}\n`)
  return yield* runToEnd([...node.slapgrid, "plan", "--configuration-file", `${root}/slapos.cfg`], { env })
})

layer(Tls.layer, { excludeTestServices: true, timeout: "2 minutes" })("TLS", (it) => {
  it.effect("right ones work: the computer's, the partition's for its bang, and renewed ones without a restart", () =>
    Effect.gen(function* () {
      const setting = yield* Tls
      const { authority, node, wear } = setting
      const master = yield* setting.master(shows(authority, "master"))
      yield* node.ask
      const first = yield* master.awaitCall(named("getFullComputerInformation"))
      assert.strictEqual(first.client, "COMP-1")
      yield* awaitStanding(setting, "Answers")

      const partition = node.partition("slappart0")
      const [pid = 0] = yield* eventually(
        "a start of web",
        Effect.sync(() => (startsOf(partition, "web").length > 0 ? startsOf(partition, "web") : undefined)),
      )
      process.kill(pid, "SIGKILL")
      assert.strictEqual((yield* master.awaitCall(named("softwareInstanceBang"))).client, "own of slappart0")

      assert.include(yield* statusText(setting), `the certificate in ${authority.caFile} expires in 1 day`)
      wear("COMP-1-renewed")
      const { index } = (yield* master.calls).at(-1) ?? { index: -1 }
      yield* node.ask
      const next = yield* master.awaitCall(named("getFullComputerInformation"), { after: index })
      assert.strictEqual(next.client, "COMP-1-renewed")
    }),
  )

  const wrong: ReadonlyArray<readonly [what: string, name: string, options: ServerOptions, told: string]> = [
    ["a certificate for another name", "elsewhere", {}, "the master's certificate is for another name"],
    ["a certificate that has expired", "expired", {}, "the master's certificate has expired"],
    ["a certificate that is not valid yet", "future", {}, "the master's certificate is not valid yet"],
    ["a self-signed certificate", "self-signed", {}, "the master's certificate is self-signed and not trusted here"],
    [
      "nothing better than TLS 1.0",
      "master",
      { minVersion: "TLSv1", maxVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" },
      "the master speaks no version of TLS that is safe",
    ],
  ]

  it.effect.each(wrong)("a master with %s is refused, and told", ([, name, options, told]) =>
    Effect.gen(function* () {
      const setting = yield* Tls
      const { authority, node, wear } = setting
      wear("COMP-1")
      const master = yield* setting.master({ ...shows(authority, name), ...options })
      yield* node.ask
      assert.include(yield* awaitError(setting, told), new URL(setting.url).host)
      assert.deepStrictEqual(yield* master.calls, [])
      assert.isTrue(isAlive(startsOf(node.partition("slappart0"), "web").at(-1) ?? 0))
    }),
  )

  it.effect("a computer with a wrong certificate is told so, and works again with the right one", () =>
    Effect.gen(function* () {
      const setting = yield* Tls
      const { authority, certificates, node, wear } = setting
      const stranger = yield* makeCertificates
      const master = yield* setting.master(shows(authority, "master"))
      wear("COMP-1", stranger)
      yield* node.ask
      yield* awaitError(setting, "it refuses or misses this computer's certificate")
      wear("expired")
      yield* node.ask
      yield* awaitError(setting, `the certificate in ${certificates.cert_file} is not valid today`)
      copyFileSync(`${authority.directory}/master.key`, certificates.key_file)
      yield* node.ask
      yield* awaitError(setting, "the certificate files cannot be used")
      assert.deepStrictEqual(yield* master.calls, [])
      assert.strictEqual((yield* node.status).sync.standing, "Refuses")
      wear("COMP-1")
      yield* node.ask
      yield* awaitStanding(setting, "Answers")
    }),
  )

  it.effect("without a certificate nothing is said; the system's CAs are taken when no other is named", () =>
    Effect.gen(function* () {
      const setting = yield* Tls
      const { authority, certificates } = setting
      const master = yield* setting.master(shows(authority, "master"))
      const bare = yield* plan(setting, { master_ca_file: authority.caFile })
      assert.strictEqual(bare.ended.code, 1)
      assert.include(bare.log, "misses this computer's certificate")
      const unknown = yield* plan(setting, certificates)
      assert.include(unknown.log, "is signed by no CA that is trusted here")
      assert.deepStrictEqual(
        (yield* master.calls).map(({ client }) => client),
        [],
      )
      const known = yield* plan(setting, certificates, { SSL_CERT_FILE: authority.caFile })
      assert.strictEqual(known.ended.code, 0, known.log)
      assert.include(known.stdout, "slappart0")
    }),
  )

  it.effect("master_verify = off takes anybody for the master, with a warning at every start and in the status", () =>
    Effect.gen(function* () {
      const setting = yield* Tls
      const { authority, node } = setting
      const scope = yield* Scope.make()
      const master = yield* Scope.provide(setting.master(shows(authority, "self-signed")), scope)
      yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
      for (const _ of ["first", "second"]) {
        const agent = yield* setting.restart({ master_verify: "off" })
        yield* agent.awaitLine("master_verify is off")
        assert.include(yield* statusText(setting), "the master is not verified (master_verify = off)")
      }
      yield* node.ask
      yield* awaitStanding(setting, "Answers")
      assert.strictEqual((yield* master.calls).at(-1)?.client, "COMP-1")
    }),
  )
})
