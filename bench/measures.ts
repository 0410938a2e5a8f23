// The measures, each bounded in time and each in a scratch machine of its own that is gone afterwards. A measure that
// did not come to its end in time says how far it came instead of a number.
import { existsSync, readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { getStatus } from "../src/control/ControlClient.ts"
import { isAlive } from "../test/support/processes.ts"
import { type Machine, makeMachine, planServices } from "./machine.ts"
import type { Subject, Supervisor } from "./supervisors.ts"
import { type Samples, quantile } from "./table.ts"

const seconds = (from: number): number => (performance.now() - from) / 1000

/** Gives undefined when it took longer. */
export const within = <A, E, R>(limit: number, effect: Effect.Effect<A, E, R>): Effect.Effect<A | undefined, E, R> =>
  Effect.map(Effect.timeoutOption(effect, limit * 1000), (option) =>
    option._tag === "Some" ? option.value : undefined,
  )

export const say = (text: string): Effect.Effect<void> => Effect.sync(() => void process.stderr.write(`  ${text}\n`))

export const none = (instead?: string): Samples => ({ values: [], ...(instead === undefined ? {} : { instead }) })
export const samples = (values: ReadonlyArray<number | undefined>, instead: string): Samples => {
  const found = values.filter((value) => value !== undefined)
  return found.length === values.length ? { values: found } : none(instead)
}

/** A bound that leaves room on a busy machine. */
const startLimit = (services: number): number => 30 + services / 20

interface Running {
  readonly machine: Machine
  readonly supervisor: Supervisor
  /** Starts another supervisor on the same machine. */
  readonly again: Effect.Effect<Supervisor, never, Scope.Scope>
  /** Seconds from the supervisor's start to the last service's first sign of life; undefined: not in time. */
  readonly startedIn: number | undefined
}

/** A machine whose services all run. */
const running = (subject: Subject, count: number, stubborn = false): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.gen(function* () {
    const machine = yield* makeMachine(planServices(count, stubborn))
    const { start: again } = yield* subject.prepare(machine)
    const supervisor = yield* again
    const { arrivals } = machine
    const isThere = yield* within(startLimit(count), Effect.as(arrivals.awaitAll(count), true))
    const last = Math.max(...arrivals.all.map(({ at }) => at))
    const startedIn = isThere === true ? (last - supervisor.startedAt) / 1000 : undefined
    yield* say(
      `${subject.name}: ${arrivals.latest.size} of ${count} services run after ${seconds(supervisor.startedAt).toFixed(2)} s`,
    )
    return { machine, supervisor, again, startedIn }
  })

/** Start of `count` services, in seconds. */
export const measureStart = (subject: Subject, count: number): Effect.Effect<number | undefined> =>
  Effect.scoped(Effect.map(running(subject, count), ({ startedIn }) => startedIn))

export interface Crashes {
  /** Milliseconds from the kill to the new process' first sign of life. */
  readonly latencies: ReadonlyArray<number>
  readonly isComplete: boolean
}

/** `kills` services, each another one, killed one after the other. */
export const measureCrashes = (subject: Subject, count: number, kills: number): Effect.Effect<Crashes> =>
  Effect.gen(function* () {
    const latencies: Array<number> = []
    const { machine } = yield* running(subject, count)
    // The supervisor is to be at rest, and supervisord's programs no longer new.
    yield* Effect.sleep(3000)
    const each = Effect.gen(function* () {
      for (const before of [...machine.arrivals.latest.values()].slice(0, kills)) {
        const from = performance.now()
        process.kill(before.pid, "SIGKILL")
        yield* machine.arrivals.awaitNext(before)
        latencies.push((machine.arrivals.latest.get(before.name)?.at ?? Number.NaN) - from)
      }
    })
    yield* within(30 + kills * 1.5, each)
    const isComplete = latencies.length === Math.min(kills, count)
    yield* say(`${subject.name}: ${latencies.length} kills`)
    return { latencies, isComplete }
  }).pipe(Effect.scoped)

/** Waits until none of them lives; a zombie does not. */
const awaitEnd = (pids: ReadonlyArray<number>): Effect.Effect<void> =>
  Effect.gen(function* () {
    let left = pids
    for (let looks = 0; left.length > 0; looks++) {
      // The cheap question often, the exact one now and then: looking must not take the processor from who stops.
      left = left.filter(looks % 50 === 49 ? isAlive : exists)
      if (left.length > 0) yield* Effect.sleep(10)
    }
  })

const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Seconds from the request to stop to the last service's end; undefined: not within the limit. */
const stopTime = ({ machine, supervisor }: Pick<Running, "machine" | "supervisor">, limit: number) =>
  Effect.gen(function* () {
    const { pids } = machine.arrivals
    const from = performance.now()
    yield* supervisor.stop
    const isOver = yield* within(limit, Effect.as(awaitEnd(pids), true))
    return { seconds: isOver === true ? seconds(from) : undefined, left: pids.filter(isAlive).length }
  })

export interface Stopped {
  readonly seconds: number | undefined
  /** Services that lived on after the limit. */
  readonly left: number
}

/** Stop of `count` services, half of them ignoring SIGTERM, within `limit` seconds. */
export const measureStop = (subject: Subject, count: number, limit: number): Effect.Effect<Stopped> =>
  Effect.gen(function* () {
    const started = yield* running(subject, count, true)
    const stopped = yield* stopTime(started, limit)
    // One that ends with its services does so by itself, and can write what it was asked to.
    yield* within(3, started.supervisor.exit)
    yield* say(
      `${subject.name}: stopped after ${stopped.seconds?.toFixed(2) ?? `more than ${limit}`} s, ${stopped.left} left`,
    )
    return stopped
  }).pipe(Effect.scoped)

export const memoryOf = (pid: number, field: "VmRSS" | "VmHWM"): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024

/** Seconds of processor time so far; the kernel counts hundredths. */
export const processorTime = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  const fields = stat.slice(stat.lastIndexOf(") ") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}

export interface Idle {
  /** MB. */
  readonly resident: number
  readonly peak: number
  /** Percent of one core. */
  readonly processor: number
}

/** What a supervisor of `count` services takes when nothing happens for `window` seconds. */
export const measureIdle = (subject: Subject, count: number, window: number): Effect.Effect<Idle> =>
  Effect.gen(function* () {
    const { pid } = (yield* running(subject, count)).supervisor
    yield* Effect.sleep(5000)
    const [used, from] = [processorTime(pid), performance.now()]
    yield* Effect.sleep(window * 1000)
    const processor = ((processorTime(pid) - used) / seconds(from)) * 100
    return { resident: memoryOf(pid, "VmRSS"), peak: memoryOf(pid, "VmHWM"), processor }
  }).pipe(Effect.scoped)

export interface LoopDelay {
  /** Milliseconds. */
  readonly p99: number
  readonly max: number
}

/** How long the agent's event loop was kept from turning, from the first of `count` services to the last. */
export const measureLoop = (
  subjectWith: (nodeFlags: ReadonlyArray<string>) => Subject,
  count: number,
): Effect.Effect<LoopDelay | undefined> =>
  Effect.gen(function* () {
    const machine = yield* makeMachine(planServices(count))
    const target = `${machine.path}/loop.json`
    const probe = new URL("./loopProbe.ts", import.meta.url)
    probe.searchParams.set("target", target)
    const { start } = yield* subjectWith(["--import", probe.href]).prepare(machine)
    const { pid } = yield* start
    const run = Effect.gen(function* () {
      yield* machine.arrivals.awaitAll(1)
      process.kill(pid, "SIGWINCH")
      yield* machine.arrivals.awaitAll(count)
      process.kill(pid, "SIGWINCH")
      let text = ""
      while (text === "") text = yield* Effect.delay(textOf(target), 20)
      return JSON.parse(text) as LoopDelay
    })
    return yield* within(startLimit(count), run)
  }).pipe(Effect.scoped)

const textOf = (path: string): Effect.Effect<string> =>
  Effect.sync(() => (existsSync(path) ? readFileSync(path, "utf8") : ""))

export interface Survival {
  readonly start: number | undefined
  /** From the next agent's start until it shows every service running. */
  readonly adoption: number | undefined
  readonly stop: number | undefined
  /** What went wrong, in words; empty when nothing did. */
  readonly problems: ReadonlyArray<string>
}

const runningPids = (instanceRoot: string) =>
  getStatus(instanceRoot).pipe(
    Effect.map(({ partitions }) =>
      partitions.flatMap(({ services }) =>
        services.flatMap(({ pid, state }) => (state === "running" && pid !== undefined ? [pid] : [])),
      ),
    ),
    Effect.orElseSucceed((): ReadonlyArray<number> => []),
  )

const sameMembers = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): boolean => {
  const known = new Set(a)
  return a.length === b.length && b.every((one) => known.has(one))
}

/** `count` services start, outlive a SIGKILL of the agent, are adopted with their pids, stop, and leave nothing. */
export const measureSurvival = (subject: Subject, count: number): Effect.Effect<Survival> =>
  Effect.gen(function* () {
    const { again, machine, startedIn, supervisor } = yield* running(subject, count)
    const problems: Array<string> = []
    if (startedIn === undefined) problems.push(`${count - machine.arrivals.latest.size} services did not start`)
    const root = `${machine.path}/instance`
    // The last record stands when the agent shows its service: only then is a kill survivable by right.
    yield* within(60, Effect.repeat(runningPids(root), { until: (pids) => pids.length === count }))
    const before = machine.arrivals.pids
    process.kill(supervisor.pid, "SIGKILL")
    yield* supervisor.exit
    const dead = before.filter((pid) => !isAlive(pid)).length
    if (dead > 0) problems.push(`${dead} services died with the agent`)
    const next = yield* again
    // Rarely: the answer of thousands of services is work for the agent, too.
    const look = Effect.delay(runningPids(root), 250)
    const adopted = yield* within(60, Effect.repeat(look, { until: (pids) => pids.length === count }))
    const adoption = adopted === undefined ? undefined : seconds(next.startedAt)
    if (adopted === undefined || !sameMembers(before, adopted)) problems.push("not every service was adopted")
    const restarts = machine.arrivals.all.length - before.length
    if (restarts > 0) problems.push(`${restarts} services were restarted`)
    yield* say(`adopted after ${adoption?.toFixed(2) ?? "more than 60"} s`)
    const stopped = yield* stopTime({ machine, supervisor: next }, 60)
    yield* within(20, next.exit)
    const left = machine.living().length
    if (left > 0) problems.push(`${left} processes were left behind`)
    return { start: startedIn, adoption, stop: stopped.seconds, problems }
  }).pipe(Effect.scoped)

/** Median and 99th percentile. */
export const percentiles = (values: ReadonlyArray<number>): { readonly p50: number; readonly p99: number } => ({
  p50: quantile(values, 0.5),
  p99: quantile(values, 0.99),
})
