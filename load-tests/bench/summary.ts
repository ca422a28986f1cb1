import type { SystemCalls } from '../instruments/system-calls.ts'
import { totalMicros, type Usage } from '../instruments/thread-usage.ts'
import type { Measurement } from '../generator/jobs.ts'
import type { Point } from './points.ts'

const REASON_CHARACTERS_MAX = 100
const THROWN = /^\w*Error: .*$/m

/** One point over all rounds, in the order of the rounds. */
export type Outcome = {
  readonly point: Point
  /** Undefined where a round failed. */
  readonly rounds: readonly (Measurement | undefined)[]
  /** Why it was not measured, or what the last failing round said. */
  readonly reason?: string
}

type Spread = { readonly median: number; readonly min: number; readonly max: number }

export type Summary = {
  readonly name: string
  readonly title: string
  readonly connections: number
  readonly recordsPerSecond?: Spread
  readonly megabytesPerSecond?: number
  /** Medians over the rounds. */
  readonly latencyMs?: { readonly p50: number; readonly p99: number; readonly p999: number }
  /** Medians of the ratio within each round. */
  readonly ratioToFloor?: number
  readonly ratioToPeer?: number
  readonly generatorLoad?: number
  /** Medians of each part. */
  readonly usagePerRequest?: Usage
  /** Median of the ratio of processor time within each round. */
  readonly usageToFloor?: number
  /** Of the last round. */
  readonly systemCallsPerRequest?: SystemCalls
  /** Median of the ratio of the p99 to that of the row without the disturbance. */
  readonly p99ToFloor?: number
  readonly reason?: string
}

export function summarize(outcomes: readonly Outcome[]): Summary[] {
  return outcomes.map(outcome => {
    const { row, connections } = outcome.point
    const identity = { name: row.name, title: row.title, connections }
    const reason = outcome.reason === undefined ? {} : { reason: outcome.reason }
    const measured = outcome.rounds.filter(round => round !== undefined)
    if (measured.length === 0) return { ...identity, ...reason }
    const recordsPerSecond = spreadOf(measured.map(round => round.recordsPerSecond))
    const latency = (key: 'p50' | 'p99' | 'p999') =>
      medianOf(measured.map(({ latencyMs }) => latencyMs[key]))
    const floor = findBaseline(outcomes, row.floor, connections)
    const ratioToFloor = ratio(outcome, floor, rateOf)
    const ratioToPeer = ratio(outcome, findBaseline(outcomes, row.peer, connections), rateOf)
    const usagePerRequest = medianUsage(measured)
    const usageToFloor = ratio(outcome, floor, microsOf)
    const p99ToFloor = ratio(outcome, findBaseline(outcomes, row.latencyFloor, connections), p99Of)
    const systemCallsPerRequest = measured.at(-1)?.systemCallsPerRequest
    return {
      ...identity,
      ...reason,
      recordsPerSecond,
      megabytesPerSecond: (recordsPerSecond.median * row.payloadBytes) / 1e6,
      latencyMs: { p50: latency('p50'), p99: latency('p99'), p999: latency('p999') },
      generatorLoad: medianOf(measured.map(({ generatorLoad }) => generatorLoad)),
      ...(ratioToFloor === undefined ? {} : { ratioToFloor }),
      ...(ratioToPeer === undefined ? {} : { ratioToPeer }),
      ...(usagePerRequest === undefined ? {} : { usagePerRequest }),
      ...(usageToFloor === undefined ? {} : { usageToFloor }),
      ...(p99ToFloor === undefined ? {} : { p99ToFloor }),
      ...(systemCallsPerRequest === undefined ? {} : { systemCallsPerRequest }),
    }
  })
}

/** For one line: of a stack trace what was thrown. The results file has all of it. */
export function shorten(reason = 'not measured'): string {
  const line = (THROWN.exec(reason)?.[0] ?? reason).replaceAll(/\s+/g, ' ')
  return line.length <= REASON_CHARACTERS_MAX ? line : `${line.slice(0, REASON_CHARACTERS_MAX)}…`
}

/** The row's outcome at as many connections, else at its most. */
function findBaseline(
  outcomes: readonly Outcome[],
  name: string | undefined,
  connections: number,
): Outcome | undefined {
  const candidates = outcomes.filter(({ point }) => point.row.name === name)
  return candidates.find(({ point }) => point.connections === connections) ?? candidates.at(-1)
}

/** Taken within each round, so that a slow minute weighs on both sides. */
function ratio(
  outcome: Outcome,
  baseline: Outcome | undefined,
  figure: (measurement: Measurement) => number | undefined,
): number | undefined {
  const ratios = outcome.rounds.flatMap((round, index) => {
    const base = baseline?.rounds[index]
    const [own, other] = [round && figure(round), base && figure(base)]
    return own === undefined || other === undefined ? [] : [own / other]
  })
  return ratios.length === 0 ? undefined : medianOf(ratios)
}

function rateOf({ recordsPerSecond }: Measurement): number {
  return recordsPerSecond
}

function p99Of({ latencyMs }: Measurement): number {
  return latencyMs.p99
}

function microsOf({ usagePerRequest }: Measurement): number | undefined {
  return usagePerRequest && totalMicros(usagePerRequest)
}

function medianUsage(measured: readonly Measurement[]): Usage | undefined {
  const usages = measured.flatMap(({ usagePerRequest }) => usagePerRequest ?? [])
  if (usages.length === 0) return undefined
  const roles = new Set(usages.flatMap(({ micros }) => Object.keys(micros)))
  const medianMicros = (role: string) => medianOf(usages.map(({ micros }) => micros[role] ?? 0))
  return {
    micros: Object.fromEntries([...roles].map(role => [role, medianMicros(role)])),
    contextSwitches: medianOf(usages.map(({ contextSwitches }) => contextSwitches)),
  }
}

function spreadOf(values: readonly number[]): Spread {
  return { median: medianOf(values), min: Math.min(...values), max: Math.max(...values) }
}

/** Of at least one value. */
function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2
}
