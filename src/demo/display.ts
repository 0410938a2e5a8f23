// How the demo shows itself: a screen that is redrawn in place on a terminal, else plain lines. Both get every state
// that was seen; neither decides anything.
import type * as tty from "node:tty"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { DemoStatus } from "./DemoStatus.ts"
import { events, summary } from "./events.ts"
import type { LogTail } from "./LogTail.ts"
import { duration, render } from "./view.ts"

export interface Display {
  readonly show: (status: DemoStatus) => Effect.Effect<void>
  /** Time between two looks without an event, in milliseconds: a screen shows time passing. */
  readonly interval: number | undefined
}

export interface DisplayOptions {
  readonly once: boolean
  readonly isColoured: boolean
}

const escape = "\u001b"
/** The alternate screen, without a cursor. */
const enter = `${escape}[?1049h${escape}[?25l`
const leave = `${escape}[?25h${escape}[?1049l`
const home = `${escape}[H`
const eraseLine = `${escape}[K`
const eraseBelow = `${escape}[J`

/** One frame: every line replaces what stood there, so nothing flickers. */
export const frame = (lines: ReadonlyArray<string>): string =>
  home + lines.map((line) => line + eraseLine).join("\r\n") + eraseBelow

/** Restores the terminal at the end of the Scope, and when the process ends without it. */
export const makeScreen = Effect.fnUntraced(function* (
  terminal: tty.WriteStream,
  tail: LogTail,
  options: DisplayOptions,
) {
  let last: DemoStatus | undefined
  let shown = ""
  const restore = () => void terminal.write(leave)
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      process.once("exit", restore)
      terminal.write(enter)
    }),
    () =>
      Effect.sync(() => {
        process.off("exit", restore)
        restore()
        // The screen is gone, and with it what it showed.
        for (const line of last === undefined ? [] : summary(last)) terminal.write(`${line}\n`)
      }),
  )
  const show = Effect.fnUntraced(function* (status: DemoStatus) {
    last = status
    // Some terminals do not know their size and say 0.
    const size = { columns: terminal.columns || 80, rows: terminal.rows || 24, isColoured: options.isColoured }
    const next = frame(render(status, tail.lines, yield* Clock.currentTimeMillis, size))
    if (next === shown) return
    shown = next
    terminal.write(next)
  })
  return { show, interval: 500 } satisfies Display
})

const hint = (status: DemoStatus): string =>
  `Ctrl-C cleans everything up; until then try ${status.program} status --configuration-file ${status.configurationFile}`

/** A line for each change of state, with the time since the start in front. */
export const plainDisplay = (say: (line: string) => void, { once }: Pick<DisplayOptions, "once">): Display => {
  let before: DemoStatus | undefined
  const show = Effect.fnUntraced(function* (status: DemoStatus) {
    const elapsed = duration((yield* Clock.currentTimeMillis) - status.startedAt).padStart(7)
    for (const event of events(before, status)) say(`${elapsed}  ${event}`)
    const isNew = before === undefined || summary(before).length === 0
    if (isNew && summary(status).length > 0) {
      for (const line of [...summary(status), ...(once ? [] : [hint(status)])]) say(line)
    }
    before = status
  })
  return { show, interval: undefined }
}
