// The one process that all plugins of a partition share during a check: made when the first one is to run, and again
// when it was lost. What runs in it is the partition's user's, so nothing that it says is more than a claim about itself.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Launcher } from "../process/launcher/Launcher.ts"
import { type Dialogue, dialogueWith } from "../process/pipes.ts"
import type { Command, Spawner } from "../process/Spawner.ts"
import { ordinaryTraits, periodOf, type PromiseTraits } from "./cache.ts"
import { boundMessage, type CheckMode } from "./results.ts"
import { pluginsSource } from "./source.ts"
import type { PromiseOutcome } from "./verdict.ts"

/** Milliseconds for the imports of a large release on a slow disk. */
const importLimit = 60_000
/** Milliseconds beyond a plugin's limit after which its process is taken for lost with all that it runs. */
const grace = 5_000
/** Bytes that it may say for each plugin. */
const lineLimit = 64 * 1024

const Said = Schema.Union([
  Schema.Struct({ ready: Schema.Literal(true) }),
  Schema.Struct({ fatal: Schema.String }),
  Schema.Struct({
    end: Schema.String,
    seconds: Schema.Finite,
    timedOut: Schema.optional(Schema.Boolean),
    problem: Schema.optional(Schema.String),
    about: Schema.optional(
      Schema.Struct({
        isTested: Schema.Boolean,
        isAnomalyDetected: Schema.Boolean,
        periodicity: Schema.Finite,
        bangs: Schema.Boolean,
      }),
    ),
    result: Schema.optional(
      Schema.Struct({ type: Schema.String, failed: Schema.Boolean, message: Schema.NullOr(Schema.String) }),
    ),
  }),
])
type Ended = Extract<typeof Said.Type, { readonly end: string }>

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Said))

export interface PluginRun {
  readonly outcome: PromiseOutcome
  readonly traits: PromiseTraits
  /** Seconds; undefined when that is not known. */
  readonly seconds: number | undefined
}

export interface PluginOptions {
  readonly launcher: Launcher["Service"]
  readonly spawner: Spawner["Service"]
  /** As whom, where and with what it runs. */
  readonly command: Omit<Command, "argv" | "input" | "output" | "timeout">
  /** Python of the partition's release. */
  readonly interpreter: string
  /** Where the plugins are. */
  readonly folder: string
  readonly plugins: ReadonlyArray<string>
  /** What plugins are constructed with. */
  readonly arguments: Readonly<Record<string, string | number | boolean | null>>
  /** Milliseconds for each. */
  readonly timeout: number
}

/** Reads its own program from standard input, so that nothing of it stands in the process list. */
const bootstrap = `
import os, sys
size, program = int(sys.argv[1]), b""
while len(program) < size:
    piece = os.read(0, size - len(program))
    if not piece:
        os._exit(0)
    program += piece
exec(compile(program, "slapgrid-promises", "exec"))
`.trim()

/** The process is gone, or cannot be had. */
class HostLost extends Schema.TaggedError<HostLost>()("HostLost", { message: Schema.String }) {}

/** One life of the process. */
class Session {
  readonly scope: Scope.Closeable
  readonly ready = Deferred.makeUnsafe<void, HostLost>()
  readonly #waiting = new Map<string, Deferred.Deferred<Ended, HostLost>>()
  #dialogue: Dialogue | undefined
  #why: string | undefined
  /** What it said that nobody understands: what Python itself has to say. */
  #complaint = ""

  constructor(scope: Scope.Closeable) {
    this.scope = scope
  }

  get isOpen(): boolean {
    return this.#why === undefined
  }

  begin(dialogue: Dialogue): void {
    this.#dialogue = dialogue
  }

  hear(line: string): void {
    const said = decode(line)
    if (Result.isFailure(said)) this.#complaint = line.slice(0, 500)
    else if ("fatal" in said.success) this.lose(said.success.fatal)
    else if ("ready" in said.success) Deferred.doneUnsafe(this.ready, Effect.void)
    else {
      const { end } = said.success
      const ended = this.#waiting.get(end)
      this.#waiting.delete(end)
      if (ended !== undefined) Deferred.doneUnsafe(ended, Effect.succeed(said.success))
    }
  }

  lose(why: string): void {
    this.#why ??= this.#complaint === "" ? why : `${why}: ${this.#complaint}`
    const lost = Effect.fail(this.#lost(this.#why))
    Deferred.doneUnsafe(this.ready, lost)
    for (const ended of this.#waiting.values()) Deferred.doneUnsafe(ended, lost)
    this.#waiting.clear()
  }

  #lost(message: string): HostLost {
    return new HostLost({ message })
  }

  ask(name: string, mode: CheckMode): Effect.Effect<Ended, HostLost> {
    return Effect.suspend(() => {
      if (this.#why !== undefined) return this.#lost(this.#why)
      const ended = Deferred.makeUnsafe<Ended, HostLost>()
      this.#waiting.set(name, ended)
      this.#dialogue?.say(JSON.stringify({ run: name, anomaly: mode === "Anomaly" }))
      return Deferred.await(ended)
    })
  }

  /** Ends it with all that it runs. */
  end(why: string): Effect.Effect<void> {
    this.lose(why)
    return Scope.close(this.scope, Exit.void)
  }
}

export class PluginHost {
  readonly #options: PluginOptions
  readonly #scope: Scope.Scope
  readonly #opening = Semaphore.makeUnsafe(1)
  readonly #alone = Semaphore.makeUnsafe(1)
  #session: Session | undefined
  /** Why there is no use in making another one. */
  #fatal: string | undefined

  /** Its processes end with the Scope. */
  constructor(options: PluginOptions, scope: Scope.Scope) {
    this.#options = options
    this.#scope = scope
  }

  run(name: string, mode: CheckMode): Effect.Effect<PluginRun> {
    const broken = ({ message }: HostLost) =>
      Effect.succeed(withoutTraits({ _tag: "Broken", problem: boundMessage(message) }))
    return Effect.gen({ self: this }, function* () {
      const session = yield* this.#opening.withPermit(this.#current)
      // Which of those that ran ended the process is not known: each runs once more, by itself.
      return yield* Effect.catch(this.#ask(session, name, mode), () =>
        this.#alone.withPermit(this.#askAlone(name, mode)),
      )
    }).pipe(Effect.catch(broken))
  }

  #ask(session: Session, name: string, mode: CheckMode): Effect.Effect<PluginRun, HostLost> {
    const { timeout } = this.#options
    return session.ask(name, mode).pipe(
      Effect.map((ended) => toRun(ended, timeout)),
      Effect.timeoutOrElse({
        duration: timeout + grace,
        orElse: () =>
          Effect.as(
            session.end(`${name} could not be ended alone`),
            withoutTraits({ _tag: "TimedOut", limit: timeout }),
          ),
      }),
    )
  }

  #askAlone(name: string, mode: CheckMode): Effect.Effect<PluginRun, HostLost> {
    return Effect.acquireUseRelease(
      this.#open,
      (session) => this.#ask(session, name, mode),
      (session) => session.end("it is not needed any more"),
    )
  }

  get #current(): Effect.Effect<Session, HostLost> {
    return Effect.suspend(() => {
      if (this.#fatal !== undefined) return new HostLost({ message: this.#fatal })
      if (this.#session?.isOpen === true) return Effect.succeed(this.#session)
      return Effect.tap(this.#open, (session) => Effect.sync(() => void (this.#session = session)))
    })
  }

  get #open(): Effect.Effect<Session, HostLost> {
    return Effect.gen({ self: this }, function* () {
      const session = new Session(yield* Scope.fork(this.#scope))
      yield* this.#start(session).pipe(Scope.provide(session.scope))
      yield* Effect.timeoutOrElse(Deferred.await(session.ready), {
        duration: importLimit,
        orElse: () =>
          Effect.andThen(
            session.end("its imports hang"),
            Effect.fail(
              new HostLost({ message: `slapos.grid.promise was not imported within ${importLimit / 1000} s` }),
            ),
          ),
      })
      return session
    }).pipe(Effect.tapError(({ message }) => Effect.sync(() => void (this.#fatal = message))))
  }

  #start(session: Session) {
    const { command, interpreter, launcher, plugins, spawner } = this.#options
    return Effect.gen({ self: this }, function* () {
      const dialogue = yield* dialogueWith(launcher, {
        owner: command.credentials,
        limit: (plugins.length + 1) * lineLimit,
        onLine: (line) => session.hear(line),
      }).pipe(Effect.mapError(({ message }) => new HostLost({ message })))
      session.begin(dialogue)
      const argv = [interpreter, "-c", bootstrap, String(pluginsSource.length)] as const
      yield* spawner.run({ ...command, argv, input: dialogue.input, output: dialogue.output, timeout: undefined }).pipe(
        Effect.match({
          onFailure: (error) => error.message.replace(error.command, interpreter),
          onSuccess: () => `${interpreter} ended`,
        }),
        Effect.flatMap((why) =>
          Effect.andThen(
            dialogue.drained,
            Effect.sync(() => session.lose(why)),
          ),
        ),
        Effect.forkScoped,
      )
      dialogue.say(pluginsSource + JSON.stringify(this.#config))
    })
  }

  get #config() {
    const { arguments: words, folder, plugins, timeout } = this.#options
    return { folder, plugins, arguments: words, timeout: timeout / 1000 }
  }
}

const withoutTraits = (outcome: PromiseOutcome): PluginRun => ({ outcome, traits: ordinaryTraits, seconds: undefined })

const toRun = (ended: Ended, limit: number): PluginRun => {
  const { about, seconds } = ended
  const traits =
    about === undefined
      ? ordinaryTraits
      : {
          isTested: about.isTested,
          isAnomalyDetected: about.isAnomalyDetected,
          period: periodOf(about.periodicity),
        }
  return { outcome: outcomeOf(ended, limit), traits, seconds }
}

const outcomeOf = ({ about, problem, result, timedOut }: Ended, limit: number): PromiseOutcome => {
  if (result !== undefined) {
    const { failed, type } = result
    if (type === "Empty Result") return { _tag: "Silent" }
    if (type !== "Test Result" && type !== "Anomaly Result") {
      return { _tag: "Broken", problem: `its result is a ${type.slice(0, 50)}` }
    }
    const message = boundMessage(result.message ?? "")
    return { _tag: "Told", type, hasFailed: failed, message, bangs: about?.bangs ?? true }
  }
  if (timedOut === true) return { _tag: "TimedOut", limit }
  return { _tag: "Broken", problem: boundMessage(problem ?? "it gave no result") }
}
