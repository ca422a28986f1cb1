import type { Machine } from './machine.ts'
import type { BenchOptions } from './options.ts'
import { BATCH_RECORDS, RECORD_BYTES } from './points.ts'
import { shorten, type Summary } from './summary.ts'

/** Above this share of a core the generator is part of what is measured. */
const GENERATOR_LOAD_MAX = 0.9
const HEADINGS = [
  'row',
  'clients',
  'per second',
  'min … max',
  'MB/s',
  'p50 ms',
  'p99 ms',
  'p99.9 ms',
  '× floor',
  '× peer',
]

export function renderHead(machine: Machine, directory: string, options: BenchOptions): string {
  const { type, device, options: mountOptions, isMemory } = machine.fileSystem
  const lines = [
    `machine      ${machine.processor}, ${machine.cores} cores, ${machine.memoryGib} GiB, ` +
      `${machine.system}, load ${machine.loadAverage.join(' ')}`,
    `versions     Varve ${machine.varve}, Node ${machine.node}, Fastify ${machine.fastify}, ` +
      `Redis ${machine.redis ?? 'not installed'}`,
    `file system  ${type} on ${device} (${mountOptions}), ${directory}`,
    `payload      records of ${RECORD_BYTES} B, batches of ${BATCH_RECORDS}, on loopback`,
    'sync mode    Varve durability group, answered after fdatasync; Redis appendfsync always',
    `method       ${options.rounds} rounds, alternating; ${options.warmup} s warm-up, then ` +
      `${options.seconds} s a point; a new process and directory each time`,
  ]
  if (isMemory) lines.push('WARNING      files are in memory: no durable row means anything')
  return lines.join('\n')
}

export function renderTable(summaries: readonly Summary[]): string {
  const rows = [HEADINGS, ...summaries.map(cellsOf)]
  const widths = HEADINGS.map((_, column) =>
    Math.max(...rows.map(cells => (cells.length < HEADINGS.length ? 0 : width(cells, column)))),
  )
  widths[0] = Math.max(...rows.map(cells => width(cells, 0)))
  const lines = rows.map(cells =>
    cells.map((cell, at) => pad(cell, at, widths[at] ?? 0)).join('  '),
  )
  lines.splice(1, 0, widths.map(count => '─'.repeat(count)).join('  '))
  return [...lines.map(line => line.trimEnd()), ...footnotes(summaries)].join('\n')
}

function cellsOf(summary: Summary): string[] {
  const { recordsPerSecond: rate, latencyMs, reason } = summary
  const identity = [summary.title, String(summary.connections)]
  if (rate === undefined || latencyMs === undefined) return [...identity, shorten(reason)]
  const isLimited = (summary.generatorLoad ?? 0) > GENERATOR_LOAD_MAX
  return [
    ...identity,
    `${count(rate.median)}${isLimited ? '*' : ''}`,
    `${count(rate.min)} … ${count(rate.max)}`,
    (summary.megabytesPerSecond ?? 0).toFixed(1),
    latencyMs.p50.toFixed(3),
    latencyMs.p99.toFixed(3),
    latencyMs.p999.toFixed(3),
    summary.ratioToFloor?.toFixed(2) ?? '',
    summary.ratioToPeer?.toFixed(2) ?? '',
  ]
}

function footnotes(summaries: readonly Summary[]): string[] {
  const notes: string[] = []
  if (summaries.some(({ generatorLoad }) => (generatorLoad ?? 0) > GENERATOR_LOAD_MAX)) {
    notes.push('* the generator used more than 0.9 of a core: the contender may be faster')
  }
  for (const { title, connections, p99ToFloor } of summaries) {
    if (p99ToFloor === undefined) continue
    notes.push(`${title}, ${connections}: its p99 is ${p99ToFloor.toFixed(2)} × that without`)
  }
  const target = singleTarget(summaries)
  if (target !== undefined) notes.push(target)
  for (const { title, connections, recordsPerSecond, reason } of summaries) {
    if (recordsPerSecond === undefined || reason === undefined) continue
    notes.push(`${title}, ${connections}: a round failed: ${shorten(reason)}`)
  }
  return notes.length === 0 ? [] : ['', ...notes]
}

/** The goal for one connection: twice what its two unavoidable parts take. */
function singleTarget(summaries: readonly Summary[]): string | undefined {
  const p50Of = (name: string) =>
    summaries.find(summary => summary.name === name && summary.connections === 1)?.latencyMs?.p50
  const [own, bare, disk] = [p50Of('varve'), p50Of('bare'), p50Of('disk-4k')]
  if (own === undefined || bare === undefined || disk === undefined) return undefined
  const floor = bare + disk
  return (
    `one append on one connection, p50: ${own.toFixed(3)} ms is ${(own / floor).toFixed(2)} × ` +
    `(a bare request + a write and sync of 4 KiB: ${floor.toFixed(3)} ms)`
  )
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

function width(cells: readonly string[], column: number): number {
  return cells[column]?.length ?? 0
}

/** Words to the left, figures to the right; a reason may run on over the empty columns. */
function pad(cell: string, column: number, columnWidth: number): string {
  const isWords = column === 0 || /[a-z]{3}/.test(cell)
  return isWords ? cell.padEnd(columnWidth) : cell.padStart(columnWidth)
}
