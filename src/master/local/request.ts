// requestComputerPartition: who gets which partition (slap-protocol.md, Requests). The timestamp is the only word the
// node hears about a change, so it moves when state, release, type or parameters changed, and for nothing else.
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { SoftwareUrl } from "../../domain/ids.ts"
import { encodeInstanceXml } from "../wire/instanceXml.ts"
import type { SlapValue } from "../wire/marshal.ts"
import { encodeMarshal } from "../wire/marshal.ts"
import type { Answer, Call, Dictionary, Outcome } from "./call.ts"
import {
  checkedField,
  dictionaryField,
  field,
  instanceField,
  marshalled,
  marshalledField,
  optionalField,
  refuse,
} from "./call.ts"
import { guidOf, instanceDocument, sharedDocument, sharedName } from "./documents.ts"
import type { Allocated, Partition, Shared } from "./rows.ts"
import { RequestedState } from "./rows.ts"

interface Wish {
  /** Title of the requester's root; empty for a user's request. */
  readonly root: string
  readonly requester: string | null
  readonly title: string
  readonly software: string
  readonly type: string
  readonly parameters: Dictionary
  readonly filter: Dictionary
  readonly state: RequestedState | undefined
  /** The computer it may be placed on. */
  readonly computer: string
}

const isTrue = (value: SlapValue | undefined): boolean => value === true || (typeof value === "bigint" && value !== 0n)

const readState = (call: Call): Result.Result<RequestedState | undefined, Answer> =>
  Result.flatMap(marshalledField(call, "state"), (value): Result.Result<RequestedState | undefined, Answer> => {
    if (value === undefined || value === null || value === "") return Result.succeed(undefined)
    return Schema.is(RequestedState)(value)
      ? Result.succeed(value)
      : refuse(400, "the field state is none of started, stopped and destroyed")
  })

const readRequester = (call: Call): Result.Result<Pick<Wish, "root" | "requester">, Answer> => {
  const partition = optionalField(call, "computer_partition_id")
  if (partition === undefined) return Result.succeed({ root: "", requester: null })
  return Result.map(instanceField(call), (requester) => ({
    root: requester.root === "" ? requester.title : requester.root,
    requester: `${requester.computer}/${requester.id}`,
  }))
}

/** The computer that the filter names, else the one that was formatted first: the master's own. */
const readComputer = (call: Call, filter: Dictionary): Result.Result<string, Answer> => {
  const wanted = filter.get("computer_guid")
  if (typeof wanted === "string" && wanted !== "") return Result.succeed(wanted)
  const [own] = call.tables.computers()
  return own === undefined ? refuse(404, "no computer is formatted here yet") : Result.succeed(own.id)
}

const readWish = (call: Call): Result.Result<Wish, Answer> =>
  Result.gen(function* () {
    const filter = yield* dictionaryField(call, "filter_xml")
    return {
      ...(yield* readRequester(call)),
      title: yield* field(call, "partition_reference"),
      software: yield* checkedField(call, "software_release", SoftwareUrl),
      type: optionalField(call, "software_type") ?? "default",
      parameters: yield* dictionaryField(call, "partition_parameter_xml"),
      filter,
      state: yield* readState(call),
      computer: yield* readComputer(call, filter),
    }
  })

/** A stopped or destroyed root draws its children after it, whatever they are asked to be. */
const rootState = (call: Call, wish: Wish): RequestedState | undefined => {
  const root = wish.root === "" ? undefined : call.tables.instanceByTitle("", wish.root)
  return root === undefined || root.requested === "started" ? undefined : root.requested
}

const place = (call: Call, wish: Wish): Result.Result<Partition, Answer> => {
  const free = call.tables.freePartition(wish.computer)
  return free === undefined
    ? refuse(404, `no free partition on computer ${wish.computer} for instance ${wish.title}`)
    : Result.succeed(free)
}

const requestInstance = (call: Call, wish: Wish): Outcome =>
  Result.gen(function* () {
    const known = call.tables.instanceByTitle(wish.root, wish.title)
    const { computer, id } = known ?? (yield* place(call, wish))
    const inherited = known === undefined ? undefined : rootState(call, wish)
    const wanted = {
      requested: inherited ?? wish.state ?? known?.requested ?? ("started" as const),
      software: wish.software,
      type: wish.type,
      parameters: encodeInstanceXml(wish.parameters),
    }
    call.tables.saveInstance(computer, id, {
      ...wanted,
      title: wish.title,
      root: wish.root,
      requester: wish.requester,
      filter: encodeInstanceXml(wish.filter),
      connection: known?.connection ?? null,
      accessStatus: known?.accessStatus ?? null,
    })
    const changed =
      known?.requested !== wanted.requested ||
      known.software !== wanted.software ||
      known.type !== wanted.type ||
      known.parameters !== wanted.parameters
    if (changed) call.tables.touch(computer, id, call.now)
    const instance = call.tables.instance(computer, id)
    return instance === undefined
      ? yield* refuse(500, `partition ${id} of ${computer} lost its instance`)
      : marshalled(instanceDocument(instance))
  })

/** `RootSoftwareInstance` is the old name of `default`. */
const modernType = (type: string): string => (type === "RootSoftwareInstance" ? "default" : type)

const canHost = (wish: Wish, instance: Allocated): boolean => {
  const guid = wish.filter.get("instance_guid")
  return (
    instance.requested !== "destroyed" &&
    instance.software === wish.software &&
    modernType(instance.type) === modernType(wish.type) &&
    (typeof guid !== "string" || guid === "" || guid === guidOf(instance) || guid === instance.id)
  )
}

/** The host it has, as long as that one still qualifies; else the first that does. */
const chooseHost = (call: Call, wish: Wish, known: Shared | undefined): Result.Result<Allocated, Answer> => {
  const candidates = call.tables.instances(wish.computer).filter((instance) => canHost(wish, instance))
  const host = candidates.find((instance) => instance.id === known?.partition) ?? candidates[0]
  return host === undefined
    ? refuse(404, `no instance of ${wish.software} (type ${wish.type}) on ${wish.computer} can host ${wish.title}`)
    : Result.succeed(host)
}

const releaseShared = (call: Call, wish: Wish, shared: Shared): Outcome => {
  call.tables.removeShared(shared.computer, shared.reference)
  call.tables.touch(shared.computer, shared.partition, call.now)
  const host = call.tables.instance(shared.computer, shared.partition)
  return host === undefined
    ? refuse(404, `the host of shared instance ${shared.title} is gone`)
    : Result.succeed(marshalled(sharedDocument(host, encodeInstanceXml(wish.parameters), shared.connection)))
}

const requestShared = (call: Call, wish: Wish): Outcome =>
  Result.gen(function* () {
    const known = call.tables.sharedByTitle(wish.computer, wish.root, wish.title)
    if (known !== undefined && wish.state === "destroyed") return yield* releaseShared(call, wish, known)
    const host = yield* chooseHost(call, wish, known)
    const answer = marshalled(sharedDocument(host, encodeInstanceXml(wish.parameters), known?.connection ?? null))
    if (wish.state === "destroyed") return answer
    const reference = known?.reference ?? sharedName(wish)
    const namesake = call.tables.sharedByReference(wish.computer, reference)
    if (known === undefined && namesake !== undefined) {
      return yield* refuse(409, `the reference ${reference} belongs to another shared instance: choose another title`)
    }
    const next: Shared = {
      computer: wish.computer,
      reference,
      partition: host.id,
      title: wish.title,
      root: wish.root,
      type: wish.type,
      parameters: encodeMarshal(wish.parameters),
      connection: known?.connection ?? null,
    }
    const moved = known?.partition !== next.partition
    if (moved || known.type !== next.type || known.parameters !== next.parameters) {
      call.tables.saveShared(next)
      call.tables.touch(host.computer, host.id, call.now)
      if (moved && known !== undefined) call.tables.touch(known.computer, known.partition, call.now)
    }
    return answer
  })

export const requestComputerPartition = (call: Call): Outcome =>
  Result.gen(function* () {
    const isShared = isTrue(yield* marshalledField(call, "shared_xml"))
    const wish = yield* readWish(call)
    return yield* isShared ? requestShared(call, wish) : requestInstance(call, wish)
  })
