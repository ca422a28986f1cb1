/** Cells by heading; the first row's headings are the table's. */
export type Row = Readonly<Record<string, string | number>>

export function renderRows(rows: readonly Row[]): string {
  const headings = Object.keys(rows[0] ?? {})
  const cells = rows.map(row => headings.map(heading => String(row[heading])))
  const lines = [headings, headings.map(() => '---'), ...cells]
  return lines.map(line => `| ${line.join(' | ')} |`).join('\n')
}

/** Of an even number, the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (index: number) => sorted[Math.floor(index)] ?? Number.NaN
  return (at((sorted.length - 1) / 2) + at(sorted.length / 2)) / 2
}
