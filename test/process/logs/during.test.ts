// What a program writes while its log is being trimmed is bounded, too, although nothing comes after it.
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import { Launcher } from "../../../src/process/launcher/Launcher.ts"
import { LogKeepers } from "../../../src/process/logs/LogKeeper.ts"
import { inCi, scratchDirectory } from "../../support/scratch.ts"
import { eventually, textOf } from "../../support/waiting.ts"
import { canCollapse, linesOf } from "./writers.ts"

const limit = 100 * 1024
const lines = linesOf(15_000)
const parts = [lines.slice(0, 500_000), lines.slice(500_000, 1_000_000), lines.slice(1_000_000)]

/** A launcher under which a program writes its next part before the head is taken off. */
const slow = (log: string, later: Array<string>) =>
  Layer.effect(
    Launcher,
    Effect.map(Launcher, (launcher) =>
      Launcher.of({
        ...launcher,
        collapse: (fd, length) =>
          Effect.suspend(() => {
            fs.appendFileSync(log, later.shift() ?? "")
            return launcher.collapse(fd, length)
          }),
      }),
    ),
  ).pipe(Layer.provide(Launcher.layer))

const keepsWhatComes = it.live.runIf(inCi || canCollapse)
for (const isThere of [true, false]) {
  keepsWhatComes(`what comes during a trim is trimmed, ${isThere ? "at the first look" : "later"}`, () =>
    Effect.gen(function* () {
      const directory = yield* scratchDirectory
      const log = `${directory}/log`
      const [first = "", ...later] = parts
      fs.writeFileSync(log, isThere ? first : "")
      const keepers = yield* LogKeepers.layer.pipe(
        Layer.provide(slow(log, later)),
        Layer.build,
        Effect.map(Context.get(LogKeepers)),
      )
      const kept = { directory, name: "log", limit, cgroup: undefined, subject: "slappart0:web-on-watch" }
      yield* Effect.asVoid(Effect.acquireRelease(keepers.keep(kept), (end) => end))
      if (!isThere) fs.appendFileSync(log, first)
      yield* eventually(
        "a bounded log of all that was written",
        Effect.sync(() => {
          const both = `${textOf(`${log}.1`) ?? ""}${textOf(log) ?? ""}`.replaceAll(" ", "")
          return fs.statSync(log).size <= limit && lines.endsWith(both) ? true : undefined
        }),
      )
      assert.isAtMost(fs.statSync(`${log}.1`).size, limit)
    }),
  )
}
