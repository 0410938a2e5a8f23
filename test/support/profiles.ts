// Profiles of releases that do what a test needs, built with the recipes of the test release.
import * as Effect from "effect/Effect"
import type { TestNode } from "./TestNode.ts"
import { eventually, textOf } from "./waiting.ts"

/** Text of a profile whose parts each run a shell command in the release's directory; `$$` is a `$`. */
export const profileText = (node: TestNode, commands: Readonly<Record<string, string>>): string => {
  const parts = Object.entries(commands).map(
    ([part, command]) => `[${part}]\nrecipe = slapgridtest:run\ncommand = ${command.replaceAll("\n", "\n  ")}\n`,
  )
  return [`[buildout]\nextends = ${node.release}\nparts = ${Object.keys(commands).join(" ")}\n`, ...parts].join("\n")
}

/** Writes such a profile; gives its URL. */
export const profileOf = (node: TestNode, name: string, commands: Readonly<Record<string, string>>): string =>
  node.writeProfile(`${name}.cfg`, profileText(node, commands))

/** Shell that leaves a daemon without session and parent, writes both pids to `pids`, and never ends. */
export const hangs = "setsid sleep 1000 > /dev/null 2>&1 & echo $! $$$$ > pids; exec sleep 1000"

/** The pids that `hangs` has written in a directory. */
export const awaitHanging = (directory: string): Effect.Effect<ReadonlyArray<number>> =>
  eventually(
    `what hangs in ${directory}`,
    Effect.sync(() => {
      const pids = (textOf(`${directory}/pids`) ?? "").split(" ").map(Number).filter(Boolean)
      return pids.length === 2 ? pids : undefined
    }),
  )
