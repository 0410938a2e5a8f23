// Keeps the log of one program bounded from outside while the program appends to it. The log stays the same file: its
// head is collapsed away in place (ext4, xfs), after its end was copied to `<log>.1`. File systems that refuse that
// (tmpfs, btrfs) have the log emptied instead, while the program's cgroup is frozen; without a cgroup what is written
// between the copy and the emptying, some microseconds, is lost.
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as os from "node:os"
import { type FileError, fromErrno } from "../../files/FileError.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import { freeze, thaw } from "../containment/cgroup.ts"
import { Launcher } from "../launcher/Launcher.ts"
import { backupRange, blanks, cutOf, floodSize, lookDelay, restOfLine } from "./trim.ts"

export interface KeptLog {
  /** The partition's directory, and the log's name in it. */
  readonly directory: string
  readonly name: string
  /** Bytes that the log and its backup may have. */
  readonly limit: number
  /** Directory of the writer's cgroup; undefined without cgroups. */
  readonly cgroup: string | undefined
  /** Whose log it is, for messages. */
  readonly subject: string
}

const copyChunk = 1024 * 1024
/** Milliseconds between two messages about the same flood. */
const tellInterval = 60_000
/** Where nothing tells of changes: how often to look all the same. */
const blindInterval = "2 seconds"

interface Dependencies {
  /** Takes the head off an open file. */
  readonly collapse: Launcher["Service"]["collapse"]
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
}

class LogKeeper {
  readonly #log: KeptLog
  readonly #directory: OwnedDirectory
  readonly #fd: number
  readonly #block: number
  readonly #mode: number
  #canCollapse = true
  /** What was told and need not be told again. */
  readonly #told = new Set<string>()
  readonly #dependencies: Dependencies
  #floodTold = Number.NEGATIVE_INFINITY
  #size: number
  /** Waits for a change; undefined while the log is looked at. */
  #watcher: fs.FSWatcher | undefined
  /** The fiber that looks, or did last. */
  #looking: Fiber.Fiber<void> | undefined
  #isClosed = false

  constructor(log: KeptLog, directory: OwnedDirectory, fd: number, dependencies: Dependencies) {
    const stats = fs.fstatSync(fd)
    this.#log = log
    this.#dependencies = dependencies
    this.#directory = directory
    this.#fd = fd
    this.#block = stats.blksize
    this.#mode = stats.mode & 0o777
    this.#size = stats.size
  }

  /** Looks now if there is a reason to, then soon after changes. While there are none, there is no fiber and no timer. */
  get start(): Effect.Effect<void> {
    return Effect.suspend(() =>
      cutOf(this.#size, this.#log.limit, this.#block) > 0
        ? Effect.map(this.#look, (growth) => this.#await(growth > 0))
        : Effect.sync(() => this.#await()),
    )
  }

  /** Ends the keeping; a look that goes on is finished first. */
  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isClosed = true
      this.#watcher?.close()
      this.#watcher = undefined
      return this.#looking === undefined ? Effect.void : Fiber.interrupt(this.#looking)
    })
  }

  /** Looks again and again while the log grows. */
  get #follow(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      let growth: number | undefined
      do {
        yield* Effect.sleep(lookDelay(growth))
        growth = yield* this.#look
      } while (growth !== 0)
      this.#await()
    })
  }

  /** Trims the log if it is time to; gives by how much it had grown, or still has to be trimmed. */
  get #look(): Effect.Effect<number> {
    return Effect.gen({ self: this }, function* () {
      const size = fs.fstatSync(this.#fd).size
      const growth = size - this.#size
      if (cutOf(size, this.#log.limit, this.#block) > 0) yield* this.#trim(growth > floodSize)
      this.#size = fs.fstatSync(this.#fd).size
      if (growth > floodSize) yield* this.#tellFlood(growth)
      // What came during the trim was not looked at, and it may be the last that comes.
      return growth + cutOf(this.#size, this.#log.limit, this.#block)
    }).pipe(
      Effect.uninterruptible,
      Effect.catchDefect((defect) =>
        Effect.as(this.#tellOnce("defect", `${this.#log.subject}: trimming its log failed: ${String(defect)}`), 0),
      ),
    )
  }

  #trim(isFlood: boolean): Effect.Effect<void> {
    const { cgroup } = this.#log
    const held = (work: Effect.Effect<void>) =>
      cgroup === undefined
        ? work
        : Effect.acquireUseRelease(
            freeze(cgroup),
            () => work,
            () => thaw(cgroup),
          )
    return Effect.gen({ self: this }, function* () {
      const isDone = this.#canCollapse && (yield* this.#collapseHead)
      if (!isDone) yield* held(this.#empty)
    }).pipe(isFlood ? held : (work) => work)
  }

  /** False when the file system does not do it. */
  get #collapseHead(): Effect.Effect<boolean> {
    return Effect.gen({ self: this }, function* () {
      const { limit, subject } = this.#log
      const cut = cutOf(fs.fstatSync(this.#fd).size, limit, this.#block)
      if (cut === 0) return true
      const window = Buffer.alloc(this.#block + 1)
      const rest = restOfLine(window.subarray(0, fs.readSync(this.#fd, window, 0, window.length, cut - 1)))
      yield* this.#backUp(...backupRange(cut, rest, limit))
      const refusal = yield* Effect.match(this.#dependencies.collapse(this.#fd, cut), {
        onSuccess: () => undefined,
        onFailure: (error) => error,
      })
      if (refusal === undefined) {
        // After the collapse: a crash before this shows the end of a line twice, one in between would lose it.
        if (rest > 0) fs.writeSync(this.#fd, blanks(rest), 0, rest, 0)
        return true
      }
      this.#canCollapse = refusal.errno !== os.constants.errno.EOPNOTSUPP
      yield* Effect.logDebug(`${subject}: its log is emptied instead of collapsed: ${refusal.message}`)
      return false
    })
  }

  get #empty(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const { size } = fs.fstatSync(this.#fd)
      yield* this.#backUp(...backupRange(size, 0, this.#log.limit))
      fs.ftruncateSync(this.#fd, 0)
    })
  }

  /** Puts a part of the log in place of the backup. An older backup that cannot be replaced would leave a gap: it goes. */
  #backUp(from: number, to: number): Effect.Effect<void> {
    const name = `${this.#log.name}.1`
    const { owner } = this.#directory
    return this.#directory
      .replace(name, { mode: this.#mode, owner }, (backup) => this.#copy(backup, from, to))
      .pipe(
        Effect.andThen(Effect.sync(() => void this.#told.delete("backup"))),
        Effect.catch((error) =>
          Effect.andThen(
            Effect.ignore(this.#directory.remove(name)),
            this.#tellOnce(
              "backup",
              `${this.#log.subject}: older lines of its log are lost, because its backup cannot be written: ${error.message}`,
            ),
          ),
        ),
      )
  }

  /** In parts, with others in between: what is copied does not change any more. */
  #copy(to: number, from: number, end: number): Effect.Effect<void, FileError> {
    const copyPart = (position: number) =>
      Effect.try({
        try: () => {
          const buffer = Buffer.alloc(Math.min(copyChunk, end - position))
          const length = fs.readSync(this.#fd, buffer, 0, buffer.length, position)
          fs.writeFileSync(to, buffer.subarray(0, length))
          return length
        },
        catch: (cause) => fromErrno("write", `${this.#log.directory}/${this.#log.name}.1`, cause),
      })
    return Effect.gen(function* () {
      for (let position = from; position < end;) {
        const length = yield* copyPart(position)
        if (length === 0) return
        position += length
        if (position < end) yield* Effect.yieldNow
      }
    })
  }

  #tellFlood(growth: number): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const now = yield* Clock.currentTimeMillis
      if (now - this.#floodTold < tellInterval) return
      this.#floodTold = now
      const held = this.#log.cgroup === undefined ? "" : "; it was held for a moment"
      yield* Effect.logWarning(
        `${this.#log.subject} floods its log: ${Math.round(growth / 1024 / 1024)} MB at once, of which the end is kept${held}`,
      )
    })
  }

  /** Lets a change of the log since the last look begin the next one; `isDue`: it begins now. */
  #await(isDue = false): void {
    if (this.#isClosed) return
    const changed = () => {
      if (this.#watcher === undefined) return
      this.#watcher.close()
      this.#watcher = undefined
      this.#looking = this.#dependencies.fork(this.#follow)
    }
    try {
      // The descriptor's own name: the file, wherever its owner may have moved it.
      this.#watcher = fs.watch(`/proc/self/fd/${this.#fd}`, { persistent: false }, changed)
      this.#watcher.on("error", changed)
    } catch {
      this.#looking = this.#dependencies.fork(this.#followBlindly)
      return
    }
    // What came before the watch began sends no event.
    if (isDue || fs.fstatSync(this.#fd).size !== this.#size) changed()
  }

  /** When the machine has no watch left: by looking now and then. */
  get #followBlindly(): Effect.Effect<void> {
    const { subject } = this.#log
    return this.#tellOnce(
      "watch",
      `${subject}: its log is looked at every 2 s, because it cannot be watched: raise fs.inotify.max_user_watches or max_user_instances`,
    ).pipe(Effect.andThen(Effect.sleep(blindInterval)), Effect.andThen(this.#follow))
  }

  #tellOnce(about: string, message: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#told.has(about)) return Effect.void
      this.#told.add(about)
      return Effect.logWarning(message)
    })
  }
}

export class LogKeepers extends Context.Service<
  LogKeepers,
  {
    /** Keeps a program's log bounded; gives what ends that. What cannot be kept is told; the program runs on. */
    readonly keep: (log: KeptLog) => Effect.Effect<Effect.Effect<void>>
  }
>()("slapgrid/process/logs/LogKeepers") {
  static readonly layer = Layer.effect(
    LogKeepers,
    Effect.gen(function* () {
      const { collapse } = yield* Launcher
      const dependencies = { collapse, fork: Effect.runForkWith(yield* Effect.context()) }

      const open = Effect.fnUntraced(function* (log: KeptLog) {
        const directory = yield* OwnedDirectory.open(log.directory)
        const fd = yield* directory.openPresent(log.name)
        const keeper = new LogKeeper(log, directory, fd, dependencies)
        yield* Effect.addFinalizer(() => keeper.close)
        yield* keeper.start
      })
      const keep = (log: KeptLog): Effect.Effect<Effect.Effect<void>> =>
        Effect.flatMap(Scope.make(), (scope) => {
          const close = Scope.close(scope, Exit.void)
          return open(log).pipe(
            Scope.provide(scope),
            Effect.catch((error) =>
              Effect.andThen(close, Effect.logWarning(`${log.subject}: its log is not bounded: ${error.message}`)),
            ),
            Effect.as(close),
          )
        })
      return LogKeepers.of({ keep })
    }),
  )
}
