import { DiskError } from '../disk/disk.ts'

/** How often free space is asked for while appends come. */
const CHECK_MS = 250

/**
 * Keeps a reserve of disk space: below it appends stop, above twice that they go on, without a
 * restart (faults.md, rule 4). Jobs that failed for space, and are tried again, count as below.
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

  /** Looks again where the last look is old. */
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

  /** @param failForSpace whether some job that is tried again last failed for want of room */
  noteJobs(failForSpace: boolean): void {
    this.#jobFailed = failForSpace
  }
}
