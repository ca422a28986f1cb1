import type { Environment } from '../../src/workers/environment.ts'
import type { Random } from './random.ts'

/** Time that passes only when told to. */
export class Clock {
  #ms = 1_000_000
  #wallAheadMs = 0

  pass(ms: number): void {
    this.#ms += ms
  }

  /** The system's clock is set, which takes no time. */
  jump(ms: number): void {
    this.#wallAheadMs += ms
  }

  environment(random: Random): Environment {
    return {
      nowMicros: () => (this.#ms + this.#wallAheadMs) * 1000,
      monotonicMs: () => this.#ms,
      randomBytes: count => random.bytes(count),
    }
  }
}
