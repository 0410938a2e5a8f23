// The end of one supervisord of the reference, group by group. Every step can fail and be tried again: what a group's
// partition waits for is that nothing of it runs there any more, whoever stopped it.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { processFacts } from "../procfs.ts"
import { type LiveSupervisord, watchdogGroup } from "./search.ts"
import type { SupervisedProgram, SupervisordError } from "./Supervisord.ts"

export class TakeoverError extends Schema.TaggedError<TakeoverError>()("TakeoverError", {
  group: Schema.String,
  message: Schema.String,
}) {}

/** supervisord kills what has not ended after a minute in the reference; then something is wrong there. */
const groupPatience = "5 minutes"
const lookInterval = "100 millis"
const retryInterval = "10 seconds"

/**
 * Whether one of the groups is still to be taken over. What the master does not name has nobody who would take it over;
 * before its first answer (`named` is undefined) anybody can still come. Pure.
 */
export const isAwaited = (groups: ReadonlySet<string>, named: ReadonlySet<string> | undefined): boolean =>
  named === undefined ? groups.size > 0 : [...groups].some((group) => named.has(group))

type Programs = Effect.Effect<ReadonlyArray<SupervisedProgram>, SupervisordError>

const shown = ({ name, pid }: SupervisedProgram): string => `${name} (pid ${pid})`

export class Succession {
  readonly #live: LiveSupervisord
  /** Groups that it may still run. */
  readonly #left: Set<string>
  /** Done when it can be ended. */
  readonly #isOver = Deferred.makeUnsafe<void>()
  readonly #watchdogTurn = Semaphore.makeUnsafe(1)
  /** One look for all who wait: a list of thousands takes supervisord a while. */
  readonly #programs: Programs
  /** With start times, by which they are known should supervisord die before them. */
  readonly #known: ReadonlyArray<SupervisedProgram & { readonly startTime: string | undefined }>
  #named: ReadonlySet<string> | undefined
  #isWatchdogSilent = false
  #isGone = false

  private constructor(live: LiveSupervisord, programs: Programs) {
    this.#live = live
    this.#programs = programs
    this.#left = new Set(live.programs.map(({ group }) => group).filter((group) => group !== watchdogGroup))
    this.#known = live.programs.map((one) => ({ ...one, startTime: processFacts(one.pid)?.startTime }))
  }

  /** Begins; ends the supervisord in the background of the Scope when nothing of it is wanted any more. */
  static readonly begin = Effect.fnUntraced(function* (live: LiveSupervisord) {
    const programs = yield* Effect.cachedWithTTL(live.supervisord.programs, lookInterval)
    const succession = new Succession(live, programs)
    const groups = [...succession.#left].join(", ")
    yield* Effect.logInfo(`taking over from ${succession.#name}: ${groups === "" ? "it has no programs" : groups}`)
    yield* Effect.addFinalizer(() => succession.#tellRest)
    yield* Effect.forkScoped(Effect.annotateLogs(succession.#finish, { actor: "take-over" }))
    succession.#look()
    return succession
  })

  get #name(): string {
    return `supervisord (pid ${this.#live.pid})`
  }

  isForeign(group: string): boolean {
    return this.#left.has(group)
  }

  follow(named: ReadonlyArray<string>): void {
    this.#named = new Set(named)
    this.#look()
  }

  release(group: string): Effect.Effect<void, TakeoverError> {
    return Effect.suspend(() => {
      if (!this.#left.has(group)) return Effect.void
      return Effect.andThen(
        this.#stop(group),
        Effect.logInfo(`${group} is taken over: ${this.#name} runs nothing of it any more`),
      )
    })
  }

  #look(): void {
    if (!isAwaited(this.#left, this.#named)) Deferred.doneUnsafe(this.#isOver, Effect.void)
  }

  #stop(group: string): Effect.Effect<void, TakeoverError> {
    const stop = Effect.gen({ self: this }, function* () {
      // It would bang for each of the programs.
      yield* this.#silenceWatchdog
      yield* Effect.logInfo(`stopping the programs of ${group} under ${this.#name}`)
      yield* this.#live.supervisord.stopGroup(group)
      yield* this.#awaitEnd(group)
    })
    return stop.pipe(
      Effect.catchTag("SupervisordError", (error) => this.#afterFailure(group, error.message)),
      Effect.andThen(
        Effect.sync(() => {
          this.#left.delete(group)
          this.#look()
        }),
      ),
    )
  }

  get #silenceWatchdog() {
    return this.#watchdogTurn.withPermits(1)(
      Effect.gen({ self: this }, function* () {
        if (this.#isWatchdogSilent) return
        yield* this.#live.supervisord.stopGroup(watchdogGroup)
        yield* this.#awaitEnd(watchdogGroup)
        this.#isWatchdogSilent = true
      }),
    )
  }

  #awaitEnd(group: string): Effect.Effect<void, SupervisordError | TakeoverError> {
    let running: ReadonlyArray<SupervisedProgram> = []
    const programs = this.#programs
    const look = Effect.gen(function* () {
      while (true) {
        running = (yield* programs).filter((one) => one.group === group && one.pid !== 0)
        if (running.length === 0) return
        yield* Effect.sleep(lookInterval)
      }
    })
    return Effect.timeoutOrElse(look, {
      duration: groupPatience,
      orElse: () =>
        new TakeoverError({
          group,
          message: `${this.#name} was told to stop ${group}, and after ${groupPatience} it still runs ${running.map(shown).join(", ")}`,
        }),
    })
  }

  /** A supervisord that is gone has stopped its programs, unless it was killed. */
  #afterFailure(group: string, why: string): Effect.Effect<void, TakeoverError> {
    return Effect.suspend(() => {
      if (this.#isAlive) {
        return new TakeoverError({ group, message: `${group} cannot be taken over from ${this.#name}: ${why}` })
      }
      const orphans = this.#known.filter(
        (one) => one.group === group && one.startTime !== undefined && isThere(one.pid, one.startTime),
      )
      if (orphans.length === 0) return Effect.void
      return new TakeoverError({
        group,
        message: `${this.#name} has died and left programs of ${group} running: end ${orphans.map(shown).join(", ")}`,
      })
    })
  }

  get #isAlive(): boolean {
    const { pid, startTime } = this.#live
    return startTime !== undefined && isThere(pid, startTime)
  }

  /** Ends supervisord once nothing in it is wanted. */
  get #finish(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      yield* Deferred.await(this.#isOver)
      if (this.#left.size > 0) {
        yield* Effect.logWarning(`nobody wants ${[...this.#left].join(", ")}: what runs there ends with ${this.#name}`)
      }
      yield* Effect.logInfo(`${this.#name} has nothing more to run and is ended`)
      let told = ""
      const tell = ({ message }: { readonly message: string }) =>
        Effect.andThen(
          told === message ? Effect.void : Effect.logError(`${message}; it is tried again`),
          Effect.sync(() => void (told = message)),
        )
      yield* this.#end.pipe(Effect.tapError(tell), Effect.retry(Schedule.spaced(retryInterval)), Effect.orDie)
      this.#isGone = true
      yield* Effect.logInfo(`${this.#name} has ended: slapgrid runs this node alone`)
    })
  }

  get #end(): Effect.Effect<void, SupervisordError | TakeoverError> {
    return Effect.gen({ self: this }, function* () {
      // All at once: by itself it would stop them one after the other.
      yield* Effect.forEach([...this.#left], (group) => this.#stop(group), { concurrency: "unbounded" })
      yield* Effect.catch(this.#live.supervisord.shutdown, (error) => (this.#isAlive ? error : Effect.void))
      while (this.#isAlive) yield* Effect.sleep(lookInterval)
    })
  }

  /** What the end of the agent leaves as it is. */
  get #tellRest(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#isGone || this.#left.size === 0
        ? Effect.void
        : Effect.logWarning(`${this.#name} runs on with ${[...this.#left].join(", ")}`),
    )
  }
}

const isThere = (pid: number, startTime: string): boolean => {
  const facts = processFacts(pid)
  return facts !== undefined && facts.startTime === startTime && facts.state !== "Z"
}
