import type { Findings } from '../../shared/protocol/checkpointer.ts'
import type { StreamDamage } from '../../shared/protocol/streams.ts'
import type { ShardEvent } from '../../shared/protocol/shard.ts'

/** Tells the front end how a shard fares, each change once. */
export class Announcements {
  readonly #emit: (event: ShardEvent) => void
  #announced = 'ready'
  #unwritten: readonly StreamDamage[] = []
  #isFull = false
  #isFailing = false
  #hasLostCopies = false

  constructor(emit: (event: ShardEvent) => void) {
    this.#emit = emit
  }

  /** Says when appends begin or cease to be refused, and that jobs fail. */
  announce(isFull: boolean, isFailing: boolean): void {
    this.#isFull = isFull
    this.#isFailing = isFailing
    const state = isFull ? 'disk_full' : 'ready'
    const alone = this.#hasLostCopies ? ONE_COPY : ''
    const failing = isFailing ? WRITE_BACK_FAILING : alone
    const detail = isFull ? 'no room on the disk, or no file can be opened' : failing
    if (this.#announced === state + detail) return
    this.#announced = state + detail
    this.#emit({ kind: 'state', state, detail })
  }

  /** Announces the records that cannot be written to segments. */
  announceUnwritten(damage: readonly StreamDamage[]): void {
    const before = this.#unwritten
    this.#unwritten = damage
    if (JSON.stringify(before) === JSON.stringify(damage)) return
    this.#emit({ kind: 'unwritten', damage })
    const known = new Set(before.map(({ streamId }) => streamId))
    for (const { stream, streamId, reason } of damage) {
      if (!known.delete(streamId)) this.log('error', UNWRITABLE, { stream, reason })
    }
    for (const { stream } of before.filter(({ streamId }) => known.has(streamId))) {
      this.#emit({ kind: 'log', level: 'info', message: WRITABLE, fields: { stream } })
    }
  }

  /** Announces that second copies cannot be written, or that all of them are whole again. */
  announceCopies(reasons: readonly string[]): void {
    this.#hasLostCopies = reasons.length > 0
    for (const reason of reasons) this.log('error', ONE_COPY, { reason })
    if (reasons.length === 0) this.log('warn', TWO_COPIES, {})
    this.announce(this.#isFull, this.#isFailing)
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

const UNWRITABLE =
  'the files of a stream cannot be written: its appends are refused until a retry succeeds'
const WRITABLE = 'the files of a stream can be written again, or it was deleted'
const ONE_COPY =
  'the second copy of the catalogue or of newest.json cannot be written: only one is kept'
const TWO_COPIES = 'all second copies are whole again'
const WENT_ON = 'the write-back met a fault and went on'
const WRITE_BACK_FAILING = 'the write-back fails and is tried again'
