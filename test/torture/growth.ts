/** What a process used at one moment. */
export type Sample = {
  readonly atMs: number
  /** MiB. */
  readonly resident: number
  readonly files: number
}

export type Growth = {
  /** Median of all samples, MiB. */
  readonly resident: number
  /** Median of the last quarter less that of the first, MiB. */
  readonly added: number
  /** Slope of the line of least squares, MiB an hour. */
  readonly perHour: number
  readonly filesAdded: number
}

const HOUR_MS = 3_600_000

/** Computes how much the samples of one process grow. @throws Error if there are too few */
export function growthOf(samples: readonly Sample[]): Growth {
  const quarter = Math.floor(samples.length / 4)
  if (quarter === 0) throw new Error(`${samples.length} samples are too few`)
  const [first, last] = [samples.slice(0, quarter), samples.slice(-quarter)]
  const median = (of: readonly Sample[], what: 'resident' | 'files') =>
    middle(of.map(sample => sample[what]))
  return {
    resident: median(samples, 'resident'),
    added: median(last, 'resident') - median(first, 'resident'),
    perHour: slopeOf(samples) * HOUR_MS,
    filesAdded: median(last, 'files') - median(first, 'files'),
  }
}

function middle(values: readonly number[]): number {
  const ordered = values.toSorted((a, b) => a - b)
  return ordered[Math.floor(ordered.length / 2)] ?? 0
}

function slopeOf(samples: readonly Sample[]): number {
  const mean = (values: readonly number[]) =>
    values.reduce((total, value) => total + value, 0) / values.length
  const atMs = mean(samples.map(sample => sample.atMs))
  const resident = mean(samples.map(sample => sample.resident))
  const both = samples.map(sample => (sample.atMs - atMs) * (sample.resident - resident))
  const spread = samples.map(sample => (sample.atMs - atMs) ** 2)
  return mean(both) / mean(spread)
}
