import { findLostEnds, type JournalEnds } from '../../shared/format/journal-ends.ts'

/**
 * Where the shards of a start wait for each other, once each has read its journal and before any of
 * them writes or serves anything: what one says of another is held against what that one has. A
 * shard that is opened again later is held against the same.
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
   * Says what a shard has read, null where nothing can be said, and waits for all of them. A shard
   * that opens again, among shards that have gone on since, is compared with what all said before.
   * Resolves with why its journal is refused; null where it is not.
   */
  async join(shard: number, ends: JournalEnds | null): Promise<string | null> {
    if (this.#isOver) return this.#compareAgain(shard, ends)
    this.#ends.set(shard, ends ?? undefined) // in place of what it said before its thread died
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
   * Compares one shard with what the others said, and with what it said itself: a journal never
   * gets shorter. The later of its two ends is kept.
   */
  #compareAgain(shard: number, ends: JournalEnds | null): string | null {
    if (ends === null) return null
    const before = this.#ends.get(shard)
    if (before !== undefined && before.endLsn > ends.endLsn) {
      return (
        `the journal ends at LSN ${ends.endLsn}, and when the shard was opened before it ended ` +
        `at LSN ${before.endLsn}: its end is lost, or it is an older copy`
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
