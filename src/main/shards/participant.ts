import type { FoundTransactions, Mutation, MutationValue } from '../../shared/protocol/shard.ts'

/** What a transaction needs of a shard. */
export type TransactionShard = {
  /** @param batch bytes of all appends, one behind the other, given away */
  mutate(mutation: Mutation, batch?: Buffer): Promise<{ readonly value: MutationValue }>
}

/**
 * A shard as transactions see it: it opens, may die and open again, each time with what its journal
 * tells, or goes for good.
 */
export class Participant {
  readonly #shard: TransactionShard
  #state: 'recovering' | 'open' | 'gone' = 'recovering'
  #found: FoundTransactions | null = null
  readonly #decisions = new Map<number, number>()
  #waits: (() => void)[] = []
  /** How often it has opened. */
  openings = 0

  constructor(shard: TransactionShard) {
    this.#shard = shard
  }

  mutate(mutation: Mutation, batch?: Buffer): Promise<{ readonly value: MutationValue }> {
    return this.#shard.mutate(mutation, batch)
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** What its last opening found; null where it did not open. */
  get found(): FoundTransactions | null {
    return this.#found
  }

  /**
   * Transactions that it has decided to commit, and not forgotten; each with an LSN to which its
   * journal is durable, the decision included.
   */
  get decisions(): ReadonlyMap<number, number> {
    return this.#decisions
  }

  noteDecision(id: number, endLsn: number): void {
    this.#decisions.set(id, endLsn)
  }

  /** Lets the shard forget a decision, which nobody will ask for again. */
  forget(id: number): void {
    this.#decisions.delete(id)
    // Where the shard dies first, its next opening has the decision again, and it is told again.
    this.mutate({ kind: 'forget', transaction: id }).then(ignore, ignore)
  }

  /** @param found null where the journal was refused */
  onOpened(found: FoundTransactions | null): void {
    this.#state = found === null ? 'gone' : 'open'
    this.#found = found
    this.#decisions.clear()
    for (const id of found?.decisions ?? []) this.#decisions.set(id, found?.endLsn ?? 0)
    this.openings += 1
    this.#wake()
  }

  /** It died, and is opened again. */
  onDied(): void {
    this.#state = 'recovering'
  }

  /** It will not open again. */
  onGone(): void {
    this.#state = 'gone'
    this.#wake()
  }

  /** Resolves once it has opened again since `openings`, or is gone. */
  async whenOpenedAfter(openings: number): Promise<void> {
    await this.#until(() => this.openings > openings)
  }

  /** Resolves once it is open, or gone. */
  async whenOpen(): Promise<void> {
    await this.#until(() => this.#state === 'open')
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition() && this.#state !== 'gone') {
      await new Promise<void>(resolve => {
        this.#waits.push(resolve)
      })
    }
  }

  #wake(): void {
    const waits = this.#waits
    this.#waits = []
    for (const wake of waits) wake()
  }
}

function ignore(): void {}
