// The process that has a release's buildout imported, and forks it. It runs the release's code: never as root, and what
// it says is checked against /proc before anything is done to a process that it names.
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import type { ExitStatus } from "../../domain/ExitStatus.ts"
import type { HelperStatus } from "../../domain/NodeStatus.ts"
import type { Enclosure } from "../containment/Containment.ts"
import { exitStatusOf } from "../launcher/protocol.ts"
import { forgetGroup, registerGroup } from "../liveGroups.ts"
import type { Credentials } from "../privileges.ts"
import { processFacts } from "../procfs.ts"
import { endSession } from "../ServiceProcess.ts"
import { findLooseness, idMap, namespaceWords, ownerWords } from "./confinement.ts"
import { Conversation, HelperError } from "./Conversation.ts"
import type { Recipes, RunRequest } from "./protocol.ts"
import { helperSource } from "./source.ts"

export interface HelperOptions {
  /** The release's `bin/buildout`. */
  readonly script: string
  /** Words that start the release's interpreter. */
  readonly interpreter: ReadonlyArray<string>
  /** Whether names that Python has moved are put back: Debian's zc.buildout needs them. */
  readonly restoresNames: boolean
  /** Where the eggs are whose recipes it may import. */
  readonly eggFolders: ReadonlyArray<string>
  readonly directory: string
  readonly environment: Readonly<Record<string, string>>
  /** Of root's agent: as whom it runs, and who else it can become, which is found out while it gets ready. */
  readonly confinement:
    | { readonly owner: Confinement["owner"]; readonly users: Effect.Effect<Confinement["users"]> }
    | undefined
  readonly enclosure: Enclosure
  /** Comes when it needs the agent no more until it is ready. */
  readonly onBegun: Effect.Effect<unknown>
}

export interface Confinement {
  readonly owner: { readonly uid: number; readonly gid: number }
  readonly users: ReadonlyArray<Credentials>
}

export interface WarmRun extends Omit<RunRequest, "log" | "user"> {
  readonly credentials: Credentials | undefined
  /** Open descriptor of the file that gets the output. */
  readonly output: number
  readonly enclosure: Enclosure
}

export interface Helper {
  readonly pid: number
  /** Runs buildout in a fork of it, and ends what is left of that. */
  readonly run: (run: WarmRun) => Effect.Effect<ExitStatus, HelperError>
  /**
   * Imports recipes for the runs to come; gives why it has not, and then nothing has changed. Those that were not tried
   * before are tried in a fork first, while it goes on.
   */
  readonly preload: (recipes: Recipes, areTried: boolean) => Effect.Effect<string | undefined, HelperError>
  /** Seconds of processor time that the run took which ended last. */
  readonly cost: () => number
  /** Waits until it has ended, and tells why. */
  readonly gone: Effect.Effect<HelperError>
  /** Bytes that it has in memory; undefined when it is gone. */
  readonly memory: Effect.Effect<number | undefined>
}

export class WarmHelpers extends Context.Service<
  WarmHelpers,
  {
    /** Starts a helper that lives as long as the Scope; it is ready when this returns. */
    readonly start: (options: HelperOptions) => Effect.Effect<Helper, HelperError, Scope.Scope>
    /** Whether the kernel takes a map of all these users at once. */
    readonly canHold: (confinement: Confinement) => boolean
    /** Those that serve now. */
    readonly living: Effect.Effect<ReadonlyArray<HelperStatus>>
  }
>()("slapgrid/process/warm/WarmHelpers") {
  static readonly layer = Layer.sync(WarmHelpers, () => {
    const living = new Map<Helper, string>()
    const start = Effect.fnUntraced(function* (options: HelperOptions) {
      const helper = yield* startHelper(options)
      living.set(helper, options.directory)
      yield* Effect.addFinalizer(() => Effect.sync(() => living.delete(helper)))
      return helper
    })
    const status = ([helper, release]: [Helper, string]): Effect.Effect<ReadonlyArray<HelperStatus>> =>
      Effect.map(helper.memory, (memory) => (memory === undefined ? [] : [{ release, pid: helper.pid, memory }]))
    return {
      start,
      canHold: (confinement) => mapsOf(confinement) !== undefined,
      living: Effect.suspend(() => Effect.map(Effect.forEach(living, status), (statuses) => statuses.flat())),
    }
  })
}

const mapsOf = ({ owner, users }: Confinement) => {
  const uids = idMap([owner.uid, ...users.map(({ uid }) => uid)])
  const gids = idMap([owner.gid, ...users.flatMap(({ gid, groups }) => [gid, ...groups])])
  return uids === undefined || gids === undefined ? undefined : { uids, gids }
}

/** Tells that it is there, and waits: for its cgroup, and for who it can be. `read` takes no more than its line. */
const gate = ["/bin/sh", "-c", 'echo && read -r _ && exec "$@"', "sh"] as const

const launch = (options: HelperOptions): ChildProcess => {
  const { confinement, interpreter } = options
  const [program, ...words] = [
    ...(confinement === undefined ? gate : [...namespaceWords, ...gate]),
    ...(confinement === undefined ? [] : ownerWords(confinement.owner)),
    ...interpreter,
    "-c",
    "import sys; sys.version_info < (3, 9) and sys.exit('it needs Python 3.9'); exec(open(3).read())",
    options.script,
    options.restoresNames ? "restore" : "keep",
    ...options.eggFolders,
  ]
  const child = spawn(program, words, {
    cwd: options.directory,
    env: options.environment,
    // Not in the terminal's foreground group: an interrupt is for the agent, which then ends everything in order.
    detached: true,
    stdio: ["pipe", "pipe", "pipe", "pipe"],
  })
  const source = child.stdio[3]
  if (source instanceof Object && "end" in source) source.on("error", () => undefined).end(helperSource)
  return child
}

const attempt = (what: string, run: () => void): Effect.Effect<void, HelperError> =>
  Effect.try({
    try: run,
    catch: (cause) =>
      new HelperError({
        isBroken: true,
        message: `cannot ${what}: ${cause instanceof Error ? cause.message : String(cause)}`,
      }),
  })

/** Puts a process that waits into its cgroup. In another thread: the kernel takes its time for it. */
const enclose = (pid: number, { cgroup }: Enclosure): Effect.Effect<void, HelperError> =>
  cgroup === undefined
    ? Effect.void
    : Effect.tryPromise({
        try: () => fs.promises.writeFile(`${cgroup}/cgroup.procs`, `${pid}`),
        catch: (cause) => new HelperError({ isBroken: false, message: `cannot join its cgroup: ${String(cause)}` }),
      })

const startHelper = Effect.fnUntraced(function* (options: HelperOptions) {
  const { enclosure } = options
  // Whoever knows its users answers meanwhile.
  const looked = yield* Effect.forkScoped(confinementOf(options), { startImmediately: true })
  // What a dead agent left.
  yield* enclosure.end(undefined)
  const { conversation, pid } = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const child = launch(options)
      const pid = child.pid ?? 0
      if (pid > 0) registerGroup(pid, enclosure.cgroup)
      return { conversation: new Conversation(child), pid }
    }),
    ({ conversation, pid }) => endHelper(conversation, pid, enclosure),
  )
  // For the kernel, 0 would be the agent. One that is gone says itself why.
  const enclosing = Effect.exit(pid > 0 ? enclose(pid, enclosure) : Effect.void)
  const steps = [Deferred.await(conversation.entered), enclosing, Fiber.join(looked)] as const
  const [, enclosed, confinement] = yield* Effect.all(steps, { concurrency: "unbounded" })
  yield* enclosed
  yield* attempt("leave its memory to the kernel", () => fs.writeFileSync(`/proc/${pid}/oom_score_adj`, "0"))
  if (confinement !== undefined) yield* attempt("confine it", () => confine(pid, confinement))
  conversation.begin()
  yield* options.onBegun
  yield* Deferred.await(conversation.ready)
  yield* checkConfinement(pid, confinement)
  const helper: Helper = {
    pid,
    run: (run) => runIn(conversation, pid, run),
    preload: (recipes, areTried) =>
      Effect.suspend(() => Deferred.await(conversation.preload(recipes, areTried))).pipe(
        Effect.tap(() => checkConfinement(pid, confinement)),
        // One that is half done, or no longer trusted, is of no use.
        Effect.tapError(() => Effect.sync(() => conversation.close())),
      ),
    cost: () => conversation.cost,
    gone: Deferred.await(conversation.gone),
    memory: Effect.sync(() => residentMemory(pid)),
  }
  return helper
})

const confinementOf = ({ confinement }: HelperOptions): Effect.Effect<Confinement | undefined> =>
  confinement === undefined
    ? Effect.undefined
    : Effect.map(confinement.users, (users) => ({ owner: confinement.owner, users }))

/** It leaves by itself when it is asked to; if not, it is killed. */
const endHelper = (conversation: Conversation, pid: number, enclosure: Enclosure): Effect.Effect<void> =>
  Effect.gen(function* () {
    conversation.close()
    yield* Effect.timeoutOption(Deferred.await(conversation.gone), "2 seconds")
    yield* enclosure.end(pid > 0 && !Deferred.isDoneUnsafe(conversation.gone) ? pid : undefined)
    forgetGroup(pid)
  })

const confine = (pid: number, confinement: Confinement): void => {
  const maps = mapsOf(confinement)
  if (maps === undefined) throw new Error("it has more users than the kernel takes")
  // Its own namespace, or the ids of ours would be given away.
  if (namespaceOf(pid) === namespaceOf("self")) throw new Error("it has no user namespace of its own")
  fs.writeFileSync(`/proc/${pid}/uid_map`, maps.uids)
  fs.writeFileSync(`/proc/${pid}/gid_map`, maps.gids)
}

const namespaceOf = (pid: number | "self"): string => fs.readlinkSync(`/proc/${pid}/ns/user`)

const checkConfinement = (pid: number, confinement: Confinement | undefined): Effect.Effect<void, HelperError> =>
  attempt("trust it", () => {
    const looseness = findLooseness(fs.readFileSync(`/proc/${pid}/status`, "utf8"), confinement?.owner)
    if (looseness !== undefined) throw new Error(looseness)
    if (confinement === undefined) return
    if (namespaceOf(pid) === namespaceOf("self")) throw new Error("it has no user namespace of its own")
    if (fs.readFileSync(`/proc/${pid}/setgroups`, "utf8").trim() !== "allow") throw new Error("it cannot set groups")
  })

const residentMemory = (pid: number): number | undefined => {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
  } catch {
    return undefined
  }
}

/** The child of the helper with that pid; a helper that names another process is broken. */
const childOf = (helper: number, pid: number): Effect.Effect<{ readonly startTime: string }, HelperError> =>
  Effect.suspend(() => {
    const facts = processFacts(pid)
    return facts?.parent === helper
      ? Effect.succeed(facts)
      : new HelperError({ isBroken: true, message: `process ${pid} is not its child` })
  })

const runIn = (conversation: Conversation, helper: number, run: WarmRun): Effect.Effect<ExitStatus, HelperError> =>
  Effect.gen(function* () {
    const { credentials, enclosure, output, ...rest } = run
    // What a dead agent left of the same work would write into the same directory.
    yield* enclosure.end(undefined)
    const user =
      credentials === undefined
        ? null
        : {
            uid: credentials.uid,
            gid: credentials.gid,
            groups: [...new Set([credentials.gid, ...credentials.groups])],
          }
    const forked = Effect.gen(function* () {
      const asked = conversation.ask({ ...rest, user, log: identityOf(output) })
      const pid = yield* Deferred.await(asked.forked)
      const { startTime } = yield* childOf(helper, pid)
      registerGroup(pid, enclosure.cgroup)
      return { ...asked, pid, startTime }
    })
    return yield* Effect.acquireUseRelease(
      forked,
      ({ ended, id, pid }) =>
        Effect.gen(function* () {
          yield* enclose(pid, enclosure)
          conversation.letGo(id)
          return exitStatusOf(yield* Deferred.await(ended))
        }),
      ({ pid, startTime }) => Effect.andThen(killWaiting(pid, startTime), endSession(pid, startTime, enclosure)),
    )
  })

/** One that was never let go is in no enclosure. */
const killWaiting = (pid: number, startTime: string): Effect.Effect<void> =>
  Effect.sync(() => {
    try {
      if (processFacts(pid)?.startTime === startTime) process.kill(pid, "SIGKILL")
    } catch {
      // It has just ended.
    }
  })

/** A user's child cannot open what the agent has open, only the file of that name: this tells whether it is the same. */
const identityOf = (fd: number): RunRequest["log"] => {
  const { dev, ino } = fs.fstatSync(fd, { bigint: true })
  return { path: fs.readlinkSync(`/proc/self/fd/${fd}`), device: `${dev}`, inode: `${ino}` }
}
