import type { Usage } from '../instruments/thread-usage.ts'
import { renderRows } from './markdown.ts'
import type { Summary } from './summary.ts'

/** Threads by what they do, in the order of the columns; what no one names comes last. */
const MAIN_THREADS = ['main', 'front end']
const OTHERS = ['shard', 'flusher', 'checkpointer', 'reader', 'V8 and libuv']

/** How many kinds of system calls are named in a line. */
const CALLS_NAMED = 6

/** One line a row with its system calls; empty where they were not counted. */
export function renderSystemCalls(summaries: readonly Summary[]): string {
  const lines = summaries.flatMap(({ title, connections, systemCallsPerRequest: calls }) => {
    if (calls === undefined) return []
    const all = Object.values(calls).reduce((sum, count) => sum + count, 0)
    const named = Object.entries(calls).slice(0, CALLS_NAMED)
    const parts = named.map(([name, count]) => `${name} ${count.toFixed(2)}`)
    return [
      `${title}, ${connections}: ${all.toFixed(2)} system calls a request: ${parts.join(', ')}`,
    ]
  })
  return lines.join('\n')
}

/** One line a row: processor time of one request by thread, µs; empty where no /proc told it. */
export function renderUsage(summaries: readonly Summary[]): string {
  const measured = summaries.filter(({ usagePerRequest }) => usagePerRequest !== undefined)
  if (measured.length === 0) return ''
  const rows = measured.map(summary => {
    const usage = summary.usagePerRequest as Usage
    const of = (roles: readonly string[]) =>
      roles.reduce((sum, role) => sum + (usage.micros[role] ?? 0), 0)
    const total = of(Object.keys(usage.micros))
    return {
      'µs of processor a request': summary.title,
      clients: summary.connections,
      all: total.toFixed(1),
      '× bare': summary.usageToFloor?.toFixed(2) ?? '',
      'front end': of(MAIN_THREADS).toFixed(1),
      ...Object.fromEntries(
        OTHERS.map(role => [role, role in usage.micros ? of([role]).toFixed(1) : '']),
      ),
      'context switches': usage.contextSwitches.toFixed(2),
    }
  })
  return renderRows(rows)
}
