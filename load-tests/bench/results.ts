import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Machine } from './machine.ts'
import type { BenchOptions } from './options.ts'
import type { Outcome, Summary } from './summary.ts'

export type Run = {
  readonly startedAt: string
  readonly machine: Machine
  readonly options: BenchOptions
  readonly summaries: readonly Summary[]
  readonly outcomes: readonly Outcome[]
}

/** The file is an array of runs; this one is added at its end. */
export function appendRun(path: string, run: Run): void {
  mkdirSync(dirname(path), { recursive: true })
  const before = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as unknown[]) : []
  if (!Array.isArray(before)) throw new Error(`${path} does not hold an array of runs`)
  const runs = [...before, { ...run, outcomes: run.outcomes.map(flatten) }]
  writeFileSync(path, `${JSON.stringify(runs, null, 2)}\n`)
}

/** Every round as it was; what the row says is in the summaries. */
function flatten({ point, rounds, reason }: Outcome): object {
  const measured = rounds.map(round => {
    if (round === undefined) return null
    const { acknowledged: _, ...figures } = round
    return figures
  })
  return { name: point.row.name, connections: point.connections, reason, rounds: measured }
}
