// What has happened between two looks, a line each: the demo's output where nobody has a screen. Pure.
import { describeExit } from "../domain/ExitStatus.ts"
import type { PartitionStatus, ServiceStatus, SoftwareStatus } from "../domain/NodeStatus.ts"
import { answerTimes, type DemoStatus, type InstanceStatus } from "./DemoStatus.ts"
import { duration, lastLine, oneLine } from "./view.ts"

const becomes = (state: string): string => (state === "failed" ? "has failed" : `is ${state}`)

const because = (error: string | undefined): string => (error === undefined ? "" : `: ${lastLine(error)}`)

const softwareEvents = (before: SoftwareStatus | undefined, after: SoftwareStatus): ReadonlyArray<string> =>
  before?.state === after.state
    ? []
    : [`software release ${oneLine(after.url)} ${becomes(after.state)}${because(after.error)}`]

const serviceEvents = (
  partition: string,
  before: ServiceStatus | undefined,
  after: ServiceStatus,
): ReadonlyArray<string> => {
  const name = `${partition}:${oneLine(after.name)}`
  if (before?.state === after.state && before.pid === after.pid) return []
  const end =
    after.lastExit === undefined || after.restarts === (before?.restarts ?? 0) ? "" : describeExit(after.lastExit)
  const again = end === "" ? "" : ` again (${end})`
  const pid = after.pid === undefined ? "" : ` with pid ${after.pid}`
  return [`${name} is ${after.state}${again}${pid}${because(after.error)}`]
}

const partitionEvents = (before: PartitionStatus | undefined, after: PartitionStatus): ReadonlyArray<string> => [
  ...(before?.state === after.state ? [] : [`${after.id} ${becomes(after.state)}${because(after.error)}`]),
  ...after.services.flatMap((service) =>
    serviceEvents(
      after.id,
      before?.services.find(({ name }) => name === service.name),
      service,
    ),
  ),
]

const instanceEvents = (before: InstanceStatus | undefined, after: InstanceStatus): ReadonlyArray<string> => [
  ...(after.url === undefined || before?.url === after.url
    ? []
    : [`instance ${after.title} has published ${oneLine(after.url)}`]),
  ...(after.answer === undefined || (before?.answer === after.answer && before.problem === after.problem)
    ? []
    : after.problem === undefined
      ? [`instance ${after.title} answers: ${oneLine(after.answer)}`]
      : [`instance ${after.title} does not answer: ${oneLine(after.problem)}`]),
]

/** The addresses, for people and scripts; empty before all answered. */
export const summary = (status: DemoStatus): ReadonlyArray<string> => {
  const { all, first } = answerTimes(status)
  if (first === undefined || all === undefined) return []
  return [
    `all ${status.instances.length} instances answer: the first after ${duration(first)}, all after ${duration(all)}`,
    ...status.instances.map(({ title, url }) => `${title}: ${oneLine(url ?? "")}`),
  ]
}

/** `before` is undefined at the first look. */
export const events = (before: DemoStatus | undefined, after: DemoStatus): ReadonlyArray<string> => [
  ...(before === undefined ? [`the master listens on ${after.masterUrl}, files are in ${after.directory}`] : []),
  ...(after.node.sync.error === undefined || before?.node.sync.error === after.node.sync.error
    ? []
    : [`master: ${oneLine(after.node.sync.error)}`]),
  ...after.node.software.flatMap((one) =>
    softwareEvents(
      before?.node.software.find(({ url }) => url === one.url),
      one,
    ),
  ),
  ...after.node.partitions.flatMap((one) =>
    partitionEvents(
      before?.node.partitions.find(({ id }) => id === one.id),
      one,
    ),
  ),
  ...after.instances.flatMap((one) =>
    instanceEvents(
      before?.instances.find(({ title }) => title === one.title),
      one,
    ),
  ),
]
