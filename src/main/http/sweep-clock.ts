/** Most steps between two sweeps that count; what is above them is a pause. */
const STEPS_MAX = 2

/**
 * Counts the time that this process ran, for sweeps that cut off silent peers. While a process is
 * stopped, frozen or starved it hears nobody, and its timers run before it reads what has arrived
 * meanwhile. So of a longer gap between two sweeps only `STEPS_MAX` steps count.
 */
export class SweepClock {
  readonly #now: () => number
  readonly #gapMaxMs: number
  #countedMs = 0
  #sweptMs: number

  /**
   * @param now milliseconds of a clock that never goes back
   * @param stepMs time between two sweeps
   */
  constructor(now: () => number, stepMs: number) {
    this.#now = now
    this.#gapMaxMs = STEPS_MAX * stepMs
    this.#sweptMs = now()
  }

  /** Milliseconds that count since the clock was made. */
  get ms(): number {
    return this.#countedMs + Math.min(this.#now() - this.#sweptMs, this.#gapMaxMs)
  }

  /** Notes that a sweep begins. */
  sweep(): void {
    this.#countedMs = this.ms
    this.#sweptMs = this.#now()
  }
}
