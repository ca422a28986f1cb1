import { spawnSync } from 'node:child_process'
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
  return [...lines, '', ...notTried(rows), ...measured(rows)].join('\n').trimEnd()
}

/** How a run was made. */
export type Made = {
  readonly size: Size
  /** The options it was given. */
  readonly asked: string
  readonly minutes: number
}

/** The table of docs/reliability.md with the machine, the date and what failed. */
export function renderMarkdown(rows: readonly Row[], made: Made): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`
  const failed = rows.flatMap(row => row.failed)
  return [
    ...describeRun(made),
    '',
    line(COLUMNS.map(({ title }) => title)),
    line(COLUMNS.map((_, at) => (at === 0 ? '---' : '--:'))),
    ...rows.map(row => line(cellsOf(row))),
    '',
    ...rows.map(({ fault }) => `- **${fault.name}**: ${fault.title}.`),
    '',
    '### Measured',
    '',
    ...listOf(measured(rows)),
    '',
    '### Not tried in this run',
    '',
    ...listOf(notTried(rows)),
    '',
    '### Cases that failed',
    '',
    ...listOf(failed),
  ].join('\n')
}

function describeRun({ size, asked, minutes }: Made): string[] {
  const date = new Date().toISOString().slice(0, 10)
  const machine = `${cpus().length} cores (${cpus()[0]?.model.trim()})`
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`
  const load = loadavg()
    .map(average => average.toFixed(1))
    .join(', ')
  return [
    `\`npm run torture${asked === '' ? '' : ` -- ${asked}`}\` on ${date}, ${commitOf()}:`,
    `${minutes.toFixed(0)} minutes, ${sizeOf(size)}.`,
    '',
    `Machine: ${machine}, ${memory}, Linux ${release()}, Node ${process.version}.`,
    `Load average at the end, over 1, 5 and 15 minutes: ${load}. The run itself is part of it.`,
  ]
}

/** The commit that was tried, where git can tell. */
function commitOf(): string {
  const git = (...args: string[]) =>
    spawnSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' })
  const { status, stdout } = git('rev-parse', '--short', 'HEAD')
  if (status !== 0) return 'on a tree outside of git'
  const isChanged = git('status', '--porcelain', '--', ':/src', ':/test').stdout !== ''
  return `on commit ${stdout.trim()}${isChanged ? ' with changes' : ''}`
}

function listOf(items: readonly string[]): string[] {
  return items.length === 0 ? ['None.'] : items.map(item => `- ${item}`)
}

/** What to give again to draw the same loads. */
export function sizeOf({ seed, rounds, seeds, requests, loadMinutes, isLong }: Size): string {
  const minutes = Math.round(loadMinutes * 10) / 10
  const drawn =
    `seed ${seed}, ${rounds} rounds, ${seeds} simulated seeds, ${requests} requests, ` +
    `${minutes} minutes of load`
  return `${drawn}${isLong ? ', long' : ''}`
}

function cellsOf(row: Row): string[] {
  return COLUMNS.map(({ cell }) => `${cell(row)}`)
}

function measured(rows: readonly Row[]): string[] {
  return rows.flatMap(({ fault, notes }) =>
    [...notes].map(([name, value]) => `${fault.name}: ${name}: ${value}`),
  )
}

function notTried(rows: readonly Row[]): string[] {
  return rows.flatMap(({ fault, skipped, notRun, tries, notApplied }) => {
    if (skipped.length > 0)
      return [`${fault.name}: skipped, because it needs ${skipped.join(' and ')}`]
    const left = tries + notApplied === 0 ? `${fault.name}: not run` : undefined
    const why = fault.isOnlyByName === true ? ', because it runs only when it is named' : ''
    if (notRun > 0)
      return [left === undefined ? `${fault.name}: ${notRun} cases not run` : left + why]
    return notApplied > 0
      ? [`${fault.name}: ${notApplied} cases in which the fault was not made`]
      : []
  })
}
