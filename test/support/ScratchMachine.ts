// A directory of a test's own with users of its own, and the proof that nothing of it is left: at the end no process
// runs as one of the users or in the directory, no socket is bound there, and the directory is gone.
import { execFileSync } from "node:child_process"
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { belongingTo, commandOf, socketsBelow } from "./processes.ts"

/** Whether tests can give directories to users; if not, everything runs as one user. */
export const isRoot = process.geteuid?.() === 0

/** Whether tests that only make sense for root are run: always in CI, where they fail without it. */
export const runsRootTests = isRoot || process.env["CI"] === "true"

export interface Identity {
  readonly uid: number
  readonly gid: number
}

export interface Scratch {
  readonly path: string
  /** User number `index` of this scratch, without an entry in the user database; ourselves when we are no root. */
  readonly identity: (index: number) => Identity
}

const identitiesPerScratch = 16
let scratches = 0

/** Below 65536, where a container's users end. Distinct for concurrent processes as far as there is room. */
const firstUid = (): number => 20_000 + (process.pid % 620) * 64 + (scratches++ % 4) * identitiesPerScratch

/** Whoever runs the tests. */
export const self = (): Identity => ({ uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 })

const findLeftovers = (path: string, first: number): ReadonlyArray<string> => {
  const hasUid = (uid: number) => isRoot && uid >= first && uid < first + identitiesPerScratch
  const processes = belongingTo({ path, hasUid })
  const told = processes.map((pid) => `process ${pid}: ${commandOf(pid)}`)
  // Nobody else ends them, and the next test must not meet them.
  for (const pid of processes) process.kill(pid, "SIGKILL")
  return [...told, ...socketsBelow(path).map((socket) => `socket ${socket}`)]
}

const remove = (path: string, first: number): void => {
  const leftovers = findLeftovers(path, first)
  rmSync(path, { recursive: true, force: true, maxRetries: 3 })
  if (existsSync(path)) throw new Error(`${path} could not be removed`)
  if (leftovers.length > 0) throw new Error(`left behind:\n${leftovers.join("\n")}`)
}

export const makeScratch: Effect.Effect<Scratch, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    const path = mkdtempSync(join(tmpdir(), "slapgrid-e2e-"))
    chmodSync(path, 0o755)
    const first = firstUid()
    const identity = (index: number): Identity => (isRoot ? { uid: first + index, gid: first + index } : self())
    return { path, identity, first }
  }),
  ({ first, path }) => Effect.sync(() => remove(path, first)),
)

/**
 * Real users `<prefix>0`, `<prefix>1`, …: the first one's group is a supplementary group of all others, as a formatted
 * computer has it. Removed with the Scope. For root only.
 */
export const makeAccounts = (
  prefix: string,
  count: number,
): Effect.Effect<ReadonlyArray<Identity>, never, Scope.Scope> =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => index),
    (index) =>
      Effect.acquireRelease(
        Effect.sync((): Identity => {
          const groups = index === 0 ? [] : ["--groups", `${prefix}0`]
          execFileSync("useradd", [
            "--user-group",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            ...groups,
            `${prefix}${index}`,
          ])
          const id = (flag: string) => Number(execFileSync("id", [flag, `${prefix}${index}`], { encoding: "utf8" }))
          return { uid: id("-u"), gid: id("-g") }
        }),
        () => Effect.sync(() => void execFileSync("userdel", [`${prefix}${index}`], { stdio: "ignore" })),
      ),
  )
