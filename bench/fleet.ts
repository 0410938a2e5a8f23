// Ten thousand nodes with one master in virtual time: each decides by the rules of the program when it calls next. What
// is counted are the calls that the master would get, also while it does not answer.
import { reportAfter, sendAfter } from "../src/actors/usage/decide.ts"
import { firstDelay, nextDelay } from "../src/desired/polling.ts"
import { retryDelay } from "../src/report/Outbox.ts"

const nodes = 10_000
const pace = { syncInterval: 60_000, maximalDelay: 0 }
const reportInterval = 86_400_000
/** Milliseconds between two changes of state that a node has to report, on the average. */
const changeInterval = 3_600_000
const second = 1000
/** Seconds before what is looked at. */
const before = 600

export interface Scenario {
  readonly name: string
  /** Seconds that are looked at. */
  readonly seconds: number
  /** In the first of them every agent is started anew. */
  readonly restarts: boolean
  /** Seconds for which the master does not answer, from the first one. */
  readonly outage: number
}

export const scenarios: ReadonlyArray<Scenario> = [
  { name: "steady", seconds: 900, restarts: false, outage: 0 },
  { name: "after a mass restart", seconds: 900, restarts: true, outage: 0 },
  { name: "in an hour's outage and after it", seconds: 4500, restarts: false, outage: 3600 },
  { name: "in half a minute's outage and after it", seconds: 900, restarts: false, outage: 30 },
  { name: "all restarted while it is away for five minutes", seconds: 900, restarts: true, outage: 300 },
]

export interface Load {
  /** Calls in each second. */
  readonly calls: ReadonlyArray<number>
  /** Calls in a second when all is well: the same for all scenarios. */
  readonly mean: number
}

/** One thing that a node calls the master for, again and again. */
interface Caller {
  readonly kind: "sync" | "usage" | "state"
  failures: number
}

/** A small generator of random numbers from 0 to 1 (mulberry32): the same seed gives the same fleet. */
const generator = (seed: number) => {
  let state = seed
  return (): number => {
    state = (state + 0x6d_2b_79_f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Milliseconds until a caller's next call. */
const delayOf = ({ failures, kind }: Caller, random: number): number => {
  switch (kind) {
    case "sync":
      return nextDelay(pace.syncInterval, failures, random)
    case "usage":
      return failures === 0 ? reportAfter(0, reportInterval, random) : sendAfter(failures, random)
    case "state":
      return failures === 0 ? -Math.log(1 - random) * changeInterval : retryDelay(failures, "Unavailable", random)
  }
}

export const loadOf = ({ outage, restarts, seconds }: Scenario, seed: number): Load => {
  const random = generator(seed)
  const end = before + seconds
  /** By second: who calls, and when. */
  const calendar = Array.from({ length: end }, (): Array<readonly [Caller, number]> => [])
  const plan = (caller: Caller, time: number) => void calendar[Math.floor(time / second)]?.push([caller, time])
  for (let node = 0; node < nodes; node++) {
    plan({ kind: "sync", failures: 0 }, random() * pace.syncInterval)
    plan({ kind: "usage", failures: 0 }, random() * reportInterval)
    plan({ kind: "state", failures: 0 }, -Math.log(1 - random()) * changeInterval)
  }
  const calls = Array.from({ length: end }, () => 0)
  for (let now = 0; now < end; now++) {
    if (now === before && restarts) restart(calendar, now, plan, random)
    // What is planned within this second is appended while it is gone through.
    for (const [caller, time] of calendar[now] ?? []) {
      calls[now] = (calls[now] ?? 0) + 1
      const isAway = now >= before && now < before + outage
      caller.failures = isAway ? caller.failures + 1 : 0
      plan(caller, time + delayOf(caller, random()))
    }
    calendar[now] = []
  }
  const perSecond = nodes * second
  const mean = perSecond / pace.syncInterval + perSecond / reportInterval + perSecond / changeInterval
  return { calls: calls.slice(before), mean }
}

/** Everybody knows what to run, and when usage is due; what is asked next is decided anew. */
const restart = (
  calendar: ReadonlyArray<Array<readonly [Caller, number]>>,
  now: number,
  plan: (caller: Caller, time: number) => void,
  random: () => number,
): void => {
  const planned = calendar.slice(now).flatMap((slot) => slot.splice(0))
  for (const [caller, time] of planned) {
    const isSync = caller.kind === "sync"
    plan({ ...caller, failures: 0 }, isSync ? now * second + firstDelay(pace, true, random()) : time)
  }
}
