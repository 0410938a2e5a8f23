// The fixture's own promise, on which 'nothing is left' rests in all other files: what a test leaves is found, told and
// ended, and the scratch directory is removed all the same.
import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { createServer } from "node:net"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { isAlive, statusOf } from "../support/processes.ts"
import { isRoot, makeScratch } from "../support/ScratchMachine.ts"
import { eventually } from "../support/waiting.ts"

/** What closing a scratch says after a test that left something in it. */
const afterLeaving = Effect.fnUntraced(function* (leave: (path: string, uid: number) => Effect.Effect<void>) {
  const scope = yield* Scope.make()
  const { identity, path } = yield* Scope.provide(makeScratch, scope)
  yield* leave(path, identity(3).uid)
  const exit = yield* Effect.exit(Scope.close(scope, Exit.void))
  assert.isFalse(existsSync(path))
  return Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "nothing"
})

const started = (words: readonly [string, ...ReadonlyArray<string>], cwd: string): Effect.Effect<number> =>
  Effect.callback((resume) => {
    const [file, ...args] = words
    const child = spawn(file, args, { cwd, stdio: "ignore", detached: true })
    child.once("spawn", () => resume(Effect.succeed(child.pid ?? 0)))
  })

describe("a scratch machine", () => {
  it.live("that is left empty ends without a word", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* afterLeaving(() => Effect.void), "nothing")
    }),
  )

  it.live("tells and ends a process that works in it", () =>
    Effect.gen(function* () {
      let pid = 0
      const told = yield* afterLeaving((path) =>
        Effect.map(started(["sleep", "1000"], path), (child) => {
          pid = child
        }),
      )
      assert.include(told, `process ${pid}: sleep 1000`)
      yield* eventually(
        "the end of it",
        Effect.sync(() => (isAlive(pid) ? undefined : true)),
      )
    }),
  )

  it.live("tells a process of its users, wherever that is", () =>
    Effect.gen(function* () {
      const told = yield* afterLeaving((path, uid) =>
        Effect.gen(function* () {
          const user = isRoot ? [`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"] : []
          const pid = yield* started(["setpriv", ...user, "sleep", "1001"], isRoot ? "/" : path)
          yield* eventually(
            "the change of user",
            Effect.sync(() => (statusOf(pid)?.["Uid"]?.startsWith(`${uid}\t`) === true ? true : undefined)),
          )
        }),
      )
      assert.include(told, "sleep 1001")
    }),
  )

  it.live("tells a socket", () =>
    Effect.gen(function* () {
      const server = createServer()
      const told = yield* afterLeaving((path) =>
        Effect.callback((resume) => void server.listen(`${path}/left.sock`, () => resume(Effect.void))),
      )
      server.close()
      assert.include(told, "left.sock")
    }),
  )
})
