// What a buildout leaves does not depend on whether it was forked from a helper: output, status, files, modes and
// owners are the same, for root's partitions and for an ordinary user's.
import { describe, expect, it } from "vitest"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { chmodSync, chownSync, copyFileSync, cpSync, mkdirSync, readdirSync } from "node:fs"
import { promisify } from "node:util"
import { rolldown } from "rolldown"
import { makeScratch, runsRootTests } from "../../support/ScratchMachine.ts"
import { root } from "../../support/slapgrid.ts"
import type { Comparison } from "../../support/warm/driver.ts"

/** A copy of Node and of the driver in one file, which an ordinary user can read wherever the repository lies. */
const bundleDriver = async (to: string): Promise<void> => {
  const bundle = await rolldown({ input: `${root}/test/support/warm/driver.ts`, platform: "node" })
  await bundle.write({ file: `${to}/driver/driver.mjs`, format: "esm", codeSplitting: false })
  await bundle.close()
  copyFileSync(`${root}/src/process/privileges.py`, `${to}/privileges.py`)
  for (const file of [
    "launcher/launcher.py",
    "warm/run.py",
    "warm/scans.py",
    "warm/requirements.py",
    "warm/preload.py",
    "warm/helper.py",
  ]) {
    copyFileSync(`${root}/src/process/${file}`, `${to}/driver/${file.split("/")[1]}`)
  }
  copyFileSync(process.execPath, `${to}/node`)
}

const compare = async (isOrdinary: boolean): Promise<ReadonlyArray<Comparison>> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const scratch = yield* makeScratch
        const { path } = scratch
        yield* Effect.promise(() => bundleDriver(path))
        mkdirSync(`${path}/work`)
        cpSync(`${root}/test/support/warm/corpus`, `${path}/work/corpus`, { recursive: true })
        const owner = scratch.identity(0)
        const changes = isOrdinary && runsRootTests
        for (const name of ["", ...readdirSync(`${path}/work`, { recursive: true, encoding: "utf8" })]) {
          if (changes) chownSync(`${path}/work/${name}`, owner.uid, owner.gid)
        }
        chmodSync(`${path}/work`, 0o755)
        const user = changes ? ["setpriv", `--reuid=${owner.uid}`, `--regid=${owner.gid}`, "--clear-groups", "--"] : []
        const partition = scratch.identity(1)
        const ids = [partition.uid, partition.gid, owner.gid].map(String)
        const [program = "", ...words] = [...user, `${path}/node`, `${path}/driver/driver.mjs`, `${path}/work`, ...ids]
        const { stdout } = yield* Effect.promise(() =>
          promisify(execFile)(program, words, { cwd: "/", maxBuffer: 1 << 28, env: { PATH: process.env["PATH"] } }),
        )
        return JSON.parse(stdout) as ReadonlyArray<Comparison>
      }),
    ),
  )

/** Without the outermost lines of a traceback, which show what has started the script: each way has its own. */
const inner = (text: string): string => text.replaceAll(/^ +File "<(?:string|frozen runpy)>", line .*\n/gm, "")

const users = [...(runsRootTests ? [false] : []), true]

describe.each(users)("warm and cold, as an ordinary user: %s", (isOrdinary) => {
  it("give the same result", async () => {
    const comparisons = await compare(isOrdinary)
    expect(comparisons.length).toBeGreaterThanOrEqual(12)
    const named = (outcomes: "cold" | "warm" | "preloaded") =>
      comparisons.map((one) => ({
        name: one.name,
        steps: one[outcomes].map((step) => ({ ...step, result: inner(step.result), output: inner(step.output) })),
      }))
    expect(named("warm")).toStrictEqual(named("cold"))
    expect(named("preloaded")).toStrictEqual(named("cold"))
    // None of them went cold instead.
    expect(comparisons.map(({ forked }) => forked)).toStrictEqual(comparisons.map(({ cold }) => 2 * cold.length))
  }, 480_000)
})
