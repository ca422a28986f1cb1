import type { Environment } from '../environment.ts'

const SECOND = 1e6
/** How far the system's clock may get ahead of the running time within one window. */
const AHEAD_MICROS_MAX = 60 * SECOND
const WINDOW_MS = 60_000
/** How far past the last commit's clock a start believes the system's clock. */
const DOWN_MICROS_MAX = 86_400 * SECOND

/** How old the clock of the last commit may get: a start counts more than a day as a step. */
export const COMMIT_MICROS_MAX = DOWN_MICROS_MAX / 4

/** Hears by how many seconds the system's clock is ahead of the trusted one. */
export type OnAhead = (message: string, aheadSeconds: number) => void

/**
 * The clock of retention by age and of producers' expiry. A step forward of the system's clock
 * would trim whole streams and forget producers. So this clock gets at most 60 s ahead of the
 * running time per minute; past that it advances with the running time alone. When the system's
 * clock goes back, this one follows it, because new records get that clock's times and would be too
 * old at once. Up to the time that it has reached before, it may then step forward freely.
 */
export class TrustedClock {
  readonly #environment: Environment
  readonly #onAhead: OnAhead
  /** How far the clock has come at most, µs since 1970. */
  #reached: number
  #window: { readonly startMs: number; readonly startMicros: number }
  #isAhead = false

  /** @param lastMicros the clock at the last commit; undefined: believe the system's */
  constructor(environment: Environment, lastMicros: number | undefined, onAhead: OnAhead) {
    this.#environment = environment
    this.#onAhead = onAhead
    const wall = environment.nowMicros()
    this.#reached = resumed(wall, lastMicros ?? wall)
    this.#window = { startMs: environment.monotonicMs(), startMicros: this.#reached }
    if (this.#reached < wall) this.#noteAhead(wall - this.#reached, 'at the start')
  }

  /** How far the clock has come, µs since 1970: `now` is behind it while the system's clock is. */
  get reached(): number {
    this.now()
    return this.#reached
  }

  /** µs since 1970. */
  now(): number {
    const wall = this.#environment.nowMicros()
    const nowMs = this.#environment.monotonicMs()
    const { startMs, startMicros } = this.#window
    const running = Math.round(startMicros + (nowMs - startMs) * 1000)
    const isAhead = wall > running + AHEAD_MICROS_MAX
    if (isAhead && !this.#isAhead) this.#noteAhead(wall - running, 'while the service ran')
    this.#isAhead = isAhead
    this.#reached = Math.max(this.#reached, isAhead ? running : wall)
    if (nowMs - startMs >= WINDOW_MS) {
      this.#window = { startMs: nowMs, startMicros: this.#reached }
    }
    return Math.min(this.#reached, wall)
  }

  #noteAhead(micros: number, when: string): void {
    this.#isAhead = true
    const message =
      `the system clock stepped forward ${when}: retention and producers' expiry count ` +
      'running time; if that clock is right, start once with --trust-clock'
    this.#onAhead(message, Math.round(micros / SECOND))
  }
}

/**
 * Returns how far the clock has come at a start. A machine without a real-time clock may start in
 * 1970: what was reached before stays, or the step to today would never be believed again.
 * @param lastMicros the clock at the last commit
 */
export function resumed(wall: number, lastMicros: number): number {
  return wall - lastMicros <= DOWN_MICROS_MAX ? Math.max(wall, lastMicros) : lastMicros
}
