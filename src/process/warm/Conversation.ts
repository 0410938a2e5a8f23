// The lines that go between the agent and one helper process. Whatever the helper says that it must not, or fails to
// say in time, ends it: then everybody who waits for it is told why.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ChildProcess } from "node:child_process"
import { decodeMessage, type End, maxLine, type Recipes, type RunRequest } from "./protocol.ts"

/** The helper did not do what it is for. What was asked of it can be done without. */
export class HelperError extends Schema.TaggedError<HelperError>()("HelperError", {
  /** Whether it is of no more use, or only this once. */
  isBroken: Schema.Boolean,
  message: Schema.String,
}) {}

/** Milliseconds to import everything, on a busy machine; to fork; and to import recipes, after an attempt of a minute. */
const patience = { start: 60_000, fork: 20_000, preload: 120_000 }
const complaintSize = 4096

interface Run {
  readonly forked: Deferred.Deferred<number, HelperError>
  readonly ended: Deferred.Deferred<End, HelperError>
}

export class Conversation {
  readonly #child: ChildProcess
  /** It can take what is to be read before it begins. */
  readonly entered = Deferred.makeUnsafe<void, HelperError>()
  readonly ready = Deferred.makeUnsafe<void, HelperError>()
  readonly gone = Deferred.makeUnsafe<HelperError>()
  /** Seconds of processor time that the run took which ended last. */
  cost = 0
  readonly #runs = new Map<number, Run>()
  #preloading: Deferred.Deferred<string | undefined, HelperError> | undefined
  readonly #watchdogs = new Set<NodeJS.Timeout>()
  #lastId = 0
  #rest = ""
  #complaint = ""

  constructor(child: ChildProcess) {
    this.#child = child
    this.#within(patience.start, this.ready, "it was not ready")
    child.stdin?.on("error", () => undefined)
    child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#receive(text))
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-complaintSize)
    })
    child.once("error", (cause) => this.#lost(cause.message))
    // After the last of what it said.
    child.once("close", (code, signal) => this.#lost(signal ?? `exit status ${code}`))
  }

  /** Lets it begin: what was read by then is what it needed. */
  begin(): void {
    this.#child.stdin?.write("go\n")
  }

  /** Asks for a child; it waits until it is let go. */
  ask(request: RunRequest): { readonly id: number } & Run {
    const id = ++this.#lastId
    const run: Run = { forked: Deferred.makeUnsafe(), ended: Deferred.makeUnsafe() }
    const lost = Deferred.isDoneUnsafe(this.gone)
    if (lost) Deferred.doneUnsafe(run.forked, Effect.flatMap(Deferred.await(this.gone), Effect.fail))
    else {
      this.#runs.set(id, run)
      this.#within(patience.fork, run.forked, "it did not fork")
      this.#child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`)
    }
    return { id, ...run }
  }

  /**
   * Has it import recipes for all forks to come; gives why it has not. Those that were `tried` by an earlier one hold up
   * its work only as long as that takes, and break it when they fail.
   */
  preload(recipes: Recipes, areTried: boolean): Deferred.Deferred<string | undefined, HelperError> {
    const preloading = Deferred.makeUnsafe<string | undefined, HelperError>()
    if (Deferred.isDoneUnsafe(this.gone)) {
      Deferred.doneUnsafe(preloading, Effect.flatMap(Deferred.await(this.gone), Effect.fail))
    } else {
      this.#preloading = preloading
      this.#within(patience.preload, preloading, "it did not import recipes")
      this.#child.stdin?.write(`${JSON.stringify({ preload: recipes, tried: areTried })}\n`)
    }
    return preloading
  }

  letGo(id: number): void {
    this.#child.stdin?.write(`${JSON.stringify({ go: id })}\n`)
  }

  /** It ends by itself, with what runs for it. */
  close(): void {
    this.#child.stdin?.end()
  }

  #within<A, E>(milliseconds: number, deferred: Deferred.Deferred<A, E>, what: string): void {
    const watchdog = setTimeout(() => {
      this.#watchdogs.delete(watchdog)
      if (!Deferred.isDoneUnsafe(deferred)) this.#break(`${what} within ${milliseconds / 1000} s`)
    }, milliseconds)
    watchdog.unref()
    this.#watchdogs.add(watchdog)
  }

  #receive(text: string): void {
    const lines = (this.#rest + text).split("\n")
    this.#rest = lines.pop() ?? ""
    if (this.#rest.length > maxLine) return this.#break("it said too much")
    for (const line of lines) {
      // The shell's, which waits in the new namespace.
      if (line === "" && !Deferred.isDoneUnsafe(this.entered)) Deferred.doneUnsafe(this.entered, Effect.void)
      else this.#understand(line)
    }
  }

  #understand(line: string): void {
    const decoded = decodeMessage(line)
    if (Result.isFailure(decoded)) return this.#break(`it said ${line.slice(0, 200)}`)
    const message = decoded.success
    if ("ready" in message) return void Deferred.doneUnsafe(this.ready, Effect.void)
    if ("preloaded" in message)
      return this.#imported(message.preloaded ? undefined : (message.why ?? "no reason given"))
    const id = "end" in message ? message.end : message.id
    const run = this.#runs.get(id)
    if (run === undefined) return this.#break(`it told of run ${id}, which nobody asked for`)
    if ("pid" in message) return void Deferred.doneUnsafe(run.forked, Effect.succeed(message.pid))
    this.#runs.delete(id)
    this.cost = message.seconds ?? 0
    const error = new HelperError({ isBroken: false, message: `cannot ${message.step ?? "run"}: ${message.why ?? ""}` })
    Deferred.doneUnsafe(run.forked, Effect.fail(error))
    Deferred.doneUnsafe(run.ended, message.step === undefined ? Effect.succeed(message) : Effect.fail(error))
  }

  #imported(whyNot: string | undefined): void {
    const preloading = this.#preloading
    if (preloading === undefined) return this.#break("it told of recipes that nobody asked for")
    // First: who waits for it goes on at once.
    this.#preloading = undefined
    Deferred.doneUnsafe(preloading, Effect.succeed(whyNot))
  }

  #break(why: string): void {
    this.#lost(why)
    this.#child.kill("SIGKILL")
  }

  #lost(how: string): void {
    for (const watchdog of this.#watchdogs) clearTimeout(watchdog)
    this.#watchdogs.clear()
    const complaint = this.#complaint === "" ? "" : `:\n${this.#complaint.trimEnd()}`
    const error = new HelperError({ isBroken: true, message: `${how}${complaint}` })
    Deferred.doneUnsafe(this.gone, Effect.succeed(error))
    Deferred.doneUnsafe(this.entered, Effect.fail(error))
    Deferred.doneUnsafe(this.ready, Effect.fail(error))
    if (this.#preloading !== undefined) Deferred.doneUnsafe(this.#preloading, Effect.fail(error))
    for (const { ended, forked } of this.#runs.values()) {
      Deferred.doneUnsafe(forked, Effect.fail(error))
      Deferred.doneUnsafe(ended, Effect.fail(error))
    }
    this.#runs.clear()
  }
}
