// A hostile recipe in a fork of root's helper, and a hostile release in the helper itself, gain nothing. Each attack is
// first made where nothing protects its target, and has to gain something there: else it would prove nothing here.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import { expect } from "vitest"
import { NodeConfig } from "../../../src/config/NodeConfig.ts"
import { exited } from "../../../src/domain/ExitStatus.ts"
import { Containment } from "../../../src/process/containment/Containment.ts"
import { type Helper, WarmHelpers } from "../../../src/process/warm/WarmHelper.ts"
import { nodeConfig } from "../../support/facts.ts"
import { belongingTo, isAlive } from "../../support/processes.ts"
import { type Identity, makeScratch, runsRootTests, type Scratch } from "../../support/ScratchMachine.ts"
import { root } from "../../support/slapgrid.ts"
import { awaitFile } from "../../support/waiting.ts"

type Results = Readonly<Record<string, { readonly gained?: string; readonly refused?: string }>>

interface Target {
  readonly agent: number
  readonly helper: number
  readonly sibling: number
  readonly other: number
  readonly owner: number
  readonly siblingUser: number
  readonly program: string
}

/** What a release can try that is hostile itself; it becomes its own partitions' users by right. */
const importAttacks = [
  "become root",
  "become another release's partition",
  "join root's group",
  "read the agent's memory",
  "read the agent's descriptors",
  "run a program of root's with the set-user-ID bit",
  "kill the agent",
]

const own = (path: string, mode: number, { gid, uid }: Identity): void => {
  fs.chownSync(path, uid, gid)
  fs.chmodSync(path, mode)
}

const resultsIn = (directory: string): Results =>
  JSON.parse(fs.readFileSync(`${directory}/results.json`, "utf8")) as Results

const of = (results: Results, kind: "gained" | "refused"): ReadonlyArray<string> =>
  Object.entries(results).flatMap(([name, result]) => (result[kind] === undefined ? [] : [name]))

/** Names and what was gained, of those that gained something. */
const gains = (results: Results): ReadonlyArray<string> =>
  Object.entries(results).flatMap(([name, { gained }]) => (gained === undefined ? [] : [`${name}: ${gained}`]))

/** A process that sleeps, as whom the attacker is. */
const makeDummy: Effect.Effect<number, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.callback<ReturnType<typeof spawn>>((resume) => {
      const child = spawn("/bin/sleep", ["600"], { stdio: "ignore" })
      child.once("spawn", () => resume(Effect.succeed(child)))
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL")),
  ),
  ({ pid }) => pid ?? 0,
)

/** All attacks by root, without a helper around them. */
const attackUnprotected = (scratch: Scratch, target: Omit<Target, "agent" | "helper" | "sibling">) =>
  Effect.gen(function* () {
    const dummies = { agent: yield* makeDummy, helper: yield* makeDummy, sibling: yield* makeDummy }
    const folder = `${scratch.path}/control`
    fs.mkdirSync(folder)
    const words = [`${scratch.path}/source/attacks.py`, JSON.stringify({ ...target, ...dummies }), folder]
    execFileSync("/usr/bin/python3", ["-B", ...words])
    const results = resultsIn(folder)
    const daemon = Number(results["stay behind"]?.gained)
    // Its program has ended, and it goes on.
    expect(isAlive(daemon)).toBe(true)
    process.kill(daemon, "SIGKILL")
    return results
  })

/** The release: real buildout, the hostile recipes, and a `bin/buildout` that attacks when it is imported. */
const layRelease = (scratch: Scratch, owner: Identity, target: Target): string => {
  const release = `${scratch.path}/release`
  const source = `${scratch.path}/source`
  for (const name of ["", "/bin", "/eggs", "/develop-eggs"]) {
    fs.mkdirSync(`${release}${name}`)
    own(`${release}${name}`, 0o755, owner)
  }
  execFileSync("/usr/bin/python3", ["-B", "setup.py", "--quiet", "egg_info"], { cwd: source, stdio: "ignore" })
  fs.writeFileSync(`${release}/develop-eggs/hostilerecipes.egg-link`, `${source}\n.`)
  const script = `#!/usr/bin/python3
import sys, json
sys.path[0:0] = ['/usr/lib/python3/dist-packages', ${JSON.stringify(source)}]
import attacks
attacks.leave_key()
attacks.attempt_all(json.loads(${JSON.stringify(JSON.stringify(target))}), ${JSON.stringify(release)}, ${JSON.stringify(importAttacks)})
import zc.buildout.buildout
if __name__ == '__main__':
    sys.exit(zc.buildout.buildout.main())
`
  fs.writeFileSync(`${release}/bin/buildout`, script, { mode: 0o755 })
  return release
}

const profile = (release: string, recipe: string, target: Target): string => `[buildout]
parts = part
eggs-directory = ${release}/eggs
develop-eggs-directory = ${release}/develop-eggs
offline = true
[part]
recipe = hostilerecipes:${recipe}
target = ${JSON.stringify(target)}
`

/** Runs a recipe in a partition of this user. */
const run = (helper: Helper, scratch: Scratch, user: Identity, owner: Identity, text: string, name: string) =>
  Effect.gen(function* () {
    const containment = yield* Containment
    const directory = `${scratch.path}/${name}`
    own(directory, 0o750, user)
    fs.writeFileSync(`${directory}/buildout.cfg`, text)
    own(`${directory}/buildout.cfg`, 0o640, user)
    fs.writeFileSync(`${directory}/log`, "")
    own(`${directory}/log`, 0o600, user)
    const output = fs.openSync(`${directory}/log`, "a+")
    const status = yield* helper
      .run({
        arguments: ["-U"],
        directory,
        environment: { PATH: "/usr/bin:/bin", HOME: directory },
        credentials: { ...user, groups: [owner.gid], name: "", home: undefined },
        umask: 0o027,
        output,
        enclosure: containment.enclosure(name, "build"),
      })
      .pipe(
        Effect.ensuring(Effect.sync(() => fs.closeSync(output))),
        Effect.ensuring(containment.endOwner(name, { except: new Set() })),
      )
    return { status, log: fs.readFileSync(`${directory}/log`, "utf8"), directory }
  })

const machine = Effect.gen(function* () {
  const scratch = yield* makeScratch
  const [owner, sibling, attacker, other] = [0, 1, 2, 3].map((index) => scratch.identity(index)) as [
    Identity,
    Identity,
    Identity,
    Identity,
  ]
  fs.cpSync(`${root}/test/support/warm/hostile`, `${scratch.path}/source`, { recursive: true })
  // Whoever runs it is root for as long as nothing keeps that from him.
  const program = `${scratch.path}/id`
  fs.copyFileSync("/usr/bin/id", program)
  own(program, 0o4755, { uid: 0, gid: 0 })
  for (const name of ["sibling", "attacker"]) fs.mkdirSync(`${scratch.path}/${name}`)
  const target = { other: other.uid, owner: owner.uid, siblingUser: sibling.uid, program }
  return { scratch, owner, sibling, attacker, target }
})

const containment = Layer.provide(
  Containment.layer,
  Layer.sync(NodeConfig, () => nodeConfig({})),
)

describe.runIf(runsRootTests)("a hostile recipe", () => {
  it.live(
    "gains nothing",
    () =>
      Effect.gen(function* () {
        const { attacker, owner, scratch, sibling, target } = yield* machine
        const control = yield* attackUnprotected(scratch, target)
        expect(of(control, "refused")).toStrictEqual([])

        const aims: Target = { ...target, agent: process.pid, helper: 0, sibling: 0 }
        const release = layRelease(scratch, owner, aims)
        const enclosures = yield* Containment
        yield* Effect.addFinalizer(() => enclosures.endOwner(release, { except: new Set() }))
        const helper = yield* (yield* WarmHelpers).start({
          script: `${release}/bin/buildout`,
          interpreter: ["/usr/bin/python3"],
          restoresNames: true,
          eggFolders: [],
          directory: release,
          environment: { PATH: "/usr/bin:/bin", HOME: release },
          confinement: {
            owner,
            users: Effect.succeed(
              [sibling, attacker].map((one) => ({ ...one, groups: [owner.gid], name: "", home: undefined })),
            ),
          },
          enclosure: enclosures.enclosure(release, "warm"),
          onBegun: Effect.void,
        })
        expect(gains(resultsIn(release))).toStrictEqual([])
        expect(Object.keys(resultsIn(release))).toStrictEqual(importAttacks)

        const text = (recipe: string, pid: number) => profile(release, recipe, { ...aims, sibling: pid })
        const working = yield* Effect.forkScoped(run(helper, scratch, sibling, owner, text("wait", 0), "sibling"))
        const pid = Number(yield* awaitFile(`${scratch.path}/sibling/begun`, (found) => found))
        const attacked = yield* run(helper, scratch, attacker, owner, text("attack", pid), "attacker")
        expect(attacked).toMatchObject({ status: exited(0) })
        const results = resultsIn(attacked.directory)
        // It could stay until the end of its buildout, and no longer.
        const { "stay behind": stayed, ...others } = results
        expect(gains(others)).toStrictEqual([])
        expect(Object.keys(results)).toStrictEqual(Object.keys(control))
        expect(isAlive(Number(stayed?.gained))).toBe(false)
        expect(belongingTo({ hasUid: (uid) => uid === attacker.uid })).toStrictEqual([])
        // The others have not noticed anything.
        expect(isAlive(pid)).toBe(true)
        expect(working.pollUnsafe()).toBeUndefined()
        expect(yield* helper.memory).toBeGreaterThan(0)
        yield* Fiber.interrupt(working)
        expect(isAlive(pid)).toBe(false)
      }).pipe(Effect.scoped, Effect.provide([WarmHelpers.layer, containment])),
    120_000,
  )
})
