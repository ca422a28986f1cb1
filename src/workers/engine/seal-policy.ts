import type { ShardOptions } from '../../shared/protocol/shard.ts'
import type { Durability } from '../../shared/protocol/streams.ts'

/**
 * When the filling slot goes to the flusher. What waits in the slot decides:
 *
 *   immediate   at once, even behind a block that is still being flushed
 *   group       when the flusher is idle (so everything that came during one sync goes out with the
 *               next), and, where a delay is configured, not before it or the operation bound
 *   relaxed     `relaxedFlushMs` after it came, or with whatever goes out earlier
 */
export class SealPolicy {
  readonly #options: ShardOptions
  #urgent = false
  #operations = 0
  #groupSince: number | undefined
  #relaxedSince: number | undefined

  constructor(options: ShardOptions) {
    this.#options = options
  }

  /** Notes that a frame of this durability is in the slot. */
  note(durability: Durability, nowMs: number): void {
    if (durability === 'immediate') this.#urgent = true
    if (durability === 'relaxed') {
      this.#relaxedSince ??= nowMs
      return
    }
    this.#operations += 1
    this.#groupSince ??= nowMs
  }

  isDue(nowMs: number, isFlusherIdle: boolean): boolean {
    if (this.#urgent) return true
    if (!isFlusherIdle) return false
    const { flushOperationsMax } = this.#options
    const full = flushOperationsMax > 0 && this.#operations >= flushOperationsMax
    return full || nowMs >= (this.deadline ?? Number.POSITIVE_INFINITY)
  }

  /** When `isDue` will hold for an idle flusher, ms; undefined while nothing waits. */
  get deadline(): number | undefined {
    const group = add(this.#groupSince, this.#options.flushDelayMs)
    const relaxed = add(this.#relaxedSince, this.#options.relaxedFlushMs)
    return group === undefined || relaxed === undefined
      ? (group ?? relaxed)
      : Math.min(group, relaxed)
  }

  /** Notes that the slot was sealed. */
  reset(): void {
    this.#urgent = false
    this.#operations = 0
    this.#groupSince = undefined
    this.#relaxedSince = undefined
  }
}

function add(since: number | undefined, delay: number): number | undefined {
  return since === undefined ? undefined : since + delay
}
