// The one child of the agent, and the parent of everything it runs. Forking Node costs milliseconds that grow with its
// memory and stop its event loop; a small Python process forks in a tenth of that, and tells what kept a program from
// running. It is gone when the agent is. Should it end before, what it started runs on, and the next request starts
// another one.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ExitStatus } from "../../domain/ExitStatus.ts"
import { Connection, LaunchError, type LauncherLost, type PipeEnds } from "./Connection.ts"
import { Accounting } from "./Accounting.ts"
import { type Account, descriptorPath, type StartRequest } from "./protocol.ts"

export interface Launched {
  readonly pid: number
  /** With the pid it names the process for as long as the machine is up: clock ticks since boot, as text. */
  readonly startTime: string
  readonly exit: Effect.Effect<ExitStatus, LauncherLost>
  /** To its process group, unless its leader has ended; false when the launcher is gone. */
  readonly signal: (signal: NodeJS.Signals) => boolean
}

export class Launcher extends Context.Service<
  Launcher,
  {
    /** Starts a program as the leader of a session of its own; returns when it runs. */
    readonly start: (request: StartRequest) => Effect.Effect<Launched, LaunchError>
    /** Removes the first `length` bytes of an open file, a multiple of the file system's block size: fallocate(2). */
    readonly collapse: (fd: number, length: number) => Effect.Effect<void, LaunchError>
    /** A new pipe, not inherited by anything; who asked for it closes both ends. */
    readonly pipe: Effect.Effect<PipeEnds, LaunchError>
    /** Undefined for a uid without an entry. */
    readonly account: (uid: number) => Effect.Effect<Account | undefined, LaunchError>
    /** Kills all processes of an ordinary user in one step, wherever they run: kill(2). They may still be there, dying. */
    readonly killUser: (uid: number) => Effect.Effect<void, LaunchError>
  }
>()("slapgrid/process/launcher/Launcher") {
  static readonly layer = Layer.effect(
    Launcher,
    Effect.gen(function* () {
      const run = Effect.runForkWith(yield* Effect.context())
      const connect = () => new Connection((why) => void run(Effect.logError(why)))
      // At once: the smaller the agent is, the less this fork costs.
      let connection = connect()
      yield* Effect.addFinalizer(() => Effect.sync(() => connection.close()))
      const current = Effect.sync(() => (connection.isOpen ? connection : (connection = connect())))

      const start = Effect.fnUntraced(function* (request: StartRequest) {
        const through = yield* current
        const { answer, exit } = yield* through.ask(request)
        const { pid = 0, startTime = "" } = answer
        const launched: Launched = { pid, startTime, exit, signal: (signal) => through.signal(pid, signal) }
        return launched
      })
      const collapse = Effect.fnUntraced(function* (fd: number, length: number) {
        yield* (yield* current).ask({ collapse: descriptorPath(fd), length })
      })
      const accounting = new Accounting(
        Effect.fnUntraced(function* (uids) {
          const { accounts } = (yield* (yield* current).ask({ accounts: uids })).answer
          if (accounts !== undefined) return accounts
          return yield* new LaunchError({ errno: 0, message: "who was to look it up was killed" })
        }),
      )
      const killUser = (uid: number) =>
        current.pipe(
          Effect.flatMap((through) => through.ask({ kill: uid })),
          Effect.filterOrFail(
            ({ answer }) => answer.killed === true,
            () => new LaunchError({ errno: 0, message: `who was to kill the processes of uid ${uid} was killed` }),
          ),
          Effect.asVoid,
        )
      const pipe = Effect.flatMap(current, (through) => through.pipe)
      return Launcher.of({ start, collapse, pipe, account: accounting.of, killUser })
    }),
  )
}
