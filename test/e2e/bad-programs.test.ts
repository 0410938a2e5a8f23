// What lies in etc/service and cannot be run: each is told by name with the reason, in the log and in the status, the
// master hears of it once, and the rest of the partition runs.
//
// | what is wrong                                                   | with                                          |
// | ---------------------------------------------------------------- | --------------------------------------------- |
// | the file: mode, content, kind, interpreter                      | `mistakes`, each in one partition             |
// | where it lies                                                   | a link out of the partition is followed as    |
// |                                                                  | its user; a folder that nobody may enter      |
// | how many there are                                              | 2001                                          |
// | what they are called                                            | newline and escape                            |
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFileSync } from "node:child_process"
import { chmodSync, chownSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import type { ServiceStatus } from "../../src/domain/NodeStatus.ts"
import { layOut, placeOf, prepareRelease } from "../support/prepared.ts"
import { leadersBelow } from "../support/leaders.ts"
import { type Program, runToEnd } from "../support/Program.ts"
import { isRoot } from "../support/ScratchMachine.ts"
import { named } from "../support/ScriptedMaster.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "../support/TestMaster.ts"
import { makeNode, type TestNode, type TestPartition } from "../support/TestNode.ts"
import { eventually } from "../support/waiting.ts"

interface Mistake {
  readonly name: string
  /** Makes it at a path; the partition's user then owns it. */
  readonly make: (path: string, partition: TestPartition) => void
  /** For root only. */
  readonly needsRoot?: boolean
}

const script = "#!/bin/sh\nexit 1\n"

const write =
  (text: string, mode = 0o755) =>
  (path: string): void => {
    writeFileSync(path, text)
    chmodSync(path, mode)
  }

const everyMistake: ReadonlyArray<Mistake> = [
  { name: "not-executable", make: write(script, 0o644) },
  { name: "without-interpreter-line", make: write("\0\0\0\0 no program\n") },
  { name: "empty", make: write("") },
  { name: "interpreter-missing", make: write("#!/none/such/interpreter\n") },
  { name: "interpreter-not-executable", make: write("#!/etc/passwd\n") },
  { name: "interpreter-line-too-long", make: write(`#!/${"a".repeat(5000)}\n`) },
  { name: "interpreter-is-itself", make: (path) => write(`#!${path}\n`)(path) },
  { name: "link-to-nothing", make: (path) => symlinkSync("/none/such/program", path) },
  { name: "link-to-itself", make: (path) => symlinkSync(path, path) },
  { name: "link-to-a-directory", make: (path) => symlinkSync("/tmp", path) },
  { name: "link-to-root-s-own", make: (path) => symlinkSync("/etc/shadow", path) },
  { name: "fifo", make: (path) => void execFileSync("mkfifo", [path]) },
  { name: "device", make: (path) => void execFileSync("mknod", [path, "c", "1", "3"]), needsRoot: true },
  {
    name: "below-a-closed-directory",
    make: (path, { path: home }) => {
      mkdirSync(`${home}/closed`)
      write(script)(`${home}/closed/program`)
      chmodSync(`${home}/closed`, 0o000)
      symlinkSync(`${home}/closed/program`, path)
    },
  },
  { name: "name with\na newline \u001b[31mand colour", make: write(script, 0o644) },
]

const mistakes = everyMistake.filter(({ needsRoot }) => isRoot || needsRoot !== true)

const good = `#!/bin/sh
while :; do read _; done
`

const own = (path: string, { gid, uid }: TestPartition): void => {
  if (isRoot) execFileSync("chown", ["--no-dereference", `${uid}:${gid}`, path])
}

interface Machine {
  readonly node: TestNode<ScriptedTestMaster>
  readonly agent: Program
}

class Bad extends Context.Service<Bad, Machine>()("test/e2e/bad-programs/Bad") {
  static readonly layer = Layer.effect(
    Bad,
    Effect.gen(function* () {
      const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), { partitions: 4 })
      const software = prepareRelease(node)
      const [one, noexec, many] = node.partitions
      for (const partition of node.partitions) {
        layOut(partition, partition === noexec ? {} : { "service/good": good }, "1000")
        yield* node.master.change(partition.id, { software, timestamp: "1000" })
      }
      for (const { make, name } of mistakes) {
        const path = placeOf(one!, `service/${name}`)
        make(path, one!)
        own(path, one!)
      }
      yield* makeSocket(placeOf(one!, "service/socket"), one!)
      mkdirSync(placeOf(one!, "service/directory"))
      if (isRoot) yield* mountNoExec(placeOf(noexec!, "service"), noexec!)
      for (let index = 0; index < 2000; index++) write(good)(placeOf(many!, `service/p${index}`))
      return Bad.of({ node, agent: yield* node.startAgent })
    }),
  )
}

const makeSocket = (path: string, partition: TestPartition) =>
  Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const server = createServer().listen(path, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void))),
  ).pipe(Effect.andThen(Effect.sync(() => own(path, partition))))

const mountNoExec = (path: string, { gid, uid }: TestPartition) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      execFileSync("mount", ["-t", "tmpfs", "-o", `noexec,size=1m,mode=755,uid=${uid},gid=${gid}`, "tmpfs", path])
      write(script)(`${path}/forbidden`)
      chownSync(`${path}/forbidden`, uid, gid)
    }),
    () => Effect.sync(() => void execFileSync("umount", ["--lazy", path])),
  )

const servicesOf = (node: TestNode, index: number) =>
  Effect.map(node.status, ({ partitions }) => partitions[index]?.services ?? [])

const find = (services: ReadonlyArray<ServiceStatus>, name: string) =>
  services.find((one) => one.name === `${name}-on-watch`)

/** Waits until the status says why a program does not run. */
const errorOf = (node: TestNode, index: number, name: string) =>
  eventually(
    `why ${name} does not run`,
    Effect.map(servicesOf(node, index), (services) => find(services, name)?.error),
  )

layer(Bad.layer, { excludeTestServices: true, timeout: "2 minutes" })("a program that cannot be run", (it) => {
  it.effect.each([...mistakes.map(({ name }) => name), "socket"])("%s is told by its path, with the reason", (name) =>
    Effect.gen(function* () {
      const { agent, node } = yield* Bad
      const path = placeOf(node.partition("slappart0"), `service/${name}`)
      const error = yield* errorOf(node, 0, name)
      assert.include(error, path)
      assert.match(error, /cannot execute .*\(E[A-Z0-9]+\)$/s)
      assert.include(["backoff", "starting"], find(yield* servicesOf(node, 0), name)?.state)
      const { message } = yield* agent.awaitLine(`slappart0:${name}-on-watch: ${path} could not be started`)
      assert.include(message, "cannot execute")
    }),
  )

  it.effect("a directory is no program, and the good one runs", () =>
    Effect.gen(function* () {
      const { node } = yield* Bad
      const services = yield* eventually(
        "the good program",
        Effect.map(servicesOf(node, 0), (all) => (find(all, "good")?.state === "running" ? all : undefined)),
      )
      assert.isUndefined(find(services, "directory"))
      assert.lengthOf(services, mistakes.length + 2)
    }),
  )

  it.effect("the master hears of it once for the deployment", () =>
    Effect.gen(function* () {
      const { node } = yield* Bad
      const ofThem = named("softwareInstanceBang", { computer_partition_id: "slappart0" })
      yield* node.master.awaitReport("slappart0", "bang")
      for (const { name } of mistakes) yield* errorOf(node, 0, name)
      assert.lengthOf((yield* node.master.scripted.calls).filter(ofThem), 1)
    }),
  )

  it.effect("for people no name steers the terminal or breaks the table", () =>
    Effect.gen(function* () {
      const { node } = yield* Bad
      const { stdout } = yield* runToEnd([...node.slapgrid, "status", "--configuration-file", node.configFile])
      assert.notInclude(stdout, "\u001b[31m")
      const lines = stdout.split("\n").filter((line) => line.startsWith("slappart0:name with"))
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "cannot execute")
    }),
  )

  it.effect("on a file system that forbids it is told, too", () =>
    Effect.gen(function* () {
      const { node } = yield* Bad
      if (!isRoot) return
      assert.include(yield* errorOf(node, 1, "forbidden"), placeOf(node.partition("slappart1"), "service/forbidden"))
    }),
  )

  it.effect("2001 of them are told as too many; no other partition notices", () =>
    Effect.gen(function* () {
      const { agent, node } = yield* Bad
      const { message } = yield* agent.awaitLine("more entries than the limit of 2000 programs")
      assert.include(message, placeOf(node.partition("slappart2"), "service"))
      const status = (yield* node.status).partitions[2]
      assert.include(status?.error, "more entries than the limit of 2000 programs")
      yield* eventually(
        "the neighbour's program",
        Effect.map(servicesOf(node, 3), (all) => (find(all, "good")?.state === "running" ? true : undefined)),
      )
      assert.lengthOf(
        leadersBelow(node.instanceRoot).get(placeOf(node.partition("slappart3"), "service/good")) ?? [],
        1,
      )
    }),
  )
})
