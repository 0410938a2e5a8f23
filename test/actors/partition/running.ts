// One partition's actor on a real directory, with installations that end when the test says so and services that only
// remember what they were told.
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as fs from "node:fs"
import * as os from "node:os"
import type { PartitionOrder, PartitionWish } from "../../../src/actors/partition/decide.ts"
import { PartitionActors } from "../../../src/actors/partition/PartitionActor.ts"
import { BuildError } from "../../../src/build/BuildError.ts"
import { InstanceBuild, type InstanceRequest } from "../../../src/build/InstanceBuild.ts"
import type { NodeConfigShape } from "../../../src/config/NodeConfig.ts"
import type { DesiredPartition } from "../../../src/domain/DesiredState.ts"
import type { PartitionId } from "../../../src/domain/ids.ts"
import type { ServiceStatus } from "../../../src/domain/NodeStatus.ts"
import type { ServiceSpec } from "../../../src/domain/ServiceSpec.ts"
import type { FileError } from "../../../src/files/FileError.ts"
import type { Check, CheckRequest } from "../../../src/health/PartitionPromises.ts"
import { type PromiseError, Promises } from "../../../src/health/Promises.ts"
import { type GroupOptions, PartitionServices } from "../../../src/process/PartitionServices.ts"
import type { TakeoverError } from "../../../src/process/takeover/Succession.ts"
import { Takeover } from "../../../src/process/takeover/Takeover.ts"
import { Bangs } from "../../../src/report/Bangs.ts"
import { StatusBoard } from "../../../src/report/StatusBoard.ts"
import { type UsageError, UsageReports } from "../../../src/report/usage/UsageReports.ts"
import { Calls, settle } from "../../support/Calls.ts"
import { desiredPartition, nodeConfig, program, slappart0 } from "../../support/facts.ts"
import { ScriptedClient } from "../support.ts"

export const broken = new BuildError({ reason: "Failed", message: "buildout failed:\nno such part" })
export const web = program("web-on-watch")

export class ScriptedInstances {
  /** Milliseconds, as the release says. */
  periodicity: number | undefined
  readonly installs = new Calls<InstanceRequest, void, BuildError>()
  readonly destroyScripts = new Calls<undefined, void, BuildError>(() => Effect.void)

  get layer() {
    return Layer.succeed(
      InstanceBuild,
      InstanceBuild.of({
        credentials: () => Effect.undefined,
        periodicity: () => Effect.sync(() => this.periodicity),
        assign: () => Effect.void,
        expect: () => Effect.void,
        prepare: () => Effect.void,
        install: this.installs.call,
        runDestroyScript: () => this.destroyScripts.call(undefined),
      }),
    )
  }
}

/** What was told to the one group, in order. */
export class ScriptedServices {
  /** The scripts of etc/prerm. */
  prerm: ReadonlyArray<ServiceSpec> = []
  /** What the group says of its programs. */
  status: ReadonlyArray<ServiceStatus> = []
  readonly told: Array<string> = []
  readonly stops = new Calls<undefined, void>(() => Effect.void)
  readonly listings = new Calls<undefined, ReadonlyArray<ServiceSpec>, FileError>(() => Effect.succeed([web]))
  options: GroupOptions | undefined
  /** Which programs that were stopped by hand the group was told to start. */
  releases: boolean | ((name: string) => boolean) | undefined
  #onApply: () => void = () => undefined

  /** Called when the group is told its programs, instead of what was before; gives how often that was. */
  onApply(what: () => void): () => number {
    let count = 0
    this.#onApply = () => {
      count++
      what()
    }
    return () => count
  }

  get layer() {
    const stopAll = Effect.andThen(
      Effect.suspend(() => this.stops.call(undefined)),
      Effect.sync(() => void this.told.push("stop")),
    )
    return Layer.succeed(
      PartitionServices,
      PartitionServices.of({
        group: (options) => {
          this.options = options
          return Effect.as(
            Effect.addFinalizer(() => Effect.sync(() => void this.told.push("closed"))),
            {
              apply: (specs, deployment, releases = true) =>
                Effect.sync(() => {
                  this.releases = releases
                  const names = specs.map(({ name }) => name).join()
                  this.told.push(`${names}${deployment === undefined ? "" : ` for ${deployment}`}`)
                  this.#onApply()
                }),
              hold: (specs) => Effect.sync(() => void this.told.push(`${specs.map(({ name }) => name).join()} held`)),
              stopAll: Effect.uninterruptible(stopAll),
              status: () => this.status,
              processes: () => [],
              program: (name) => {
                const status = this.status.find((one) => one.name === name)
                return status && { ...noProgram, status }
              },
            },
          )
        },
        groups: new Map(),
        programsOf: () => this.listings.call(undefined),
        prermOf: () => Effect.sync(() => this.prerm),
        endUser: () => Effect.void,
      }),
    )
  }
}

const noProgram = {
  startNow: Effect.void,
  hold: Effect.void,
  signal: () => Effect.succeed(false),
}

const scratch = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(`${os.tmpdir()}/slapgrid-partition-`)),
  (path) => Effect.sync(() => fs.rmSync(path, { recursive: true, force: true })),
)

interface Options {
  /** What `.timestamp` says when the agent starts. */
  readonly timestamp?: string
  readonly isFormatted?: boolean
  readonly hasCertificates?: boolean
  readonly maximumPeriodicity?: number
  readonly config?: Partial<NodeConfigShape>
}

export const nothingToCheck: Check = {
  promises: [],
  failure: undefined,
  bang: undefined,
  nextAt: Number.MAX_SAFE_INTEGER,
}

export class ScriptedPromises {
  readonly checks = new Calls<CheckRequest, Check, PromiseError>(() => Effect.succeed(nothingToCheck))
  /** What the results of an earlier agent say. */
  wereFailing = false

  get layer() {
    return Layer.succeed(
      Promises,
      Promises.of({
        of: () => ({
          check: (_software, request) => this.checks.call(request),
          wereFailing: Effect.sync(() => this.wereFailing),
        }),
      }),
    )
  }
}

class ScriptedBangs {
  readonly rung: Array<{ readonly id: string; readonly deployment: string; readonly message: string }> = []
  readonly forgotten: Array<string> = []

  get layer() {
    return Layer.succeed(
      Bangs,
      Bangs.of({
        ring: (bang) => Effect.sync(() => this.rung.push(bang) > 0),
        forget: (id) => Effect.sync(() => void this.forgotten.push(id)),
      }),
    )
  }
}

class ScriptedUsage {
  readonly seals = new Calls<PartitionId, void, UsageError>(() => Effect.void)

  get layer() {
    return Layer.succeed(UsageReports, UsageReports.of({ run: () => Effect.never, seal: this.seals.call }))
  }
}
export const statusOf = (name: string, changes: Partial<ServiceStatus> = {}): ServiceStatus => ({
  name,
  kind: "run",
  log: `.slappart0_${name}.log`,
  state: "running",
  pid: undefined,
  since: undefined,
  restarts: 0,
  lastExit: undefined,
  error: undefined,
  isHeld: false,
  ...changes,
})

export const running = Effect.fnUntraced(function* (options: Options = {}) {
  const root = yield* scratch
  const path = `${root}/slappart0`
  if (options.isFormatted ?? true) fs.mkdirSync(path, { mode: 0o750 })
  if (options.timestamp !== undefined) fs.writeFileSync(`${path}/.timestamp`, options.timestamp)
  // The files' times are the machine's: the test's clock begins there.
  yield* TestClock.setTime(yield* TestClock.withLive(Clock.currentTimeMillis))
  const repositoryPath = `${root}/certificates`
  fs.mkdirSync(repositoryPath)
  fs.mkdirSync(`${root}/var/run/slapgrid`, { recursive: true, mode: 0o700 })
  const client = new ScriptedClient()
  const instances = new ScriptedInstances()
  const services = new ScriptedServices()
  const bangs = new ScriptedBangs()
  const usage = new ScriptedUsage()
  const promises = new ScriptedPromises()
  const releases = new Calls<PartitionId, void, TakeoverError>(() => Effect.void)
  const takeover = Layer.succeed(
    Takeover,
    Takeover.of({ release: releases.call, isForeign: () => false, follow: () => Effect.void }),
  )
  const config = nodeConfig({
    instanceRoot: root,
    maximumPeriodicity: options.maximumPeriodicity ?? 86_400_000,
    certificates: options.hasCertificates === true ? { keyFile: "", certFile: "", repositoryPath } : undefined,
    instanceStorageHome: `${root}/storage`,
    ...options.config,
  })
  const context = yield* Layer.build(
    PartitionActors.layer.pipe(
      Layer.provide([instances.layer, services.layer, bangs.layer, usage.layer, promises.layer, takeover]),
      Layer.provideMerge(client.layer(config)),
    ),
  )
  const scope = yield* Scope.make()
  const actor = yield* Scope.provide(Context.get(context, PartitionActors).make(slappart0), scope)
  const wants = (changes: Partial<DesiredPartition> = {}, rest: Partial<PartitionWish> = {}) =>
    Effect.andThen(
      actor.tell({
        partition: desiredPartition(changes),
        isSoftwareReady: true,
        standing: "Answers",
        nudge: 0,
        order: undefined,
        ...rest,
      }),
      settle,
    )
  const status = Effect.map(Context.get(context, StatusBoard).get, ({ partitions }) => partitions[0])
  const file = (name: string) =>
    fs.existsSync(`${path}/${name}`) ? fs.readFileSync(`${path}/${name}`, "utf8") : undefined
  /** The next installation ends like this. */
  const installs = (how: Effect.Effect<void, BuildError>) =>
    instances.installs.next.pipe(
      Effect.flatMap(({ answer }) => answer(how)),
      Effect.andThen(settle),
    )
  const close = Scope.close(scope, Exit.void)
  const orders = (changes: Partial<PartitionOrder> = {}) => ({
    id: 1,
    isForced: false,
    stops: false,
    isDebug: false,
    ...changes,
  })
  return {
    orders,
    outcome: actor.outcome,
    bangs,
    promises,
    checkPromises: actor.checkPromises,
    retell: Effect.andThen(actor.retell, settle),
    usage,
    root,
    path,
    client,
    instances,
    services,
    releases,
    wants,
    status,
    file,
    installs,
    close,
  }
})
