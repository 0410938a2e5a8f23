// An embedded master without its server, and the calls of its clients in short: answers are compared as texts, because
// texts are what clients get.
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Answer } from "../../../src/master/local/call.ts"
import { answer } from "../../../src/master/local/routes.ts"
import { statusOf } from "../../../src/master/local/status.ts"
import type { StoreError } from "../../../src/master/local/store.ts"
import { openStore } from "../../../src/master/local/store.ts"
import type { SlapValue } from "../../../src/master/wire/marshal.ts"
import { decodeMarshal, encodeMarshal, SlapObject } from "../../../src/master/wire/marshal.ts"

export type Fields = Readonly<Record<string, string>>

export const marshal = (record: Readonly<Record<string, SlapValue>>): string =>
  encodeMarshal(new Map(Object.entries(record)))

export const formatXml = (
  partitions: ReadonlyArray<string>,
  {
    computer = "COMP-1",
    tap = {},
  }: { readonly computer?: string; readonly tap?: Readonly<Record<string, string>> } = {},
): string =>
  marshal({
    reference: computer,
    address: "127.0.0.1",
    netmask: "255.255.255.255",
    partition_list: partitions.map(
      (reference) =>
        new Map<string, SlapValue>([
          ["reference", reference],
          [
            "address_list",
            [
              new Map([
                ["addr", `10.0.0.1`],
                ["netmask", "255.255.255.255"],
              ]),
            ],
          ],
          ["tap", new Map(Object.entries({ name: `tap-${reference}`, ...tap }))],
        ]),
    ),
  })

export interface Wanted {
  readonly state?: string | null
  readonly software?: string
  readonly type?: string
  readonly parameters?: Readonly<Record<string, SlapValue>>
  readonly filter?: Readonly<Record<string, SlapValue>>
  readonly shared?: boolean
  /** The partition that asks. */
  readonly from?: string
}

export const requestForm = (title: string, wanted: Wanted = {}): Fields => ({
  computer_id: wanted.from === undefined ? "" : "COMP-1",
  computer_partition_id: wanted.from ?? "",
  software_release: wanted.software ?? "/sr.cfg",
  software_type: wanted.type ?? "default",
  partition_reference: title,
  partition_parameter_xml: marshal(wanted.parameters ?? {}),
  filter_xml: marshal(wanted.filter ?? {}),
  state: encodeMarshal(wanted.state === undefined ? "started" : wanted.state),
  shared_xml: encodeMarshal(wanted.shared ?? false),
})

/** Attributes of the object in an answer. */
export const attributesOf = (answer: Answer): ReadonlyMap<string, SlapValue> => {
  const value = Result.getOrThrow(decodeMarshal(answer.body))
  if (!(value instanceof SlapObject)) throw new Error(`no object: ${answer.body}`)
  return value.attributes
}

const isAnswer = (failure: StoreError | Answer): failure is Answer => "status" in failure

export const makeMaster = Effect.gen(function* () {
  const store = yield* openStore(":memory:")
  let now = 1_700_000_000_000
  const call = (method: string, path: string, fields: Fields) => {
    const sent = new URLSearchParams(fields)
    const none = new URLSearchParams()
    const [query, form] = method === "GET" ? [sent, none] : [none, sent]
    now += 1000
    return Effect.catchIf(
      store.transaction((tables) => answer(tables, now, { method, path, query, form })),
      isAnswer,
      Effect.succeed,
    )
  }
  const post = (path: string, fields: Fields) => call("POST", `/${path}`, fields)
  const about = (path: string, partition: string, more: Fields = {}) =>
    post(path, { computer_id: "COMP-1", computer_partition_id: partition, ...more })
  return {
    call,
    get: (path: string, fields: Fields) => call("GET", `/${path}`, fields),
    post,
    /** A call about one partition of COMP-1. */
    about,
    request: (title: string, wanted?: Wanted) => post("requestComputerPartition", requestForm(title, wanted)),
    /** The partition of COMP-1 as `status.json` shows it. */
    partition: (id: string) =>
      store
        .transaction((tables) => Result.succeed(statusOf(tables)))
        .pipe(
          Effect.map(({ computers }) =>
            computers
              .find((computer) => computer.id === "COMP-1")!
              .partitions.find((partition) => partition.id === id)!,
          ),
        ),
    status: store.transaction((tables) => Result.succeed(statusOf(tables))),
    store,
  }
})

/** A master that knows COMP-1 with so many partitions. */
export const formatted = (partitions: ReadonlyArray<string>) =>
  Effect.tap(makeMaster, (master) => master.post("loadComputerConfigurationFromXML", { xml: formatXml(partitions) }))
