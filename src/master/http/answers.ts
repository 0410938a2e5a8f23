// What the answers of the protocol mean: each call's typed value, or why the answer is none (slap-protocol.md).
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { DesiredState } from "../../domain/DesiredState.ts"
import type { ComputerId, PartitionId } from "../../domain/ids.ts"
import type { PartitionCertificate } from "../MasterClient.ts"
import type { MasterError } from "../MasterError.ts"
import type { ComputerStatus, PartitionRecord, TreeAddress } from "../MasterTools.ts"
import { decodeComputer, decodePartitionRecord } from "../wire/computer.ts"
import { decodeAnswer, SlapTuple, type SlapValue } from "../wire/marshal.ts"
import type { Answer } from "./exchange.ts"
import { type CallPlace, invalidAnswer } from "./failures.ts"

export type Reader<A> = (place: CallPlace, answer: Answer) => Result.Result<A, MasterError>

/** Reads a document, and then the value in it. */
const reader =
  <A>(read: (value: SlapValue) => Result.Result<A, { readonly message: string }>): Reader<A> =>
  (place, answer) =>
    Result.mapError(Result.flatMap(decodeAnswer(answer.body), read), (error) =>
      invalidAnswer(place, answer.status, error.message),
    )

/** For calls that a master may lack: its 404 gives undefined. */
const optional =
  <A>(read: Reader<A>): Reader<A | undefined> =>
  (place, answer) =>
    answer.status === 404 ? Result.succeed(undefined) : read(place, answer)

export const readComputer = (computer: ComputerId): Reader<DesiredState> =>
  reader((value) => decodeComputer(value, computer))

export const readPartition = (computer: ComputerId, id: PartitionId): Reader<PartitionRecord> =>
  reader((value) => decodePartitionRecord(value, computer, id))

/** Problems are told without a piece of the document: it holds a key. */
export const readCertificate: Reader<PartitionCertificate> = (place, answer) => {
  const fields = fieldsOf(Result.getOrElse(decodeAnswer(answer.body), () => null))
  const certificate = fields.get("certificate")
  const key = fields.get("key")
  return typeof certificate === "string" && typeof key === "string"
    ? Result.succeed({ certificate, key: Redacted.make(key) })
    : Result.fail(invalidAnswer(place, answer.status, "the answer does not hold a certificate and a key"))
}

const fieldsOf = (value: SlapValue): ReadonlyMap<SlapValue, SlapValue> =>
  value instanceof Map ? value : new Map<SlapValue, SlapValue>()

const isList = (value: SlapValue): value is ReadonlyArray<SlapValue> => Array.isArray(value)

const addressOf = (value: SlapValue): TreeAddress | undefined => {
  const [name, address, ...more] = value instanceof SlapTuple ? value.items : isList(value) ? value : []
  return typeof name === "string" && typeof address === "string" && more.length === 0
    ? { interface: name, address }
    : undefined
}

export const readTreeAddresses: Reader<ReadonlyArray<TreeAddress>> = reader((value) => {
  if (!isList(value)) return Result.fail({ message: "the document is no list of addresses" })
  const addresses = value.map(addressOf)
  return addresses.every((address) => address !== undefined)
    ? Result.succeed(addresses)
    : Result.fail({ message: "the list holds something else than pairs of an interface and an address" })
})

/** A date such as `Wed, 25 Nov 2026 08:27:00 GMT`. */
const timeOf = (value: SlapValue | undefined): number | undefined => {
  const time = typeof value === "string" ? Date.parse(value) : Number.NaN
  return Number.isNaN(time) ? undefined : time
}

export const readComputerStatus: Reader<ComputerStatus | undefined> = optional(
  reader((value) => {
    const fields = fieldsOf(value)
    const text = fields.get("text")
    return typeof text === "string"
      ? Result.succeed({
          text,
          at: timeOf(fields.get("created_at")),
          since: timeOf(fields.get("since")),
          isUnheard: Number(fields.get("no_data") ?? 0) !== 0,
        })
      : Result.fail({ message: "the document is no status" })
  }),
)

const longestText = 4000

const readLine: Reader<string> = (place, answer) => {
  const text = new TextDecoder().decode(answer.body.subarray(0, longestText + 1)).trim()
  return text !== "" && text.length <= longestText && !/[\p{Cc}\uFFFD]/u.test(text)
    ? Result.succeed(text)
    : Result.fail(invalidAnswer(place, answer.status, "the answer is not one line of text"))
}

export const readText: Reader<string | undefined> = optional(readLine)

export const readUrl: Reader<string | undefined> = optional((place, answer) =>
  Result.flatMap(readLine(place, answer), (text) =>
    /^https?:$/.test(URL.parse(text)?.protocol ?? "")
      ? Result.succeed(text)
      : Result.fail(invalidAnswer(place, answer.status, "the answer is no URL")),
  ),
)
