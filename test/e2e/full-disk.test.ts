// A full disk under the instance root: no service stops, nothing is started twice, the table of services stays readable
// across a killed agent, what goes wrong is told once, and all is well again when there is space.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { execFileSync } from "node:child_process"
import { closeSync, openSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from "node:fs"
import { makeLaidOutNode, put, shell, startsOf } from "../support/Layout.ts"
import { isAlive } from "../support/processes.ts"
import type { Program } from "../support/Program.ts"
import { runsRootTests } from "../support/ScratchMachine.ts"
import { eventually } from "../support/waiting.ts"

type Mount = (path: string) => Effect.Effect<void, never, Scope.Scope>

const mounted = (path: string, ...words: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      execFileSync("mount", [...words, path])
      execFileSync("chmod", ["755", path])
    }),
    () => Effect.sync(() => void execFileSync("umount", ["--lazy", path])),
  )

const tmpfs: Mount = (path) => mounted(path, "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs")

const ext4: Mount = (path) =>
  Effect.gen(function* () {
    const image = `${path}.img`
    writeFileSync(image, "")
    truncateSync(image, 24 * 1024 * 1024)
    execFileSync("mkfs.ext4", ["-q", "-F", image])
    yield* mounted(path, "-o", "loop", image)
  })

/** Takes all space, to the last byte that root can have. */
const fill = (path: string): void => {
  const fd = openSync(path, "w")
  try {
    for (let size = 1024 * 1024; size >= 1;) {
      try {
        writeSync(fd, Buffer.alloc(size))
      } catch {
        size = Math.floor(size / 2)
      }
    }
  } finally {
    closeSync(fd)
  }
}

const toldTimes = (agent: Program, text: string): number =>
  agent.lines.filter(({ level, message }) => level === "error" && message.includes(text)).length

describe.runIf(runsRootTests).each<[string, Mount]>([
  ["tmpfs", tmpfs],
  ["ext4 on a loop device", ext4],
])("a full %s", (_, mount) => {
  it.live(
    "stops no service and loses none",
    () =>
      Effect.gen(function* () {
        const node = yield* makeLaidOutNode({ partitions: 1, mount, settings: { service_log_max_size: "64K" } })
        const partition = node.partition("slappart0")
        for (const name of ["one", "two"])
          put(partition, `etc/service/${name}`, shell(partition, name, "exec sleep 1000"))
        put(
          partition,
          "etc/service/talker",
          shell(partition, "talker", "while :; do head -c 20000 /dev/zero | tr '\\0' 'x'; echo; sleep 0.1; done"),
        )
        const serviceOf = (name: string) =>
          Effect.map(node.status, ({ partitions }) =>
            partitions[0]?.services.find((one) => one.name === `${name}-on-watch` && one.state === "running"),
          )
        const pidOf = (name: string, not?: number) =>
          eventually(
            `${name} running`,
            Effect.map(serviceOf(name), (one) => (one?.pid === undefined || one.pid === not ? undefined : one.pid)),
          )
        const first = yield* node.startAgent
        const [one, two] = [yield* pidOf("one"), yield* pidOf("two")]
        yield* pidOf("talker")
        yield* eventually(
          "starts that were written",
          Effect.sync(() => (startsOf(partition, "two").length === 1 ? true : undefined)),
        )
        const ballast = `${node.instanceRoot}/ballast`
        fill(ballast)

        // A crash on a full disk: started again, although nothing new can be written.
        process.kill(one, "SIGKILL")
        const next = yield* pidOf("one", one)
        assert.isTrue(isAlive(two))
        first.signal("SIGKILL")
        yield* first.exit
        for (const line of readFileSync(`${node.instanceRoot}/var/run/slapgrid/services`, "utf8").split("\n")) {
          if (line !== "") JSON.parse(line)
        }

        // The next agent finds both, the one that was started on the full disk too.
        const second = yield* node.startAgent
        assert.deepStrictEqual([yield* pidOf("one"), yield* pidOf("two")], [next, two])
        process.kill(next, "SIGKILL")
        const last = yield* pidOf("one", next)

        rmSync(ballast)
        yield* eventually(
          "a bounded log with a backup",
          Effect.sync(() => {
            const log = `${partition.path}/.slappart0_talker.log`
            const backup = statSync(`${log}.1`, { throwIfNoEntry: false })
            return backup !== undefined && statSync(log).size <= 64 * 1024 && backup.size <= 64 * 1024
              ? true
              : undefined
          }),
        )
        assert.deepStrictEqual([yield* pidOf("one"), yield* pidOf("two")], [last, two])
        for (const agent of [first, second]) {
          assert.isAtMost(toldTimes(agent, "table of services cannot be written"), 1)
          assert.isAtMost(toldTimes(agent, "bangs are sent, but lost"), 1)
        }
        second.signal("SIGTERM")
        assert.strictEqual((yield* second.exit).code, 0)
      }),
    120_000,
  )
})
