// What a Computer document wants of this node (slap-protocol.md, The Computer document). A record that cannot be used is
// told in `rejected` and leaves its neighbours alone; only a document that is no answer to our question is an error.
import * as Result from "effect/Result"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type {
  DesiredPartition,
  DesiredSoftware,
  DesiredState,
  PartitionRequestedState,
  RejectedRecord,
  SoftwareRequestedState,
} from "../../domain/DesiredState.ts"
import { type ComputerId, PartitionId, SoftwareUrl } from "../../domain/ids.ts"
import type { Parameters, PartitionRecord } from "../MasterTools.ts"
import { plainRecord } from "./plain.ts"
import { pythonStr } from "./pythonText.ts"
import { type SlapClassName, SlapObject, type SlapValue } from "./SlapValue.ts"
import { WireError } from "./WireError.ts"
import { quote } from "./xml.ts"

/** The desired state of `computer`, or why the document holds none. */
export const decodeComputer = (value: SlapValue, computer: ComputerId): Result.Result<DesiredState, WireError> =>
  Result.gen(function* () {
    if (!isInstance(value, "Computer")) {
      return yield* wireError(`the document is ${describe(value)}, not a Computer`)
    }
    const id = attribute(value, "_computer_id") ?? value.args[0] ?? null
    if (id !== computer) {
      return yield* wireError(`the document is about computer ${quote(pythonStr(id))}, not ${computer}`)
    }
    const software = yield* records(value, "_software_release_list")
    const partitions = yield* records(value, "_computer_partition_list")
    if (partitions === undefined) {
      return yield* wireError("the Computer has no _computer_partition_list")
    }
    const usableSoftware = collect(software ?? [], decodeSoftware, (record) => `software ${record.url}`)
    const usablePartitions = collect(
      partitions,
      (record) => decodePartition(record, computer),
      (record) => `partition ${record.id}`,
    )
    return {
      computer,
      software: usableSoftware.usable,
      partitions: usablePartitions.usable,
      rejected: [...usableSoftware.rejected, ...usablePartitions.rejected],
    }
  })

/** One partition alone; what cannot be used of it, or is another one, is an error. */
export const decodePartitionRecord = (
  value: SlapValue,
  computer: ComputerId,
  id: PartitionId,
): Result.Result<PartitionRecord, WireError> =>
  Result.gen(function* () {
    const partition = yield* Result.mapError(
      decodePartition(value, computer),
      ({ reason, subject }) => new WireError({ message: `${subject}: ${reason}` }),
    )
    if (!isInstance(value, "ComputerPartition") || partition.id !== id) {
      return yield* wireError(`the document is about partition ${partition.id}, not ${id}`)
    }
    const guid = attribute(value, "_instance_guid")
    return {
      ...partition,
      guid: typeof guid === "string" ? guid : undefined,
      parameters: yield* parametersIn(value, "_parameter_dict"),
      connection: yield* parametersIn(value, "_connection_dict"),
    }
  })

const parametersIn = (partition: SlapObject, name: string): Result.Result<Redacted.Redacted<Parameters>, WireError> =>
  Result.mapBoth(dictionary(partition, name), {
    onSuccess: (values) => Redacted.make(plainRecord(values)),
    onFailure: (message) => new WireError({ message }),
  })

const wireError = (message: string): Result.Result<never, WireError> => Result.fail(new WireError({ message }))

const isInstance = (value: SlapValue, className: SlapClassName): value is SlapObject =>
  value instanceof SlapObject && value.className === className

/** An attribute's value; undefined when it is missing or None. */
const attribute = (object: SlapObject, name: string): Exclude<SlapValue, null> | undefined =>
  object.attributes.get(name) ?? undefined

const records = (
  computer: SlapObject,
  name: string,
): Result.Result<ReadonlyArray<SlapValue> | undefined, WireError> => {
  const list = attribute(computer, name)
  return list === undefined || isList(list)
    ? Result.succeed(list)
    : wireError(`the Computer's ${name} is ${describe(list)}, not a list`)
}

const isList = (value: SlapValue): value is ReadonlyArray<SlapValue> => Array.isArray(value)

const describe = (value: SlapValue): string => {
  if (value instanceof SlapObject) {
    return `a ${value.className}`
  }
  if (value !== null && typeof value === "object") {
    return isList(value) ? "a list" : value instanceof Map ? "a dictionary" : "a set or tuple"
  }
  return quote(pythonStr(value))
}

interface Collected<A> {
  readonly usable: ReadonlyArray<A>
  readonly rejected: ReadonlyArray<RejectedRecord>
}

/** Of two records with one subject the first counts: which one the master means cannot be told. */
const collect = <A>(
  values: ReadonlyArray<SlapValue>,
  decode: (value: SlapValue) => Result.Result<A, RejectedRecord>,
  subjectOf: (record: A) => string,
): Collected<A> => {
  const usable = new Map<string, A>()
  const rejected: Array<RejectedRecord> = []
  for (const value of values) {
    const decoded = decode(value)
    if (Result.isFailure(decoded)) {
      rejected.push(decoded.failure)
      continue
    }
    const subject = subjectOf(decoded.success)
    if (usable.has(subject)) {
      rejected.push({ subject, reason: "the master names it twice; the first record counts" })
    } else {
      usable.set(subject, decoded.success)
    }
  }
  return { usable: [...usable.values()], rejected }
}

const reject = (subject: string, reason: string): Result.Result<never, RejectedRecord> =>
  Result.fail({ subject, reason })

const decodeUrl = Schema.decodeUnknownResult(SoftwareUrl)
const decodePartitionId = Schema.decodeUnknownResult(PartitionId)

const softwareStates: ReadonlyArray<SoftwareRequestedState> = ["available", "destroyed"]
const partitionStates: ReadonlyArray<PartitionRequestedState> = ["started", "stopped", "destroyed"]

const decodeSoftware = (value: SlapValue): Result.Result<DesiredSoftware, RejectedRecord> =>
  Result.gen(function* () {
    if (value instanceof SlapObject && value.fault !== undefined) {
      return yield* reject(subjectOf("software", urlOf(value)), value.fault)
    }
    if (!isInstance(value, "SoftwareRelease")) {
      return yield* reject("software", `a record of the release list is ${describe(value)}, not a SoftwareRelease`)
    }
    const given = urlOf(value)
    const subject = subjectOf("software", given)
    const url = yield* Result.mapError(decodeUrl(given), (error) => ({ subject, reason: error.message }))
    const state = attribute(value, "_requested_state") ?? "available"
    const requested = softwareStates.find((known) => known === state)
    if (requested === undefined) {
      return yield* reject(
        subject,
        `its requested state is ${describe(state)}, not one of ${softwareStates.join(", ")}`,
      )
    }
    return { url, requested }
  })

const urlOf = (release: SlapObject): SlapValue => attribute(release, "_software_release") ?? release.args[0] ?? null

const idOf = (partition: SlapObject): SlapValue => attribute(partition, "_partition_id") ?? partition.args[1] ?? null

/** The kind alone, where what names the record is missing. */
const subjectOf = (kind: "software" | "partition", name: SlapValue): string =>
  name === null ? kind : `${kind} ${shown(name)}`

const shown = (name: SlapValue): string =>
  typeof name === "string" && /^[\x21-\x7e]{1,500}$/.test(name) ? name : describe(name)

const decodePartition = (value: SlapValue, computer: ComputerId): Result.Result<DesiredPartition, RejectedRecord> =>
  Result.gen(function* () {
    if (value instanceof SlapObject && value.fault !== undefined) {
      return yield* reject(subjectOf("partition", idOf(value)), value.fault)
    }
    if (!isInstance(value, "ComputerPartition")) {
      return yield* reject("partition", `a record of the partition list is ${describe(value)}, not a ComputerPartition`)
    }
    const given = idOf(value)
    const subject = subjectOf("partition", given)
    const rejectThis = (reason: string) => ({ subject, reason })
    const id = yield* Result.mapError(decodePartitionId(given), (error) => rejectThis(error.message))
    const owner = attribute(value, "_computer_id") ?? value.args[0] ?? null
    if (owner !== computer) {
      return yield* reject(subject, `it is a partition of ${describe(owner)}, not of ${computer}`)
    }
    return yield* Result.mapError(decodeWish(value, id), (reason) => ({ ...rejectThis(reason), partition: id }))
  })

/** What is wanted of a partition that is known by name. */
const decodeWish = (value: SlapObject, id: PartitionId): Result.Result<DesiredPartition, string> =>
  Result.gen(function* () {
    const state = attribute(value, "_requested_state")
    const requested = partitionStates.find((known) => known === state)
    if (requested === undefined) {
      const found = state === undefined ? "missing" : describe(state)
      return yield* Result.fail(`its requested state is ${found}, not one of ${partitionStates.join(", ")}`)
    }
    const fields = yield* decodeFields(value)
    if (fields.software === undefined && requested !== "destroyed") {
      return yield* Result.fail(`it is to be ${requested}, but no software release is named`)
    }
    return { id, requested, ...fields }
  })

type PartitionFields = Omit<DesiredPartition, "id" | "requested">

const decodeFields = (partition: SlapObject): Result.Result<PartitionFields, string> =>
  Result.gen(function* () {
    const accessStatus = attribute(partition, "_access_status")
    return {
      software: yield* decodeRelease(attribute(partition, "_software_release_document")),
      timestamp: yield* decodeTimestamp(partition),
      filter: yield* decodeFilter(partition),
      accessStatus:
        accessStatus === undefined || typeof accessStatus === "string"
          ? accessStatus
          : yield* Result.fail(`its _access_status is ${describe(accessStatus)}, not a text`),
    }
  })

const decodeRelease = (document: SlapValue | undefined): Result.Result<SoftwareUrl | undefined, string> => {
  if (document === undefined) {
    return Result.succeed(undefined)
  }
  if (!isInstance(document, "SoftwareRelease")) {
    return Result.fail(`its _software_release_document is ${describe(document)}, not a SoftwareRelease`)
  }
  const given = urlOf(document)
  return Result.mapError(decodeUrl(given), (error) => `its software release is ${describe(given)}: ${error.message}`)
}

/** A text, an integer or a float; compared as the text that Python makes of it, and kept in a file. */
const decodeTimestamp = (partition: SlapObject): Result.Result<string | undefined, string> =>
  Result.flatMap(dictionary(partition, "_parameter_dict"), (parameters) => {
    const timestamp = parameters.get("timestamp") ?? ""
    const isText = typeof timestamp === "string" || typeof timestamp === "bigint" || typeof timestamp === "number"
    const text = isText ? pythonStr(timestamp) : undefined
    if (text === undefined || !/^[\x20-\x7e]{0,200}$/.test(text)) {
      return Result.fail(`its timestamp is ${describe(timestamp)}, not a number or a short text`)
    }
    return Result.succeed(text === "" ? undefined : text)
  })

/** None and containers are left out: every rule of the SLA that a node knows is a text or a number. */
const decodeFilter = (partition: SlapObject): Result.Result<Readonly<Record<string, string>>, string> =>
  Result.map(dictionary(partition, "_filter_dict"), (filter) => {
    const entries: Array<readonly [string, string]> = []
    for (const [key, value] of filter) {
      if (typeof key === "string" && typeof value !== "object") {
        entries.push([key, pythonStr(value)])
      }
    }
    return Object.fromEntries(entries)
  })

/** A missing dictionary is an empty one. */
const dictionary = (partition: SlapObject, name: string): Result.Result<ReadonlyMap<SlapValue, SlapValue>, string> => {
  const found: SlapValue = attribute(partition, name) ?? new Map<SlapValue, SlapValue>()
  return found instanceof Map
    ? Result.succeed(found)
    : Result.fail(`its ${name} is ${describe(found)}, not a dictionary`)
}
