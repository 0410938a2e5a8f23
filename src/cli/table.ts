// Aligned columns for people; the last one is never padded.
import { escapeControls } from "../domain/text.ts"

/** A cell is one line, whatever strangers called their programs. */
const oneLine = (cell: string): string => escapeControls(cell).replaceAll("\n", "\\n").replaceAll("\t", "\\t")

export const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const all = [head, ...rows].map((row) => row.map(oneLine))
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}
