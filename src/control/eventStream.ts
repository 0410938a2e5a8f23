// Events as lines of JSON over an answer that stays open: no faster than its reader, with blank lines as signs of life
// while nothing happens. A reader that stops reading is given up; what it was told about is not.
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { ServerResponse } from "node:http"

/** How often there is a sign of life. */
const signInterval = "5 seconds"
/** How long a reader may leave one line unread, when the kernel's buffers are full. */
const readerPatience = "1 minute"

const write = (response: ServerResponse, text: string): Effect.Effect<void, "GivenUp"> =>
  Effect.callback<void, "GivenUp">((resume) => {
    response.write(text, (error) => resume(error ? Effect.fail("GivenUp" as const) : Effect.void))
  }).pipe(Effect.timeoutOrElse({ duration: readerPatience, orElse: () => Effect.fail("GivenUp" as const) }))

/** When the connection is gone, whoever ended it. */
const gone = (response: ServerResponse): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const listener = () => resume(Effect.void)
    response.once("close", listener)
    if (response.destroyed) listener()
    return Effect.sync(() => response.off("close", listener))
  })

/** Returns when the last event is sent, or nobody reads any more. */
export const sendEvents = (response: ServerResponse, events: Stream.Stream<unknown>): Effect.Effect<void> =>
  Effect.suspend(() => {
    response.writeHead(200, { "content-type": "application/x-ndjson" })
    response.flushHeaders()
    const lines = Stream.map(events, (event) => `${JSON.stringify(event)}\n`)
    const signs = Stream.map(Stream.tick(signInterval), () => "\n")
    return Stream.merge(lines, signs, { haltStrategy: "left" }).pipe(
      Stream.runForEach((line) => write(response, line)),
      Effect.andThen(Effect.sync(() => response.end())),
      Effect.catch(() => Effect.sync(() => response.destroy())),
      Effect.raceFirst(gone(response)),
    )
  })
