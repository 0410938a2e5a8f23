// When failed work is tried again: soon at first, then ever more rarely, so that a broken profile costs little and a
// short trouble is over soon. Milliseconds.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/** Whether this process is there to try again what failed. A single pass is not: it ends when all was tried once. */
export const Persistence = Context.Reference<boolean>("slapgrid/actors/Persistence", { defaultValue: () => true })

/** Without jitter. */
export const retryDelay = (failures: number): number =>
  failures <= 0 ? 0 : Math.min(15 * 60_000, 5_000 * 2 ** Math.min(failures - 1, 16))

const never = 365 * 24 * 3600_000

/** How long to wait after so many failures, and a line that says so. */
export const nextTry = Effect.fnUntraced(function* (subject: string, failures: number) {
  if (!(yield* Persistence)) return { delay: never, line: "" }
  const delay = retryDelay(failures) * (0.75 + (yield* Random.next) / 2)
  return { delay, line: `\n${subject} is tried again in ${Math.round(delay / 1000)} s` }
})
