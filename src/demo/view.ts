// The demo's screen as a pure function of what is known. It shows at most `size`, whatever the texts of children are.
import { escapeControls } from "../domain/text.ts"
import { describeExit } from "../domain/ExitStatus.ts"
import type { PartitionStatus, ServiceStatus, SoftwareStatus } from "../domain/NodeStatus.ts"
import { answerTimes, type DemoStatus, type InstanceStatus, type LogLine } from "./DemoStatus.ts"
import { type Line, paintAll, type Size, type Span, span, stack, type Style, table } from "./layout.ts"

/** `0.4 s`, `12 s`, `3 min`. */
export const duration = (milliseconds: number): string => {
  const seconds = Math.max(0, milliseconds / 1000)
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  return seconds < 120 ? `${Math.floor(seconds)} s` : `${Math.floor(seconds / 60)} min`
}

/** One line without anything that steers a terminal. */
export const oneLine = (text: string): string => escapeControls(text).replaceAll(/[\n\t]/g, " ")

export const lastLine = (text: string): string => oneLine(text.trimEnd().split("\n").at(-1) ?? "")

const styles: Readonly<Record<SoftwareStatus["state"] | PartitionStatus["state"] | ServiceStatus["state"], Style>> = {
  available: "good",
  started: "good",
  running: "good",
  building: "busy",
  installing: "busy",
  starting: "busy",
  stopping: "busy",
  destroying: "busy",
  waiting: "dim",
  stopped: "dim",
  destroyed: "dim",
  free: "dim",
  exited: "bad",
  backoff: "bad",
  failed: "bad",
}

const state = (name: keyof typeof styles): Span => span(name, styles[name])

const heading = (...names: ReadonlyArray<string>): ReadonlyArray<Span> => names.map((name) => span(name, "bold"))

/** Paths below the demo's directory without it: the screen is narrow. */
const short = (path: string, directory: string): string =>
  path.startsWith(`${directory}/`) ? path.slice(directory.length + 1) : path

const softwareBlock = (status: DemoStatus, now: number): ReadonlyArray<Line> =>
  table([
    heading("SOFTWARE RELEASE", "STATE", "FOR", "LAST LINE"),
    ...status.node.software.map((one) => [
      span(oneLine(short(one.url, status.directory))),
      state(one.state),
      span(duration(now - one.since)),
      span(lastLine(one.error ?? one.lastLines.at(-1) ?? "")),
    ]),
  ])

const restartsOf = ({ lastExit, restarts }: ServiceStatus): string | undefined =>
  restarts === 0 || lastExit === undefined
    ? undefined
    : `${restarts} ${restarts === 1 ? "restart" : "restarts"}: ${describeExit(lastExit)}`

const noteOf = (partition: PartitionStatus, service: ServiceStatus | undefined): string =>
  lastLine(
    partition.error ??
      partition.waitingFor ??
      service?.error ??
      (service === undefined ? undefined : restartsOf(service)) ??
      "",
  )

const partitionRows = (partition: PartitionStatus, now: number): ReadonlyArray<Line> => {
  const services: ReadonlyArray<ServiceStatus | undefined> =
    partition.services.length === 0 ? [undefined] : partition.services
  return services.map((service, index) => [
    span(index === 0 ? partition.id : ""),
    index === 0 ? state(partition.state) : span(""),
    span(service === undefined ? "" : oneLine(service.name)),
    service === undefined ? span("") : state(service.state),
    span(service?.pid?.toString() ?? ""),
    span(service?.since === undefined ? "" : duration(now - service.since)),
    span(noteOf(partition, service)),
  ])
}

const partitionBlock = (status: DemoStatus, now: number): ReadonlyArray<Line> =>
  table([
    heading("PARTITION", "STATE", "SERVICE", "STATE", "PID", "UPTIME", "NOTE"),
    ...status.node.partitions.flatMap((partition) => partitionRows(partition, now)),
  ])

const answerOf = ({ answer, problem, url }: InstanceStatus): Span =>
  url === undefined
    ? span("not published yet", "dim")
    : problem !== undefined
      ? span(`no answer: ${oneLine(problem)}`, "bad")
      : span(oneLine(answer ?? ""), "good")

const answerBlock = (status: DemoStatus): ReadonlyArray<Line> =>
  table([
    heading("INSTANCE", "PARTITION", "URL", "FIRST LINE OF ITS ANSWER"),
    ...status.instances.map((instance) => [
      span(instance.title),
      span(instance.partition ?? "-"),
      span(oneLine(instance.url ?? "-")),
      answerOf(instance),
    ]),
  ])

/** What to try once everything runs; before that only how to leave. */
const hintBlock = (status: DemoStatus): ReadonlyArray<Line> => {
  const leave = [span("Ctrl-C", "bold"), span(" ends services, node and master and cleans everything up")]
  const { all, first } = answerTimes(status)
  if (first === undefined || all === undefined) return [leave]
  const url = status.instances[0]?.url ?? ""
  const pid = status.node.partitions.flatMap(({ services }) => services).find((service) => service.pid)?.pid
  return [
    [span(`All answer: the first after ${duration(first)}, all after ${duration(all)}. In another terminal try:`)],
    [span(`  curl ${oneLine(url)}`, "bold")],
    ...(pid === undefined ? [] : [[span(`  kill -9 ${pid}`, "bold"), span("   and see it come back")]]),
    [span(`  ${status.program} status --configuration-file ${status.configurationFile}`, "bold")],
    leave,
  ]
}

const logBlock = (status: DemoStatus, log: ReadonlyArray<LogLine>, room: number): ReadonlyArray<Line> =>
  room < 2
    ? []
    : [
        heading(`LOG (${status.directory}/slapgrid.log)`),
        ...log
          .slice(1 - room)
          .map(({ at, text }) => [span(`${duration(at - status.startedAt).padStart(6)}  ${oneLine(text)}`, "dim")]),
      ]

/** The lines of the screen: no more of them, and none wider, than `size` allows. */
export const render = (
  status: DemoStatus,
  log: ReadonlyArray<LogLine>,
  now: number,
  size: Size,
): ReadonlyArray<string> => {
  const { masterUrl, startedAt } = status
  const sync = status.node.sync.error === undefined ? [] : [[span(`master: ${oneLine(status.node.sync.error)}`, "bad")]]
  const blocks = [
    [[span("slapgrid demo", "bold"), span(`, up ${duration(now - startedAt)}, master ${masterUrl}`)], ...sync],
    softwareBlock(status, now),
    partitionBlock(status, now),
    answerBlock(status),
    hintBlock(status),
  ]
  const used = stack(blocks, Number.MAX_SAFE_INTEGER).length
  return paintAll(
    stack([...blocks, logBlock(status, log, Math.min(log.length + 1, size.rows - used - 1))], size.rows),
    size,
  )
}
