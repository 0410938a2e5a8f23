// One agent an instance root. The lock is flock(2) on a file of the agent's own directory, held by an open descriptor:
// it is gone when the agent is, however it ended. Everything else that the agent keeps lies beside it.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { NodeConfig } from "../config/NodeConfig.ts"
import { agentDirectory } from "../files/machine.ts"

export class AlreadyRunning extends Schema.TaggedError<AlreadyRunning>()("AlreadyRunning", {
  instanceRoot: Schema.String,
  message: Schema.String,
}) {}

export class UnusableRoot extends Schema.TaggedError<UnusableRoot>()("UnusableRoot", {
  message: Schema.String,
}) {}

export class AgentLock extends Context.Service<AgentLock, { readonly directory: string }>()(
  "slapgrid/process/AgentLock",
) {
  static readonly layer = Layer.effect(
    AgentLock,
    Effect.gen(function* () {
      const { instanceRoot } = yield* NodeConfig
      const directory = agentDirectory(instanceRoot)
      yield* Effect.try({
        try: () => makeDirectories(instanceRoot, directory),
        catch: (cause) => new UnusableRoot({ message: cause instanceof Error ? cause.message : String(cause) }),
      })
      const file = `${directory}/lock`
      const fd = yield* Effect.acquireRelease(
        Effect.try({
          try: () => fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW, 0o600),
          catch: (cause) => new UnusableRoot({ message: `cannot open ${file}: ${String(cause)}` }),
        }),
        (fd) => Effect.sync(() => fs.closeSync(fd)),
      )
      yield* takeLock(fd, instanceRoot, file)
      return AgentLock.of({ directory })
    }),
  )
}

/** The modes of the reference, and 0700 for what is only ours (node-behaviour.md, Services). */
const makeDirectories = (instanceRoot: string, directory: string): void => {
  for (const [path, mode] of [
    [`${instanceRoot}/var`, 0o755],
    [`${instanceRoot}/var/run`, 0o700],
    [directory, 0o700],
  ] as const) {
    if (fs.mkdirSync(path, { recursive: true, mode }) !== undefined) fs.chmodSync(path, mode)
  }
  for (const path of [instanceRoot, `${instanceRoot}/var`, `${instanceRoot}/var/run`]) checkAbove(path)
  const stats = fs.lstatSync(directory)
  const uid = process.geteuid?.()
  if (!stats.isDirectory() || stats.uid !== uid || (stats.mode & 0o077) !== 0) {
    throw new Error(
      `${directory} must be a directory of uid ${uid} with mode 0700: remove it or correct its owner and mode`,
    )
  }
}

/**
 * Whoever may change a directory above ours, or above the partitions, can put another one in their place. An agent that
 * is no root has nobody to protect itself from: everything there is its user's.
 */
const checkAbove = (path: string): void => {
  if (process.geteuid?.() !== 0) return
  const { gid, mode, uid } = fs.statSync(path)
  const isOpen = (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && gid !== 0)
  if (uid === 0 && !isOpen) return
  const why = uid === 0 ? `can be changed by others (mode ${(mode & 0o7777).toString(8)})` : `belongs to uid ${uid}`
  throw new Error(`${path} ${why}: nobody but root may put things there; correct its owner and mode`)
}

/** The lock belongs to the open file, so a child that takes it through an inherited descriptor takes it for us. */
const takeLock = Effect.fnUntraced(function* (
  fd: number,
  instanceRoot: string,
  file: string,
): Effect.fn.Return<void, AlreadyRunning | UnusableRoot> {
  const { error, status, stderr } = spawnSync("flock", ["--nonblock", "--conflict-exit-code", "75", "0"], {
    stdio: [fd, "ignore", "pipe"],
    encoding: "utf8",
  })
  if (status === 75) {
    const pid = fs.readFileSync(file, "utf8").trim()
    const message = `another slapgrid runs on ${instanceRoot} (pid ${pid === "" ? "unknown" : pid}): stop it first`
    return yield* new AlreadyRunning({ instanceRoot, message })
  }
  if (status !== 0) return yield* new UnusableRoot({ message: `cannot lock ${file}: ${error?.message ?? stderr}` })
  writePid(fd)
})

/** For whoever finds it locked. In place, because a full disk must not keep the agent from its services. */
const writePid = (fd: number): void => {
  const text = `${String(process.pid).padEnd(10)}\n`
  try {
    fs.writeSync(fd, text, 0)
    fs.ftruncateSync(fd, text.length)
  } catch {
    // The lock itself needs no space.
  }
}
