// What a running build is at, read from its output as it grows: the part that buildout installs, and the newest lines.
// The output is a stranger's: what is kept of it is short and cannot steer a terminal. Pure.
import { escapeControls } from "../domain/text.ts"

export interface BuildProgress {
  /** The part that buildout installs or updates. */
  readonly part: string | undefined
  /** The newest lines, the last of which may still be written. */
  readonly lastLines: ReadonlyArray<string>
}

/** What was read so far. */
export interface Reading {
  readonly part: string | undefined
  readonly lines: ReadonlyArray<string>
  /** The line that has no end yet. */
  readonly open: string
}

export const nothingRead: Reading = { part: undefined, lines: [], open: "" }

const keptLines = 10
const keptLength = 200
/** Nobody's line is longer, and a build without newlines must not fill the memory. */
const openLength = 4096

/** ECMA-48 control sequences (colours, cursor) and operating system commands (titles). */
// oxlint-disable-next-line no-control-regex
const sequences = /\u001B(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001B]*(?:\u0007|\u001B\\))/g

/** As a terminal would show the line in the end: a carriage return begins it anew. */
const shown = (line: string): string => {
  const text = line.replaceAll(sequences, "").trimEnd()
  return escapeControls(text.slice(text.lastIndexOf("\r") + 1)).slice(0, keptLength)
}

const partOf = (line: string): string | undefined => /^(?:Installing|Updating) (\S+)\.$/.exec(line)?.[1]

/** Reads on with the next piece of output. */
export const readOn = ({ lines, open, part }: Reading, piece: string): Reading => {
  const [...whole] = (open + piece).split("\n")
  const rest = whole.pop() ?? ""
  const read = whole.map(shown).filter((line) => line !== "")
  return {
    part: read.map(partOf).findLast((name) => name !== undefined) ?? part,
    lines: [...lines, ...read].slice(-keptLines),
    open: rest.slice(-openLength),
  }
}

export const progressOf = ({ lines, open, part }: Reading): BuildProgress => {
  const last = shown(open)
  return { part, lastLines: last === "" ? lines : [...lines, last].slice(-keptLines) }
}
