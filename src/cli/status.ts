// `slapgrid status`: what the running agent knows, for people and (`--json`) for machines.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { describeCertificates } from "../desired/certificates.ts"
import type {
  HelperStatus,
  LimitStatus,
  NodeStatus,
  PartitionStatus,
  ReportsStatus,
  ServiceStatus,
  SyncStatus,
  TrustStatus,
  UsageStatus,
} from "../domain/NodeStatus.ts"
import { describeExit } from "../domain/ExitStatus.ts"
import { escapeControls, printableJson, showSize } from "../domain/text.ts"
import { getStatus } from "../control/ControlClient.ts"
import { toFailure } from "./exit.ts"
import { configFrom } from "./configuration.ts"
import type { ConfigFlagValues } from "./options.ts"
import { table } from "./table.ts"

/** `3 s`, `12 min`, `5 h`, `2 d`. */
export const age = (milliseconds: number): string => {
  const seconds = Math.max(0, Math.round(milliseconds / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`
}

const firstLine = (text: string | undefined): string => escapeControls(text?.split("\n")[0] ?? "")

const lastLine = (text: string | undefined): string => escapeControls(text?.trimEnd().split("\n").at(-1) ?? "")

const lastEnd = ({ error, isHeld, lastExit }: ServiceStatus): string =>
  isHeld ? "by hand" : (error ?? (lastExit === undefined ? "" : describeExit(lastExit)))

/** A service in one line of prose. */
export const describeService = (service: ServiceStatus, now: number): string => {
  const { pid, restarts, since, state } = service
  const end = lastEnd(service)
  return [
    `${state}${pid === undefined ? "" : ` as pid ${pid}`}${since === undefined ? "" : ` for ${age(now - since)}`}`,
    ...(restarts === 0 ? [] : [`restarted ${restarts} times`]),
    ...(end === "" ? [] : [service.isHeld ? "stopped by hand" : `last end: ${end}`]),
  ].join(", ")
}

const limitText = ({ option, value }: LimitStatus): string => {
  switch (option) {
    case "partition_memory_max":
      return `memory ${showSize(value)}`
    case "partition_pids_max":
      return `${value} processes`
    case "partition_cpu_max":
      return `${value} processors`
  }
}

/** What each partition may use, and what of that nobody holds. */
export const renderLimits = (limits: ReadonlyArray<LimitStatus>): ReadonlyArray<string> => {
  const held = limits.filter(({ heldBy }) => heldBy !== undefined)
  const words = held.map((limit) => `${limitText(limit)}${limit.heldBy === "rlimit" ? " (of its user)" : ""}`)
  return [
    ...(words.length === 0 ? [] : [`each partition is limited to ${words.join(", ")}`]),
    ...limits
      .filter(({ heldBy }) => heldBy === undefined)
      .map((limit) => `not in force: ${limitText(limit)} for each partition, because ${limit.problem ?? "it failed"}`),
  ]
}

const standings = {
  NotAsked: "the master is asked soon; until then what it wanted last is followed",
  Away: "the master is away; what should run runs on, nothing is processed",
  Refuses: "the master refuses this computer (its certificate?); what should run runs on, nothing is processed",
} as const

const renderMaster = ({ error, standing }: SyncStatus): ReadonlyArray<string> => {
  if (standing === "Answers") return error === undefined ? [] : [`master: ${firstLine(error)}`]
  return [`${standings[standing]}${error === undefined ? "" : `: ${firstLine(error)}`}`]
}

/** What makes the connection to the master unsafe, or will end it. */
export const renderTrust = ({ certificates, isMasterUnverified }: TrustStatus): ReadonlyArray<string> => [
  ...(isMasterUnverified ? ["the master is not verified (master_verify = off): anybody on the way can be it"] : []),
  ...describeCertificates(certificates),
]

/** What the master has not heard yet; nothing, when it has heard all. */
export const renderUntold = ({ error, waiting }: ReportsStatus): ReadonlyArray<string> =>
  waiting === 0
    ? []
    : [`${count(waiting, "report")} not with the master${error === undefined ? "" : `: ${firstLine(error)}`}`]

/** Processes that builds of instances are forked from, while there are any. */
export const renderHelpers = (helpers: ReadonlyArray<HelperStatus>): ReadonlyArray<string> =>
  helpers.map(({ memory, pid, release }) => `warm helper of ${release}: pid ${pid}, ${showSize(memory)}`)

/** What of usage somebody should know: nothing, when all is with the master. */
export const renderReports = (
  { error, invalid, lastReport, pending, possiblyDoubled }: UsageStatus,
  now: number,
): ReadonlyArray<string> => {
  const oldest = pending[0]
  const trouble = pending.findLast((journal) => journal.error !== undefined)?.error
  const waiting =
    oldest && `${count(pending.length, "journal")} not with the master, the oldest for ${age(now - oldest.sealedAt)}`
  const parts = [
    ...(waiting === undefined ? [] : [waiting + (trouble === undefined ? "" : `: ${trouble}`)]),
    ...(possiblyDoubled.length === 0 ? [] : [`${count(possiblyDoubled.length, "journal")} possibly counted twice`]),
    ...(invalid.length === 0 ? [] : [describeInvalid(invalid)]),
    ...(error === undefined ? [] : [`reports cannot be kept: ${error}`]),
  ]
  const last = lastReport === undefined ? "never reported" : `reported ${age(now - lastReport)} ago`
  return parts.length === 0 && lastReport === undefined ? [] : [`usage: ${[last, ...parts].join("; ")}`]
}

const describeInvalid = ([first, ...others]: UsageStatus["invalid"]): string =>
  others.length === 0
    ? `1 file that is no report: ${first?.path}`
    : `${others.length + 1} files that are no reports, such as ${first?.path}`

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? "" : "s"}`

/** The promises that fail; nothing when all are kept. */
export const renderPromises = (partitions: ReadonlyArray<PartitionStatus>, now: number): ReadonlyArray<string> => {
  const failing = partitions.flatMap(({ id, promises }) =>
    promises
      .filter(({ hasFailed }) => hasFailed)
      .map(({ checkedAt, message, name }) => [`${id}:${name}`, age(now - checkedAt), lastLine(message)]),
  )
  return failing.length === 0 ? [] : [table(["FAILING PROMISE", "CHECKED", "LAST LINE"], failing), ""]
}

export const renderStatus = (status: NodeStatus, now: number): string => {
  const sync = status.sync.lastSuccess === undefined ? "never" : `${age(now - status.sync.lastSuccess)} ago`
  const services = status.partitions.flatMap(({ id, services }) => services.map((service) => ({ id, service })))
  return [
    `computer ${status.computer}, agent pid ${status.pid}, up ${age(now - status.startedAt)}, last sync ${sync}, services kept together by ${status.containment}`,
    ...renderMaster(status.sync),
    ...renderTrust(status.trust).map(firstLine),
    ...renderLimits(status.limits).map(firstLine),
    ...renderUntold(status.reports),
    ...renderReports(status.usage, now).map(firstLine),
    ...renderHelpers(status.helpers).map(firstLine),
    "",
    table(
      ["SOFTWARE RELEASE", "WANTED", "STATE", "SINCE", "PART", "LAST LINE OR ERROR"],
      status.software.map((one) => [
        one.url,
        one.requested,
        one.state,
        age(now - one.since),
        one.part ?? "",
        lastLine(one.error ?? one.lastLines.at(-1)),
      ]),
    ),
    "",
    table(
      ["PARTITION", "WANTED", "STATE", "SINCE", "ERROR"],
      status.partitions.map((one) => [
        one.id,
        one.requested,
        one.state,
        age(now - one.since),
        lastLine(one.error ?? one.waitingFor),
      ]),
    ),
    "",
    ...renderPromises(status.partitions, now),
    table(
      ["SERVICE", "STATE", "PID", "UPTIME", "RESTARTS", "LAST END"],
      services.map(({ id, service }) => [
        `${id}:${service.name}`,
        service.state,
        service.pid?.toString() ?? "",
        service.since === undefined ? "" : age(now - service.since),
        service.restarts.toString(),
        lastEnd(service),
      ]),
    ),
  ].join("\n")
}

export const status = Effect.fnUntraced(function* (values: ConfigFlagValues & { readonly json: boolean }) {
  const { instanceRoot } = yield* configFrom(values)
  const answer = yield* getStatus(instanceRoot)
  const text = values.json ? printableJson(answer, 2) : renderStatus(answer, yield* Clock.currentTimeMillis)
  process.stdout.write(`${text}\n`)
}, Effect.mapError(toFailure))
