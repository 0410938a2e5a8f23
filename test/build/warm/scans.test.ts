// What a run of buildout finds in folders that its helper has looked through is what it would have found itself, and what
// has not changed is not looked through again: so that no case is equal only because nothing is kept.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { copyFileSync } from "node:fs"
import { promisify } from "node:util"
import { expect } from "vitest"
import { makeScratch, runsRootTests } from "../../support/ScratchMachine.ts"
import { root } from "../../support/slapgrid.ts"

interface Case {
  readonly name: string
  readonly warm: string
  readonly cold: string
}

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
})
