// User ids for the demo's software owner and partitions: ids without a passwd or group entry, because the demo adds no
// users to the machine, and without processes, so that two demos do not share one.
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import { execa } from "execa"
import { DemoError } from "./DemoError.ts"

/** Below the 65,536 ids that a container usually has, above those that distributions give to people. */
export const idRange = { first: 20_000, last: 59_999 } as const

/** How many ids one look at the user database covers. */
const window = 64

/** The first `count` of `candidates` that nobody has. */
export const chooseIds = (
  candidates: ReadonlyArray<number>,
  taken: ReadonlySet<number>,
  count: number,
): ReadonlyArray<number> | undefined => {
  const free = candidates.filter((id) => !taken.has(id)).slice(0, count)
  return free.length === count ? free : undefined
}

/** Third field of `name:password:id:…` lines. */
export const entryIds = (database: string): ReadonlyArray<number> =>
  database.split("\n").flatMap((line) => {
    const id = line.split(":")[2]
    return id === undefined || id === "" ? [] : [Number(id)]
  })

const knownIds = (database: "passwd" | "group", ids: ReadonlyArray<number>) =>
  Effect.promise(async () => {
    // Ends with 2 when one of them is unknown, which is what is hoped for.
    const { stdout } = await execa("getent", [database, ...ids.map(String)], { reject: false, stdin: "ignore" })
    return entryIds(stdout)
  })

const processOwners = Effect.sync(() =>
  fs
    .readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const stats = fs.statSync(`/proc/${name}`, { throwIfNoEntry: false })
      return stats === undefined ? [] : [stats.uid, stats.gid]
    }),
)

/** So many ids that neither the user database nor the process table knows, looking from `start` on. */
export const freeIds = Effect.fnUntraced(function* (count: number, start: number) {
  const inUse = yield* processOwners
  for (let first = start; first + window - 1 <= idRange.last; first += window) {
    const candidates = Array.from({ length: window }, (_, index) => first + index)
    const known = [...(yield* knownIds("passwd", candidates)), ...(yield* knownIds("group", candidates))]
    const chosen = chooseIds(candidates, new Set([...inUse, ...known]), count)
    if (chosen !== undefined) return chosen
  }
  const message = `no ${count} user ids from ${start} to ${idRange.last} are free on this machine: run the demo as an ordinary user`
  return yield* new DemoError({ message })
})
