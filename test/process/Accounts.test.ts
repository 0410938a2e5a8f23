import { it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFileSync } from "node:child_process"
import { expect } from "vitest"
import { Accounts } from "../../src/process/Accounts.ts"
import { Launcher } from "../../src/process/launcher/Launcher.ts"
import { inCi, isRoot, stranger } from "../support/scratch.ts"

const accounts = (rootCheck = true) =>
  Effect.map(Layer.build(Layer.provide(Accounts.layer({ rootCheck }), Launcher.layer)), Context.get(Accounts))

const known = (() => {
  const [name = "", , uid, gid, , home = ""] = execFileSync("getent", ["passwd", "daemon"], { encoding: "utf8" })
    .trim()
    .split(":")
  const groups = execFileSync("id", ["-G", name], { encoding: "utf8" }).trim().split(" ").map(Number)
  return { uid: Number(uid), gid: Number(gid), groups, name, home }
})()

it.effect("an owner with an entry has its name, home and groups", () =>
  Effect.gen(function* () {
    const { describe } = yield* accounts()
    expect(yield* describe({ uid: known.uid, gid: known.gid })).toStrictEqual(known)
  }),
)

it.effect("root's directories are refused", () =>
  Effect.gen(function* () {
    const { credentialsFor } = yield* accounts()
    for (const owner of [
      { uid: 0, gid: 5 },
      { uid: 5, gid: 0 },
    ]) {
      expect((yield* Effect.flip(credentialsFor(owner, "/i/slappart0", []))).message).toContain(
        "nothing is run as root",
      )
    }
  }),
)

it.effect.runIf(inCi || isRoot)(
  "an owner without an entry has its own group and those given; one with an entry only its own",
  () =>
    Effect.gen(function* () {
      const { credentialsFor } = yield* accounts()
      expect(yield* credentialsFor(stranger, "x", [4711])).toStrictEqual({
        ...stranger,
        groups: [stranger.gid, 4711],
        name: String(stranger.uid),
        home: undefined,
      })
      expect(yield* credentialsFor(known, "x", [4711])).toStrictEqual(known)
    }),
)

it.effect.runIf(inCi || isRoot)("root refuses root's directories even without root_check", () =>
  Effect.gen(function* () {
    const { credentialsFor } = yield* accounts(false)
    yield* Effect.flip(credentialsFor({ uid: 0, gid: 0 }, "x", []))
  }),
)

it.effect("an agent that is no root stays who it is, whoever the owner is", () =>
  Effect.gen(function* () {
    const { credentialsFor } = yield* accounts()
    expect(yield* credentialsFor(known, "x", [])).toStrictEqual(isRoot ? known : undefined)
  }),
)
