// What a run of buildout finds in folders that its helper has looked through is what it would have found itself, and what
// has not changed is not looked through again: so that no case is equal only because nothing is kept.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { copyFileSync, writeFileSync } from "node:fs"
import { promisify } from "node:util"
import { expect } from "vitest"
import { helperSource } from "../../../src/process/warm/source.ts"
import { makeScratch, runsRootTests } from "../../support/ScratchMachine.ts"
import { root } from "../../support/slapgrid.ts"

interface Case {
  readonly name: string
  readonly warm: string
  readonly cold: string
}

/** The helper as far as its imports, and what its runs would get. */
const helper = `${helperSource.slice(0, helperSource.indexOf("helper = start()"))}
told = os.dup(1)
restore_collections()
warm = Warm(sys.argv[1], [])
found = warm.scans.known("/usr/lib/python3/dist-packages", False) or []
os.write(told, json.dumps(sorted(one.key for one in found)).encode())
`

const buildout = `import sys
sys.path[0:0] = ["/usr/lib/python3/dist-packages"]
import zc.buildout.buildout
if __name__ == "__main__":
    pass
`

const users = [...(runsRootTests ? [false] : []), true]

describe("a run that gets what its helper has found in folders", () => {
  it.live.each(users)("finds the same, as the helper's own user: %s", (isOne) =>
    Effect.gen(function* () {
      const { identity, path } = yield* makeScratch
      for (const file of ["src/process/warm/scans.py", "test/support/warm/scansdriver.py"]) {
        copyFileSync(`${root}/${file}`, `${path}/${file.split("/").at(-1)}`)
      }
      const ids = isOne ? [] : [identity(0).uid, identity(1).uid].map(String)
      const words = [`${path}/scansdriver.py`, `${path}/scans.py`, `${path}/work`, ...ids]
      const { stdout } = yield* Effect.promise(() => promisify(execFile)("/usr/bin/python3", words, { cwd: path }))
      const cases = JSON.parse(stdout) as ReadonlyArray<Case>
      expect(cases.length).toBeGreaterThan(40)
      expect(cases.map(({ name, warm }) => ({ name, found: warm }))).toStrictEqual(
        cases.map(({ name, cold }) => ({ name, found: cold })),
      )
    }).pipe(Effect.scoped),
  )

  it.live("gets it from a helper that has imported Debian's zc.buildout", () =>
    Effect.gen(function* () {
      const { path } = yield* makeScratch
      writeFileSync(`${path}/buildout`, buildout)
      const words = ["-c", helper, `${path}/buildout`]
      const { stdout } = yield* Effect.promise(() => promisify(execFile)("/usr/bin/python3", words, { cwd: path }))
      expect(JSON.parse(stdout)).toContain("zc.buildout")
    }).pipe(Effect.scoped),
  )
})
