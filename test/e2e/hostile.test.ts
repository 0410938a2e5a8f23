// Programs that do not want to end, or break what they can: contained while they run, and gone when their partition has
// stopped. As root with cgroups; as root without, where users tell; and what cannot be started at all.
//
// | what                                                                     | test                               |
// | ------------------------------------------------------------------------ | ---------------------------------- |
// | fork bomb, double fork + setsid, wandering sessions, TERM ignored,       | all of it is gone … in cgroups     |
// | SIGSTOP, closed output, a log filled at once, a chain of forks, a name   | all of it is gone … without them   |
// | not executable, no #!, empty, directory, dangling link, no interpreter,  | what cannot be started …           |
// | FIFO, a name with escapes: told by name, the others run                  |                                    |
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { chownSync, mkdirSync, statSync, symlinkSync } from "node:fs"
import { laidOutRelease, laidOutTimestamp, type LaidOutNode, makeLaidOutNode, put, shell } from "../support/Layout.ts"
import { belongingTo, commandOf } from "../support/processes.ts"
import { start } from "../support/Program.ts"
import { isRoot, runsRootTests } from "../support/ScratchMachine.ts"
import type { TestPartition } from "../support/TestNode.ts"
import { eventually } from "../support/waiting.ts"

const python = (partition: TestPartition, name: string, code: string): string =>
  `#!/usr/bin/python3\nimport ctypes, os, signal, sys, time\nopen("${partition.path}/starts", "a").write("${name} %d\\n" % os.getpid())\n${code}\n`

const hostile: Readonly<Record<string, (partition: TestPartition, name: string) => string>> = {
  bomb: (partition, name) =>
    python(
      partition,
      name,
      "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nfor _ in range(200):\n  if os.fork() == 0: break\ntime.sleep(1000)",
    ),
  daemon: (partition, name) =>
    python(
      partition,
      name,
      "if os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n    os.setsid()\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    time.sleep(1000)\n  os._exit(0)\ntime.sleep(1000)",
    ),
  wanderer: (partition, name) =>
    python(
      partition,
      name,
      "if os.fork() == 0:\n  for _ in range(2000):\n    if os.fork(): os._exit(0)\n    os.setsid()\n    time.sleep(0.02)\n  time.sleep(1000)\ntime.sleep(1000)",
    ),
  chain: (partition, name) =>
    python(
      partition,
      name,
      "if os.fork() == 0:\n  signal.signal(signal.SIGTERM, signal.SIG_IGN)\n  for _ in range(200000):\n    if os.fork(): os._exit(0)\ntime.sleep(1000)",
    ),
  deaf: (partition, name) => shell(partition, name, "trap '' TERM HUP INT; sleep 1000 & sleep 1000; wait"),
  frozen: (partition, name) => shell(partition, name, "kill -STOP $$; sleep 1000"),
  closed: (partition, name) => shell(partition, name, "exec >&- 2>&- <&-; sleep 1000 & exec sleep 1000"),
  flood: (partition, name) => shell(partition, name, "head -c 50000000 /dev/zero | tr '\\0' 'x'; exec sleep 1000"),
  renamed: (partition, name) =>
    python(partition, name, 'ctypes.CDLL(None).prctl(15, b"a) S 1 1\\n(", 0, 0, 0)\ntime.sleep(1000)'),
}

const names = Object.keys(hostile)

const want = (node: LaidOutNode, requested: string) =>
  node.master.scripted.script({
    partitions: node.partitions.map(({ id }) => ({
      id,
      software: laidOutRelease,
      timestamp: laidOutTimestamp,
      requested,
    })),
  })

const livingIn = ({ path, uid }: TestPartition) => belongingTo({ path, hasUid: (one) => isRoot && one === uid })

const awaitState = (node: LaidOutNode, state: string) =>
  eventually(
    `a partition that is ${state}`,
    Effect.map(node.status, ({ partitions }) => (partitions[0]?.state === state ? partitions[0] : undefined)),
  )

/** Runs all of them, stops the partition, and looks what is left. */
const checkContainment = (node: LaidOutNode) =>
  Effect.gen(function* () {
    const partition = node.partition("slappart0")
    for (const name of names) put(partition, `etc/service/${name}`, hostile[name]!(partition, name))
    return partition
  })

const stopAndLook = Effect.fnUntraced(function* (
  node: LaidOutNode,
  partition: TestPartition,
  nudge: Effect.Effect<void> = node.ask,
) {
  yield* eventually(
    "every hostile program",
    Effect.map(node.status, ({ partitions }) =>
      partitions[0]?.services.length === names.length &&
      partitions[0].services.every(({ state }) => state === "running") &&
      livingIn(partition).length > 200
        ? true
        : undefined,
    ),
  )
  yield* eventually(
    "a bounded log",
    Effect.sync(() => (statSync(`${partition.path}/.slappart0_flood.log`).size <= 100 * 1024 ? true : undefined)),
  )
  yield* want(node, "stopped")
  yield* nudge
  yield* awaitState(node, "stopped")
  assert.deepStrictEqual(livingIn(partition).map(commandOf), [])
})

describe("programs that do not want to end", () => {
  it.live(
    "all of it is gone when the partition has stopped, in cgroups or by what an ordinary user sees",
    () =>
      Effect.gen(function* () {
        const node = yield* makeLaidOutNode({ partitions: 1, settings: { stop_timeout: "2" } })
        const partition = yield* checkContainment(node)
        yield* node.startAgent
        // An ordinary user's agent finds a daemon that left its session and parent only in a cgroup.
        if (isRoot) yield* stopAndLook(node, partition)
        else assert.strictEqual((yield* node.status).containment, "session")
      }),
    120_000,
  )

  it.live.runIf(runsRootTests)(
    "all of it is gone when the partition has stopped, without cgroups by their user",
    () =>
      Effect.gen(function* () {
        const node = yield* makeLaidOutNode({ partitions: 1, settings: { stop_timeout: "2" } })
        const partition = yield* checkContainment(node)
        const agent = yield* start([
          "unshare",
          "--mount",
          "sh",
          "-c",
          'umount -a -t cgroup2 && exec "$0" "$@"',
          ...node.agentCommand,
        ])
        yield* agent.awaitLine(" runs COMP-1 of ")
        assert.strictEqual((yield* node.status).containment, "session")
        yield* stopAndLook(
          node,
          partition,
          Effect.sync(() => agent.signal("SIGHUP")),
        )
      }),
    120_000,
  )
})

it.live(
  "what cannot be started is told by name, and the others run",
  () =>
    Effect.gen(function* () {
      const node = yield* makeLaidOutNode({ partitions: 1 })
      const partition = node.partition("slappart0")
      const folder = `${partition.path}/etc/service`
      put(partition, "etc/service/good", shell(partition, "good", "exec sleep 1000"))
      put(partition, "etc/service/closed", "#!/bin/sh\nsleep 1000\n", 0o644)
      put(partition, "etc/service/plain", "sleep 1000\n")
      put(partition, "etc/service/empty", "")
      put(partition, "etc/service/lost", "#!/none/interpreter\n")
      put(partition, "etc/service/long", `#!/${"x".repeat(300)}\n`)
      put(partition, "etc/service/odd\u001b[31m", "")
      mkdirSync(`${folder}/directory`)
      symlinkSync("/none/program", `${folder}/dangling`)
      execFileSync("mkfifo", [`${folder}/fifo`])
      if (isRoot) chownSync(`${folder}/fifo`, partition.uid, partition.gid)
      const agent = yield* node.startAgent
      const bad = ["closed", "plain", "empty", "lost", "long", "odd\u001b[31m", "dangling", "fifo"]
      const services = yield* eventually(
        "every program tried",
        Effect.map(node.status, ({ partitions }) => {
          const found = partitions[0]?.services ?? []
          return found.length === bad.length + 1 &&
            found.every(({ state }) => state === "running" || state === "backoff")
            ? found
            : undefined
        }),
      )
      for (const name of bad) {
        const service = services.find((one) => one.name === `${name}-on-watch`)
        assert.strictEqual(service?.state, "backoff", name)
        assert.include(service?.error, `cannot execute ${folder}/${name}: `)
      }
      assert.strictEqual(services.find(({ name }) => name === "good-on-watch")?.state, "running")
      const { message } = yield* agent.awaitLine("slappart0:plain-on-watch ended or could not be started")
      assert.include(message, "slappart0:plain-on-watch")
      yield* node.master.awaitReport("slappart0", "bang")
    }),
  60_000,
)
