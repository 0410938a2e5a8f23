// A node with a release and fresh partitions for the bench of buildouts: the real agent builds the release, then
// partitions are wanted, processed, and emptied again. The same directories serve the cold runs beside it.
import { spawn } from "node:child_process"
import {
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { createHash } from "node:crypto"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { buildEnvironment, buildUmask } from "../src/build/environment.ts"
import { invocation } from "../src/build/launcher.ts"
import { inheritedEnvironment } from "../src/files/machine.ts"
import { type Call, makeScriptedMaster, named, type ScriptedMasterShape } from "../test/support/ScriptedMaster.ts"
import { bundle } from "../test/support/slapgrid.ts"
import { isRoot, type Machine, makeMachine, makeOwned, ownerOf, type Started, startProcess } from "./machine.ts"
import { within } from "./measures.ts"
import { configureNode } from "./supervisors.ts"

export interface BenchNode {
  readonly machine: Machine
  readonly master: ScriptedMasterShape
  /** URL of the release that is built. */
  readonly release: string
  readonly releaseDirectory: string
}

/** The agent, and when the bench had it started (milliseconds since 1970). */
export interface Agent extends Started {
  readonly since: number
}

const source = fileURLToPath(new URL("release", import.meta.url))

/** A copy that its owner can develop eggs in. */
const copyRelease = (to: string): void => {
  for (const folder of ["", "/recipe"]) {
    makeOwned(`${to}${folder}`, 0o755, ownerOf(0))
    for (const entry of readdirSync(`${source}${folder}`, { withFileTypes: true })) {
      if (!entry.isFile()) continue
      const path = `${to}${folder}/${entry.name}`
      writeFileSync(path, readFileSync(`${source}${folder}/${entry.name}`, "utf8").replaceAll("@source@", to))
      if (isRoot) chownSync(path, ownerOf(0).uid, ownerOf(0).gid)
    }
  }
}

export const pathOf = ({ machine }: BenchNode, index: number): string => `${machine.path}/instance/slappart${index}`
const logOf = ({ machine }: BenchNode): string => `${machine.path}/slapgrid.log`

/** What the agent said, for people. */
export const logText = (node: BenchNode): string => readFileSync(logOf(node), "utf8")

/** `profile` of bench/release, built by an agent that has gone again, and `count` empty partitions. */
export const makeBenchNode = (profile: string, count: number): Effect.Effect<BenchNode, never, Scope.Scope> =>
  Effect.gen(function* () {
    const machine = yield* makeMachine([])
    const master = yield* makeScriptedMaster()
    const release = `${machine.path}/release/${profile}`
    const directory = createHash("md5").update(release).digest("hex")
    const node = { machine, master, release, releaseDirectory: `${machine.path}/software/${directory}` }
    mkdirSync(`${machine.path}/instance`)
    makeOwned(`${machine.path}/software`, 0o755, ownerOf(0))
    for (let index = 0; index < count; index++) makeOwned(pathOf(node, index), 0o750, ownerOf(index + 1))
    copyRelease(`${machine.path}/release`)
    yield* master.script({ software: [{ url: release }] })
    yield* Effect.scoped(
      Effect.gen(function* () {
        const agent = yield* startAgent(node)
        const built = yield* within(120, master.awaitCall(named("availableSoftwareRelease")))
        if (built === undefined) throw new Error(`the release was not built:\n${logText(node)}`)
        yield* stopAgent(agent)
      }),
    )
    yield* useOnce(node, Math.min(2, count))
    return node
  })

/**
 * What is measured is not the program's very first start, nor the first partitions that it ever has: what it keeps of
 * those is there. The node itself is as before.
 */
const useOnce = (node: BenchNode, count: number) =>
  Effect.gen(function* () {
    const compiled = `${dirname(bundle)}/compiled`
    const past = () => readdirSync(compiled).filter((name) => name.startsWith("v"))
    for (const name of past()) rmSync(`${compiled}/${name}`)
    yield* want(node, count, () => "1")
    const after = yield* lastCall(node)
    const agent = yield* startAgent(node)
    const ids = Array.from({ length: count }, (_, index) => `slappart${index}`)
    const started = yield* awaitStarted(node, ids, after, 60)
    if (started.count < count) throw new Error(`the first partitions were not started:\n${logText(node)}`)
    yield* within(
      20,
      Effect.repeat(
        Effect.delay(
          Effect.sync(() => past().length > 0),
          100,
        ),
        { until: Boolean },
      ),
    )
    yield* stopAgent(agent)
    empty(node, count)
    rmSync(`${node.machine.path}/instance/var/run/slapgrid/recipes.json`, { force: true })
  }).pipe(Effect.scoped)

/** Starts the agent, which asks the master at once. */
export const startAgent = (
  node: BenchNode,
  settings: Readonly<Record<string, string>> = {},
): Effect.Effect<Agent, never, Scope.Scope> =>
  Effect.gen(function* () {
    const config = configureNode(node.machine, node.master.url, settings)
    // One that knows what to run asks later.
    rmSync(`${node.machine.path}/instance/var/run/slapgrid/desired.json`, { force: true })
    const since = yield* Clock.currentTimeMillis
    const argv = [process.execPath, bundle, "--configuration-file", config] as const
    return { ...(yield* startProcess(argv, logOf(node))), since }
  })

/** Ends it in order, with the services. */
export const stopAgent = ({ exit, pid }: Agent): Effect.Effect<void> =>
  Effect.gen(function* () {
    process.kill(pid, "SIGTERM")
    if ((yield* within(120, Effect.as(exit, true))) !== true) throw new Error("the agent did not end")
  })

/** The master wants the first `count` partitions, each with the timestamp that `timestampOf` gives it, and no other. */
export const want = (node: BenchNode, count: number, timestampOf: (index: number) => string): Effect.Effect<void> =>
  node.master.script({
    partitions: Array.from({ length: count }, (_, index) => ({
      id: `slappart${index}`,
      software: node.release,
      timestamp: timestampOf(index),
    })),
  })

export interface Reported {
  /** How many partitions were. */
  readonly count: number
  /** Milliseconds since 1970: the last report's arrival. */
  readonly at: number
  /** What a partition was failed with. */
  readonly failure: string | undefined
}

/** Waits until the first `count` partitions are reported started after that call, or one failed, or time is up. */
export const awaitStarted = (node: BenchNode, ids: ReadonlyArray<string>, after: number, limit: number) =>
  Effect.gen(function* () {
    const left = new Set(ids)
    let last: Call | undefined
    yield* within(
      limit,
      node.master.awaitCall(
        (call) => {
          const isNews =
            call.name === "startedComputerPartition" && left.delete(call.form["computer_partition_id"] ?? "")
          if (isNews || call.name === "softwareInstanceError") last = call
          return left.size === 0 || call.name === "softwareInstanceError"
        },
        { after },
      ),
    )
    const reported: Reported = {
      count: ids.length - left.size,
      at: last?.at ?? Number.NaN,
      failure: last?.name === "softwareInstanceError" ? last.form["error_log"] : undefined,
    }
    return reported
  })

export const lastCall = (node: BenchNode): Effect.Effect<number> =>
  Effect.map(node.master.calls, (calls) => calls.length - 1)

/** Makes the first `count` partitions as they were, but for what `kept` names. */
export const empty = (node: BenchNode, count: number, kept: ReadonlyArray<string> = []): void => {
  const past = mkdtempSync(`${node.machine.path}/past-`)
  for (let index = 0; index < count; index++) {
    const path = pathOf(node, index)
    for (const name of readdirSync(path)) {
      if (!kept.includes(name)) renameSync(`${path}/${name}`, `${past}/${index}-${name}`)
    }
  }
}

/** Makes a partition as an earlier processing for the timestamp 1 left it. */
export const layOut = (node: BenchNode, index: number): void => {
  const [path, owner] = [pathOf(node, index), ownerOf(index + 1)]
  writeFileSync(`${path}/.timestamp`, "1")
  for (const folder of ["etc", "etc/service"]) makeOwned(`${path}/${folder}`, 0o755, owner)
  const program = `${path}/etc/service/sleeper`
  writeFileSync(program, "#!/bin/sh\nexec sleep infinity\n", { mode: 0o755 })
  if (isRoot) chownSync(program, owner.uid, owner.gid)
}

/** As the partition's user, with its groups and without new privileges, as the agent runs it. */
const userWords = (index: number): ReadonlyArray<string> => {
  const { gid, uid } = ownerOf(index + 1)
  if (!isRoot) return []
  return ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, `--groups=${gid},${ownerOf(0).gid}`, "--no-new-privs", "--"]
}

/** Runs the release's buildout in a partition that has its `buildout.cfg`, in an interpreter of its own. */
export const runCold = (node: BenchNode, index: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const path = pathOf(node, index)
    const script = `${node.releaseDirectory}/bin/buildout`
    const words = [...userWords(index), ...invocation(script, readFileSync(script, "utf8")), "-U"]
    const output = openSync(`${node.machine.path}/cold.log`, "a")
    const child = spawn("/bin/sh", ["-c", `umask ${buildUmask.toString(8)} && exec "$@"`, "sh", ...words], {
      cwd: path,
      env: buildEnvironment(inheritedEnvironment(), path, `${node.machine.path}/instance`),
      stdio: ["ignore", output, output],
    })
    closeSync(output)
    child.once("error", (cause) => resume(Effect.die(cause)))
    child.once("exit", (code) =>
      resume(code === 0 ? Effect.void : Effect.die(new Error(`a cold buildout ended with status ${code}`))),
    )
  })
