// Looks for the reference on this machine: sockets, pid files and crontabs. Reads a handful of small files, because
// every start of an agent waits for it; what may not be read is not there.
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as fs from "node:fs"
import { parseDialect } from "../../config/dialect.ts"
import { DEFAULT_FILE } from "../../config/load.ts"
import type { NodeConfigShape } from "../../config/NodeConfig.ts"
import { findSetting } from "../../config/sources.ts"
import { processFacts } from "../procfs.ts"
import { configOf, type Finding, isCronName, isSupervisord, passOf, scheduledIn } from "./reference.ts"
import { type SupervisedProgram, type Supervisord, supervisordAt, type SupervisordError } from "./Supervisord.ts"

/** A supervisord that can be told to stop its programs. */
export interface LiveSupervisord {
  readonly supervisord: Supervisord
  readonly pid: number
  /** Undefined when the process cannot be seen from here. */
  readonly startTime: string | undefined
  readonly programs: ReadonlyArray<SupervisedProgram>
}

export interface Found {
  readonly findings: ReadonlyArray<Finding>
  /** Those among the findings that answer. */
  readonly supervisords: ReadonlyArray<LiveSupervisord>
}

export type SearchConfig = Pick<NodeConfigShape, "instanceRoot" | "referencePidFiles">

const socketNames = ["sv.sock", "supervisord.socket"]
/** The group of what bangs for others in the reference: nobody's instance. */
export const watchdogGroup = "watchdog"

/** `systemRoot` is put before the paths of the machine itself. */
export const findReference = (config: SearchConfig, systemRoot = ""): Effect.Effect<Found> =>
  Effect.gen(function* () {
    const looks = socketNames.map((name) => lookAt(`${config.instanceRoot}/${name}`))
    const seen = (yield* Effect.all(looks, { concurrency: "unbounded" })).filter((one) => one !== undefined)
    const supervisords = seen.flatMap(({ live }) => (live === undefined ? [] : [live]))
    const belongs = makeBelongs(config.instanceRoot, `${systemRoot}${DEFAULT_FILE}`)
    const findings = [
      ...seen.map(({ finding }) => finding),
      ...supervisordByPid(
        config.instanceRoot,
        supervisords.map(({ pid }) => pid),
      ),
      ...[...new Set(config.referencePidFiles)].flatMap((file) => holderOf(file, belongs)),
      ...crontabs(systemRoot).flatMap(({ file, hasUser, text }) =>
        scheduledIn(file, text, hasUser)
          .filter((one) => belongs(one.config))
          .map((one): Finding => ({ _tag: "Scheduled", ...one })),
      ),
    ]
    return { findings, supervisords }
  })

interface Seen {
  readonly finding: Finding
  readonly live: LiveSupervisord | undefined
}

/** Whoever listens on a socket; undefined when nobody does. */
const lookAt = (socket: string): Effect.Effect<Seen | undefined> => {
  if (fs.lstatSync(socket, { throwIfNoEntry: false })?.isSocket() !== true) return Effect.undefined
  const supervisord = supervisordAt(socket)
  return Effect.all([supervisord.pid, supervisord.programs]).pipe(
    Effect.map(([pid, programs]): Seen => {
      const groups = [...new Set(programs.map(({ group }) => group))].filter((one) => one !== watchdogGroup)
      return {
        finding: { _tag: "Supervisord", file: socket, pid, groups, problem: undefined },
        live: { supervisord, pid, startTime: processFacts(pid)?.startTime, programs },
      }
    }),
    Effect.catch(({ message, reason }: SupervisordError) => {
      if (reason === "NotListening") return Effect.undefined
      const finding: Finding = { _tag: "Supervisord", file: socket, pid: undefined, groups: [], problem: message }
      return Effect.succeed({ finding, live: undefined })
    }),
  )
}

/** The supervisord that the reference's pid file names, unless it is known already. */
const supervisordByPid = (instanceRoot: string, known: ReadonlyArray<number>): ReadonlyArray<Finding> => {
  const file = `${instanceRoot}/var/run/supervisord.pid`
  const pid = pidIn(file)
  if (pid === undefined || known.includes(pid)) return []
  const roots = [instanceRoot, realPath(instanceRoot)]
  if (!isSupervisord(wordsOf(pid).join(" "), roots)) return []
  const problem = `supervisord (pid ${pid}, from ${file}) runs and listens on no socket that it can be asked through`
  return [{ _tag: "Supervisord", file, pid, groups: [], problem }]
}

/** The pass that holds a pid file: a live process that was started as one, for this node. */
const holderOf = (file: string, belongs: (config: string | undefined) => boolean): ReadonlyArray<Finding> => {
  const pid = pidIn(file)
  if (pid === undefined || pid === process.pid) return []
  const words = wordsOf(pid)
  const command = passOf(words)
  return command === undefined || !belongs(configOf(words)) ? [] : [{ _tag: "Pass", file, pid, command }]
}

/**
 * Tells whether a pass with that configuration works on our instance root. One that cannot be understood counts; one
 * that we may not read is not ours, and without one a pass does nothing.
 */
const makeBelongs =
  (instanceRoot: string, defaultFile: string) =>
  (config: string | undefined): boolean => {
    const file = config ?? defaultFile
    const text = textOf(file)
    if (text === undefined) return false
    const root = instanceRootIn(file, text)
    return root === undefined || realPath(root) === realPath(instanceRoot)
  }

const instanceRootIn = (path: string, text: string): string | undefined => {
  const document = Result.getOrUndefined(parseDialect(text))
  if (document === undefined) return undefined
  const setting = findSetting({ flags: {}, file: { path, document } }, "instance_root", ["slapos"])
  return setting === undefined ? undefined : Result.getOrUndefined(setting.text)
}

interface Crontab {
  readonly file: string
  readonly text: string
  readonly hasUser: boolean
}

const crontabs = (systemRoot: string): ReadonlyArray<Crontab> => {
  const folder = `${systemRoot}/etc/cron.d`
  const files = [`${systemRoot}/etc/crontab`, ...namesIn(folder).map((name) => `${folder}/${name}`)]
  return [
    ...files.map((file) => ({ file, hasUser: true })),
    { file: `${systemRoot}/var/spool/cron/crontabs/root`, hasUser: false },
  ].flatMap(({ file, hasUser }) => {
    const text = textOf(file)
    return text === undefined ? [] : [{ file, hasUser, text }]
  })
}

const namesIn = (folder: string): ReadonlyArray<string> => {
  try {
    return fs.readdirSync(folder).filter(isCronName).sort()
  } catch {
    return []
  }
}

const realPath = (path: string): string => {
  try {
    return fs.realpathSync(path)
  } catch {
    return path
  }
}

/** Text of a regular file, a link to one included; undefined when there is none. */
const textOf = (path: string): string | undefined => {
  try {
    return fs.statSync(path).isFile() ? fs.readFileSync(path, "utf8") : undefined
  } catch {
    return undefined
  }
}

const pidIn = (file: string): number | undefined => {
  const text = textOf(file)?.trim() ?? ""
  return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : undefined
}

/** The words that started a process; none when it is gone or a zombie. */
const wordsOf = (pid: number): ReadonlyArray<string> =>
  (textOf(`/proc/${pid}/cmdline`) ?? "").split("\0").filter((word) => word !== "")
