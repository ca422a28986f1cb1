import { assert } from '../../shared/assert.ts'
import type { Witness } from '../../shared/format/frame.ts'
import type { FoundTransactions } from '../../shared/protocol/shard.ts'
import type { StagedTransaction } from './staged-transaction.ts'

/**
 * The transactions of a shard: those that are staged, those whose pending frame the journal must
 * keep, and the decisions that other shards may still ask for.
 *
 * Invariant: from a pending frame to where its resolution is durable no write-back starts
 * at or above that frame, so a crash finds both, or the pending frame alone.
 */
export class TransactionLedger {
  readonly #staged = new Map<number, StagedTransaction>()
  /** Transaction → LSN of the end of its pending frame, until its resolution is durable. */
  readonly #pending = new Map<number, number>()
  readonly #decisions: Set<number>
  /** Staged ones that a crash left, or whose coordinator cannot be asked. */
  readonly #inDoubt = new Set<number>()
  /** Those whose coordinator cannot be asked: what comes for their streams is refused. */
  readonly #stuck = new Set<number>()
  /** Shard → LSN that its journal was durable up to, by what this one says. */
  readonly #witnessed = new Map<number, number>()
  /** Since the start. */
  committed = 0
  aborted = 0

  /** @param catalogue what it carries on */
  constructor(catalogue?: Pick<TransactionLedger, 'decisions' | 'witnesses'>) {
    this.#decisions = new Set(catalogue?.decisions)
    for (const witness of catalogue?.witnesses ?? []) this.noteWitness(witness)
  }

  get stagedCount(): number {
    return this.#staged.size
  }

  get inDoubtCount(): number {
    return this.#inDoubt.size
  }

  get decisions(): readonly number[] {
    return [...this.#decisions]
  }

  /** What is staged, in the order in which it came. */
  all(): StagedTransaction[] {
    return [...this.#staged.values()]
  }

  staged(id: number): StagedTransaction | undefined {
    return this.#staged.get(id)
  }

  stage(transaction: StagedTransaction): void {
    assert(!this.#staged.has(transaction.id), 'a transaction is staged once')
    this.#staged.set(transaction.id, transaction)
    this.#pending.set(transaction.id, transaction.endLsn)
  }

  /** Its resolution is on its way to the disk. */
  resolve(id: number): void {
    this.#staged.delete(id)
    this.#inDoubt.delete(id)
    this.#stuck.delete(id)
  }

  /** Its resolution is durable; without id it was never pending. */
  settle(id: number | undefined, outcome: 'commit' | 'abort', isDecision: boolean): void {
    if (id !== undefined) this.#pending.delete(id)
    if (outcome === 'abort') this.aborted += 1
    else this.committed += 1
    if (isDecision && id !== undefined) this.#decisions.add(id)
  }

  /** No shard will ask for this decision any more. */
  forget(id: number): void {
    this.#decisions.delete(id)
  }

  /** Whether a write-back at `lsn` would free a pending frame. */
  needsJournalBelow(lsn: number): boolean {
    return [...this.#pending.values()].some(endLsn => endLsn <= lsn)
  }

  noteWitness({ shard, lsn }: Witness): void {
    this.#witnessed.set(shard, Math.max(lsn, this.#witnessed.get(shard) ?? 0))
  }

  get witnesses(): readonly Witness[] {
    return [...this.#witnessed].map(([shard, lsn]) => ({ shard, lsn }))
  }

  /** Its coordinator cannot be asked. */
  markStuck(id: number): void {
    this.#inDoubt.add(id)
    this.#stuck.add(id)
  }

  get hasStuck(): boolean {
    return this.#stuck.size > 0
  }

  isStuck(id: number): boolean {
    return this.#stuck.has(id)
  }

  /** Ends a recovery: what is still staged is in doubt. */
  found(): Omit<FoundTransactions, 'endLsn'> {
    this.committed = 0
    this.aborted = 0
    for (const id of this.#staged.keys()) this.#inDoubt.add(id)
    const inDoubt = this.all().map(({ id, coordinator }) => ({ id, coordinator }))
    return { inDoubt, decisions: this.decisions }
  }
}
