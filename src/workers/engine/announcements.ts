import type { Findings } from '../../shared/protocol/checkpointer.ts'
import type { ShardEvent } from '../../shared/protocol/shard.ts'

/** Tells the front end how a shard fares, each change once. */
export class Announcements {
  readonly #emit: (event: ShardEvent) => void
  #announced = 'ready'

  constructor(emit: (event: ShardEvent) => void) {
    this.#emit = emit
  }

  /** Says when appends begin or cease to be refused, and that jobs fail. */
  announce(isFull: boolean, isFailing: boolean): void {
    const state = isFull ? 'disk_full' : 'ready'
    const failing = isFailing ? WRITE_BACK_FAILING : ''
    const detail = isFull ? 'no room on the disk, or no file can be opened' : failing
    if (this.#announced === state + detail) return
    this.#announced = state + detail
    this.#emit({ kind: 'state', state, detail })
  }

  /** Says what a job met and went on with. */
  tell({ damage = [], notes = [] }: Partial<Findings>): void {
    for (const one of damage) this.#emit({ kind: 'damage', damage: one })
    for (const reason of notes) this.log('error', WENT_ON, { reason })
  }

  log(level: 'warn' | 'error', message: string, fields: Record<string, string>): void {
    this.#emit({ kind: 'log', level, message, fields })
  }
}

const WENT_ON = 'the write-back met a fault and went on'
const WRITE_BACK_FAILING = 'the write-back fails and is tried again'
