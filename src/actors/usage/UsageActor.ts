// Reports usage: has partitions make their reports every `report_interval` and on demand, seals what they and the node's
// tools left, and sends it. Three things never overlap with themselves, each by a semaphore of its own: reading and
// deleting reports (or one would be sealed twice), sending, and (in ReportScripts) the scripts of one partition.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { InstanceBuild } from "../../build/InstanceBuild.ts"
import { NodeConfig } from "../../config/NodeConfig.ts"
import type { PartitionId } from "../../domain/ids.ts"
import type { InvalidReport, PartitionActualState } from "../../domain/NodeStatus.ts"
import { MasterClient } from "../../master/MasterClient.ts"
import { Accounts } from "../../process/Accounts.ts"
import { Containment } from "../../process/containment/Containment.ts"
import { Spawner } from "../../process/Spawner.ts"
import { StatusBoard } from "../../report/StatusBoard.ts"
import { pendingJournal } from "../../report/usage/ledger.ts"
import { type Delivered, UsageDelivery } from "../../report/usage/UsageDelivery.ts"
import { UsageLedger } from "../../report/usage/UsageLedger.ts"
import {
  type ReportOptions,
  type ScriptsRun,
  UsageError,
  type UsageOutcome,
  UsageReports,
} from "../../report/usage/UsageReports.ts"
import { type Sealed, UsageSealing } from "../../report/usage/UsageSealing.ts"
import { firstReport, isPlausible, reportAfter, sendAfter } from "./decide.ts"
import { ReportScripts } from "./ReportScripts.ts"

/** Partitions whose scripts run side by side: one that hangs costs the others nothing but a place. */
const scriptsAtOnce = 8
/** Of many invalid files, how many are named in the log. */
const namedInLog = 10

/** In these states a partition makes no report by itself: the last one is made when it is removed. */
const silent: ReadonlySet<PartitionActualState> = new Set(["free", "destroying", "destroyed"])

const makeUsageActor = Effect.gen(function* () {
  const config = yield* NodeConfig
  const ledger = yield* UsageLedger
  const scripts = new ReportScripts({
    config,
    accounts: yield* Accounts,
    builder: yield* InstanceBuild,
    containment: yield* Containment,
    spawner: yield* Spawner,
  })
  const reading = yield* Semaphore.make(1)
  return new UsageActor({
    board: yield* StatusBoard,
    delivery: new UsageDelivery({ config, client: yield* MasterClient, ledger, reading }),
    interval: config.reportInterval,
    ledger,
    scripts,
    sealing: new UsageSealing({ config, ledger, reading }),
    running: yield* Semaphore.make(1),
    sending: yield* Semaphore.make(1),
    wakeUps: yield* Queue.sliding<void>(1),
  })
})

const layer = Layer.effect(
  UsageReports,
  Effect.gen(function* () {
    const actor = yield* makeUsageActor
    for (const body of [actor.reportWhenDue, actor.sendWhenSealed]) {
      yield* Effect.forkScoped(Effect.annotateLogs(body, { actor: "usage" }))
    }
    return UsageReports.of({ run: actor.run, seal: actor.seal })
  }),
)

/** For a process that ends with its pass: reports and sends when it is told to, and plans nothing. */
const layerOnDemand = Layer.effect(
  UsageReports,
  Effect.map(makeUsageActor, ({ run, seal }) => UsageReports.of({ run, seal })),
)

/** Layers of UsageReports. */
export const UsageActors = { layer, layerOnDemand }

interface Parts {
  readonly board: StatusBoard["Service"]
  readonly delivery: UsageDelivery
  readonly interval: number
  readonly ledger: UsageLedger["Service"]
  readonly scripts: ReportScripts
  readonly sealing: UsageSealing
  readonly running: Semaphore.Semaphore
  readonly sending: Semaphore.Semaphore
  /** There is something new to send. */
  readonly wakeUps: Queue.Queue<void>
}

class UsageActor {
  readonly #parts: Parts
  #invalid: ReadonlyArray<InvalidReport> = []
  /** Why reports could not be sealed, the last time. */
  #error: string | undefined

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Reports when it is time, for ever. */
  readonly reportWhenDue: Effect.Effect<never> = Effect.suspend(() => {
    const { interval, ledger } = this.#parts
    return Effect.gen({ self: this }, function* () {
      const planned = yield* Effect.orElseSucceed(ledger.book, () => ({ nextReport: null, lastReport: null }))
      let next = firstReport(planned.nextReport, yield* Clock.currentTimeMillis, interval, yield* Random.next)
      yield* this.#plan(planned.lastReport, next)
      while (true) {
        next = yield* this.#awaitTime(next)
        yield* this.#partitionsKnown
        const now = yield* Clock.currentTimeMillis
        next = reportAfter(now, interval, yield* Random.next)
        // Before the work: what ends the agent in the middle of it must not begin anew at every start.
        yield* this.#plan(now, next)
        yield* Effect.catchCause(this.#report(onBoard), (cause) =>
          Effect.logError("usage could not be reported", cause),
        )
      }
    })
  })

  /** Sends what is sealed, by an earlier agent too, until the master has it. */
  readonly sendWhenSealed: Effect.Effect<never> = Effect.suspend(() =>
    Effect.gen({ self: this }, function* () {
      let failures = 0
      while (true) {
        const { isToRetry } = yield* this.#deliver
        failures = isToRetry ? failures + 1 : 0
        const woken = Queue.take(this.#parts.wakeUps)
        const delay = sendAfter(failures, yield* Random.next)
        yield* isToRetry ? Effect.timeoutOrElse(woken, { duration: delay, orElse: () => Effect.void }) : woken
      }
    }),
  )

  /** On demand: when the next one is due stays as it is. */
  readonly run = (options: ReportOptions): Effect.Effect<UsageOutcome> =>
    Effect.gen({ self: this }, function* () {
      const lastReport = yield* Clock.currentTimeMillis
      yield* Effect.ignore(this.#parts.ledger.schedule({ lastReport }))
      return yield* this.#report(options)
    })

  #report({ partitions, watch }: ReportOptions): Effect.Effect<UsageOutcome> {
    const { board, ledger, running, scripts, sealing } = this.#parts
    return Effect.gen({ self: this }, function* () {
      const ids = [...new Set([...(yield* board.get).partitions.map(({ id }) => id), ...partitions])]
      const runs = yield* Effect.forEach(
        ids,
        (id) =>
          Effect.flatMap(this.#isSilent(id), (isSilent) => (isSilent ? noScripts : scripts.run(id))).pipe(
            Effect.tap((run) => watch(id, run)),
          ),
        { concurrency: scriptsAtOnce },
      )
      yield* Effect.forEach(runs, tellFailed)
      const sealed = yield* Effect.forEach([sealing.partitions(ids), sealing.computer], (part) => part)
      const unusable = sealed.flatMap(({ unusable }) => unusable)
      this.#invalid = unusable.map(({ path, reason }) => ({ path, reason }))
      this.#error = sealed.find(({ error }) => error !== undefined)?.error?.message
      yield* tellInvalid(this.#invalid, "left where they are")
      const { isMasterAway, isToRetry, sent } = yield* this.#deliver
      if (isToRetry) yield* Queue.offer(this.#parts.wakeUps, undefined)
      const entries = yield* Effect.orElseSucceed(ledger.entries, () => [])
      return {
        scripts: runs.reduce((sum, { scripts }) => sum + scripts, 0),
        failed: runs.flatMap(({ failed }) => failed),
        reports: sealed.reduce((sum, { reports }) => sum + reports, 0),
        invalid: this.#invalid,
        sent,
        pending: entries.map(pendingJournal),
        isMasterAway,
        error: this.#error,
      }
    }).pipe((work) => running.withPermit(work))
  }

  readonly seal = (id: PartitionId): Effect.Effect<void, UsageError> => {
    const { scripts, sealing, wakeUps } = this.#parts
    return Effect.gen({ self: this }, function* () {
      yield* tellFailed(yield* scripts.runLast(id))
      const sealed = yield* sealing.partitions([id])
      const why = obstacle(sealed)
      if (why !== undefined) return yield* new UsageError({ message: `the usage of ${id} cannot be kept: ${why}` })
      yield* tellInvalid(sealed.unusable, "removed with the partition")
      yield* this.#show
      yield* Queue.offer(wakeUps, undefined)
    })
  }

  get #deliver(): Effect.Effect<Delivered> {
    const { delivery, sending } = this.#parts
    return Effect.tap(sending.withPermit(delivery.deliver), this.#show)
  }

  #isSilent(id: PartitionId): Effect.Effect<boolean> {
    return Effect.map(this.#parts.board.get, ({ partitions }) => {
      const partition = partitions.find((one) => one.id === id)
      return partition !== undefined && silent.has(partition.state)
    })
  }

  /** Until then a report would be one of nobody. */
  get #partitionsKnown(): Effect.Effect<void> {
    const known = Stream.takeUntil(
      this.#parts.board.changes,
      ({ partitions, sync }) => partitions.length > 0 || sync.lastSuccess !== undefined,
    )
    return Stream.runDrain(known)
  }

  /** Waits for a time; gives the one that it became because the machine's clock was set. */
  #awaitTime(planned: number): Effect.Effect<number> {
    const { interval } = this.#parts
    return Effect.gen({ self: this }, function* () {
      let time = planned
      while (true) {
        const now = yield* Clock.currentTimeMillis
        if (!isPlausible(time, now, interval)) {
          time = firstReport(null, now, interval, yield* Random.next)
          yield* this.#plan(null, time)
        }
        if (now >= time) return time
        yield* Effect.sleep(Math.min(3_600_000, time - now))
      }
    })
  }

  #plan(lastReport: number | null, nextReport: number): Effect.Effect<void> {
    const { ledger } = this.#parts
    return Effect.gen({ self: this }, function* () {
      const known = lastReport ?? (yield* Effect.orElseSucceed(ledger.book, () => undefined))?.lastReport ?? null
      yield* Effect.catch(ledger.schedule({ lastReport: known, nextReport }), ({ message }) =>
        Effect.logWarning(`the next agent will not know when usage is due: ${message}`),
      )
      yield* this.#show
    })
  }

  readonly #show: Effect.Effect<void> = Effect.suspend(() => {
    const { board, ledger } = this.#parts
    return Effect.gen({ self: this }, function* () {
      const entries = yield* ledger.entries
      const { doubled, lastReport, nextReport } = yield* ledger.book
      yield* board.setUsage({
        lastReport: lastReport ?? undefined,
        nextReport: nextReport ?? undefined,
        pending: entries.map(pendingJournal),
        possiblyDoubled: doubled,
        invalid: this.#invalid,
        error: this.#error,
      })
    }).pipe(
      Effect.catch(({ message }) =>
        Effect.flatMap(board.get, ({ usage }) => board.setUsage({ ...usage, error: message })),
      ),
    )
  })
}

const onBoard: ReportOptions = { partitions: [], watch: () => Effect.void }

const noScripts: Effect.Effect<ScriptsRun> = Effect.succeed({ scripts: 0, failed: [] })

/** Why a partition may not be removed yet: what it has to report is not outside of it, but can be later. */
const obstacle = ({ error, unusable }: Sealed): string | undefined =>
  error?.message ?? unusable.find(({ canPass }) => canPass)?.reason

const tellFailed = ({ failed }: ScriptsRun): Effect.Effect<void> =>
  Effect.forEach(
    failed,
    ({ message, partition, script }) =>
      Effect.logWarning(`report script ${script} of ${partition} failed, see its .slapgrid/log/report.log: ${message}`),
    { discard: true },
  )

const tellInvalid = (invalid: ReadonlyArray<InvalidReport>, fate: string): Effect.Effect<void> => {
  if (invalid.length === 0) return Effect.void
  const named = invalid.slice(0, namedInLog).map(({ path, reason }) => `\n${path}: ${reason}`)
  const rest = invalid.length > namedInLog ? `\nand ${invalid.length - namedInLog} more` : ""
  return Effect.logWarning(`${invalid.length} files are no usage reports and ${fate}:${named.join("")}${rest}`)
}
