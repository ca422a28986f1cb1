import type { StoreError } from '../../shared/errors.ts'
import type { MutationResult } from '../../shared/protocol/shard.ts'
import type { TurnEntry } from './turn.ts'

/**
 * Mutations that wait for a transaction in their shard. Their task is replied to without them; the
 * answer comes over another port, so it may be there before the reply.
 */
export class LaterAnswers {
  readonly #settle: (entry: TurnEntry, result: MutationResult) => void
  readonly #waiting = new Map<number, TurnEntry>()
  readonly #early = new Map<number, MutationResult>()
  #abandoned: StoreError | undefined

  constructor(settle: (entry: TurnEntry, result: MutationResult) => void) {
    this.#settle = settle
  }

  expect(later: number, entry: TurnEntry): void {
    if (this.#abandoned !== undefined) return entry.reject(this.#abandoned)
    const result = this.#early.get(later)
    if (result === undefined) this.#waiting.set(later, entry)
    else {
      this.#early.delete(later)
      this.#settle(entry, result)
    }
  }

  take(later: number, result: MutationResult): void {
    const entry = this.#waiting.get(later)
    if (entry === undefined) this.#early.set(later, result)
    else {
      this.#waiting.delete(later)
      this.#settle(entry, result)
    }
  }

  /** Rejects every waiting mutation, and all that come after it: their shard is gone. */
  abandon(error: StoreError): void {
    this.#abandoned = error
    for (const entry of this.#waiting.values()) entry.reject(error)
    this.#waiting.clear()
    this.#early.clear()
  }
}
