// One-shot passes: asks the master, gives the supervisor an order about what the pass is about, and tells what becomes
// of it. A pass goes on when nobody listens any more; two of one kind are not run at once.
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { DesiredState } from "../domain/DesiredState.ts"
import type { MasterStanding, NodeStatus } from "../domain/NodeStatus.ts"
import {
  contradictionIn,
  garbage,
  passEnd,
  type PassEvent,
  passKind,
  type PassOutcome,
  type PassRequest,
  passStatus,
  type Selection,
  selectSubjects,
  unusableOutcomes,
  type WorkRequest,
} from "../domain/Pass.ts"
import type { MasterError } from "../master/MasterError.ts"
import { md5Hex } from "../files/machine.ts"
import { StatusBoard } from "../report/StatusBoard.ts"
import { type ReportOptions, UsageReports } from "../report/usage/UsageReports.ts"
import { MasterSync, standingOf } from "./MasterSync.ts"
import { PassLog } from "./PassLog.ts"
import { invalidOutcomes, reportEnd, scriptsOutcome } from "./reportEnd.ts"

/** What the supervisor has to do for a pass. */
export interface PassOrder extends Selection {
  /** Grows with each pass. */
  readonly id: number
  readonly request: WorkRequest
  /** The master's answer that the pass is about. */
  readonly state: DesiredState
  /** Whether that is its word of now. */
  readonly standing: MasterStanding
  /** Called once for each release and partition, when its actor has nothing more to do. */
  readonly settle: (outcome: PassOutcome) => Effect.Effect<void>
}

export class Passes extends Context.Service<
  Passes,
  {
    /** For the supervisor. */
    readonly orders: Queue.Dequeue<PassOrder>
    /** Begins a pass; the last event is its end. */
    readonly begin: (request: PassRequest) => Effect.Effect<Stream.Stream<PassEvent>>
  }
>()("slapgrid/desired/Passes") {
  static readonly layer = Layer.effect(
    Passes,
    Effect.gen(function* () {
      const { ask, remembered, syncNow } = yield* MasterSync
      const board = yield* StatusBoard
      const usage = yield* UsageReports
      const fork = yield* FiberSet.makeRuntime<never, void, never>()
      const orders = yield* Queue.unbounded<PassOrder>()
      const underWay = new Set<string>()
      let passes = 0

      const order = Effect.fnUntraced(function* (
        request: WorkRequest,
        state: DesiredState,
        standing: MasterStanding,
        log: PassLog,
      ) {
        const selection = selectSubjects(request, state, ({ url }) => md5Hex(url))
        if (selection.problems.length > 0) return yield* refuse(log, selection.problems.join("\n"))
        const progress = new Progress(log, subjectsOf(request, selection))
        yield* log.put({ _tag: "Began", subjects: progress.subjects })
        // A check of promises changes nothing of what the board shows.
        if (request._tag !== "Promise") yield* Effect.forkScoped(Stream.runForEach(board.changes, progress.look))
        yield* Queue.offer(orders, { ...selection, id: ++passes, request, state, standing, settle: progress.settle })
        const unusable = unusableOutcomes(request, state.rejected)
        yield* Effect.forEach(unusable, (outcome) => log.put({ _tag: "Settled", ...outcome }), { discard: true })
        return [...(yield* progress.outcomes), ...unusable]
      }, Effect.scoped)

      const conduct = (request: WorkRequest, log: PassLog) =>
        Effect.matchEffect(Effect.retry(ask, whileCold), {
          onSuccess: (state) =>
            Effect.flatMap(order(request, state, "Answers", log), (outcomes) =>
              outcomes === undefined ? Effect.void : log.put(passEnd(outcomes)),
            ),
          // What should run does, as far as anybody knows.
          onFailure: (error) =>
            isMasterAway(error) && remembered !== undefined && request._tag !== "Software"
              ? Effect.flatMap(order(request, remembered, standingOf(error), log), (outcomes) =>
                  outcomes === undefined ? Effect.void : log.put(unanswered(error)),
                )
              : log.put(unanswered(error)),
        })

      const report = Effect.fnUntraced(function* (log: PassLog) {
        const answer = yield* Effect.result(Effect.retry(ask, whileCold))
        const wanted = answer._tag === "Success" ? answer.success : remembered
        const known = (yield* board.get).partitions.map(({ id }) => id)
        if (answer._tag === "Failure" && wanted === undefined && known.length === 0) {
          return yield* log.put(unanswered(answer.failure))
        }
        const partitions = (wanted?.partitions ?? []).flatMap(({ id, requested }) =>
          requested === "destroyed" ? [] : [id],
        )
        yield* log.put({ _tag: "Began", subjects: [...new Set([...known, ...partitions])] })
        const tell = (outcome: PassOutcome) => log.put({ _tag: "Settled", ...outcome })
        const watch: ReportOptions["watch"] = (id, scripts) => tell(scriptsOutcome(id, scripts))
        const outcome = yield* usage.run({ partitions, watch })
        yield* Effect.forEach(invalidOutcomes(outcome), tell, { discard: true })
        const away = answer._tag === "Failure" ? whyUnanswered(answer.failure) : undefined
        yield* log.put(reportEnd(outcome, away))
      })

      const run = (what: string, work: Effect.Effect<void, MasterError>, log: PassLog) =>
        work.pipe(
          Effect.catch((error) => log.put(unanswered(error))),
          Effect.catchDefect((defect) =>
            Effect.andThen(
              Effect.logError(`the ${what} failed`, defect),
              log.put(failed("the agent failed to carry it out: see its log")),
            ),
          ),
          Effect.annotateLogs({ actor: what }),
          fork,
        )

      const begin = (request: PassRequest) =>
        Effect.suspend(() => {
          const log = new PassLog()
          if (request._tag === "Sync") {
            // Nothing between the two: it is one question.
            const sync = Effect.andThen(syncNow, ask)
            run("sync", Effect.andThen(sync, log.put(passEnd([]))), log)
            return Effect.succeed(log.events)
          }
          const contradiction = contradictionIn(request)
          if (contradiction !== undefined) return Effect.as(refuse(log, contradiction), log.events)
          const kind = passKind(request)
          if (underWay.has(kind)) return Effect.as(log.put(alreadyUnderWay(kind)), log.events)
          underWay.add(kind)
          const work = Effect.ensuring(
            request._tag === "Report" ? report(log) : conduct(request, log),
            Effect.sync(() => underWay.delete(kind)),
          )
          run(`${kind} pass`, work, log)
          return Effect.succeed(log.events)
        })
      return Passes.of({ orders, begin })
    }),
  )
}

/** A master whose cache is cold says so once and answers seconds later (slap-protocol.md): that is no outage. */
const whileCold = {
  schedule: Schedule.spaced("2 seconds"),
  times: 3,
  while: ({ reason }: MasterError) => reason === "Unavailable",
}

const failed = (message: string): PassEvent => ({ _tag: "Ended", status: passStatus.failed, message })

const refuse = (log: PassLog, problem: string) => Effect.asVoid(log.put(failed(`nothing is done: ${problem}`)))

const alreadyUnderWay = (kind: string): PassEvent => ({
  _tag: "Ended",
  status: passStatus.alreadyRunning,
  message: `another ${kind} pass is under way: wait for its end`,
})

/** Whether there is no word of the master, for whatever reason; anything else is nobody's weather. */
const isMasterAway = ({ reason }: MasterError): boolean =>
  ["Unreachable", "Unavailable", "NotReady", "Unauthorised"].includes(reason)

const lackOf = (error: MasterError): string => {
  if (error.reason === "Unauthorised") return "the master refuses this computer"
  return isMasterAway(error) ? "the master is away" : "no usable answer"
}

const whyUnanswered = (error: MasterError): string => `${lackOf(error)}: ${error.message}`

/** No answer to work from. What runs goes on in any case. */
const unanswered = (error: MasterError): PassEvent => {
  const status = isMasterAway(error) ? passStatus.masterAway : passStatus.failed
  const message = `${lackOf(error)}, nothing is processed and what runs goes on: ${error.message}`
  return { _tag: "Ended", status, message }
}

const subjectsOf = (request: WorkRequest, { partitions, software }: Selection): ReadonlyArray<string> => [
  ...software.map(({ url }) => url),
  ...partitions.map(({ id }) => id),
  ...(request._tag === "Software" && request.collectsGarbage ? [garbage] : []),
]

/** Follows what a pass is about, on the board until it is settled. */
class Progress {
  readonly #log: PassLog
  readonly #outcomes: ReadonlyMap<string, Deferred.Deferred<PassOutcome>>
  readonly #told = new Map<string, string>()

  constructor(log: PassLog, subjects: ReadonlyArray<string>) {
    this.#log = log
    this.#outcomes = new Map(subjects.map((subject) => [subject, Deferred.makeUnsafe()]))
  }

  get subjects(): ReadonlyArray<string> {
    return [...this.#outcomes.keys()]
  }

  get outcomes(): Effect.Effect<ReadonlyArray<PassOutcome>> {
    return Effect.forEach([...this.#outcomes.values()], (outcome) => Deferred.await(outcome))
  }

  readonly settle = (outcome: PassOutcome): Effect.Effect<void> =>
    Effect.suspend(() => {
      const settled = this.#outcomes.get(outcome.subject)
      if (settled === undefined || Deferred.isDoneUnsafe(settled)) return Effect.void
      // In this order: the last outcome is the end of the pass.
      return Effect.andThen(this.#log.put({ _tag: "Settled", ...outcome }), Deferred.succeed(settled, outcome))
    })

  readonly look = ({ partitions, software }: NodeStatus): Effect.Effect<void> =>
    Effect.forEach(
      [
        ...partitions.map(({ id, state }) => ({ subject: id, state })),
        ...software.map(({ part, state, url }) => ({
          subject: url,
          state: part === undefined ? state : `${state}: ${part}`,
        })),
      ],
      (news) => {
        const outcome = this.#outcomes.get(news.subject)
        const isTold = this.#told.get(news.subject) === news.state
        if (outcome === undefined || Deferred.isDoneUnsafe(outcome) || isTold) return Effect.void
        this.#told.set(news.subject, news.state)
        return this.#log.put({ _tag: "Progress", ...news })
      },
      { discard: true },
    )
}
