// Numbers for people: medians with their spread, and how slapgrid compares with a peer.

/** Numbers of one measure, in the unit of its row. */
export interface Samples {
  readonly values: ReadonlyArray<number>
  /** What to print instead of numbers: why there are none. */
  readonly instead?: string
}

export interface Row {
  readonly measure: string
  readonly unit: string
  readonly aim: string
  readonly slapgrid: Samples
  readonly peer: Samples
}

export const quantile = (values: ReadonlyArray<number>, q: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN
}

const shown = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)

const cell = ({ instead, values }: Samples, unit: string): string => {
  if (values.length === 0) return instead ?? "-"
  const median = `${shown(quantile(values, 0.5))} ${unit}`
  if (values.length === 1) return median
  return `${median} (${shown(Math.min(...values))}–${shown(Math.max(...values))})`
}

/** Whom the rows of a table compare slapgrid with, and what is divided by what. */
export interface Comparison {
  readonly peer: string
  readonly ratio: "peer / slapgrid" | "slapgrid / peer"
}

const ratioOf = ({ peer, slapgrid }: Row, { ratio }: Comparison): string => {
  if (slapgrid.values.length === 0 || peer.values.length === 0) return ""
  const times = quantile(peer.values, 0.5) / quantile(slapgrid.values, 0.5)
  const wanted = ratio === "peer / slapgrid" ? times : 1 / times
  return Number.isFinite(wanted) ? `${shown(wanted)}×` : ""
}

/** Aligned columns. */
export const formatTable = (rows: ReadonlyArray<Row>, comparison: Comparison): string => {
  const { peer, ratio } = comparison
  const lines = [
    ["measure", "slapgrid", peer, ratio.replace("peer", peer), "aim"],
    ...rows.map((row) => [
      row.measure,
      cell(row.slapgrid, row.unit),
      cell(row.peer, row.unit),
      ratioOf(row, comparison),
      row.aim,
    ]),
  ]
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? []
  return lines
    .map((line) =>
      line
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}
