// What nodes and instances report, and what the embedded master makes of it. Every report is logged; few change
// anything else. A report about something that is not wanted destroyed never frees it: the wish may have changed while
// the report was under way.
import * as Result from "effect/Result"
import { encodeInstanceXml } from "../wire/instanceXml.ts"
import type { Answer, Call, Outcome } from "./call.ts"
import {
  computerField,
  dictionaryField,
  done,
  field,
  instanceField,
  marshalled,
  marshalledField,
  optionalField,
  partitionField,
  refuse,
  text,
} from "./call.ts"
import type { Allocated, Partition, ReportRow, ReportState, Supply } from "./rows.ts"

/** Characters of an error's text in a partition's access status. The cause stands at the end. */
const accessStatusKept = 1000

/** slapproxy's word for a report that changes nothing. */
const ignored: Answer = text("Ignored")

const log = (
  call: Call,
  computer: string,
  [subject, name]: readonly [ReportRow["subject"], string],
  state: ReportState,
  message = "",
): void => call.tables.addReport({ at: call.now, computer, subject, name, state, message })

const supplyOf = (call: Call): Result.Result<Supply, Answer> =>
  Result.gen(function* () {
    const computer = yield* computerField(call)
    const url = yield* field(call, "url")
    return (
      call.tables.supply(computer.id, url) ??
      (yield* refuse(404, `software release ${url} is not supplied on ${computer.id}`))
    )
  })

export const softwareReport =
  (state: "building" | "available" | "error") =>
  (call: Call): Outcome =>
    Result.map(supplyOf(call), ({ computer, url }) => {
      log(call, computer, ["software", url], state, optionalField(call, "error_log"))
      return ignored
    })

export const destroyedSoftwareRelease = (call: Call): Outcome =>
  Result.gen(function* () {
    const computer = yield* computerField(call)
    const url = yield* field(call, "url")
    const supply = call.tables.supply(computer.id, url)
    if (supply === undefined) return yield* done("OK")
    log(call, computer.id, ["software", url], "destroyed")
    if (supply.requested !== "destroyed") return yield* done(`Ignored: ${url} is wanted ${supply.requested}`)
    call.tables.removeSupply(computer.id, url)
    return yield* done("OK")
  })

const setAccessStatus = (call: Call, partition: Partition, accessStatus: string): void => {
  const instance = call.tables.instance(partition.computer, partition.id)
  if (instance !== undefined) call.tables.saveInstance(partition.computer, partition.id, { ...instance, accessStatus })
}

export const partitionReport =
  (state: "started" | "stopped") =>
  (call: Call): Outcome =>
    Result.map(partitionField(call), (partition) => {
      log(call, partition.computer, ["partition", partition.id], state)
      setAccessStatus(call, partition, `#access instance ${state}`)
      return ignored
    })

export const softwareInstanceError = (call: Call): Outcome =>
  Result.map(partitionField(call), (partition) => {
    const message = optionalField(call, "error_log") ?? ""
    const shared = optionalField(call, "slave_reference")
    const about = shared === undefined ? "" : `shared instance ${shared}: `
    log(call, partition.computer, ["partition", partition.id], "error", about + message)
    if (shared === undefined) setAccessStatus(call, partition, `#error ${message.slice(-accessStatusKept)}`)
    return ignored
  })

/** Marks what is left of a root's tree as destroyed; the titles of the instances still there. */
const destroyDescendants = (call: Call, root: Allocated): ReadonlyArray<string> => {
  const descendants = call.tables.descendants(root.title)
  for (const child of descendants.filter((instance) => instance.requested !== "destroyed")) {
    call.tables.saveInstance(child.computer, child.id, { ...child, requested: "destroyed" })
    call.tables.touch(child.computer, child.id, call.now)
  }
  return descendants.map((instance) => instance.title)
}

/** Frees the partition; the shared instances that a root's tree asked of others go with the root. */
const free = (call: Call, instance: Allocated): void => {
  for (const shared of instance.root === "" ? call.tables.sharedOfTree(instance.title) : []) {
    call.tables.removeShared(shared.computer, shared.reference)
    call.tables.touch(shared.computer, shared.partition, call.now)
  }
  call.tables.removeInstance(instance.computer, instance.id)
}

export const destroyedComputerPartition = (call: Call): Outcome =>
  Result.gen(function* () {
    const partition = yield* partitionField(call)
    log(call, partition.computer, ["partition", partition.id], "destroyed")
    const instance = call.tables.instance(partition.computer, partition.id)
    if (instance === undefined) return yield* done("OK")
    if (instance.requested !== "destroyed") {
      return yield* done(`Ignored: instance ${instance.title} is wanted ${instance.requested}`)
    }
    const left = instance.root === "" ? destroyDescendants(call, instance) : []
    if (left.length > 0) return yield* done(`Not freed yet, the instance still has children: ${left.join(", ")}`)
    free(call, instance)
    return yield* done("OK")
  })

export const softwareInstanceBang = (call: Call): Outcome =>
  Result.gen(function* () {
    const instance = yield* instanceField(call)
    log(call, instance.computer, ["partition", instance.id], "bang", optionalField(call, "message"))
    for (const member of call.tables.tree(instance)) {
      call.tables.touch(member.computer, member.id, call.now)
    }
    return yield* done("OK")
  })

/** Every instance of the computer is to be processed again. */
export const computerBang = (call: Call): Outcome =>
  Result.map(computerField(call), (computer) => {
    log(call, computer.id, ["computer", computer.id], "bang", optionalField(call, "message"))
    for (const { id } of call.tables.instances(computer.id)) call.tables.touch(computer.id, id, call.now)
    return marshalled("")
  })

export const useComputer = (call: Call): Outcome =>
  Result.gen(function* () {
    const computer = yield* computerField(call)
    log(call, computer.id, ["computer", computer.id], "usage", yield* field(call, "use_string"))
    return ignored
  })

/** Connection parameters of the partition, or of a shared instance that it hosts. */
export const setComputerPartitionConnectionXml = (call: Call): Outcome =>
  Result.gen(function* () {
    const instance = yield* instanceField(call)
    const connection = encodeInstanceXml(yield* dictionaryField(call, "connection_xml"))
    const reference = optionalField(call, "slave_reference")
    if (reference === undefined) {
      call.tables.saveInstance(instance.computer, instance.id, { ...instance, connection })
      return yield* done("done")
    }
    const shared = call.tables.sharedByReference(instance.computer, reference)
    if (shared === undefined || shared.partition !== instance.id) {
      return yield* refuse(
        404,
        `partition ${instance.id} of ${instance.computer} hosts no shared instance ${reference}`,
      )
    }
    call.tables.saveShared({ ...shared, connection })
    return yield* done("done")
  })

/** The list is checked and not kept: this master removes no instance that its requester stopped asking for. */
export const updateComputerPartitionRelatedInstanceList = (call: Call): Outcome =>
  Result.gen(function* () {
    yield* instanceField(call)
    yield* marshalledField(call, "instance_reference_xml")
    return yield* done("OK")
  })
