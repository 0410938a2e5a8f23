// A scratch directory with services to be supervised: a tiny program for each, and the certainty that nothing of it is
// left at the end, however the bench ends. The programs are the same whoever supervises them.
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { spawn } from "node:child_process"
import { openSync, closeSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { groupName, removeGroup, writableBase } from "../src/process/containment/cgroup.ts"
import { belongingTo } from "../test/support/processes.ts"
import { type Arrivals, makeArrivals } from "./arrivals.ts"

export const isRoot = process.geteuid?.() === 0

export interface Owner {
  readonly uid: number
  readonly gid: number
}

/**
 * Users without an entry in the user database, apart from those of the tests; number 0 owns the software. Two benches at
 * once need others each, or they end each other's processes: then BENCH_UID is the first one.
 */
const firstUid = Number(process.env["BENCH_UID"] ?? 59_800)
const lastUid = firstUid + 1400
export const ownerOf = (index: number): Owner =>
  isRoot
    ? { uid: firstUid + index, gid: firstUid + index }
    : { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }

export const servicesPerPartition = 10

export interface ServicePlan {
  readonly partition: number
  readonly name: string
  readonly ignoresTerm: boolean
}

/** `count` services over partitions of ten; when `stubborn`, every second one ignores SIGTERM. */
export const planServices = (count: number, stubborn = false): ReadonlyArray<ServicePlan> =>
  Array.from({ length: count }, (_, index) => ({
    partition: Math.floor(index / servicesPerPartition),
    name: `s${index}`,
    ignoresTerm: stubborn && index % 2 === 1,
  }))

export interface Machine {
  readonly path: string
  readonly arrivals: Arrivals
  readonly plans: ReadonlyArray<ServicePlan>
  /** Processes of this machine that live, the supervisor's included. */
  readonly living: () => ReadonlyArray<number>
}

export const makeOwned = (path: string, mode: number, { gid, uid }: Owner): void => {
  mkdirSync(path)
  if (isRoot) chownSync(path, uid, gid)
  chmodSync(path, mode)
}

/** Writes the program of a service. What it ignores stays ignored over exec. */
export const writeProgram = (machine: Machine, plan: ServicePlan, path: string, owner: Owner): void => {
  const trap = plan.ignoresTerm ? "trap '' TERM\n" : ""
  writeFileSync(path, `#!/bin/sh\n${trap}echo "$$ ${plan.name}" >${machine.arrivals.path}\nexec sleep infinity\n`)
  if (isRoot) chownSync(path, owner.uid, owner.gid)
  chmodSync(path, 0o755)
}

const kill = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal)
  } catch {
    // Gone already.
  }
}

const livingOf = (path: string): ReadonlyArray<number> =>
  belongingTo({ path, hasUid: (uid) => isRoot && uid >= firstUid && uid < lastUid })

const endAll = (path: string): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (let tries = 0; tries < 100; tries++) {
      const left = livingOf(path)
      if (left.length === 0) return
      for (const pid of left) kill(pid, "SIGKILL")
      yield* Effect.sleep(100)
    }
  })

/** The agent removes its cgroups itself, but not when it was killed. */
const removeGroups = (instanceRoot: string): void => {
  const base = writableBase()
  if (base === undefined) return
  for (let index = 0; index < lastUid - firstUid; index++) {
    removeGroup(`${base}/${groupName(instanceRoot, `slappart${index}`)}`)
  }
}

export const makeMachine = (plans: ReadonlyArray<ServicePlan>): Effect.Effect<Machine, never, Scope.Scope> =>
  Effect.gen(function* () {
    const path = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const made = mkdtempSync(join(tmpdir(), "slapgrid-bench-"))
        chmodSync(made, 0o755)
        return made
      }),
      (path) =>
        Effect.andThen(
          endAll(path),
          Effect.sync(() => {
            removeGroups(`${path}/instance`)
            rmSync(path, { recursive: true, force: true, maxRetries: 3 })
          }),
        ),
    )
    const arrivals = yield* makeArrivals(`${path}/arrivals`)
    return { path, arrivals, plans, living: () => livingOf(path) }
  })

/** A supervisor that was started. */
export interface Started {
  readonly pid: number
  /** Milliseconds of `performance.now()`. */
  readonly startedAt: number
  readonly exit: Effect.Effect<void>
}

/** Starts a supervisor; the end of the Scope kills it, before the machine's own end kills what it supervised. */
export const startProcess = (
  argv: readonly [string, ...ReadonlyArray<string>],
  log: string,
): Effect.Effect<Started, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Started>((resume) => {
      const ended = Deferred.makeUnsafe<void>()
      const [file, ...args] = argv
      const output = openSync(log, "a")
      const startedAt = performance.now()
      // A group of its own: Ctrl-C is the bench's, which then ends everything in order.
      const child = spawn(file, args, { cwd: dirname(log), detached: true, stdio: ["ignore", output, output] })
      closeSync(output)
      child.once("error", (cause) => resume(Effect.die(cause)))
      child.once("exit", () => Deferred.doneUnsafe(ended, Effect.void))
      child.once("spawn", () => resume(Effect.succeed({ pid: child.pid ?? 0, startedAt, exit: Deferred.await(ended) })))
    }),
    ({ exit, pid }) =>
      Effect.gen(function* () {
        // Its pid is its own until its exit was seen.
        if (yield* isOver(exit)) return
        kill(pid, "SIGKILL")
        yield* exit
      }),
  )

const isOver = (exit: Effect.Effect<void>): Effect.Effect<boolean> =>
  Effect.map(Effect.timeoutOption(exit, 1), (option) => option._tag === "Some")
