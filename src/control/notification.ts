// What the service manager (systemd) is told, as the words of sd_notify(3). Pure.
import * as DateTime from "effect/DateTime"
import type { NodeStatus, SyncStatus } from "../domain/NodeStatus.ts"

/** What a service manager asks for in the environment of a service of Type=notify. */
export interface NotifyEnvironment {
  /** A path, or an abstract address that begins with `@`. */
  readonly socket: string
  /** Milliseconds within which it wants a sign of life, again and again; undefined: it does not watch. */
  readonly watchdog: number | undefined
}

export const notifyVariables = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] as const

/** Undefined when nobody wants to be told. The watchdog may be meant for another process: sd_watchdog_enabled(3). */
export const notifyEnvironment = (
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): NotifyEnvironment | undefined => {
  const socket = env["NOTIFY_SOCKET"] ?? ""
  if (!/^[/@]./.test(socket)) return undefined
  const microseconds = Number(env["WATCHDOG_USEC"])
  const isOurs = (env["WATCHDOG_PID"] ?? String(pid)) === String(pid)
  const watchdog = isOurs && Number.isSafeInteger(microseconds) && microseconds > 0 ? microseconds / 1000 : undefined
  return { socket, watchdog }
}

/** More time for the start or the stop that goes on, in milliseconds from now. */
export const extendTimeout = (milliseconds: number): string =>
  `EXTEND_TIMEOUT_USEC=${Math.round(Math.min(milliseconds * 1000, Number.MAX_SAFE_INTEGER))}`

export const statusWord = (text: string): string => `STATUS=${text}`

const counted = (count: number, one: string): string => `${count} ${one}${count === 1 ? "" : "s"}`

/** To the minute: a line that changes more often would be news without being any. */
const describeSync = ({ error, lastSuccess }: SyncStatus): string => {
  if (lastSuccess === undefined) return error === undefined ? "no sync yet" : "no sync yet: trouble with the master"
  const time = DateTime.formatIso(DateTime.makeUnsafe(lastSuccess)).slice(11, 16)
  return `last sync ${time} UTC${error === undefined ? "" : ", then trouble with the master"}`
}

/** One line of what `slapgrid status` tells. */
export const describeNode = ({ partitions, software, sync }: NodeStatus): string => {
  const inState = (...states: ReadonlyArray<string>) => partitions.filter(({ state }) => states.includes(state)).length
  const services = partitions.flatMap((one) => one.services)
  const running = services.filter(({ state }) => state === "running").length
  const retrying = services.filter(({ state }) => state === "backoff").length
  const building = software.filter(({ state }) => state === "building").length
  const failed = inState("failed")
  const failedSoftware = software.filter(({ state }) => state === "failed").length
  return [
    `${counted(inState("started"), "partition")} started`,
    ...(inState("installing", "waiting") > 0 ? [`${inState("installing", "waiting")} under way`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
    `${counted(running, "service")} running`,
    ...(retrying > 0 ? [`${retrying} crashed and tried again`] : []),
    ...(building > 0 ? [`${counted(building, "release")} building`] : []),
    ...(failedSoftware > 0 ? [`${counted(failedSoftware, "release")} failed`] : []),
    describeSync(sync),
  ].join(", ")
}
