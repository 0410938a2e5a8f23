// Output of commands that go on for a while: no faster than its reader, and over when that has left.
import * as Effect from "effect/Effect"

/** Returns when it is written: a slow reader holds us up, not our memory. */
export const show = (text: string): Effect.Effect<void> =>
  Effect.callback((resume) => void process.stdout.write(text, () => resume(Effect.void)))

/** When the reader of our output has left (`slapgrid tail … | head`). */
export const readerLeft: Effect.Effect<void> = Effect.callback((resume) => {
  const listener = () => resume(Effect.void)
  process.stdout.once("error", listener)
  return Effect.sync(() => process.stdout.off("error", listener))
})
