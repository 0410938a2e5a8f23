// What is compared: the built agent on its real path, and Debian's supervisord configured as the reference does it (a
// group a partition, a log a program). Both get the same programs; neither is told more than its own files say.
import { spawnSync } from "node:child_process"
import { chownSync, existsSync, mkdirSync, writeFileSync } from "node:fs"
import * as http from "node:http"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { makeScriptedMaster } from "../test/support/ScriptedMaster.ts"
import { bundle } from "../test/support/slapgrid.ts"
import {
  isRoot,
  type Machine,
  makeOwned,
  type Owner,
  ownerOf,
  type Started,
  startProcess,
  writeProgram,
} from "./machine.ts"

export interface Supervisor extends Started {
  /** Asks for the end of all services; does not wait. */
  readonly stop: Effect.Effect<void>
}

/** A supervisor with all its files in place. */
export interface Prepared {
  /** As often as wanted, one after the other. */
  readonly start: Effect.Effect<Supervisor, never, Scope.Scope>
}

export interface Subject {
  readonly name: string
  readonly prepare: (machine: Machine) => Effect.Effect<Prepared, never, Scope.Scope>
}

/** SIGTERM, while it is our child. */
const terminate = ({ pid }: Started): Effect.Effect<void> => Effect.sync(() => void process.kill(pid, "SIGTERM"))

const stopTimeout = 2
const timestamp = "1700000000"

const self = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }

/**
 * A log of an earlier run. To make a file can take a millisecond while the file system remembers those that the last
 * measure removed: that would be measured instead.
 */
const writeLog = (path: string, { gid, uid }: Owner): void => {
  writeFileSync(path, "", { mode: 0o600 })
  if (isRoot) chownSync(path, uid, gid)
}

/** Partitions as an earlier processing left them: the agent starts what is there and builds nothing. */
const layOutPartitions = (machine: Machine): ReadonlyArray<string> => {
  const root = `${machine.path}/instance`
  mkdirSync(root)
  makeOwned(`${machine.path}/software`, 0o755, ownerOf(0))
  return [...Map.groupBy(machine.plans, ({ partition }) => partition)].map(([index, plans]) => {
    const id = `slappart${index}`
    const owner = ownerOf(index + 1)
    makeOwned(`${root}/${id}`, 0o750, owner)
    makeOwned(`${root}/${id}/etc`, 0o755, owner)
    makeOwned(`${root}/${id}/etc/service`, 0o755, owner)
    for (const plan of plans) {
      writeProgram(machine, plan, `${root}/${id}/etc/service/${plan.name}`, owner)
      writeLog(`${root}/${id}/.${id}_${plan.name}.log`, owner)
    }
    writeFileSync(`${root}/${id}/.timestamp`, timestamp)
    return id
  })
}

/** Writes slapos.cfg, with further or other options; gives its path. */
export const configureNode = (
  machine: Machine,
  masterUrl: string,
  settings: Readonly<Record<string, string>> = {},
): string => {
  const file = `${machine.path}/slapos.cfg`
  const options = {
    computer_id: "COMP-1",
    instance_root: `${machine.path}/instance`,
    software_root: `${machine.path}/software`,
    master_url: masterUrl,
    sync_interval: "3600",
    stop_timeout: String(stopTimeout),
    software_min_free_space: "1M",
    instance_min_free_space: "1M",
    root_check: String(isRoot),
    ...settings,
  }
  const lines = Object.entries(options).map(([key, value]) => `${key} = ${value}`)
  writeFileSync(file, `[slapos]\n${lines.join("\n")}\n`)
  return file
}

/** The built agent; `nodeFlags` go to its node. */
export const slapgrid = (nodeFlags: ReadonlyArray<string>): Subject => ({
  name: "slapgrid",
  prepare: (machine) =>
    Effect.gen(function* () {
      const master = yield* makeScriptedMaster()
      const ids = layOutPartitions(machine)
      yield* master.script({ partitions: ids.map((id) => ({ id, software: "file:///none/software.cfg", timestamp })) })
      const config = configureNode(machine, master.url)
      const argv = [process.execPath, ...nodeFlags, bundle, "--configuration-file", config] as const
      const start = Effect.map(startProcess(argv, `${machine.path}/slapgrid.log`), (started) => ({
        ...started,
        stop: terminate(started),
      }))
      return { start }
    }),
})

const supervisorConfig = (machine: Machine): string => {
  const { path } = machine
  // An ordinary user's supervisord cannot change users. No agent's programs run as root, so these do not either.
  const user = isRoot ? "user=nobody\n" : ""
  const program = ({ name }: Machine["plans"][number]) => `[program:${name}]
command=${path}/programs/${name}
directory=${path}/programs
${user}autostart=true
autorestart=true
startsecs=0
startretries=1000000
stopwaitsecs=${stopTimeout}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile=${path}/log/${name}.log
stdout_logfile_maxbytes=100KB
stdout_logfile_backups=1
`
  const groups = [...Map.groupBy(machine.plans, ({ partition }) => partition)].map(
    ([index, plans]) => `[group:slappart${index}]\nprograms=${plans.map(({ name }) => name).join(",")}\n`,
  )
  return `[unix_http_server]
file=${path}/sv.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
nodaemon=true
${isRoot ? "user=root\n" : ""}minfds=20000
logfile=${path}/supervisord.log
pidfile=${path}/supervisord.pid
childlogdir=${path}/log
${machine.plans.map(program).join("")}${groups.join("")}`
}

/** One call without waiting for its answer, which comes when all have stopped. */
const stopAllProcesses = (socketPath: string): Effect.Effect<void> =>
  Effect.sync(() => {
    const request = http.request({ socketPath, path: "/RPC2", method: "POST", headers: { "Content-Type": "text/xml" } })
    request.on("error", () => undefined).on("response", (response) => response.on("error", () => undefined).resume())
    request.end("<?xml version='1.0'?><methodCall><methodName>supervisor.stopAllProcesses</methodName></methodCall>")
  })

const supervisordPath = "/usr/bin/supervisord"

export const supervisord: Subject = {
  name: "supervisord",
  prepare: (machine) =>
    Effect.sync(() => {
      const { path } = machine
      mkdirSync(`${path}/log`)
      mkdirSync(`${path}/programs`)
      for (const plan of machine.plans) {
        writeProgram(machine, plan, `${path}/programs/${plan.name}`, ownerOf(0))
        writeLog(`${path}/log/${plan.name}.log`, self)
      }
      writeFileSync(`${path}/supervisord.conf`, supervisorConfig(machine))
      const argv = [supervisordPath, "--configuration", `${path}/supervisord.conf`] as const
      const start = Effect.map(startProcess(argv, `${path}/supervisord.out`), (started) => ({
        ...started,
        // Its kindest way: a shutdown would stop one group after the other.
        stop: stopAllProcesses(`${path}/sv.sock`),
      }))
      return { start }
    }),
}

/** Installs Debian's supervisord where that can be done; gives why there is none. */
export const whyNoSupervisord = (): string | undefined => {
  if (existsSync(supervisordPath)) return undefined
  if (!isRoot) return "it is not installed and only root can: apt-get install supervisor"
  // RUNLEVEL: the package would start a daemon of its own.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" }
  const apt = (...words: ReadonlyArray<string>) =>
    spawnSync("apt-get", words, { env, encoding: "utf8", timeout: 300_000, stdio: ["ignore", "ignore", "pipe"] })
  const install = () => apt("install", "-y", "-qq", "--no-install-recommends", "supervisor")
  let result = install()
  if (result.status !== 0) {
    apt("update", "-qq")
    result = install()
  }
  const why = result.error?.message ?? result.stderr?.trim().split("\n").at(-1) ?? ""
  return existsSync(supervisordPath) ? undefined : `apt-get install supervisor failed: ${why}`
}
