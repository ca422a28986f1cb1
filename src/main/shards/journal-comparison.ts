import { findLostEnds, type JournalEnds } from '../../shared/format/journal-ends.ts'

/**
 * Compares the journals of all shards at a start. Each shard waits here after it has read its
 * journal, before it writes or serves anything. What a journal proves of another one is compared
 * with that one's end. A shard that is opened again later is compared with the same ends.
 */
export class JournalComparison {
  readonly #shards: number
  readonly #ends = new Map<number, JournalEnds | undefined>()
  readonly #waits: (() => void)[] = []
  #lost: ReadonlyMap<number, string> = new Map()
  #isOver = false

  constructor(shards: number) {
    this.#shards = shards
  }

  /**
   * Takes what a shard has read, null if its journal is refused already, and waits for all shards.
   * A shard that opens again does not wait: it is compared with what all shards said before.
   * Resolves with the reason to refuse its journal; null if there is none.
   */
  async join(shard: number, ends: JournalEnds | null): Promise<string | null> {
    if (this.#isOver) return this.#compareAgain(shard, ends)
    this.#ends.set(shard, ends ?? undefined) // replaces what it said before its thread died
    if (this.#ends.size === this.#shards) this.#compare()
    else {
      await new Promise<void>(resolve => {
        this.#waits.push(resolve)
      })
    }
    return this.#lost.get(shard) ?? null
  }

  /** A shard that cannot be read is not waited for. */
  leave(shard: number): void {
    if (this.#ends.has(shard)) return
    this.#ends.set(shard, undefined)
    if (this.#ends.size === this.#shards) this.#compare()
  }

  /**
   * Compares one shard with what the others said, and with its own earlier end, because a journal
   * never gets shorter. Keeps the later of the two ends.
   */
  #compareAgain(shard: number, ends: JournalEnds | null): string | null {
    if (ends === null) return null
    const before = this.#ends.get(shard)
    if (before !== undefined && before.endLsn > ends.endLsn) {
      return (
        `the journal ends at LSN ${ends.endLsn}, but it ended at LSN ${before.endLsn} when the ` +
        'shard was opened before: its end is lost, or it is an older copy'
      )
    }
    const journals = this.#journals
    journals[shard] = ends
    const lost = findLostEnds(journals).get(shard)
    if (lost === undefined) this.#ends.set(shard, ends)
    return lost ?? null
  }

  get #journals(): (JournalEnds | undefined)[] {
    return Array.from({ length: this.#shards }, (_, shard) => this.#ends.get(shard))
  }

  #compare(): void {
    this.#isOver = true
    this.#lost = findLostEnds(this.#journals)
    for (const go of this.#waits) go()
  }
}
