import { StoreError } from '../../shared/errors.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import type { Mutation, MutationResult } from '../../shared/protocol/shard.ts'
import { Queue } from '../../shared/queue.ts'
import { type Accepted, Appender, type Commit } from './appender.ts'
import type { SealPolicy } from './seal-policy.ts'
import type { EngineParts } from './engine-parts.ts'
import type { SpaceGuard } from './space-guard.ts'

/** A mutation that has not become a frame yet, and who is to hear of it. */
export type WaitingMutation = {
  readonly mutation: Mutation
  readonly bytes: Buffer
  readonly answer: (result: MutationResult) => void
}

const DISK_FULL = new StoreError(
  'disk_full',
  'there is no room on the disk, or no file can be opened; it is tried again by itself',
)

/**
 * Mutations on their way into the log buffer, strictly in the order in which they came: one that
 * finds no room holds up all behind it.
 */
export class MutationQueue {
  readonly #parts: EngineParts
  readonly #appender: Appender
  readonly #seals: SealPolicy
  readonly #space: SpaceGuard
  readonly #waiting = new Queue<WaitingMutation>()

  constructor(parts: EngineParts, seals: SealPolicy, space: SpaceGuard) {
    const { table, buffer, arena, environment, options } = parts
    this.#parts = parts
    this.#appender = new Appender(table, buffer, arena, environment, options)
    this.#seals = seals
    this.#space = space
  }

  get length(): number {
    return this.#waiting.length
  }

  push(waiting: WaitingMutation): void {
    this.#waiting.push(waiting)
  }

  /** Encodes and answers as many as there is room for. */
  drain(now: number, onCommit: (commit: Commit) => void): void {
    const { buffer, checkpoint, options } = this.#parts
    for (let item = this.#waiting.peek(); item !== undefined; item = this.#waiting.peek()) {
      const isFull = this.#space.isFull && takesSpace(item.mutation)
      if (!isFull && buffer.endLsn - checkpoint.lsn > options.journalBytesMax) break
      const accepted = isFull ? DISK_FULL : this.#accept(item)
      if (accepted === undefined) break
      this.#waiting.shift()
      if (accepted instanceof StoreError) {
        item.answer({ error: accepted.withOutcome('not_applied').toPlain() })
        continue
      }
      const endLsn = accepted.commit?.endLsn ?? buffer.endLsn
      if (accepted.commit !== null) onCommit(accepted.commit)
      this.#seals.note(accepted.durability, now)
      item.answer({
        value: accepted.value,
        pages: Math.ceil(endLsn / PAGE_BYTES) | 0,
        relaxed: accepted.durability === 'relaxed' && item.mutation.kind === 'append',
      })
    }
  }

  refuseAll(error: StoreError): void {
    for (let item = this.#waiting.shift(); item !== undefined; item = this.#waiting.shift()) {
      item.answer({ error: error.toPlain() })
    }
  }

  #accept(item: WaitingMutation): Accepted | StoreError | undefined {
    const { buffer } = this.#parts
    const sealedBefore = buffer.sealedNumber
    try {
      const accepted = this.#appender.accept(item.mutation, item.bytes)
      // A full slot went out on the way: what waited in it waits no more.
      if (buffer.sealedNumber !== sealedBefore) this.#seals.reset()
      return accepted
    } catch (error) {
      if (error instanceof StoreError) return error
      throw error
    }
  }
}

/** What stays possible on a full disk: that which makes room or waits. */
function takesSpace(mutation: Mutation): boolean {
  return mutation.kind !== 'delete' && mutation.kind !== 'close' && mutation.kind !== 'barrier'
}
