import { cpus, loadavg, release, totalmem } from 'node:os'
import type { Fault, FindingKind, Need, Size } from './trial.ts'

/** What came of one fault. */
export type Row = {
  readonly fault: Fault
  /** What it needs and is not here; nothing was tried then. */
  readonly skipped: readonly Need[]
  tries: number
  survived: number
  /** Tries in which the fault was never made; they say nothing. */
  notApplied: number
  /** Cases that the limit of time or the selection left out. */
  notRun: number
  readonly counts: Record<FindingKind, number>
  readonly notes: Map<string, number>
  /** One line for each case that failed. */
  readonly failed: string[]
  seconds: number
}

// biome-ignore format: a table of columns is read by column
const COLUMNS: readonly { readonly title: string; readonly cell: (row: Row) => string | number }[] = [
  { title: 'fault',          cell: ({ fault }) => fault.name },
  { title: 'tries',          cell: ({ tries }) => tries },
  { title: 'survived',       cell: ({ survived }) => survived },
  { title: 'not applied',    cell: ({ notApplied }) => notApplied },
  { title: 'not run',        cell: ({ notRun }) => notRun },
  { title: 'lost',           cell: ({ counts }) => counts.lost },
  { title: 'wrong',          cell: ({ counts }) => counts.wrong },
  { title: 'false refusals', cell: ({ counts }) => counts.refused },
  { title: 'streams hurt',   cell: ({ counts }) => counts.hurt },
  { title: 'bounds broken',  cell: ({ counts }) => counts.slow },
  { title: 'seconds',        cell: ({ seconds }) => seconds },
]

export function emptyRow(fault: Fault, skipped: readonly Need[]): Row {
  return {
    fault,
    skipped,
    tries: 0,
    survived: 0,
    notApplied: 0,
    notRun: 0,
    counts: { lost: 0, wrong: 0, refused: 0, hurt: 0, slow: 0 },
    notes: new Map(),
    failed: [],
    seconds: 0,
  }
}

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

/** The table of docs/reliability.md with the machine, the date and what failed. */
export function renderMarkdown(rows: readonly Row[], size: Size): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`
  const machine = `${cpus().length} cores (${cpus()[0]?.model.trim()})`
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`
  const load = loadavg()
    .map(average => average.toFixed(1))
    .join(', ')
  const failed = rows.flatMap(row => row.failed)
  return [
    `Run on ${new Date().toISOString().slice(0, 10)}: ${machine}, ${memory}, Linux ${release()},`,
    `Node ${process.version}; ${sizeOf(size)}.`,
    `Load average at the end, over 1, 5 and 15 minutes: ${load}.`,
    '',
    line(COLUMNS.map(({ title }) => title)),
    line(COLUMNS.map((_, at) => (at === 0 ? '---' : '--:'))),
    ...rows.map(row => line(cellsOf(row))),
    '',
    ...rows.map(({ fault }) => `- **${fault.name}**: ${fault.title}.`),
    '',
    '### Measured, skipped and not run',
    '',
    ...remarks(rows).map(remark => `- ${remark}`),
    '',
    '### Cases that failed',
    '',
    ...(failed.length === 0 ? ['None.'] : failed.map(one => `- ${one}`)),
  ].join('\n')
}

/** What to give again to draw the same loads. */
export function sizeOf({ seed, rounds, seeds, requests, isLong }: Size): string {
  const drawn = `seed ${seed}, ${rounds} rounds, ${seeds} simulated seeds, ${requests} requests`
  return `${drawn}${isLong ? ', long' : ''}`
}

function cellsOf(row: Row): string[] {
  return COLUMNS.map(({ cell }) => `${cell(row)}`)
}

function remarks(rows: readonly Row[]): string[] {
  const skipped = rows.filter(row => row.skipped.length > 0)
  const notRun = rows.filter(row => row.skipped.length === 0 && row.notRun > 0)
  return [
    ...skipped.map(row => `skipped: ${row.fault.name} needs ${row.skipped.join(' and ')}`),
    ...notRun.map(row =>
      row.tries + row.notApplied === 0
        ? `not run: ${row.fault.name}`
        : `not run: ${row.notRun} cases of ${row.fault.name}`,
    ),
    ...rows.flatMap(({ fault, notes }) =>
      [...notes].map(([name, value]) => `${fault.name}: ${name} ${value}`),
    ),
  ]
}
