// Software releases with real buildouts: as root, the software owner being somebody else, and as one ordinary user.
// Which rule each shows: test/rules.test.ts.
import { assert, describe, layer } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import {
  appendFileSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { isAlive } from "../support/processes.ts"
import { awaitHanging, hangs, profileOf, profileText } from "../support/profiles.ts"
import { isRoot, makeAccounts, runsRootTests, type Scratch } from "../support/ScratchMachine.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeRunning, type Running, type TestNode } from "../support/TestNode.ts"
import { awaitFile, eventually } from "../support/waiting.ts"

const netrc = "machine example.invalid login somebody password secret\n"

/** Real users, whose first one has a home with credentials in it. */
const usersWithHome = (scratch: Scratch, count: number) =>
  Effect.map(makeAccounts(`sgs${process.pid}x`, count), (users) => {
    const [{ gid, uid }] = users as [{ uid: number; gid: number }]
    const home = `${scratch.path}/home`
    mkdirSync(home, { mode: 0o700 })
    writeFileSync(`${home}/.netrc`, netrc, { mode: 0o600 })
    for (const path of [home, `${home}/.netrc`]) chownSync(path, uid, gid)
    execFileSync("usermod", ["--home", home, `sgs${process.pid}x0`])
    return users
  })

/** Everything below a directory: kind, mode and owner of each entry, but for what zc.buildout makes as it likes. */
const listing = (path: string): ReadonlyArray<string> =>
  readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((entry) => !/^(?:eggs|develop-eggs)\//.test(entry))
    .sort()
    .map((entry) => {
      const stats = lstatSync(`${path}/${entry}`)
      const kind = stats.isDirectory() ? "d" : stats.isSymbolicLink() ? "l" : "-"
      return `${kind}${(stats.mode & 0o7777).toString(8)} ${stats.uid}:${stats.gid} ${entry}`
    })

/** A profile in a checkout that belongs to the software owner, or git would not look into it. */
const checkOut = (node: TestNode, text: string): string => {
  const path = `${node.scratch.path}/checkout`
  mkdirSync(path)
  writeFileSync(`${path}/software.cfg`, text)
  const identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
  const git = (...words: ReadonlyArray<string>) => execFileSync("git", ["-C", path, ...identity, ...words])
  git("init", "--quiet", "--initial-branch=master")
  git("add", ".")
  git("commit", "--quiet", "--message=first")
  if (isRoot) execFileSync("chown", ["-R", `${node.software.uid}:${node.software.gid}`, path])
  return `${path}/software.cfg`
}

const mounted = (path: string, ...words: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => execFileSync("mount", words)),
    () => Effect.sync(() => execFileSync("umount", [path])),
  )

const statesOf = ({ master }: TestNode<ScriptedTestMaster>, url: string) =>
  Effect.map(master.reports, (reports) => reports.filter(({ name }) => name === url).map(({ state }) => state))

const releases = (isOrdinary: boolean) => {
  const hasUsers = isRoot && !isOrdinary
  class Node extends Context.Service<Node, Running<ScriptedTestMaster>>()(`test/e2e/software/${isOrdinary}`) {
    static readonly layer = Layer.effect(
      Node,
      makeRunning((_, ids) => makeScriptedTestMaster(ids), {
        partitions: 3,
        isOrdinary,
        settings: { software_concurrency: "2" },
        ...(hasUsers ? { identities: usersWithHome } : {}),
      }),
    )
  }
  layer(Node.layer, { excludeTestServices: true, timeout: "2 minutes" })((it) => {
    it.effect("a release has the reference's files, modes and owners, and is marked last", () =>
      Effect.gen(function* () {
        const { node } = yield* Node
        const path = node.releaseDirectory(node.release)
        assert.match(yield* awaitFile(`${path}/.completed`, (text) => text || undefined), /^\d{4}-\d\d-\d\dT/)
        assert.deepStrictEqual(yield* statesOf(node, node.release), ["building", "available"])
        const { gid, mode, uid } = lstatSync(path)
        assert.deepStrictEqual([uid, gid, mode & 0o7777], [node.software.uid, node.software.gid, 0o755])
        const entry = (kind: string, mode: string, name: string) => `${kind}${mode} ${uid}:${gid} ${name}`
        assert.deepStrictEqual(listing(path), [
          entry("-", "644", ".completed"),
          entry("-", "640", ".installed.cfg"),
          ...(hasUsers ? [entry("-", "600", ".netrc")] : []),
          entry("-", "600", ".slapgrid-build.log"),
          entry("d", "750", "bin"),
          entry("-", "750", "bin/buildout"),
          entry("-", "644", "buildout.cfg"),
          entry("d", "750", "develop-eggs"),
          entry("d", "750", "eggs"),
          entry("d", "755", "extends-cache"),
          entry("-", "644", "instance.cfg"),
          entry("d", "750", "parts"),
          entry("d", "750", "parts/templates"),
          entry("-", "640", "parts/templates/program.sh.in"),
          entry("-", "640", "parts/templates/secret.txt"),
        ])
        const read = (name: string) => readFileSync(`${path}/${name}`, "utf8")
        if (hasUsers) assert.strictEqual(read(".netrc"), netrc)
        assert.strictEqual(
          read("buildout.cfg"),
          `[buildout]\nextends = ${node.release}\nshared-part-list = \nbuild-time-part-list = \n\n`,
        )
        for (const line of ["Generated script", "Installing templates.", "Installing instance."]) {
          assert.include(read(".slapgrid-build.log"), line)
        }
      }),
    )

    it.effect("a build runs as the owner in a buildout's environment, and nothing of it stays", () =>
      Effect.gen(function* () {
        const { node } = yield* Node
        const facts = "env > environment; umask > umask; id -u > uid; pwd > pwd; test ! -e .completed"
        const daemon = "(setsid sh -c 'echo $$$$ > daemon; exec sleep 1000' > /dev/null 2>&1 &)"
        const trees = "mkdir -p deep/er; touch deep/er/file; chmod -R a-w deep; chmod 0 deep/er"
        const text = profileText(node, { a: `${facts}; ${daemon}; ${trees}; until test -s daemon; do sleep 0.1; done` })
        const profile = checkOut(node, text)
        yield* node.supply(profile)
        yield* node.master.awaitReport(profile, "available")
        const path = node.releaseDirectory(profile)
        const read = (name: string) => readFileSync(`${path}/${name}`, "utf8").trim()
        const environment = read("environment")
        assert.includeMembers(environment.split("\n"), [`HOME=${path}`, "PYTHONNOUSERSITE=true", "newest=false"])
        assert.notMatch(environment, /^(?:LANG|TMPDIR|PYTHONPATH|LOGNAME|NOTIFY_SOCKET|SLAPGRID_\w+)=/m)
        assert.deepStrictEqual([read("umask"), read("uid"), read("pwd")], ["0027", String(node.software.uid), path])
        assert.match(read("buildout.cfg"), /\n# \S+ git revision: heads\/master-0-g[0-9a-f]+$/)
        assert.isFalse(isAlive(Number(read("daemon"))))
      }),
    )

    it.effect("one that is destroyed goes with its read-only trees, and those who use it are named", () =>
      Effect.gen(function* () {
        const { agent, node } = yield* Node
        const profile = `${node.scratch.path}/checkout/software.cfg`
        assert.strictEqual(statSync(`${node.releaseDirectory(profile)}/deep`).mode & 0o222, 0)
        yield* node.master.change("slappart1", { software: profile, requested: "stopped", timestamp: "1" })
        yield* node.supply(profile, "destroyed")
        const { level } = yield* agent.awaitLine(`${profile} is removed as the master wants, although slappart1 has it`)
        assert.strictEqual(level, "warn")
        yield* node.master.awaitReport(profile, "destroyed")
        assert.isFalse(existsSync(node.releaseDirectory(profile)))
        yield* node.master.change("slappart1", { software: node.release, requested: "destroyed" })
      }),
    )

    it.effect("one that failed goes on where it stopped, after a bootstrap every other time, and keeps edits", () =>
      Effect.gen(function* () {
        const { node } = yield* Node
        const profile = profileOf(node, "resumed", { first: "echo one >> first", second: "test -e repaired" })
        const path = node.releaseDirectory(profile)
        yield* node.supply(profile)
        const { message, seq } = yield* node.master.awaitReport(profile, "error")
        assert.match(message, /Installing first\.[^]*Error: the command failed$/)
        appendFileSync(`${path}/buildout.cfg`, "# edited\n")
        yield* node.ask
        const again = yield* node.master.awaitReport(profile, "error", { after: seq })
        assert.include(again.message, "Updating first.")
        assert.isTrue(existsSync(`${path}/bin/buildout-bootstrap-skipped`))
        writeFileSync(`${path}/repaired`, "")
        writeFileSync(`${path}/bin/buildout`, "#!/bin/false\n")
        yield* node.ask
        yield* node.master.awaitReport(profile, "available", { after: again.seq })
        assert.strictEqual(readFileSync(`${path}/first`, "utf8"), "one\n")
        assert.include(readFileSync(`${path}/buildout.cfg`, "utf8"), "# edited\n")
        assert.isFalse(existsSync(`${path}/bin/buildout-bootstrap-skipped`))
      }),
    )

    // Whose the release is makes no difference from here on.
    if (isOrdinary && isRoot) return
    it.effect("one that hangs holds nobody, shows what it is at, and is ended with all that it started", () =>
      Effect.gen(function* () {
        const { node } = yield* Node
        const slow = `printf '\\033[1mstill\\033[0m here\\n'; ${hangs}`
        const hanging = profileOf(node, "hanging", { quick: "true", slow })
        yield* node.supply(hanging)
        const pids = yield* awaitHanging(node.releaseDirectory(hanging))
        const flipping = profileOf(node, "flipping", { a: "echo built >> built" })
        for (const wish of ["available", "destroyed", "available"] as const) yield* node.supply(flipping, wish)
        yield* eventually(
          "the complete release",
          Effect.sync(() => (existsSync(`${node.releaseDirectory(flipping)}/.completed`) ? true : undefined)),
        )
        assert.strictEqual(readFileSync(`${node.releaseDirectory(flipping)}/built`, "utf8"), "built\n")
        const seen = yield* eventually(
          "the part in the status",
          Effect.map(node.status, ({ software }) =>
            software.find(
              ({ lastLines, part, url }) => url === hanging && part === "slow" && lastLines.at(-1) === "still here",
            ),
          ),
        )
        assert.strictEqual(seen.state, "building")
        assert.include(seen.lastLines, "Installing slow.")
        yield* node.supply(hanging, "destroyed")
        yield* node.master.awaitReport(hanging, "destroyed")
        assert.deepStrictEqual(pids.filter(isAlive), [])
        const path = node.releaseDirectory(hanging)
        assert.deepStrictEqual([existsSync(path), existsSync(`${path}.removing`)], [false, false])
        assert.notInclude(yield* statesOf(node, hanging), "error")
      }),
    )

    it.effect("one that cannot be built is told in one report with its cause, and harms nobody", () =>
      Effect.gen(function* () {
        const { node } = yield* Node
        const running = yield* node.run("neighbour of what cannot be built")
        const pids = yield* node.runningIn(running)
        const occupied = profileOf(node, "occupied", { a: "true" })
        writeFileSync(node.releaseDirectory(occupied), "somebody's")
        const withRecipe = (name: string, recipe: string) =>
          node.writeProfile(
            name,
            `[buildout]\nextends = ${node.release}\nparts = a\n[a]\nrecipe = ${recipe}\nmessage = no\n`,
          )
        const cases: ReadonlyArray<readonly [string, RegExp]> = [
          ["http://127.0.0.1:1/software.cfg", /http:\/\/127\.0\.0\.1:1\/software\.cfg[^]*Connection refused/],
          [node.writeProfile("syntax.cfg", "[buildout\nparts =\n"), /syntax\.cfg[^]*\[buildout/],
          [withRecipe("failing.cfg", "slapgridtest:fail"), /Installing a\.[^]*Error: no$/],
          [withRecipe("recipe.cfg", "slapgridtest:none"), /slapgridtest[^]*none/],
          [
            profileOf(node, "compiler", { a: "echo 'int x;' > x.c; /nonexistent/cc -c x.c" }),
            /nonexistent\/cc: not found\n[^]*Error: the command failed$/,
          ],
          [occupied, /: ENOTDIR \(it is not a directory\)$/],
        ]
        for (const [profile] of cases) yield* node.master.supply(profile)
        yield* node.ask
        for (const [profile, told] of cases) {
          const { message } = yield* node.master.awaitReport(profile, "error")
          assert.match(message, told)
        }
        // One for each build: the first ones are tried again while the last ones are built.
        for (const [profile] of cases.slice(0, -1)) {
          assert.match((yield* statesOf(node, profile)).join(), /^(?:building,error,?)+(?:building)?$/)
        }
        assert.strictEqual(readFileSync(node.releaseDirectory(occupied), "utf8"), "somebody's")
        assert.deepStrictEqual(yield* node.runningIn(running), pids)
        rmSync(node.releaseDirectory(occupied))
        for (const [profile] of cases) yield* node.supply(profile, "destroyed")
        for (const [profile] of cases) yield* node.master.awaitReport(profile, "destroyed")
      }),
    )

    if (!hasUsers) return
    it.effect("for root: one in which something is mounted is not removed", () =>
      Effect.gen(function* () {
        const { node } = yield* Node
        // Of an earlier test.
        const profile = `${node.scratch.path}/release/flipping.cfg`
        const path = node.releaseDirectory(profile)
        mkdirSync(`${path}/mount`)
        const after = yield* node.master.lastReport
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* mounted(`${path}/mount`, "-t", "tmpfs", "none", `${path}/mount`)
            writeFileSync(`${path}/mount/precious`, "precious")
            yield* node.supply(profile, "destroyed")
            const { message } = yield* node.master.awaitReport(profile, "error", { after })
            assert.strictEqual(
              message,
              `refused to remove ${path}: something is mounted at ${path}/mount; unmount it first`,
            )
            for (const name of ["mount/precious", "bin/buildout", ".completed"]) {
              assert.isTrue(existsSync(`${path}/${name}`), name)
            }
          }),
        )
        yield* node.ask
        yield* node.master.awaitReport(profile, "destroyed", { after })
        assert.isFalse(existsSync(path))
      }),
    )

    it.effect("for root: a read-only file system is told once, and what is built there serves on", () =>
      Effect.gen(function* () {
        const { node } = yield* Node
        const profile = profileOf(node, "frozen", { a: "true" })
        const { softwareRoot } = node
        const runs = yield* node.run("on a release that cannot change")
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* mounted(softwareRoot, "--bind", softwareRoot, softwareRoot)
            execFileSync("mount", ["-o", "remount,ro,bind", softwareRoot])
            yield* node.supply(profile)
            const { message } = yield* node.master.awaitReport(profile, "error")
            assert.match(message, /^cannot make directory .*: EROFS \(the file system is read-only\)$/)
            yield* node.runningIn(runs)
          }),
        )
        assert.deepStrictEqual(yield* statesOf(node, profile), ["building", "error"])
      }),
    )
  })
}

describe.skipIf(!runsRootTests)("as root, for a software owner with a home", () => {
  releases(false)
})
describe("as one ordinary user", () => {
  releases(true)
})
