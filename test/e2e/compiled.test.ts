// What Node has compiled of the program is code that root runs: an agent keeps it beside its program for the next start,
// and a start takes it only when nobody but the program's owner can have written it, and undamaged.
//
// Whether it is taken can be seen: it is made from a program that has another version number, of the same length.
import { assert, layer } from "@effect/vitest"
import {
  chmodSync,
  chownSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { runToEnd, start } from "../support/Program.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import { bundle } from "../support/slapgrid.ts"
import { makeScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode } from "../support/TestNode.ts"
import { version } from "../../src/version.ts"

const otherVersion = "9.9.9"

/** A copy of the built program as a package has it; gives its directory for what is compiled. */
const install = (node: TestNode, name: string, text = readFileSync(bundle, "utf8")) => {
  const directory = `${node.scratch.path}/${name}`
  const compiled = `${directory}/compiled`
  mkdirSync(compiled, { recursive: true })
  writeFileSync(`${directory}/package.json`, JSON.stringify({ type: "module" }))
  writeFileSync(`${directory}/slapgrid.js`, text, { mode: 0o755 })
  const onlyFile = () => {
    const [file, ...others] = readdirSync(compiled)
    assert.deepStrictEqual(others, [])
    return file === undefined ? undefined : `${compiled}/${file}`
  }
  return { directory, compiled, program: `${directory}/slapgrid.js`, onlyFile }
}

/** Tells when the agent goes on to what comes after keeping. */
const announce = `import v8 from "node:v8"
const { setFlagsFromString } = v8
v8.setFlagsFromString = (flags) => {
  console.error("V8 gets " + flags)
  setFlagsFromString(flags)
}`

/** Runs an agent until it has had nothing to do. */
const idle = (node: TestNode, program: string) =>
  Effect.gen(function* () {
    const words = [`--import=data:text/javascript,${encodeURIComponent(announce)}`, program]
    const agent = yield* start([process.execPath, ...words, "--configuration-file", node.configFile])
    yield* agent.awaitLine("V8 gets --memory-reducer-gc-count=0")
  }).pipe(Effect.scoped)

/** Has it keep what it has compiled before it does anything. */
const hasty = `import vm from "node:vm"
const { runInThisContext } = vm.Script.prototype
vm.Script.prototype.runInThisContext = function (...options) {
  const program = runInThisContext.apply(this, options)
  return (keepCompiled) => {
    keepCompiled()
    program(keepCompiled)
  }
}`

/** What it says its version is. */
const versionOf = Effect.fnUntraced(function* (
  program: string,
  words: ReadonlyArray<string> = [],
  executable: string = process.execPath,
) {
  const [first, ...others] = [...words, executable, program, "--version"]
  const { ended, log, stdout } = yield* runToEnd([first, ...others])
  assert.deepStrictEqual({ ended, log }, { ended: { code: 0, signal: null }, log: "" })
  return stdout.replace("slapgrid v", "").trim()
})

const makeInstalled = Effect.gen(function* () {
  const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 0 })
  const { compiled, directory, onlyFile, program } = install(node, "program")
  yield* idle(node, program)
  const file = onlyFile() ?? ""
  const own = readFileSync(file)
  const text = readFileSync(bundle, "utf8").replace(`version = "${version}"`, `version = "${otherVersion}"`)
  const other = install(node, "other", text)
  yield* idle(node, other.program)
  const told = readFileSync(other.onlyFile() ?? "")
  // Of this program, its header says.
  const foreign = Buffer.concat([own.subarray(0, 4), told.subarray(4)])
  const put = (content: Buffer): void => {
    rmSync(file, { force: true, recursive: true })
    writeFileSync(file, content, { mode: 0o644 })
  }
  return { node, directory, compiled, program, file, own, foreign, untouched: told, put }
})

class Installed extends Context.Service<Installed, Effect.Success<typeof makeInstalled>>()(
  "test/e2e/compiled/Installed",
) {
  static readonly layer = Layer.effect(Installed, makeInstalled)
}

layer(Installed.layer, { excludeTestServices: true, timeout: "2 minutes" })("what Node has compiled", (it) => {
  it.effect("is kept by an agent, and taken by the next start unless it is damaged or another program's", () =>
    Effect.gen(function* () {
      const { compiled, file, foreign, node, own, program, put, untouched } = yield* Installed
      assert.strictEqual(lstatSync(file).mode & 0o022, 0)
      assert.strictEqual(yield* versionOf(program), version)
      put(foreign)
      assert.strictEqual(yield* versionOf(program), otherVersion, "it is what runs")
      const link = `${node.scratch.path}/slapgrid`
      symlinkSync(program, link)
      assert.strictEqual(yield* versionOf(link), otherVersion, "by a link, too")

      const damaged = Buffer.from(foreign)
      const middle = damaged.length >> 1
      damaged.writeUInt8(damaged.readUInt8(middle) ^ 1, middle)
      const useless = [untouched, damaged, foreign.subarray(0, middle), foreign.subarray(0, 7), Buffer.alloc(0)]
      for (const content of useless) {
        put(content)
        assert.strictEqual(yield* versionOf(program), version)
      }
      yield* idle(node, program)
      assert.strictEqual(readFileSync(file).readUInt32LE(0), own.readUInt32LE(0), "another takes its place")
      assert.strictEqual(readdirSync(compiled).length, 1)
    }),
  )

  it.effect("is kept again by an agent that has compiled more, and not by one that has not", () =>
    Effect.gen(function* () {
      const { file, node, program } = yield* Installed
      rmSync(file, { force: true })
      const words = [`--import=data:text/javascript,${encodeURIComponent(hasty)}`, program, "--version"]
      yield* runToEnd([process.execPath, ...words])
      const { size } = lstatSync(file)
      yield* idle(node, program)
      const kept = lstatSync(file)
      assert.isAbove(kept.size, size * 1.1)
      yield* idle(node, program)
      assert.strictEqual(lstatSync(file).ino, kept.ino)
    }),
  )

  it.effect("is not taken when somebody else could have written it, and not missed", () =>
    Effect.gen(function* () {
      const { compiled, directory, file, foreign, program, put } = yield* Installed
      put(foreign)
      chmodSync(file, 0o664)
      assert.strictEqual(yield* versionOf(program), version, "others may write it")
      put(foreign)
      renameSync(file, `${directory}/elsewhere`)
      symlinkSync(`${directory}/elsewhere`, file)
      assert.strictEqual(yield* versionOf(program), version, "it is a link")
      rmSync(file)
      mkdirSync(file)
      assert.strictEqual(yield* versionOf(program), version, "it is a directory")
      renameSync(compiled, `${compiled}.away`)
      assert.strictEqual(yield* versionOf(program), version, "there is no place for it")
      renameSync(`${compiled}.away`, compiled)
    }),
  )

  it.effect.runIf(runsRootTests)("is taken by others from root, and by root from the program's owner only", () =>
    Effect.gen(function* () {
      const { compiled, directory, file, foreign, node, program, put } = yield* Installed
      const { gid, uid } = node.scratch.identity(7)
      const user = ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--"]
      // A user may be unable to look to where Node is.
      const forUser = versionOf(program, user, `${directory}/node`)
      copyFileSync(process.execPath, `${directory}/node`)
      put(foreign)
      assert.strictEqual(yield* forUser, otherVersion)
      chmodSync(compiled, 0o700)
      assert.strictEqual(yield* forUser, version, "one that cannot be read")
      chmodSync(compiled, 0o755)
      chownSync(file, uid, gid)
      assert.strictEqual(yield* versionOf(program), version, "another user's")
      assert.strictEqual(yield* forUser, version, "their own")
      rmSync(file)
      chownSync(program, uid, gid)
      yield* idle(node, program)
      assert.deepStrictEqual(readdirSync(compiled), [], "root leaves nothing beside a user's program")
    }),
  )

  it.effect("is of no use to a Node that is too old, which is told in one line", () =>
    Effect.gen(function* () {
      const old = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.20.2" } })`
      const words = [`--import=data:text/javascript,${encodeURIComponent(old)}`, bundle, "--version"]
      const { ended, log, stdout } = yield* runToEnd([process.execPath, ...words])
      assert.strictEqual(ended.code, 1)
      assert.strictEqual(log + stdout, "slapgrid: needs Node.js 22.22.2 or newer, this is 20.20.2")
    }),
  )
})
