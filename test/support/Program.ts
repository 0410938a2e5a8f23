// A child process of a test: its output as events, its end as a value. It ends with the Scope: TERM, then KILL by pid,
// and a program that had to be killed fails the test.
import { spawn } from "node:child_process"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { inTime, patience, witnesses } from "./waiting.ts"

/** One line of stderr; `actor` and `level` are empty when it is no JSON log line. */
export interface LogLine {
  readonly index: number
  readonly level: string
  readonly actor: string
  readonly message: string
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ProgramOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

const parseLine = (index: number, text: string): LogLine => {
  try {
    const { actor, level, message } = JSON.parse(text) as Omit<LogLine, "index">
    return { index, level, actor, message }
  } catch {
    return { index, level: "", actor: "", message: text }
  }
}

interface Waiter {
  readonly matches: (line: LogLine) => boolean
  readonly resume: (line: LogLine) => void
}

export class Program {
  readonly pid: number
  readonly lines: Array<LogLine> = []
  stdout = ""
  readonly #ended: Deferred.Deferred<Ended>
  readonly #waiters = new Set<Waiter>()

  constructor(pid: number, ended: Deferred.Deferred<Ended>) {
    this.pid = pid
    this.#ended = ended
  }

  addLine(text: string): void {
    const line = parseLine(this.lines.length, text)
    this.lines.push(line)
    for (const waiter of [...this.#waiters].filter(({ matches }) => matches(line))) {
      this.#waiters.delete(waiter)
      waiter.resume(line)
    }
  }

  /** Everything on stderr, for people. */
  get log(): string {
    return this.lines.map(({ actor, level, message }) => `${level} ${actor}: ${message}`.replace(/^ : /, "")).join("\n")
  }

  /** The first line that contains the text or matches, past or future; with `after`, the first beyond that index. */
  awaitLine(wanted: string | RegExp, { after = -1 } = {}): Effect.Effect<LogLine> {
    const matches = (line: LogLine) =>
      line.index > after && (typeof wanted === "string" ? line.message.includes(wanted) : wanted.test(line.message))
    return Effect.callback<LogLine>((resume) => {
      const known = this.lines.find(matches)
      if (known !== undefined) return resume(Effect.succeed(known))
      const waiter: Waiter = { matches, resume: (line) => resume(Effect.succeed(line)) }
      this.#waiters.add(waiter)
      return Effect.sync(() => this.#waiters.delete(waiter))
    }).pipe(inTime(`log line ${wanted}`))
  }

  /** Index of the newest line: what comes later is beyond it. */
  get now(): number {
    return this.lines.length - 1
  }

  get exit(): Effect.Effect<Ended> {
    return Deferred.await(this.#ended).pipe(inTime(`the end of pid ${this.pid}`))
  }

  get hasEnded(): boolean {
    return Deferred.isDoneUnsafe(this.#ended)
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.hasEnded) process.kill(this.pid, signal)
  }
}

/** What every child of the tests has of the environment: no proxy can come between it and loopback. */
const environment = { PATH: process.env["PATH"] ?? "/usr/bin:/bin", HOME: "/nonexistent" }

const launch = (argv: readonly [string, ...ReadonlyArray<string>], options: ProgramOptions): Effect.Effect<Program> =>
  Effect.callback((resume) => {
    const ended = Deferred.makeUnsafe<Ended>()
    const [file, ...args] = argv
    const child = spawn(file, args, {
      cwd: options.cwd ?? "/",
      env: { ...environment, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    })
    child.once("error", (cause) => resume(Effect.die(cause)))
    child.once("spawn", () => {
      const program = new Program(child.pid ?? 0, ended)
      let rest = ""
      child.stdout.setEncoding("utf8").on("data", (text: string) => void (program.stdout += text))
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        const parts = (rest + text).split("\n")
        rest = parts.pop() ?? ""
        for (const part of parts) program.addLine(part)
      })
      // `close` comes after the last output: whoever saw the end has seen everything.
      child.once("close", (code, signal) => {
        if (rest !== "") program.addLine(rest)
        Deferred.doneUnsafe(ended, Effect.succeed({ code, signal }))
      })
      resume(Effect.succeed(program))
    })
  })

const end = (program: Program): Effect.Effect<void> =>
  Effect.gen(function* () {
    program.signal("SIGTERM")
    yield* program.exit.pipe(
      Effect.timeoutOrElse({
        duration: (patience / 2) * 1000,
        orElse: () => {
          program.signal("SIGKILL")
          return Effect.die(new Error(`pid ${program.pid} did not end after SIGTERM and was killed\n${program.log}`))
        },
      }),
    )
  })

/** Starts a program for the life of the Scope. */
export const start = (
  argv: readonly [string, ...ReadonlyArray<string>],
  options: ProgramOptions = {},
): Effect.Effect<Program, never, Scope.Scope> =>
  Effect.gen(function* () {
    const program = yield* Effect.acquireRelease(launch(argv, options), end)
    const witness = () => `${argv.slice(1, 3).join(" ")}, pid ${program.pid}:\n${program.stdout}${program.log}`
    witnesses.add(witness)
    yield* Effect.addFinalizer(() => Effect.sync(() => witnesses.delete(witness)))
    return program
  })

/** Runs a program to its end. */
export const runToEnd = (
  argv: readonly [string, ...ReadonlyArray<string>],
  options: ProgramOptions = {},
): Effect.Effect<Program & { readonly ended: Ended }> =>
  Effect.scoped(
    Effect.gen(function* () {
      const program = yield* start(argv, options)
      const ended = yield* program.exit
      return Object.assign(program, { ended })
    }),
  )
