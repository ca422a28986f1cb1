/** How often the flusher must be observed, at least, before it counts as stalled. */
const OBSERVATIONS_MIN = 4

/**
 * Tells a flusher that makes no progress from a pause of the whole process: SIGSTOP, a frozen
 * container, a laptop that was suspended. Time counts only as far as this thread ran too. Between
 * two observations that is at most a quarter of the limit, because the shard asks that often.
 */
export class StallWatch {
  readonly #stallMs: number
  #observedMs = 0
  #waitedMs = 0

  constructor(stallMs: number) {
    this.#stallMs = stallMs
  }

  /** Notes that the flusher moved, has nothing to do, or waits for disk space. */
  noteProgress(nowMs: number): void {
    this.#observedMs = nowMs
    this.#waitedMs = 0
  }

  /** Notes that it did not. Returns whether it has stalled. */
  observe(nowMs: number): boolean {
    this.#waitedMs += Math.min(nowMs - this.#observedMs, this.#stepMs)
    this.#observedMs = nowMs
    return this.#waitedMs >= this.#stallMs
  }

  /** When to observe next. */
  get deadline(): number {
    return this.#observedMs + this.#stepMs
  }

  get #stepMs(): number {
    return this.#stallMs / OBSERVATIONS_MIN
  }
}
