import { randomBytes } from 'node:crypto'

/** The clock and randomness of the engine: given to it, so that a test decides both. */
export type Environment = {
  /** Wall clock, µs since 1970. */
  nowMicros(): number
  /** Monotonic, ms; for limits and ages. */
  monotonicMs(): number
  /** `count` unpredictable bytes as latin1. */
  randomBytes(count: number): string
}

export const systemEnvironment: Environment = {
  nowMicros: () => Date.now() * 1000,
  monotonicMs: () => performance.now(),
  randomBytes: count => randomBytes(count).toString('latin1'),
}
