import { cpus, release, totalmem } from 'node:os'
import type { Fault, FindingKind, Need, Size } from './trial.ts'

/** What came of one fault. */
export type Row = {
  readonly fault: Fault
  /** What it needs and is not here; nothing was tried then. */
  readonly skipped: readonly Need[]
  tries: number
  survived: number
  readonly counts: Record<FindingKind, number>
  readonly notes: Map<string, number>
  seconds: number
}

// biome-ignore format: a table of columns is read by column
const COLUMNS: readonly { readonly title: string; readonly cell: (row: Row) => string | number }[] = [
  { title: 'fault',          cell: ({ fault }) => fault.name },
  { title: 'tries',          cell: ({ tries }) => tries },
  { title: 'survived',       cell: ({ survived }) => survived },
  { title: 'lost',           cell: ({ counts }) => counts.lost },
  { title: 'wrong',          cell: ({ counts }) => counts.wrong },
  { title: 'false refusals', cell: ({ counts }) => counts.refused },
  { title: 'streams hurt',   cell: ({ counts }) => counts.hurt },
  { title: 'bounds broken',  cell: ({ counts }) => counts.slow },
  { title: 'seconds',        cell: ({ seconds }) => seconds },
]

export function renderTable(rows: readonly Row[]): string {
  const cells = [COLUMNS.map(({ title }) => title), ...rows.map(cellsOf)]
  const widths = COLUMNS.map((_, at) => Math.max(...cells.map(line => (line[at] ?? '').length)))
  const lines = cells.map(line =>
    line
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  '),
  )
  return [...lines, '', ...remarks(rows)].join('\n').trimEnd()
}

/** The page for docs/reliability.md. */
export function renderMarkdown(rows: readonly Row[], size: Size): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`
  const machine = `${cpus().length} cores (${cpus()[0]?.model.trim()})`
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`
  return [
    `Run on ${new Date().toISOString().slice(0, 10)}: ${machine}, ${memory}, Linux ${release()},`,
    `Node ${process.version}; ${sizeOf(size)}.`,
    '',
    line(COLUMNS.map(({ title }) => title)),
    line(COLUMNS.map((_, at) => (at === 0 ? '---' : '--:'))),
    ...rows.map(row => line(cellsOf(row))),
    '',
    ...rows.map(({ fault }) => `- **${fault.name}**: ${fault.title}.`),
    '',
    ...remarks(rows).map(remark => `- ${remark}`),
    '',
  ].join('\n')
}

/** What to give again to draw the same loads. */
export function sizeOf({ seed, seeds, isLong }: Size): string {
  return `seed ${seed}, ${seeds} seeds${isLong ? ', long' : ''}`
}

function cellsOf(row: Row): string[] {
  return COLUMNS.map(({ cell }) => `${cell(row)}`)
}

function remarks(rows: readonly Row[]): string[] {
  const skipped = rows.filter(({ skipped }) => skipped.length > 0)
  return [
    ...skipped.map(({ fault, skipped }) => `skipped: ${fault.name} needs ${skipped.join(' and ')}`),
    ...rows.flatMap(({ fault, notes }) =>
      [...notes].map(([name, value]) => `${fault.name}: ${name} ${value}`),
    ),
  ]
}
