import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../contenders/context.ts'
import { measureBare, measureDisk, measureEngine } from '../contenders/floors.ts'
import { measureRedis } from '../contenders/redis.ts'
import {
  measureAppends,
  measureOpenLoop,
  measureRead,
  measureSessions,
  measureTail,
} from '../contenders/varve.ts'
import type { Measurement } from '../generator/jobs.ts'
import type { Point } from './points.ts'
import { type Outcome, shorten } from './summary.ts'

export type RoundsContext = Omit<Context, 'directory'> & {
  readonly scratch: string
  readonly rounds: number
  readonly hasRedis: boolean
  readonly onProgress: (line: string) => void
}

type Attempt = { readonly measurement?: Measurement; readonly reason?: string }

/**
 * Measures every point once a round. Contenders follow each other at equal connections, every
 * second round in the opposite order, so that neither a drift of the machine nor what the one
 * before left behind favours anyone.
 */
export async function runRounds(
  points: readonly Point[],
  context: RoundsContext,
): Promise<Outcome[]> {
  const attempts = new Map<Point, Attempt[]>(points.map(point => [point, []]))
  const order = points.toSorted((a, b) => a.connections - b.connections)
  for (let round = 0; round < context.rounds; round += 1) {
    for (const point of round % 2 === 0 ? order : order.toReversed()) {
      const attempt = await attemptPoint(point, context)
      attempts.get(point)?.push(attempt)
      context.onProgress(describe(point, attempt, round))
    }
  }
  return points.map(point => toOutcome(point, attempts.get(point) ?? []))
}

function toOutcome(point: Point, attempts: readonly Attempt[]): Outcome {
  const reason = attempts.findLast(attempt => attempt.reason !== undefined)?.reason
  const rounds = attempts.map(({ measurement }) => measurement)
  return reason === undefined ? { point, rounds } : { point, rounds, reason }
}

async function attemptPoint(point: Point, context: RoundsContext): Promise<Attempt> {
  if (point.row.load.kind === 'redis' && !context.hasRedis) return { reason: 'not installed' }
  const directory = join(context.scratch, `${point.row.name}-${point.connections}`)
  mkdirSync(directory)
  try {
    return { measurement: await measure(point, { ...context, directory }) }
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function measure({ row, connections }: Point, context: Context): Promise<Measurement> {
  const { load } = row
  switch (load.kind) {
    case 'disk':
      return measureDisk(context, load.bytes, load)
    case 'engine':
      return measureEngine(context, load.what)
    case 'open-loop':
      return measureOpenLoop(context, connections, load.shareOfPeak)
    case 'bare':
      return measureBare(context, connections)
    case 'redis':
      return measureRedis(context, connections, load.pipeline)
    case 'append':
      return measureAppends(context, connections, load)
    case 'session':
      return measureSessions(context, connections, load)
    case 'read':
      return measureRead(context, load.format)
    case 'tail':
      return measureTail(context, load.subscribers)
  }
}

function describe({ row, connections }: Point, attempt: Attempt, round: number): string {
  const { measurement, reason } = attempt
  const figures =
    measurement === undefined
      ? shorten(reason)
      : `${Math.round(measurement.recordsPerSecond).toLocaleString('en-US')}/s, ` +
        `p50 ${measurement.latencyMs.p50.toFixed(3)} ms, ` +
        `generator ${measurement.generatorLoad.toFixed(2)}`
  return `round ${round + 1}  ${row.name}, ${connections}: ${figures}`
}
