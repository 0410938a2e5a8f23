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
import { SoftwareUrl } from "../domain/ids.ts"
import { escapeControls } from "../domain/text.ts"
import { fromErrno } from "../files/FileError.ts"
import { LocalMaster } from "../master/local/LocalMaster.ts"
import { StatusBoard } from "../report/StatusBoard.ts"
import { Slapgrid } from "../Slapgrid.ts"
import { DemoError } from "./DemoError.ts"
import { answerTimes, type DemoStatus, failureOf } from "./DemoStatus.ts"
import { type Display, makeScreen, plainDisplay } from "./display.ts"
import { followInstances, Progress } from "./Instances.ts"
import type { LogTail } from "./LogTail.ts"
import { formatForm, nodeConfiguration, partitions, requestForm, supplyForm, wantedInstances } from "./plan.ts"
import { makeScratch, type Scratch } from "./Scratch.ts"
import { makeWeb, type Web } from "./Web.ts"

export interface DemoOptions {
  /** Ends when all instances have answered; fails when something keeps them from it. */
  readonly once: boolean
  readonly keep: boolean
  /** How this program is started from a shell. */
  readonly program: string
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
      if (failure !== undefined) return yield* new DemoError({ message: escapeControls(failure) })
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

/** A node that follows the demo's own master, which has its orders already. */
const startNode = Effect.fnUntraced(function* (scratch: Scratch, software: SoftwareUrl) {
  const master = Context.get(
    yield* Layer.build(LocalMaster.layer({ database: scratch.database, port: 0 })),
    LocalMaster,
  )
  const web = yield* makeWeb(master.url)
  yield* order(web, software)
  const config = yield* configure(scratch, master.url)
  const board = Context.get(yield* Layer.build(Slapgrid.layer(config)), StatusBoard)
  return { board, web, masterUrl: master.url }
})

/** Runs until it is interrupted, or with `once` until all instances have answered. Nothing is left afterwards. */
export const runDemo = Effect.fnUntraced(function* (options: DemoOptions) {
  const { keep, once, program, say, tail, terminal } = options
  const startedAt = yield* Clock.currentTimeMillis
  yield* checkBuildout
  const scratch = yield* makeScratch({ keep, partitions, say })
  yield* tail.writeTo(scratch.logFile)
  const software = yield* Effect.orDie(Schema.decodeEffect(SoftwareUrl)(scratch.profile))
  const { board, masterUrl, web } = yield* startNode(scratch, software)
  const progress = new Progress(yield* Queue.sliding<void>(1))
  yield* Effect.forkScoped(Stream.runForEach(board.changes, () => Queue.offer(progress.bell, undefined)))

  yield* Effect.addFinalizer(() => Effect.sync(() => say("stopping services, node and master")))
  const display = terminal === undefined ? plainDisplay(say, options) : yield* makeScreen(terminal, tail, options)
  const { configurationFile, directory } = scratch
  const facts = { startedAt, directory, masterUrl, configurationFile, program }
  const status = Effect.map(board.get, (node): DemoStatus => ({ ...facts, node, instances: progress.instances }))
  const shown = follow(status, progress.bell, display, once)
  yield* Effect.raceFirst(once ? limitOnce(shown) : shown, followInstances(web, progress, software))
}, Effect.scoped)
