// The embedded master's answers: which call is answered by which rule. No I/O here but the statements of one
// transaction, so that a test can call it without a server.
import * as Result from "effect/Result"
import { SoftwareUrl } from "../../domain/ids.ts"
import type { Answer, Call, Outcome } from "./call.ts"
import { checkedField, computerField, done, marshalled, partitionField, refuse, text } from "./call.ts"
import { computerDocument, partitionDocument } from "./documents.ts"
import { loadComputerConfigurationFromXML } from "./format.ts"
import { softwareInstanceRename } from "./rename.ts"
import * as reports from "./reports.ts"
import { requestComputerPartition } from "./request.ts"
import { SupplyState } from "./rows.ts"
import {
  getComputerPartitionStatus,
  getComputerStatus,
  getHostingSubscriptionIpList,
  getSoftwareInstallationStatus,
  statusJson,
} from "./status.ts"
import type { Tables } from "./tables.ts"

export interface SlapRequest {
  readonly method: string
  /** With its leading slash and without the query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly form: URLSearchParams
}

const getFullComputerInformation = (call: Call): Outcome =>
  Result.map(computerField(call), ({ id }) => marshalled(computerDocument(call.tables, id)))

const registerComputerPartition = (call: Call): Outcome =>
  Result.map(partitionField(call, "computer_reference", "computer_partition_reference"), (partition) => {
    const instance = call.tables.instance(partition.computer, partition.id)
    return marshalled(partitionDocument(call.tables, partition, instance))
  })

const supplySupply = (call: Call): Outcome =>
  Result.gen(function* () {
    const computer = (yield* computerField(call)).id
    const url = yield* checkedField(call, "url", SoftwareUrl)
    const requested = yield* checkedField(call, "state", SupplyState)
    call.tables.saveSupply({ computer, url, requested })
    return yield* done(`Supplied '${url}' to be ${requested}`)
  })

/** This master knows no certificates: empty texts are what slapproxy sends, and the node writes none. */
const getComputerPartitionCertificate = (call: Call): Outcome =>
  Result.map(partitionField(call), () =>
    marshalled(
      new Map([
        ["certificate", ""],
        ["key", ""],
      ]),
    ),
  )

const index = (): Outcome => done("slapgrid's embedded SLAP master. What it knows: /status.json\n")

type Rule = (call: Call) => Outcome

const gets: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ["/", index],
  ["/status.json", statusJson],
  ["/getFullComputerInformation", getFullComputerInformation],
  ["/getComputerInformation", getFullComputerInformation],
  ["/registerComputerPartition", registerComputerPartition],
  ["/getComputerPartitionCertificate", getComputerPartitionCertificate],
  ["/getHostingSubscriptionIpList", getHostingSubscriptionIpList],
  ["/getComputerStatus", getComputerStatus],
  ["/getComputerPartitionStatus", getComputerPartitionStatus],
  ["/getSoftwareInstallationStatus", getSoftwareInstallationStatus],
])

const posts: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ["/loadComputerConfigurationFromXML", loadComputerConfigurationFromXML],
  ["/supplySupply", supplySupply],
  ["/requestComputerPartition", requestComputerPartition],
  ["/setComputerPartitionConnectionXml", reports.setComputerPartitionConnectionXml],
  ["/softwareInstanceRename", softwareInstanceRename],
  ["/buildingSoftwareRelease", reports.softwareReport("building")],
  ["/availableSoftwareRelease", reports.softwareReport("available")],
  ["/softwareReleaseError", reports.softwareReport("error")],
  ["/destroyedSoftwareRelease", reports.destroyedSoftwareRelease],
  ["/startedComputerPartition", reports.partitionReport("started")],
  ["/stoppedComputerPartition", reports.partitionReport("stopped")],
  ["/destroyedComputerPartition", reports.destroyedComputerPartition],
  ["/softwareInstanceError", reports.softwareInstanceError],
  ["/softwareInstanceBang", reports.softwareInstanceBang],
  ["/computerBang", reports.computerBang],
  ["/useComputer", reports.useComputer],
  ["/updateComputerPartitionRelatedInstanceList", reports.updateComputerPartitionRelatedInstanceList],
])

/** Answers one request within a transaction; `now` is milliseconds since 1970. */
export const answer = (tables: Tables, now: number, request: SlapRequest): Result.Result<Answer, Answer> => {
  const { method, path } = request
  const rule = method === "GET" ? gets.get(path) : method === "POST" ? posts.get(path) : undefined
  if (rule !== undefined) return rule({ tables, now, fields: method === "GET" ? request.query : request.form })
  return gets.has(path) || posts.has(path)
    ? Result.fail(text(`${path} does not answer ${method}\n`, 405))
    : refuse(404, `this master has no call ${path}`)
}
