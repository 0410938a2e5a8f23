// How the bench knows that a service runs: its program writes its own pid and name into a FIFO. Every supervisor is
// seen through the same hole, and the time is taken where the line comes out, before any fiber is woken.
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface Arrival {
  readonly pid: number
  readonly name: string
  /** Milliseconds of `performance.now()`. */
  readonly at: number
}

interface Waiter {
  readonly isOver: () => boolean
  readonly resume: () => void
}

export class Arrivals {
  readonly path: string
  readonly all: Array<Arrival> = []
  readonly latest = new Map<string, Arrival>()
  readonly #waiters = new Set<Waiter>()

  constructor(path: string) {
    this.path = path
  }

  add(lines: ReadonlyArray<string>, at: number): void {
    for (const line of lines) {
      const [pid = "", name = ""] = line.split(" ")
      const arrival = { pid: Number(pid), name, at }
      this.all.push(arrival)
      this.latest.set(name, arrival)
    }
    for (const waiter of [...this.#waiters].filter(({ isOver }) => isOver())) {
      this.#waiters.delete(waiter)
      waiter.resume()
    }
  }

  /** Waits until that many different services have come. */
  awaitAll(count: number): Effect.Effect<void> {
    return this.#await(() => this.latest.size >= count)
  }

  /** Waits until a service has come with another pid. */
  awaitNext(before: Arrival): Effect.Effect<void> {
    return this.#await(() => this.latest.get(before.name)?.pid !== before.pid)
  }

  /** The processes that came last under each name. */
  get pids(): ReadonlyArray<number> {
    return [...this.latest.values()].map(({ pid }) => pid)
  }

  #await(isOver: () => boolean): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (isOver()) return resume(Effect.void)
      const waiter = { isOver, resume: () => resume(Effect.void) }
      this.#waiters.add(waiter)
      return Effect.sync(() => this.#waiters.delete(waiter))
    })
  }
}

/** Listens on a new FIFO that every user may write into, for the life of the Scope. */
export const makeArrivals = (path: string): Effect.Effect<Arrivals, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      execFileSync("mkfifo", [path])
      fs.chmodSync(path, 0o666)
      const arrivals = new Arrivals(path)
      // Held for writing, too: no end of file when the last writer is gone.
      const fd = fs.openSync(path, fs.constants.O_RDWR)
      const stream = fs.createReadStream(path, { fd, encoding: "utf8" })
      let rest = ""
      stream.on("data", (text) => {
        const at = performance.now()
        const lines = (rest + String(text)).split("\n")
        rest = lines.pop() ?? ""
        arrivals.add(lines, at)
      })
      return { arrivals, fd, stream }
    }),
    ({ fd, stream }) =>
      Effect.sync(() => {
        // A pending read on a FIFO ends only when something comes.
        stream.removeAllListeners("data")
        fs.writeSync(fd, "\n")
        stream.destroy()
      }),
  ).pipe(Effect.map(({ arrivals }) => arrivals))
