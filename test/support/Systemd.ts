// A real systemd for one test: PID 1 of namespaces of its own, in a cgroup of its own, that knows no units but the test's.
// It shares the file system and the network with the test, changes nothing of the machine (/proc/sys is read-only for
// it), and everything that it started is gone when the Scope closes.
import { cpSync, mkdirSync, writeFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { isPopulated, makeGroup, removeGroup, writableBase } from "../../src/process/containment/cgroup.ts"
import { childOf } from "./processes.ts"
import { type Program, runToEnd, start } from "./Program.ts"
import { root } from "./slapgrid.ts"
import { eventually } from "./waiting.ts"

/** What every service of a system is ordered by. */
const targets = ["sysinit", "basic", "network-online", "shutdown", "default"]

const boot = `
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
umount --recursive /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mount --bind "$0/kmsg" /dev/kmsg
exec env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test SYSTEMD_UNIT_PATH="$0/units" \\
  SYSTEMD_LOG_TARGET=kmsg SYSTEMD_LOG_COLOR=0 /lib/systemd/systemd --system
`

/** The first process in namespaces of its own, and with it everything that it starts in a cgroup of its own. */
const enclosed = `
echo $$ > "$0/cgroup.procs"
exec unshare --pid --fork --kill-child --mount --uts --ipc --cgroup --propagation private --mount-proc "$@"
`

export class Systemd {
  readonly #init: number
  /** The file that gets what systemd itself says. */
  readonly log: string

  constructor(init: number, log: string) {
    this.#init = init
    this.log = log
  }

  /** Runs a command beside it to its end. */
  run(...argv: ReadonlyArray<string>): Effect.Effect<Effect.Success<ReturnType<typeof runToEnd>>> {
    return runToEnd(["nsenter", `--target=${this.#init}`, "--pid", "--mount", "--uts", "--cgroup", "--", ...argv])
  }

  /** Runs systemctl, which must succeed. */
  systemctl(...args: ReadonlyArray<string>): Effect.Effect<string> {
    return Effect.gen({ self: this }, function* () {
      const { ended, log, stdout } = yield* this.run("systemctl", ...args)
      if (ended.code !== 0) throw new Error(`systemctl ${args.join(" ")}: status ${ended.code}: ${log}`)
      return stdout.trim()
    })
  }

  /** A property of the unit of slapgrid. */
  property(name: string): Effect.Effect<string> {
    return this.systemctl("show", "--value", `--property=${name}`, "slapgrid.service")
  }
}

export interface SystemdOptions {
  /** An empty directory. */
  readonly directory: string
  /** Lines of `[Service]` that differ from systemd/slapgrid.service. */
  readonly changes: ReadonlyArray<string>
}

const writeUnits = ({ changes, directory }: SystemdOptions): void => {
  const units = `${directory}/units`
  mkdirSync(`${units}/slapgrid.service.d`, { recursive: true })
  for (const name of targets) writeFileSync(`${units}/${name}.target`, "[Unit]\nDefaultDependencies=no\n")
  cpSync(`${root}/systemd/slapgrid.service`, `${units}/slapgrid.service`)
  writeFileSync(`${units}/slapgrid.service.d/test.conf`, `[Service]\n${changes.join("\n")}\n`)
  writeFileSync(`${directory}/kmsg`, "")
}

const ownCgroup = Effect.acquireRelease(
  Effect.sync(() => {
    const base = writableBase()
    if (base === undefined) throw new Error("cgroup v2 has to be writable where these tests run as root")
    const path = `${base}/slapgrid-systemd-${process.pid}`
    makeGroup(path)
    return path
  }),
  (path) =>
    // The kernel takes its time with what it has just killed.
    Effect.suspend(() => (isPopulated(path) ? Effect.fail("populated") : Effect.sync(() => removeGroup(path)))).pipe(
      Effect.retry({ schedule: Schedule.spaced("10 millis"), times: 1000 }),
      Effect.orDie,
    ),
)

/** Its first process: killed, all others go with it. */
const initOf = (launcher: Program) =>
  Effect.acquireRelease(
    eventually(
      "the first process of systemd's namespaces",
      Effect.sync(() => childOf(launcher.pid)),
    ),
    (pid) =>
      Effect.andThen(
        Effect.sync(() => process.kill(pid, "SIGKILL")),
        launcher.exit,
      ),
  )

/** Returns when it takes requests. For root only. */
export const makeSystemd = (options: SystemdOptions): Effect.Effect<Systemd, never, Scope.Scope> =>
  Effect.gen(function* () {
    writeUnits(options)
    const cgroup = yield* ownCgroup
    const launcher = yield* start(["sh", "-ec", enclosed, cgroup, "sh", "-ec", boot, options.directory])
    const systemd = new Systemd(yield* initOf(launcher), `${options.directory}/kmsg`)
    yield* eventually(
      "systemd's readiness",
      Effect.map(systemd.run("systemctl", "is-system-running"), ({ stdout }) =>
        /^(?:running|degraded)$/.test(stdout.trim()) ? true : undefined,
      ),
    )
    return systemd
  })
