// From decisions to a plan that people read: what would be done to a release, a partition and its services, and why.
// Pure; nothing here decides anything.
import type { DesiredSoftware } from "../domain/DesiredState.ts"
import type { ServiceStatus, SoftwareStatus } from "../domain/NodeStatus.ts"
import type { PlannedPartition, PlannedService, PlannedSoftware } from "../domain/Plan.ts"
import {
  decide,
  type PartitionDecision,
  type PartitionMemory,
  type PartitionWish,
  type Periods,
} from "./partition/decide.ts"

const lastLine = (text: string): string => text.trimEnd().split("\n").at(-1) ?? ""

/** `isCompleted`: the release is there, built to its end. */
export const planSoftware = (
  { requested, url }: DesiredSoftware,
  status: Pick<SoftwareStatus, "state" | "error"> | undefined,
  isCompleted: boolean,
): PlannedSoftware => {
  const plan = (action: PlannedSoftware["action"], reason: string) => ({ url, requested, action, reason })
  if (requested === "destroyed") {
    return status?.state === "destroyed"
      ? plan("none", "it is removed")
      : plan("remove", "the master wants it destroyed")
  }
  switch (status?.state) {
    case "building":
      return plan("build", "it is being built")
    case "waiting":
      return plan("build", "it waits for its turn to be built")
    case "failed":
      return plan("build", `it failed and is tried again: ${lastLine(status.error ?? "")}`)
    default:
      return isCompleted || status?.state === "available"
        ? plan("none", "it is built")
        : plan("build", "it is not built yet")
  }
}

const actions = {
  Process: "process",
  Destroy: "remove",
  Tell: "none",
  Free: "clean",
} as const

const actionOf = (decision: PartitionDecision, { partition }: PartitionWish): PlannedPartition["action"] => {
  switch (decision._tag) {
    case "Wait":
      return decision.reason === undefined ? "none" : "wait"
    case "Enforce":
      return partition.requested === "started" ? "start" : "stop"
    default:
      return actions[decision._tag]
  }
}

const isRunning = ({ state }: ServiceStatus): boolean => state === "running" || state === "starting"

export const planService = (
  action: PlannedPartition["action"],
  requested: PartitionWish["partition"]["requested"],
  service: ServiceStatus,
): PlannedService => {
  const { log, name } = service
  const plan = (what: PlannedService["action"], reason: string) => ({ name, log, action: what, reason })
  const ends = requested !== "started" && ["process", "stop", "remove", "clean"].includes(action)
  if (ends) return isRunning(service) ? plan("stop", "its partition is to stop") : plan("keep", "it does not run")
  if (action === "process") {
    return isRunning(service)
      ? plan("install", "it runs on unless the installation changes or removes it")
      : plan("install", "it is started unless the installation removes it")
  }
  if (isRunning(service)) return plan("keep", "it runs")
  if (service.isHeld) return plan("keep", "it was stopped by hand")
  if (service.state === "exited") return plan("keep", "it has done its work")
  if (service.state === "backoff") return plan("start", "it ended by itself and is tried again")
  return action === "start" ? plan("start", "its partition is to run") : plan("keep", "it does not run")
}

export interface Known {
  readonly memory: PartitionMemory
  readonly periods: Periods
  readonly services: ReadonlyArray<ServiceStatus>
  /** What its actor is at, if anything. */
  readonly underWay?: string | undefined
}

export const planPartition = (
  wish: PartitionWish,
  { memory, periods, services, underWay }: Known,
  now: number,
): PlannedPartition => {
  const { id, requested, software } = wish.partition
  const first = decide(wish, memory, periods, now)
  // Nothing is installed that could be started: what comes after that is what matters.
  const isIdle = first._tag === "Enforce" && memory.processed === undefined && services.length === 0
  const decision = isIdle ? decide(wish, { ...memory, enforced: requested }, periods, now) : first
  const action = actionOf(decision, wish)
  const { hold, processed } = memory
  const isDue = decision._tag === "Wait" && decision.until !== undefined
  return {
    id,
    requested,
    software,
    action,
    reason: underWay ?? decision.reason ?? (isDue ? "it is up to date until it is due by age" : "it is up to date"),
    at: decision._tag === "Wait" ? decision.until : undefined,
    processed:
      processed === undefined || processed.at === 0 ? undefined : { timestamp: processed.timestamp, at: processed.at },
    failures: hold?.failures ?? 0,
    services: services.map((service) => planService(action, requested, service)),
  }
}
