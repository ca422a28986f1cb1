import { DiskError } from '../disk/disk.ts'

/** How often free space is asked for while appends come. */
const CHECK_MS = 250

/**
 * Keeps a reserve of disk space. Below the reserve appends are refused; above twice the reserve
 * they are accepted again, without a restart. While a retried job fails for space, appends are
 * refused too.
 */
export class SpaceGuard {
  readonly #freeBytes: () => number
  readonly #reserveBytes: number
  #checkedMs = Number.NEGATIVE_INFINITY
  #isLow = false
  #jobFailed = false
  #flusherBlocked = false

  constructor(freeBytes: () => number, reserveBytes: number) {
    this.#freeBytes = freeBytes
    this.#reserveBytes = reserveBytes
  }

  get isFull(): boolean {
    return this.#isLow || this.#jobFailed || this.#flusherBlocked
  }

  /** Asks for the free space again if the last answer is older than `CHECK_MS`. */
  check(nowMs: number, flusherBlocked: boolean): void {
    this.#flusherBlocked = flusherBlocked
    if (nowMs - this.#checkedMs < CHECK_MS) return
    this.#checkedMs = nowMs
    const reserve = this.#isLow ? 2 * this.#reserveBytes : this.#reserveBytes
    try {
      this.#isLow = this.#freeBytes() < reserve
    } catch (error) {
      // Not told: as it was when it was. Where room is out, writing says so.
      if (!(error instanceof DiskError)) throw error
    }
  }

  /** @param failForSpace whether a job that is retried last failed for want of space */
  noteJobs(failForSpace: boolean): void {
    this.#jobFailed = failForSpace
  }
}
