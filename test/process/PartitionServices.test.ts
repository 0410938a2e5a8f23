// What a partition's program gets: its user, environment, log and standard input, each opened for its start alone.
import { describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { expect } from "vitest"
import { NodeConfig } from "../../src/config/NodeConfig.ts"
import type { ServiceSpec } from "../../src/domain/ServiceSpec.ts"
import { OwnedDirectory } from "../../src/files/OwnedDirectory.ts"
import { Accounts } from "../../src/process/Accounts.ts"
import { AdoptedProcesses } from "../../src/process/AdoptedProcesses.ts"
import { AgentLock } from "../../src/process/AgentLock.ts"
import { Containment } from "../../src/process/containment/Containment.ts"
import { Departure } from "../../src/process/Departure.ts"
import { Inheritances } from "../../src/process/Inheritances.ts"
import { Launcher } from "../../src/process/launcher/Launcher.ts"
import { LogKeepers } from "../../src/process/logs/LogKeeper.ts"
import { PartitionServices } from "../../src/process/PartitionServices.ts"
import { processFacts } from "../../src/process/procfs.ts"
import { Takeover } from "../../src/process/takeover/Takeover.ts"
import { settle, Watch } from "../support/Calls.ts"
import { nodeConfig, slappart0 } from "../support/facts.ts"
import { isAlive } from "../support/processes.ts"
import { inCi, isRoot, openBelow, scratchDirectory, stranger } from "../support/scratch.ts"
import { ScriptedSpawner } from "../support/ScriptedSpawner.ts"

const nodeWith = Effect.fnUntraced(function* (takeover: Layer.Layer<Takeover>) {
  const root = yield* scratchDirectory
  const path = `${root}/slappart0`
  fs.mkdirSync(`${path}/etc/service`, { recursive: true })
  fs.writeFileSync(`${path}/etc/service/web`, "#!/bin/sh\n", { mode: 0o755 })
  fs.chownSync(path, stranger.uid, stranger.gid)
  const spawner = new ScriptedSpawner()
  const context = yield* Layer.build(
    PartitionServices.layer.pipe(
      Layer.provide(spawner.layer),
      Layer.provide([Accounts.layer({ rootCheck: true }), LogKeepers.layer]),
      Layer.provide(Launcher.layer),
      Layer.provide(Layer.provide(Inheritances.layer, AdoptedProcesses.layer)),
      Layer.provide([Containment.layerSession, Departure.layer, AgentLock.layer, takeover]),
      Layer.provide(Layer.succeed(NodeConfig, nodeConfig({ instanceRoot: root, softwareRoot: root }))),
    ),
  )
  const services = Context.get(context, PartitionServices)
  const directory = yield* OwnedDirectory.open(path)
  const alarmed = yield* Deferred.make<ServiceSpec>()
  const watch = new Watch()
  const makeGroup = services.group({
    id: slappart0,
    onChange: watch.changed,
    onAlarm: (spec) => Effect.asVoid(Deferred.succeed(alarmed, spec)),
  })
  return { root, path, spawner, services, directory, alarmed, makeGroup }
})

const node = nodeWith(Takeover.layerNone)

it.effect("the programs of a partition run as its owner, with the reference's environment, log and input", () =>
  Effect.gen(function* () {
    const { directory, makeGroup, path, root, services, spawner } = yield* node
    yield* Effect.scoped(
      Effect.gen(function* () {
        const group = yield* makeGroup
        yield* group.apply(yield* services.programsOf(slappart0, directory), "1")
        const { command } = yield* spawner.next
        yield* settle
        expect(command).toMatchObject({
          path: `${path}/etc/service/web`,
          cwd: path,
          env: { SUPERVISOR_GROUP_NAME: "slappart0", SUPERVISOR_SERVER_URL: `unix://${root}/sv.sock` },
        })
        expect(command.credentials?.uid).toBe(isRoot ? stranger.uid : undefined)
        // Open are the log, once, to keep it bounded, the agent's lock and its table of services.
        expect(openBelow(path)).toStrictEqual([`${path}/.slappart0_web.log`])
        expect(openBelow(root)).toHaveLength(3)
        expect(fs.readdirSync(`${root}/var/run/slapgrid`)).toStrictEqual(["lock", "services"])
        const { mode, uid } = fs.statSync(`${path}/.slappart0_web.log`)
        expect([uid, mode & 0o777]).toStrictEqual([stranger.uid, 0o600])
      }),
    )
    expect(spawner.living).toStrictEqual([])
    expect(openBelow(root)).toHaveLength(2)
  }),
)

it.effect("a program whose log was planted is not started, raises its alarm and tells why", () =>
  Effect.gen(function* () {
    const { alarmed, directory, makeGroup, path, services, spawner } = yield* node
    fs.symlinkSync("/etc/passwd", `${path}/.slappart0_web.log`)
    const group = yield* makeGroup
    yield* group.apply(yield* services.programsOf(slappart0, directory), "1")
    yield* Deferred.await(alarmed)
    expect(group.status()[0]?.error).toBe(`cannot open log ${path}/.slappart0_web.log: ELOOP`)
    expect(spawner.processes).toStrictEqual([])
  }),
)

it.effect.runIf(inCi || isRoot)("nothing of a partition that has become root's is started", () =>
  Effect.gen(function* () {
    const { alarmed, directory, makeGroup, path, services, spawner } = yield* node
    const group = yield* makeGroup
    const specs = yield* services.programsOf(slappart0, directory)
    fs.chownSync(path, 0, 0)
    yield* group.apply(specs, "1")
    yield* Deferred.await(alarmed)
    expect(group.status()[0]?.error).toContain("nothing is run as root")
    expect(spawner.processes).toStrictEqual([])
  }),
)

it.live.runIf(inCi || isRoot)(
  "what a crash left of a partition ends before its services begin, without cgroups too",
  () =>
    Effect.gen(function* () {
      const { makeGroup } = yield* node
      // Nobody's child, and in no record.
      const script = "setsid sleep 1000 > /dev/null 2>&1 & echo $!"
      const left = Number(execFileSync("sh", ["-c", script], { encoding: "utf8", ...stranger }))
      yield* makeGroup
      expect(isAlive(left)).toBe(false)
    }),
)

/** A take-over that has not come to this partition yet. */
const foreign = Layer.succeed(
  Takeover,
  Takeover.of({ release: () => Effect.void, isForeign: (id) => id === slappart0, follow: () => Effect.void }),
)

it.effect("nothing is started beside the reference, whoever asks for it", () =>
  Effect.gen(function* () {
    const { alarmed, directory, makeGroup, services, spawner } = yield* nodeWith(foreign)
    const group = yield* makeGroup
    yield* group.apply(yield* services.programsOf(slappart0, directory), "1")
    yield* Deferred.await(alarmed)
    expect(group.status()[0]?.error).toBe("slappart0:web-on-watch is not started: the reference still has slappart0")
    expect(spawner.processes).toStrictEqual([])
  }),
)

describe.runIf(inCi || isRoot)("without cgroups, the end of a group", () => {
  const bystander = Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn("sleep", ["infinity"], { ...stranger, stdio: "ignore" })
      await once(child, "spawn")
      return child
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL")),
  )

  it.live.each([
    ["ends what else runs as the partition's user", Takeover.layerNone, false],
    ["leaves that alone while it is the reference's", foreign, true],
  ] as const)("%s", ([, takeover, survives]) =>
    Effect.gen(function* () {
      const { makeGroup } = yield* nodeWith(takeover)
      const child = yield* bystander
      const group = yield* makeGroup
      yield* group.stopAll
      expect(processFacts(child.pid ?? 0)?.state === "S").toBe(survives)
    }),
  )
})
