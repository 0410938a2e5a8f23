// One call of the SLAP protocol as the embedded master's rules see it, and how they read its fields. A failed result
// is an answer too: the refusal that goes back to the caller, and the sign to roll back.
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { SlapValue } from "../wire/marshal.ts"
import { decodeMarshal, encodeMarshal } from "../wire/marshal.ts"
import type { Allocated, Computer, Partition } from "./rows.ts"
import type { Tables } from "./tables.ts"

export interface Answer {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

export type Outcome = Result.Result<Answer, Answer>

export interface Call {
  readonly tables: Tables
  /** Milliseconds since 1970. */
  readonly now: number
  /** The query of a GET, the form of a POST. */
  readonly fields: URLSearchParams
}

export const text = (body: string, status = 200): Answer => ({
  status,
  contentType: "text/plain; charset=utf-8",
  body,
})

export const marshalled = (value: SlapValue): Answer => ({
  status: 200,
  contentType: "text/xml; charset=utf-8",
  body: encodeMarshal(value),
})

export const done = (body: string): Outcome => Result.succeed(text(body))

export const refuse = (status: number, why: string): Result.Result<never, Answer> =>
  Result.fail(text(`${why}\n`, status))

/** A field's text; the reference's clients write Python's `None` for a missing one. */
export const optionalField = (call: Call, name: string): string | undefined => {
  const value = call.fields.get(name)
  return value === null || value === "" || value === "None" ? undefined : value
}

export const field = (call: Call, name: string): Result.Result<string, Answer> => {
  const value = optionalField(call, name)
  return value === undefined ? refuse(400, `the field ${name} is missing or empty`) : Result.succeed(value)
}

/** A field that has to pass `schema`, whose message tells what it should be. */
export const checkedField = <S extends Schema.Constraint & { readonly Type: string; readonly DecodingServices: never }>(
  call: Call,
  name: string,
  schema: S,
): Result.Result<S["Type"], Answer> =>
  Result.flatMap(field(call, name), (value) =>
    Schema.is(schema)(value)
      ? Result.succeed(value)
      : refuse(400, `the field ${name} cannot be ${JSON.stringify(value.slice(0, 200))}`),
  )

/** The value of a marshalled field; undefined when the field is missing. */
export const marshalledField = (call: Call, name: string): Result.Result<SlapValue | undefined, Answer> => {
  const xml = optionalField(call, name)
  if (xml === undefined) return Result.succeed(undefined)
  return Result.mapError(decodeMarshal(xml), (error) => text(`the field ${name}: ${error.message}\n`, 400))
}

export type Dictionary = ReadonlyMap<string, SlapValue>

const isDictionary = (value: SlapValue): value is Dictionary =>
  value instanceof Map && [...value.keys()].every((key) => typeof key === "string")

/** A marshalled dictionary with text keys; empty when the field is missing. */
export const dictionaryField = (call: Call, name: string): Result.Result<Dictionary, Answer> =>
  Result.flatMap(marshalledField(call, name), (value): Result.Result<Dictionary, Answer> => {
    if (value === undefined) return Result.succeed(new Map())
    return isDictionary(value)
      ? Result.succeed(value)
      : refuse(400, `the field ${name} is no dictionary with text keys`)
  })

export const computerField = (call: Call, name = "computer_id"): Result.Result<Computer, Answer> =>
  Result.flatMap(field(call, name), (id): Result.Result<Computer, Answer> => {
    const computer = call.tables.computer(id)
    return computer === undefined
      ? refuse(404, `computer ${id} is not known here: format it first (loadComputerConfigurationFromXML)`)
      : Result.succeed(computer)
  })

export const partitionField = (
  call: Call,
  computerName = "computer_id",
  partitionName = "computer_partition_id",
): Result.Result<Partition, Answer> =>
  Result.gen(function* () {
    const computer = yield* computerField(call, computerName)
    const id = yield* field(call, partitionName)
    const partition = call.tables.partition(computer.id, id)
    return partition ?? (yield* refuse(404, `computer ${computer.id} has no partition ${id}`))
  })

/** The instance of the partition that the call names. */
export const instanceField = (call: Call): Result.Result<Allocated, Answer> =>
  Result.gen(function* () {
    const { computer, id } = yield* partitionField(call)
    const instance = call.tables.instance(computer, id)
    return instance ?? (yield* refuse(404, `partition ${id} of ${computer} is free: it holds no instance`))
  })
