// Lines for a terminal: styled pieces of text that never take more columns than they were given. Pure.

export type Style = "plain" | "bold" | "dim" | "good" | "busy" | "bad"

export interface Span {
  readonly text: string
  readonly style: Style
}

export type Line = ReadonlyArray<Span>

export interface Size {
  readonly columns: number
  readonly rows: number
  readonly isColoured: boolean
}

const codes: Readonly<Record<Style, string>> = {
  plain: "",
  bold: "\u001b[1m",
  dim: "\u001b[2m",
  good: "\u001b[32m",
  busy: "\u001b[33m",
  bad: "\u001b[31m",
}
const reset = "\u001b[0m"

export const span = (text: string, style: Style = "plain"): Span => ({ text, style })

/** Columns of a character, at most: how wide others than ASCII are depends on terminal and font. */
const columnsOf = (character: string): number => (character.length === 1 && character.charCodeAt(0) < 0x7f ? 1 : 2)

/** Columns that a text takes at most. */
export const width = (text: string): number => {
  let columns = 0
  for (const character of text) columns += columnsOf(character)
  return columns
}

/** As much of a text as has room; what is cut ends with `...`. */
export const fit = (text: string, columns: number): string => {
  if (width(text) <= columns) return text
  const mark = "...".slice(0, Math.max(0, columns))
  let room = columns - mark.length
  let kept = ""
  for (const character of text) {
    room -= columnsOf(character)
    if (room < 0) break
    kept += character
  }
  return kept + mark
}

const fitLine = (line: Line, columns: number): Line => {
  let room = columns
  return line.flatMap((one) => {
    if (room <= 0) return []
    const text = fit(one.text, room)
    room -= width(text)
    return [{ ...one, text }]
  })
}

const paint = (line: Line, isColoured: boolean): string =>
  line
    .map(({ style, text }) => (isColoured && codes[style] !== "" ? codes[style] + text + reset : text))
    .join("")
    .trimEnd()

/** Rows of cells as aligned lines; the last column is never padded. */
export const table = (rows: ReadonlyArray<ReadonlyArray<Span>>): ReadonlyArray<Line> => {
  const count = Math.max(0, ...rows.map((row) => row.length))
  const widths = Array.from({ length: count }, (_, column) =>
    Math.max(...rows.map((row) => width(row[column]?.text ?? ""))),
  )
  return rows.map((row) =>
    row.map((cell, column) => {
      const missing = column === count - 1 ? 0 : (widths[column] ?? 0) + 2 - width(cell.text)
      return { ...cell, text: cell.text + " ".repeat(missing) }
    }),
  )
}

/** Blocks with a blank line between them, or without where room is short, cut to what a screen can hold. */
export const stack = (blocks: ReadonlyArray<ReadonlyArray<Line>>, rows: number): ReadonlyArray<Line> => {
  const filled = blocks.filter((block) => block.length > 0)
  const spaced = filled.flatMap((block, index) => (index === 0 ? block : [[], ...block]))
  return (spaced.length <= rows ? spaced : filled.flat()).slice(0, rows)
}

/** Texts for the terminal. The last column stays free: what stands there can make a terminal start a new line. */
export const paintAll = (lines: ReadonlyArray<Line>, size: Size): ReadonlyArray<string> =>
  lines.slice(0, size.rows).map((line) => paint(fitLine(line, size.columns - 1), size.isColoured))
