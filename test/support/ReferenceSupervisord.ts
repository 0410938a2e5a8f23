// Debian's supervisord, set up in an instance root as the reference does it: a group a partition with the programs that
// lie in its folders, none started by itself, and a watchdog. This one writes down what it is told.
import { execFileSync } from "node:child_process"
import { appendFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { whyNoSupervisord } from "../../bench/supervisors.ts"
import { type Program, start } from "./Program.ts"
import type { TestNode, TestPartition } from "./TestNode.ts"
import { eventually, textOf } from "./waiting.ts"

const privateDirectory = (path: string): void => void mkdirSync(path, { recursive: true, mode: 0o700 })

/** An event listener as supervisord wants it: tells that it is ready, takes an event, writes it down. */
const watchdog = `import sys
while True:
    sys.stdout.write("READY\\n")
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        break
    words = dict(word.split(":") for word in line.split())
    event = sys.stdin.read(int(words["len"]))
    with open(sys.argv[1], "a") as events:
        events.write(words["eventname"] + " " + event + "\\n")
    sys.stdout.write("RESULT 2\\nOK")
    sys.stdout.flush()
`

const mainSection = (root: string, watchdogFile: string): string => `[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[include]
files = ${root}/etc/supervisord.conf.d/*.conf
[supervisorctl]
serverurl = unix://${root}/sv.sock
[supervisord]
nodaemon = true
user = root
logfile = ${root}/var/log/supervisord.log
pidfile = ${root}/var/run/supervisord.pid
[unix_http_server]
file = ${root}/sv.sock
chmod = 0700
[eventlistener:watchdog]
command = /usr/bin/python3 ${watchdogFile}.py ${watchdogFile}
events = PROCESS_STATE_EXITED, PROCESS_STATE_FATAL
`

const programSection = ({ id, path, uid }: TestPartition, folder: "run" | "service", name: string): string => {
  const log = `${path}/.${id}_${name}.log`
  return `[program:${id}_${name}]
directory=${path}
command=${path}/etc/${folder}/${name}
process_name=${folder === "service" ? `${name}-on-watch` : name}
autostart=false
autorestart=false
startsecs=0
startretries=0
exitcodes=0
stopsignal=TERM
stopwaitsecs=60
stopasgroup=true
killasgroup=true
user=${uid}
redirect_stderr=true
stdout_logfile=${log}
stdout_logfile_maxbytes=100KB
stdout_logfile_backups=1
environment=USER="${uid}",LOGNAME="${uid}",HOME="${path}"
`
}

const groupOf = (partition: TestPartition): string => {
  const folders = (["run", "service"] as const).map(
    (folder) => [folder, readdirSync(`${partition.path}/etc/${folder}`)] as const,
  )
  const names = folders.flatMap(([, found]) => found.map((name) => `${partition.id}_${name}`))
  const sections = folders.flatMap(([folder, found]) => found.map((name) => programSection(partition, folder, name)))
  return `[group:${partition.id}]\nprograms=${names.join(",")}\n\n${sections.join("\n")}`
}

export interface ReferenceSupervisord {
  readonly program: Program
  readonly socket: string
  /** What supervisorctl prints. */
  readonly control: (...words: ReadonlyArray<string>) => string
  /** Process id of a running program, such as `slappart0:web-on-watch`. */
  readonly pidOf: (name: string) => number
  /** What its watchdog was told. */
  readonly events: () => string
}

/** Runs in the foreground until the Scope closes; `others` are further sections. Throws where there is no supervisord. */
export const startReference = (
  node: TestNode,
  partitions: ReadonlyArray<TestPartition>,
  others = "",
): Effect.Effect<ReferenceSupervisord, never, Scope.Scope> =>
  Effect.gen(function* () {
    const why = whyNoSupervisord()
    if (why !== undefined) throw new Error(why)
    const root = node.instanceRoot
    for (const name of ["etc", "etc/supervisord.conf.d", "var/log", "var/run"]) privateDirectory(`${root}/${name}`)
    const events = `${node.scratch.path}/watchdog`
    writeFileSync(`${events}.py`, watchdog)
    writeFileSync(events, "")
    writeFileSync(`${root}/etc/supervisord.conf`, mainSection(root, events))
    appendFileSync(`${root}/etc/supervisord.conf`, others)
    for (const one of partitions) writeFileSync(`${root}/etc/supervisord.conf.d/${one.id}.conf`, groupOf(one))
    const program = yield* start(["/usr/bin/supervisord", "-c", `${root}/etc/supervisord.conf`])
    const socket = `${root}/sv.sock`
    const control = (...words: ReadonlyArray<string>): string =>
      execFileSync("/usr/bin/supervisorctl", ["-s", `unix://${socket}`, ...words], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      })
    const pid = yield* eventually(
      "supervisord's answer",
      Effect.sync(() => {
        try {
          return Number(control("pid")) || undefined
        } catch {
          return undefined
        }
      }),
    )
    if (pid !== program.pid) throw new Error(`another supervisord (pid ${pid}) answers on ${socket}`)
    return {
      program,
      socket,
      control,
      pidOf: (name) => Number(control("pid", name)),
      events: () => textOf(events) ?? "",
    }
  })
