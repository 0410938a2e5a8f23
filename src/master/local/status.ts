// What the embedded master tells people and tests: `status.json` with everything at once, and the calls of the protocol
// that only look. Read-only.
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import type { Answer, Call, Outcome } from "./call.ts"
import { computerField, field, instanceField, marshalled, partitionField, refuse } from "./call.ts"
import { ipList, stored, timestampText } from "./documents.ts"
import type { Partition, ReportRow } from "./rows.ts"
import type { Tables } from "./tables.ts"

const told = (report: ReportRow | undefined) =>
  report === undefined ? null : { state: report.state, at: report.at, message: report.message }

const record = (xml: string | null = null): Readonly<Record<string, string | null>> => Object.fromEntries(stored(xml))

const supplies = (tables: Tables, computer: string) =>
  tables.supplies(computer).map(({ url, requested }) => ({
    url,
    requested,
    lastReport: told(tables.lastReport(computer, "software", url)),
  }))

/** Null and empty stand for what a free partition has not. */
const partitionFacts = (tables: Tables, { addresses, computer, id, timestamp }: Partition) => {
  const instance = tables.instance(computer, id)
  return {
    id,
    free: instance === undefined,
    requested: instance?.requested ?? "destroyed",
    title: instance?.title ?? null,
    root: instance?.root || null,
    requester: instance?.requester ?? null,
    software: instance?.software ?? null,
    softwareType: instance?.type ?? null,
    timestamp: timestamp === null ? null : timestampText(timestamp),
    addresses,
    parameters: record(instance?.parameters),
    filter: record(instance?.filter),
    connection: record(instance?.connection),
    shared: tables.sharedOn(computer, id).map(({ connection, reference, title }) => ({
      reference,
      title,
      connection: record(connection),
    })),
    accessStatus: instance?.accessStatus ?? null,
    lastReport: told(tables.lastReport(computer, "partition", id)),
  }
}

export const statusOf = (tables: Tables) => ({
  computers: tables.computers().map(({ id }) => ({
    id,
    software: supplies(tables, id),
    partitions: tables.partitions(id).map((partition) => partitionFacts(tables, partition)),
  })),
  reports: tables.reports(),
})

export type LocalMasterStatus = ReturnType<typeof statusOf>

export const statusJson = (call: Call): Outcome =>
  Result.succeed({
    status: 200,
    contentType: "application/json; charset=utf-8",
    body: `${JSON.stringify(statusOf(call.tables), undefined, 2)}\n`,
  })

const statusDocument = (report: ReportRow | undefined, subject: string, text: (report: ReportRow) => string): Answer =>
  report === undefined
    ? marshalled(
        new Map<string, string | bigint>([
          ["text", `#error no report about ${subject} yet`],
          ["no_data", 1n],
        ]),
      )
    : marshalled(
        new Map([
          ["text", text(report)],
          ["created_at", DateTime.toDateUtc(DateTime.makeUnsafe(report.at)).toUTCString()],
        ]),
      )

const stateText = ({ message, state }: ReportRow): string =>
  state === "error" ? `#error ${message}` : `#access ${state}`

export const getComputerPartitionStatus = (call: Call): Outcome =>
  Result.map(instanceField(call), ({ computer, id }) =>
    statusDocument(call.tables.lastReport(computer, "partition", id), `partition ${id}`, stateText),
  )

export const getSoftwareInstallationStatus = (call: Call): Outcome =>
  Result.gen(function* () {
    const computer = yield* computerField(call)
    const url = yield* field(call, "url")
    if (call.tables.supply(computer.id, url) === undefined) {
      return yield* refuse(404, `software release ${url} is not supplied on ${computer.id}`)
    }
    return statusDocument(call.tables.lastReport(computer.id, "software", url), url, stateText)
  })

/** It was heard of with its last report, whatever that was about. */
export const getComputerStatus = (call: Call): Outcome =>
  Result.map(computerField(call), ({ id }) =>
    statusDocument(call.tables.newestReport(id), `computer ${id}`, () => `#access ${id}`),
  )

/** Of a free partition, none. */
export const getHostingSubscriptionIpList = (call: Call): Outcome =>
  Result.map(partitionField(call), ({ computer, id }) => {
    const instance = call.tables.instance(computer, id)
    const tree = instance === undefined ? [] : call.tables.tree(instance)
    return marshalled(tree.flatMap(({ addresses }) => ipList(addresses)))
  })
