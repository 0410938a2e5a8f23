// From the reference to slapgrid on one machine. Without being told to, the node does not start beside it. Told to, it
// stops each group of the reference's supervisord when it is about to run that partition itself, and supervisord when
// nothing of it is left that the master names.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { NodeConfig } from "../../config/NodeConfig.ts"
import { judge, refusal } from "./findings.ts"
import { call, type CallFailure, groupsIn, lookForReference, systemCrontabs } from "./reference.ts"

/** The reference node is at work on this machine. */
export class ReferenceAtWork extends Schema.TaggedError<ReferenceAtWork>()("ReferenceAtWork", {
  message: Schema.String,
}) {}

export interface TakeOverOptions {
  readonly isTakeOver: boolean
  /** Files and directories with crontabs; the system's when missing. */
  readonly crontabs?: ReadonlyArray<string>
}

export class TakeOver extends Context.Service<
  TakeOver,
  {
    /** Whether programs of the partition run under another supervisor, as its user. */
    readonly isElsewhere: (id: string) => boolean
    /** Returns when nothing of the partition runs under another supervisor, however long that takes. */
    readonly partition: (id: string) => Effect.Effect<void>
    /** The partitions that the master names, at each of its answers. */
    readonly known: (ids: ReadonlyArray<string>) => Effect.Effect<void>
  }
>()("slapgrid/process/takeover/TakeOver") {
  static readonly layer = ({ crontabs = systemCrontabs, isTakeOver }: TakeOverOptions) =>
    Layer.effect(
      TakeOver,
      Effect.gen(function* () {
        const { instanceRoot, referencePidFiles } = yield* NodeConfig
        const facts = yield* lookForReference({ instanceRoot, pidFiles: referencePidFiles, crontabs })
        const message = refusal(judge(facts), isTakeOver)
        if (message !== undefined) return yield* new ReferenceAtWork({ message })
        const [socket] = facts.sockets
        return TakeOver.of(socket === undefined ? nothingToDo : yield* from(socket))
      }),
    )

  /** For a machine that never had the reference. */
  static readonly none = Layer.sync(TakeOver, () => TakeOver.of(nothingToDo))
}

const nothingToDo: TakeOver["Service"] = {
  isElsewhere: () => false,
  partition: () => Effect.void,
  known: () => Effect.void,
}

/** It would see its programs end and call the master for help. */
const watchdog = "watchdog"
const retryInterval = "5 seconds"

/** Tries until it succeeds; tells the first failure. */
const persistently = (what: string, effect: Effect.Effect<unknown, CallFailure>): Effect.Effect<void> => {
  let isTold = false
  return effect.pipe(
    Effect.tapError(({ message }) => {
      if (isTold) return Effect.void
      isTold = true
      return Effect.logError(`${what} failed and is tried again: ${message}`)
    }),
    Effect.retry(Schedule.spaced(retryInterval)),
    Effect.orDie,
    Effect.asVoid,
  )
}

const from = Effect.fnUntraced(function* (socket: string) {
  const left = new Set<string>()
  yield* persistently(
    "asking the reference's supervisord for its programs",
    Effect.map(call(socket, "supervisor.getAllProcessInfo"), (answer) => {
      for (const group of groupsIn(answer)) left.add(group)
    }),
  )
  yield* Effect.logInfo(`taking over from supervisord on ${socket}: ${[...left].join(", ")}`)
  let named: ReadonlyArray<string> | undefined
  let isOver = false
  // One after the other: supervisord does nothing else while it stops a group.
  const turn = yield* Semaphore.make(1)

  const stopGroup = (group: string) =>
    persistently(`stopping ${group} under supervisord`, call(socket, "supervisor.stopProcessGroup", group)).pipe(
      Effect.andThen(Effect.sync(() => left.delete(group))),
      Effect.andThen(Effect.logInfo(`${group} is taken over from supervisord`)),
    )
  if (left.has(watchdog)) yield* stopGroup(watchdog)

  /** When no partition that the master names is left there; what else it runs is stopped with it. */
  const finish = Effect.suspend(() => {
    if (isOver || named === undefined || named.some((id) => left.has(id))) return Effect.void
    isOver = true
    return persistently(
      "shutting supervisord down",
      Effect.catchIf(
        call(socket, "supervisor.shutdown"),
        // It is gone already.
        ({ isAnswer }) => !isAnswer,
        () => Effect.void,
      ),
    ).pipe(Effect.andThen(Effect.logInfo("the reference's supervisord is shut down: everything is taken over")))
  })

  return {
    isElsewhere: (id: string) => left.has(id),
    partition: (id: string) =>
      Effect.suspend(() => (left.has(id) ? stopGroup(id) : Effect.void)).pipe(
        Effect.andThen(finish),
        turn.withPermits(1),
      ),
    known: (ids: ReadonlyArray<string>) =>
      Effect.suspend(() => {
        named = ids
        return finish
      }).pipe(turn.withPermits(1)),
  }
})
