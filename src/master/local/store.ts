// The embedded master's database: opening, schema version and transactions. node:sqlite is synchronous, so a
// transaction is a plain function: it cannot be interrupted half way, and no other one can come between its statements.
import * as fs from "node:fs"
import { DatabaseSync } from "node:sqlite"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { applicationId, steps } from "./schema.ts"
import { Tables } from "./tables.ts"

export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  /** Path of the database file, or `:memory:`. */
  database: Schema.String,
  reason: Schema.Literals([
    /** The file cannot be opened or created. */
    "CannotOpen",
    /** The file belongs to another program. */
    "Foreign",
    /** A newer slapgrid wrote it. */
    "TooNew",
    /** SQLite refused or failed while it was open: disk full, locked by another program, damaged. */
    "Failed",
  ]),
  message: Schema.String,
}) {}

export interface Store {
  /**
   * Runs `body` as one transaction. A failed result rolls back what it wrote, as an exception does. SQLite's exceptions
   * become StoreError, others are defects.
   */
  readonly transaction: <A, E>(body: (tables: Tables) => Result.Result<A, E>) => Effect.Effect<A, E | StoreError>
}

/** Milliseconds to wait for another program's lock. Nothing else is answered meanwhile. */
const lockPatience = 500

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const isSqlite = (cause: unknown): boolean =>
  cause instanceof Error && "code" in cause && cause.code === "ERR_SQLITE_ERROR"

const pragma = (database: DatabaseSync, name: "application_id" | "user_version"): number =>
  Number(database.prepare(`pragma ${name}`).get()?.[name])

/** Takes the schema steps that `database` lacks; `steps` is a parameter for the sake of tests. */
const migrate = (database: DatabaseSync, path: string): StoreError | undefined => {
  const version = pragma(database, "user_version")
  const owner = pragma(database, "application_id")
  const isNew = database.prepare("select 1 from sqlite_schema limit 1").get() === undefined
  if (owner !== applicationId && !(isNew && owner === 0 && version === 0)) {
    return new StoreError({
      database: path,
      reason: "Foreign",
      message: `${path} is a database of another program and was left alone: name another file for the embedded master`,
    })
  }
  if (version > steps.length) {
    return new StoreError({
      database: path,
      reason: "TooNew",
      message: `${path} was written by a newer slapgrid (schema ${version}, this one knows ${steps.length}): use that one, or name another file`,
    })
  }
  const missing = steps.slice(version)
  if (missing.length === 0) return undefined
  const script = ["begin immediate", `pragma application_id = ${applicationId}`, ...missing]
  database.exec(`${script.join(";\n")};\npragma user_version = ${steps.length};\ncommit`)
  return undefined
}

/** A new file is for its owner alone: connection parameters hold passwords. SQLite gives its WAL the same mode. */
const createPrivate = (path: string): void => fs.closeSync(fs.openSync(path, "a", 0o600))

const open = (path: string): Effect.Effect<DatabaseSync, StoreError> =>
  Effect.suspend(() => {
    let database: DatabaseSync | undefined
    try {
      if (path !== ":memory:") createPrivate(path)
      database = new DatabaseSync(path, { timeout: lockPatience })
      const refusal = migrate(database, path)
      if (refusal === undefined) {
        if (path !== ":memory:") database.exec("pragma journal_mode = wal")
        return Effect.succeed(database)
      }
      database.close()
      return refusal
    } catch (cause) {
      database?.close()
      const message = `cannot open ${path} as the embedded master's database: ${reasonOf(cause)}`
      return new StoreError({ database: path, reason: "CannotOpen", message })
    }
  })

const transactionOn =
  (database: DatabaseSync, path: string, tables: Tables): Store["transaction"] =>
  <A, E>(body: (tables: Tables) => Result.Result<A, E>) =>
    Effect.suspend((): Effect.Effect<A, E | StoreError> => {
      try {
        database.exec("begin immediate")
        const result = body(tables)
        database.exec(Result.isSuccess(result) ? "commit" : "rollback")
        return Effect.fromResult(result)
      } catch (cause) {
        if (database.isOpen && database.isTransaction) database.exec("rollback")
        if (!isSqlite(cause)) return Effect.die(cause)
        const message = `the embedded master's database ${path} failed: ${reasonOf(cause)}`
        return new StoreError({ database: path, reason: "Failed", message })
      }
    })

/** Opens the database file (created when missing) or `:memory:` until the scope closes. */
export const openStore = (path: string): Effect.Effect<Store, StoreError, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(open(path), (database) => Effect.sync(() => database.close())),
    (database) => ({ transaction: transactionOn(database, path, new Tables(database)) }),
  )
