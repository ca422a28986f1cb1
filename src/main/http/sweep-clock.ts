/** A longer gap between two sweeps, in steps, counts as a pause of the process. */
const STEPS_MAX = 2

/**
 * Counts the time that this process ran, for sweeps that cut off silent peers. A process that is
 * stopped, frozen or starved reads nothing, and afterwards its timers run before it reads what has
 * arrived. So at most `STEPS_MAX` steps of the gap between two sweeps count.
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

  /** Running time since the clock was made, ms. */
  get ms(): number {
    return this.#countedMs + Math.min(this.#now() - this.#sweptMs, this.#gapMaxMs)
  }

  /** Notes that a sweep begins. */
  sweep(): void {
    this.#countedMs = this.ms
    this.#sweptMs = this.#now()
  }
}
