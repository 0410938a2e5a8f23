// The database file: what survives, what is refused, and what a transaction takes back.
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import { steps } from "../../../src/master/local/schema.ts"
import { openStore } from "../../../src/master/local/store.ts"
import type { Tables } from "../../../src/master/local/tables.ts"

const temporary = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "slapgrid-store-"))),
    (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true })),
  ),
  (directory) => path.join(directory, "master.db"),
)

const computer = { id: "COMP-1", address: null, netmask: null }
const add = (tables: Tables) => Result.succeed(tables.saveComputer(computer))
const count = (tables: Tables) => Result.succeed(tables.computers().length)

describe("a database file", () => {
  it.effect("keeps its rows, is private and uses a write-ahead log", () =>
    Effect.gen(function* () {
      const file = yield* temporary
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* openStore(file)
          yield* store.transaction(add)
          assert.isTrue(fs.existsSync(`${file}-wal`))
        }),
      )
      const store = yield* openStore(file)
      assert.strictEqual(yield* store.transaction(count), 1)
      assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
    }),
  )

  const foreign: ReadonlyArray<[name: string, reason: string, prepare: (file: string) => void]> = [
    ["of another program", "Foreign", (file) => sql(file, "create table partition17 (reference text)")],
    ["with another program's mark", "Foreign", (file) => sql(file, "pragma application_id = 7")],
    ["that is no database", "CannotOpen", (file) => fs.writeFileSync(file, "no database ".repeat(100))],
    ["in the place of a directory", "CannotOpen", (file) => fs.mkdirSync(file)],
  ]
  const sql = (file: string, script: string) => {
    const database = new DatabaseSync(file)
    database.exec(script)
    database.close()
  }
  it.effect.each(foreign)("%s is left alone: %s", ([, reason, prepare]) =>
    Effect.gen(function* () {
      const file = yield* temporary
      prepare(file)
      const before = fs.statSync(file).isFile() ? fs.readFileSync(file) : undefined
      const error = yield* Effect.flip(openStore(file))
      assert.strictEqual(error.reason, reason)
      assert.include(error.message, file)
      if (before !== undefined) assert.deepStrictEqual(fs.readFileSync(file), before)
    }),
  )

  it.effect("of a newer slapgrid is refused", () =>
    Effect.gen(function* () {
      const file = yield* temporary
      yield* Effect.scoped(openStore(file))
      sql(file, `pragma user_version = ${steps.length + 1}`)
      assert.strictEqual((yield* Effect.flip(openStore(file))).reason, "TooNew")
    }),
  )

  it.effect("that another program holds locked gives one error and serves again afterwards", () =>
    Effect.gen(function* () {
      const file = yield* temporary
      const store = yield* openStore(file)
      const other = new DatabaseSync(file)
      other.exec("begin immediate")
      assert.strictEqual((yield* Effect.flip(store.transaction(add))).reason, "Failed")
      other.exec("rollback")
      other.close()
      yield* store.transaction(add)
      assert.strictEqual(yield* store.transaction(count), 1)
    }),
  )
})

describe("a transaction", () => {
  it.effect("that fails or throws leaves nothing behind", () =>
    Effect.gen(function* () {
      const store = yield* openStore(":memory:")
      const failed = store.transaction((tables) => {
        tables.saveComputer(computer)
        return Result.fail("no")
      })
      assert.strictEqual(yield* Effect.flip(failed), "no")
      const thrown = store.transaction((tables) => {
        tables.saveComputer(computer)
        throw new Error("defect")
      })
      assert.isTrue(Exit.hasDies(yield* Effect.exit(thrown)))
      const refused = store.transaction((tables) => {
        tables.saveComputer(computer)
        return Result.succeed(tables.savePartition("nowhere", "slappart0", [], null))
      })
      assert.strictEqual((yield* Effect.flip(refused)).reason, "Failed")
      assert.strictEqual(yield* store.transaction(count), 0)
    }),
  )
})
