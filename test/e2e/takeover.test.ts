// From the reference to slapgrid and back, with Debian's supervisord configured as the reference does it.
//
// | what                                                                     | test                              |
// | ------------------------------------------------------------------------ | --------------------------------- |
// | a live supervisord, a running pass: no start, everything is named        | beside the reference …            |
// | --take-over: watchdog first, group by group, then supervisord itself     | takes over …                      |
// | the reference starts again on what slapgrid leaves                       | takes over … and back             |
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { type LaidOutNode, makeLaidOutNode, put, shell, startsOf } from "../support/Layout.ts"
import { isAlive, statusOf } from "../support/processes.ts"
import { runToEnd, start } from "../support/Program.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import { eventually } from "../support/waiting.ts"

/** The files that the reference leaves: its supervisord's, and one for each partition. */
const configureReference = (node: LaidOutNode): string => {
  const root = node.instanceRoot
  for (const folder of ["etc", "etc/supervisord.conf.d", "var", "var/log", "var/run"]) {
    mkdirSync(`${root}/${folder}`, { recursive: true, mode: folder === "var" ? 0o755 : 0o700 })
  }
  const file = `${root}/etc/supervisord.conf`
  writeFileSync(
    file,
    `[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[include]
files = ${root}/etc/supervisord.conf.d/*.conf
[supervisorctl]
serverurl = unix://${root}/sv.sock
[supervisord]
user = root
childlogdir = ${root}/var/log
logfile = ${root}/var/log/supervisord.log
pidfile = ${root}/var/run/supervisord.pid
nodaemon = true
[unix_http_server]
file = ${root}/sv.sock
chmod = 0700
[program:watchdog]
command = /bin/sleep 100000
autorestart = false
`,
  )
  for (const { gid, id, path, uid } of node.partitions) {
    writeFileSync(
      `${root}/etc/supervisord.conf.d/${id}.conf`,
      `[group:${id}]
programs=${id}_web
[program:${id}_web]
directory=${path}
command=/usr/bin/setpriv --reuid=${uid} --regid=${gid} --clear-groups ${path}/etc/service/web
process_name=web-on-watch
autostart=false
autorestart=false
startsecs=0
startretries=0
exitcodes=0
stopsignal=TERM
stopwaitsecs=60
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile=${path}/.${id}_web.log
stdout_logfile_maxbytes=100KB
stdout_logfile_backups=1
`,
    )
  }
  return file
}

const startReference = Effect.fnUntraced(function* (node: LaidOutNode, file: string) {
  const supervisord = yield* start(["/usr/bin/supervisord", "--configuration", file])
  const control = (...words: ReadonlyArray<string>) => runToEnd(["/usr/bin/supervisorctl", "-c", file, ...words])
  yield* eventually(
    "supervisord's socket",
    Effect.sync(() => (existsSync(`${node.instanceRoot}/sv.sock`) ? true : undefined)),
  )
  const before = node.partitions.map((one) => startsOf(one, "web").length)
  yield* control("start", ...node.partitions.map(({ id }) => `${id}:*`))
  const pids = yield* Effect.forEach(node.partitions, (partition, index) =>
    eventually(
      `${partition.id} under supervisord`,
      Effect.sync(() => startsOf(partition, "web")[before[index] ?? 0]),
    ),
  )
  return { supervisord, pids }
})

const makeReferenceNode = Effect.gen(function* () {
  const node = yield* makeLaidOutNode({ partitions: 2 })
  for (const partition of node.partitions)
    put(partition, "etc/service/web", shell(partition, "web", "exec sleep 100000"))
  return { node, file: configureReference(node) }
})

it.live.runIf(runsRootTests)(
  "beside the reference the node does not start, and names all that is at work",
  () =>
    Effect.gen(function* () {
      const { file, node } = yield* makeReferenceNode
      const { pids } = yield* startReference(node, file)
      const pass = yield* start(["/bin/bash", "-c", "exec -a 'slapos node instance' sleep 1000"])
      writeFileSync(`${node.scratch.path}/slapgrid-cp.pid`, `${pass.pid}\n`)
      node.configure({ pidfile_instance: `${node.scratch.path}/slapgrid-cp.pid` })
      const refused = yield* runToEnd(node.agentCommand)
      assert.strictEqual(refused.ended.code, 1)
      assert.include(refused.log, `its supervisord answers on ${node.instanceRoot}/sv.sock`)
      assert.include(refused.log, "--take-over")
      assert.include(refused.log, `one of its passes runs as pid ${pass.pid}`)
      for (const pid of pids) assert.isTrue(isAlive(pid))
    }),
  60_000,
)

it.live.runIf(runsRootTests)(
  "takes over group by group when told to, then ends supervisord; and back",
  () =>
    Effect.gen(function* () {
      const { file, node } = yield* makeReferenceNode
      const { pids, supervisord } = yield* startReference(node, file)
      const agent = yield* start([...node.agentCommand, "--take-over"])
      yield* agent.awaitLine("everything is taken over")
      assert.strictEqual((yield* supervisord.exit).code, 0)
      for (const pid of pids) assert.isFalse(isAlive(pid))
      const told = agent.lines.filter(({ message }) => message.endsWith("is taken over from supervisord"))
      assert.strictEqual(told[0]?.message, "watchdog is taken over from supervisord")
      assert.lengthOf(told, 3)
      const ours = yield* Effect.forEach(node.partitions, (partition) =>
        eventually(
          `${partition.id} under slapgrid`,
          Effect.sync(() => startsOf(partition, "web").slice(1).find(isAlive)),
        ),
      )
      for (const [index, partition] of node.partitions.entries()) {
        assert.lengthOf(startsOf(partition, "web"), 2)
        assert.match(statusOf(ours[index] ?? 0)?.["Uid"] ?? "", new RegExp(`^${partition.uid}\\b`))
      }
      agent.signal("SIGTERM")
      assert.strictEqual((yield* agent.exit).code, 0)
      const back = yield* startReference(node, file)
      for (const pid of back.pids) assert.isTrue(isAlive(pid))
      back.supervisord.signal("SIGTERM")
      yield* back.supervisord.exit
    }),
  120_000,
)
