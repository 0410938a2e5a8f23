// Looks for the reference node on this machine. The supervisord of its instance root is asked through its socket with
// the three calls of XML-RPC that are needed; its answers are read for what they can hold there.
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import { request } from "node:http"
import type { CronFile, PidFile, ReferenceFacts } from "./findings.ts"

export interface Places {
  readonly instanceRoot: string
  /** Pid files of the reference's passes. */
  readonly pidFiles: ReadonlyArray<string>
  /** Files and directories with crontabs. */
  readonly crontabs: ReadonlyArray<string>
}

export const systemCrontabs = ["/etc/crontab", "/etc/cron.d", "/var/spool/cron/crontabs/root", "/var/spool/cron/root"]

const textOf = (file: string): string | undefined => {
  try {
    return fs.readFileSync(file, "utf8")
  } catch {
    return undefined
  }
}

const commandOf = (pid: number): string | undefined => {
  // A process that only waits to be reaped has no command line.
  const text = textOf(`/proc/${pid}/cmdline`)?.replaceAll("\0", " ").trim()
  return text === "" ? undefined : text
}

const readPidFile = (file: string): ReadonlyArray<PidFile> => {
  const pid = Number(textOf(file)?.trim())
  return Number.isSafeInteger(pid) && pid > 1 ? [{ file, pid, command: commandOf(pid) }] : []
}

const readCrontabs = (path: string): ReadonlyArray<CronFile> => {
  try {
    return fs.readdirSync(path).flatMap((name) => readCrontabs(`${path}/${name}`))
  } catch {
    const text = textOf(path)
    return text === undefined ? [] : [{ file: path, text }]
  }
}

export const supervisorSockets = (instanceRoot: string): ReadonlyArray<string> =>
  ["sv.sock", "supervisord.socket"].map((name) => `${instanceRoot}/${name}`)

/** What there is now. */
export const lookForReference = (places: Places): Effect.Effect<ReferenceFacts> =>
  Effect.map(Effect.filter(supervisorSockets(places.instanceRoot), isLive), (sockets) => ({
    sockets,
    supervisors: readPidFile(`${places.instanceRoot}/var/run/supervisord.pid`),
    passes: places.pidFiles.flatMap(readPidFile),
    cron: places.crontabs.flatMap(readCrontabs),
  }))

const isLive = (socket: string): Effect.Effect<boolean> =>
  fs.existsSync(socket)
    ? call(socket, "supervisor.getState").pipe(
        Effect.as(true),
        Effect.catch(({ isAnswer }) => Effect.succeed(isAnswer)),
      )
    : Effect.succeed(false)

/** A call that failed; `isAnswer`: somebody listens there. */
export interface CallFailure {
  readonly isAnswer: boolean
  readonly message: string
}

/** Milliseconds; a group of stubborn programs takes its stopwaitsecs one after the other. */
const patience = 30 * 60_000

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const bodyOf = (method: string, name: string | undefined): string =>
  `<?xml version="1.0"?><methodCall><methodName>${method}</methodName><params>${
    name === undefined ? "" : `<param><value><string>${escape(name)}</string></value></param>`
  }</params></methodCall>`

/** Calls a method of a supervisord with one name or without; gives the text of its answer. */
export const call = (socket: string, method: string, name?: string): Effect.Effect<string, CallFailure> =>
  Effect.callback((resume) => {
    const fail = (isAnswer: boolean) => (cause: Error) =>
      resume(Effect.fail({ isAnswer, message: `${method} on ${socket}: ${cause.message}` }))
    const sent = request(
      { socketPath: socket, path: "/RPC2", method: "POST", headers: { "content-type": "text/xml" }, timeout: patience },
      (response) => {
        let text = ""
        response
          .setEncoding("utf8")
          .on("data", (part: string) => void (text += part))
          .on("error", fail(true))
          .on("end", () => {
            const fault = /<name>faultString<\/name>\s*<value><string>([^<]*)/.exec(text)?.[1]
            if (response.statusCode !== 200 || fault !== undefined) {
              fail(true)(new Error(fault ?? `status ${response.statusCode}`))
            } else resume(Effect.succeed(text))
          })
      },
    )
    sent.on("error", fail(false)).on("timeout", () => sent.destroy(new Error("no answer")))
    sent.end(bodyOf(method, name))
    return Effect.sync(() => sent.destroy())
  })

/** The groups in the answer to `supervisor.getAllProcessInfo`. */
export const groupsIn = (answer: string): ReadonlySet<string> =>
  new Set([...answer.matchAll(/<name>group<\/name>\s*<value><string>([^<]*)<\/string>/g)].map(([, name = ""]) => name))
