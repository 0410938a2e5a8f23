// One launcher process and the conversation with it. Everything that is asked gets an answer: from the launcher, or
// because the launcher has ended.
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, constants, existsSync, openSync } from "node:fs"
import * as os from "node:os"
import type { ExitStatus } from "../../domain/ExitStatus.ts"
import { inheritedEnvironment } from "../../files/machine.ts"
import { type Answer, type End, exitStatusOf, failureOf, type Request } from "./protocol.ts"
import { launcherSource } from "./source.ts"

const { O_NONBLOCK, O_RDONLY, O_WRONLY } = constants

/** Descriptors of the agent's. */
export interface PipeEnds {
  readonly reader: number
  readonly writer: number
}

/** Why the launcher did not do what it was asked for. */
export class LaunchError extends Schema.TaggedError<LaunchError>()("LaunchError", {
  /** Of the step that failed: errno(3); 0 when nothing was tried. */
  errno: Schema.Int,
  message: Schema.String,
}) {}

/** The launcher has ended: how what it started ends is told by nobody. */
export class LauncherLost extends Schema.TaggedError<LauncherLost>()("LauncherLost", {}) {}

export interface Reply {
  readonly answer: Answer
  /** How the process that was started ends. */
  readonly exit: Effect.Effect<ExitStatus, LauncherLost>
}

/** The system's own Python: one that is first in the PATH can be a wrapper, or somebody's. */
const systemPython = "/usr/bin/python3"
/** Milliseconds after which a start is given up: it hangs in the kernel. */
const patience = 10_000
const complaintSize = 4096

const launch = (): ChildProcess => {
  const python = existsSync(systemPython) ? systemPython : "python3"
  const words = ["-X", "utf8", "-I", "-S", "-c", "exec(open(3).read())", "slapgrid-launcher", `${process.pid}`]
  const child = spawn(python, words, {
    cwd: "/",
    // ld.so(8): each fork of it would look up anew what it calls first.
    env: { PATH: inheritedEnvironment()["PATH"], LD_BIND_NOW: "1" },
    // Not in the terminal's foreground group: an interrupt is for the agent, which then ends everything in order.
    detached: true,
    stdio: ["pipe", "pipe", "pipe", "pipe"],
  })
  const program = child.stdio[3]
  if (program instanceof Object && "end" in program) program.on("error", () => undefined).end(launcherSource)
  return child
}

export class Connection {
  readonly #child: ChildProcess
  readonly #onLost: (why: string) => void
  readonly #asked = new Map<number, (reply: Effect.Effect<Reply, LaunchError>) => void>()
  readonly #ends = new Map<number, Deferred.Deferred<ExitStatus, LauncherLost>>()
  #lastId = 0
  #rest = ""
  #complaint = ""
  #isOpen = true

  /** `onLost` is told why the launcher ended before it was asked to. */
  constructor(onLost: (why: string) => void) {
    this.#onLost = onLost
    this.#child = launch()
    this.#child.stdin?.on("error", () => undefined)
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#receive(text))
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-complaintSize)
    })
    this.#child.once("error", (cause) => this.#lost(cause.message))
    // After the last of what it said.
    this.#child.once("close", (code, signal) => this.#lost(signal ?? `exit status ${code}`))
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** The launcher ends by itself, and with it what dies with the agent. */
  close(): void {
    this.#isOpen = false
    this.#child.stdin?.end()
    this.#child.unref()
  }

  ask(request: Request): Effect.Effect<Reply, LaunchError> {
    return Effect.callback((resume) => Effect.sync(this.#send(request, resume)))
  }

  /** Calls back once; gives what forgets the request. */
  #send(request: Request, callback: (reply: Effect.Effect<Reply, LaunchError>) => void): () => void {
    const id = ++this.#lastId
    const forget = () => {
      clearTimeout(overdue)
      this.#asked.delete(id)
    }
    const answer = (reply: Effect.Effect<Reply, LaunchError>) => {
      forget()
      callback(reply)
    }
    // Node's own timer: a race of fibers for each start is a tenth of what starting costs.
    const overdue = setTimeout(
      () => answer(new LaunchError({ errno: 0, message: `nothing came of it within ${patience / 1000} s` })),
      patience,
    )
    this.#asked.set(id, answer)
    this.#child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`)
    return forget
  }

  /** To the group that a process leads, unless it has ended; false when the launcher is gone. */
  signal(pid: number, signal: NodeJS.Signals): boolean {
    if (this.#isOpen) this.#child.stdin?.write(`${JSON.stringify({ pid, signal: os.constants.signals[signal] })}\n`)
    return this.#isOpen
  }

  /** Opens both ends of a new pipe: the launcher made it, and only the agent has it afterwards. */
  get pipe(): Effect.Effect<PipeEnds, LaunchError> {
    return Effect.flatMap(this.ask({ pipe: true }), ({ answer: { reader = -1, writer = -1 } }) =>
      Effect.try({
        try: () => this.#openPipe(reader, writer),
        catch: (cause) => new LaunchError({ errno: 0, message: `cannot open a pipe: ${String(cause)}` }),
      }),
    ).pipe(Effect.uninterruptible)
  }

  #openPipe(reader: number, writer: number): PipeEnds {
    const open = (fd: number, flags: number) => openSync(`/proc/${this.#child.pid}/fd/${fd}`, flags | O_NONBLOCK)
    try {
      const from = open(reader, O_RDONLY)
      try {
        return { reader: from, writer: open(writer, O_WRONLY) }
      } catch (cause) {
        closeSync(from)
        throw cause
      }
    } finally {
      if (this.#isOpen) this.#child.stdin?.write(`${JSON.stringify({ close: [reader, writer] })}\n`)
    }
  }

  #receive(text: string): void {
    const lines = (this.#rest + text).split("\n")
    this.#rest = lines.pop() ?? ""
    for (const line of lines) {
      const message: Answer | End = JSON.parse(line)
      if ("end" in message) this.#ended(message)
      else this.#answered(message)
    }
  }

  #ended(end: End): void {
    const deferred = this.#ends.get(end.end)
    this.#ends.delete(end.end)
    if (deferred !== undefined) Deferred.doneUnsafe(deferred, Effect.succeed(exitStatusOf(end)))
  }

  #answered(answer: Answer): void {
    const resume = this.#asked.get(answer.id)
    const failure = failureOf(answer)
    if (failure !== undefined) {
      return resume?.(Effect.fail(new LaunchError({ errno: answer.errno ?? 0, message: failure })))
    }
    const ended = Deferred.makeUnsafe<ExitStatus, LauncherLost>()
    if (answer.pid !== undefined) this.#ends.set(answer.pid, ended)
    // Nobody waits any more for what came so late.
    if (resume === undefined && answer.pid !== undefined) this.signal(answer.pid, "SIGKILL")
    resume?.(Effect.succeed({ answer, exit: Deferred.await(ended) }))
  }

  #lost(how: string): void {
    const wasOpen = this.#isOpen
    this.#isOpen = false
    const why = `the launcher of processes has ended (${how})${this.#complaint === "" ? "" : `:\n${this.#complaint.trimEnd()}`}`
    if (wasOpen) this.#onLost(why)
    for (const resume of this.#asked.values()) resume(Effect.fail(new LaunchError({ errno: 0, message: why })))
    for (const ended of this.#ends.values()) Deferred.doneUnsafe(ended, Effect.fail(new LauncherLost()))
    this.#ends.clear()
  }
}
