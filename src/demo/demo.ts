// `slapgrid demo`: from nothing to running instances, in one process and one Scope. The order of acquisition is the
// order of the end reversed: first the display, then the node with its services, the master, the directory.
import * as fs from "node:fs"
import type * as tty from "node:tty"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { loadNodeConfig } from "../config/load.ts"
import { PartitionId, SoftwareUrl } from "../domain/ids.ts"
import { fromErrno } from "../files/FileError.ts"
import { LocalMaster } from "../master/local/LocalMaster.ts"
import { StatusBoard } from "../report/StatusBoard.ts"
import { Slapgrid } from "../Slapgrid.ts"
import { DemoError } from "./DemoError.ts"
import { answerTimes, type DemoStatus, failureOf, type InstanceStatus } from "./DemoStatus.ts"
import { type Display, makeScreen, plainDisplay } from "./display.ts"
import type { LogTail } from "./LogTail.ts"
import { formatForm, nodeConfiguration, partitions, requestForm, supplyForm, wantedInstances } from "./plan.ts"
import type { WantedInstance } from "./plan.ts"
import { makeScratch, type Scratch } from "./Scratch.ts"
import { grantedOf, makeWeb, type Web } from "./Web.ts"

export interface DemoOptions {
  /** Ends when all instances have answered; fails when something keeps them from it. */
  readonly once: boolean
  readonly keep: boolean
  /** Undefined: plain lines. */
  readonly terminal: tty.WriteStream | undefined
  readonly isColoured: boolean
  readonly say: (line: string) => void
  readonly tail: LogTail
}

const buildout = "/usr/bin/buildout"

/** How long `--once` waits for all answers. */
const onceLimit = "5 minutes"

const checkBuildout = Effect.suspend(() =>
  fs.existsSync(buildout)
    ? Effect.void
    : new DemoError({
        message: `the demo builds with zc.buildout, and ${buildout} is not there: apt-get install python3-zc.buildout`,
      }),
)

/** The instances as the demo knows them so far, and a bell that rings when anything has changed. */
class Progress {
  readonly bell: Queue.Queue<void>
  readonly #instances = new Map<string, InstanceStatus>()

  constructor(bell: Queue.Queue<void>) {
    this.bell = bell
    for (const { title } of wantedInstances) {
      this.#instances.set(title, {
        title,
        partition: undefined,
        url: undefined,
        answer: undefined,
        problem: undefined,
        answeredAt: undefined,
      })
    }
  }

  get instances(): ReadonlyArray<InstanceStatus> {
    return [...this.#instances.values()]
  }

  readonly update = (title: string, change: Partial<InstanceStatus>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const known = this.#instances.get(title)
      if (known !== undefined) this.#instances.set(title, { ...known, ...change })
      return Queue.offer(this.bell, undefined)
    })
}

const isPartitionId = Schema.is(PartitionId)

/** Asks the master for the instance, as its user would, until it has published its address. */
const awaitUrl = Effect.fnUntraced(function* (web: Web, progress: Progress, software: string, wanted: WantedInstance) {
  while (true) {
    const granted = grantedOf(yield* web.post("requestComputerPartition", requestForm(software, wanted)))
    const partition = isPartitionId(granted.partition) ? granted.partition : undefined
    yield* progress.update(wanted.title, { partition, url: granted.url })
    if (granted.url !== undefined) return granted.url
    yield* Effect.sleep("100 millis")
  }
})

/** Calls an instance for as long as the demo lasts: often until it answers, then now and then. */
const followInstance = Effect.fnUntraced(function* (
  web: Web,
  progress: Progress,
  software: string,
  wanted: WantedInstance,
) {
  const url = yield* awaitUrl(web, progress, software, wanted)
  let answeredAt: number | undefined
  while (true) {
    const result = yield* Effect.result(web.firstLine(url))
    if (result._tag === "Success") {
      answeredAt ??= yield* Clock.currentTimeMillis
      yield* progress.update(wanted.title, { answer: result.success, problem: undefined, answeredAt })
    } else if (answeredAt !== undefined) {
      yield* progress.update(wanted.title, { problem: result.failure.message })
    }
    yield* Effect.sleep(answeredAt === undefined ? "50 millis" : "1 second")
  }
})

/** Formats the computer, supplies the release and requests the instances: all that a user does. */
const order = Effect.fnUntraced(function* (web: Web, software: string) {
  yield* web.post("loadComputerConfigurationFromXML", formatForm())
  yield* web.post("supplySupply", supplyForm(software))
  yield* Effect.forEach(wantedInstances, (wanted) =>
    web.post("requestComputerPartition", requestForm(software, wanted)),
  )
})

const configure = Effect.fnUntraced(function* (scratch: Scratch, masterUrl: string) {
  const { configurationFile, instanceRoot, isRoot, softwareRoot } = scratch
  const text = nodeConfiguration({ masterUrl, instanceRoot, softwareRoot, buildout, isRoot })
  yield* Effect.try({
    try: () => fs.writeFileSync(configurationFile, text),
    catch: (cause) => fromErrno("write", configurationFile, cause),
  })
  return yield* loadNodeConfig({ file: configurationFile, flags: {}, env: {} })
})

/** Shows every change; ends with `--once` when all instances have answered. */
const follow = Effect.fnUntraced(function* (
  status: Effect.Effect<DemoStatus>,
  bell: Queue.Queue<void>,
  display: Display,
  once: boolean,
) {
  while (true) {
    const now = yield* status
    yield* display.show(now)
    if (once) {
      const failure = failureOf(now)
      if (failure !== undefined) return yield* new DemoError({ message: failure })
      if (answerTimes(now).all !== undefined) return
    }
    const rings = Queue.take(bell)
    const { interval } = display
    yield* interval === undefined
      ? rings
      : Effect.timeoutOrElse(rings, { duration: interval, orElse: () => Effect.void })
  }
})

const limitOnce = Effect.timeoutOrElse({
  duration: onceLimit,
  orElse: () => new DemoError({ message: `not all instances answered within ${onceLimit}; see the log with --keep` }),
})

/** Runs until it is interrupted, or with `once` until all instances have answered. Nothing is left afterwards. */
export const runDemo = Effect.fnUntraced(function* (options: DemoOptions) {
  const { keep, once, say, tail, terminal } = options
  const startedAt = yield* Clock.currentTimeMillis
  yield* checkBuildout
  const scratch = yield* makeScratch({ keep, partitions, say })
  yield* tail.writeTo(scratch.logFile)
  const software = yield* Schema.decodeEffect(SoftwareUrl)(scratch.profile).pipe(Effect.orDie)

  const master = Context.get(
    yield* Layer.build(LocalMaster.layer({ database: scratch.database, port: 0 })),
    LocalMaster,
  )
  const web = yield* makeWeb(master.url)
  yield* order(web, software)

  const config = yield* configure(scratch, master.url)
  const board = Context.get(yield* Layer.build(Slapgrid.layer(config)), StatusBoard)
  const progress = new Progress(yield* Queue.sliding<void>(1))
  const ring = Queue.offer(progress.bell, undefined)
  yield* Effect.forkScoped(Stream.runForEach(board.changes, () => ring))
  const follower = Effect.forEach(wantedInstances, (wanted) => followInstance(web, progress, software, wanted), {
    concurrency: "unbounded",
    discard: true,
  })

  yield* Effect.addFinalizer(() => Effect.sync(() => say("stopping services, node and master")))
  const display = terminal === undefined ? plainDisplay(say, options) : yield* makeScreen(terminal, tail, options)
  const status = Effect.map(board.get, (node): DemoStatus => ({
    startedAt,
    directory: scratch.directory,
    masterUrl: master.url,
    configurationFile: scratch.configurationFile,
    software,
    node,
    instances: progress.instances,
  }))
  const shown = follow(status, progress.bell, display, once)
  yield* Effect.raceFirst(once ? limitOnce(shown) : shown, follower)
}, Effect.scoped)
