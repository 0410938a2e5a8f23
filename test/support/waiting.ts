// Waiting for what other processes do: for events where there are any, else by looking again until a deadline. A wait
// that is not over in time fails with the name of what did not come; no test waits for time itself.
import { readFileSync, watch } from "node:fs"
import { dirname } from "node:path"
import * as Effect from "effect/Effect"

/** Seconds after which waiting is given up: far more than anything takes on a busy machine. */
export const patience = 40

/** What running programs have to say when time is up. */
export const witnesses = new Set<() => string>()

export const inTime =
  (what: string, seconds = patience) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.timeoutOrElse(effect, {
      duration: seconds * 1000,
      orElse: () => {
        const told = [...witnesses].map((witness) => witness()).join("\n")
        return Effect.die(new Error(`${what}: it did not come within ${seconds} s\n${told}`))
      },
    })

/** Looks again and again until there is something: only for what sends no event. */
export const eventually = <A, E, R>(what: string, look: Effect.Effect<A | undefined, E, R>): Effect.Effect<A, E, R> => {
  const search = Effect.gen(function* () {
    let found = yield* look
    while (found === undefined) found = yield* Effect.delay(look, 20)
    return found
  })
  return inTime(what)(search)
}

/** A file's text, undefined while there is none. */
export const textOf = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return undefined
  }
}

/** Waits until `find` finds something in a file, which may appear later, in a directory that is there. */
export const awaitFile = <A>(path: string, find: (text: string) => A | undefined): Effect.Effect<A> =>
  Effect.callback<A>((resume) => {
    const look = () => {
      const text = textOf(path)
      const found = text === undefined ? undefined : find(text)
      if (found === undefined) return
      watcher.close()
      resume(Effect.succeed(found))
    }
    const watcher = watch(dirname(path), look)
    // After the watch began: what was written before is seen here, what comes later there.
    look()
    return Effect.sync(() => watcher.close())
  }).pipe(inTime(`what was looked for in ${path}`))
