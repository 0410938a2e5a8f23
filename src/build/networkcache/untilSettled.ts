// Promises that use a descriptor which is closed when their caller is interrupted.
import * as Effect from "effect/Effect"

/** Like `Effect.tryPromise`, but an interruption waits: nothing uses a descriptor that may be another file's by then. */
export const untilSettled = <A, E>(
  run: (signal: AbortSignal) => Promise<A>,
  onError: (cause: unknown) => E,
): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    const controller = new AbortController()
    const ended = run(controller.signal).then(
      (value) => resume(Effect.succeed(value)),
      (cause) => resume(Effect.fail(onError(cause))),
    )
    return Effect.promise(() => {
      controller.abort()
      return ended
    })
  })
