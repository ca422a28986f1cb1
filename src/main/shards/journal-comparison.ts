import { findLostEnds, type JournalEnds } from '../../shared/format/journal-ends.ts'

/**
 * Where the shards of a start wait for each other, once each has read its journal and before any of
 * them writes or serves anything: what one says of another is held against what that one has.
 */
export class JournalComparison {
  readonly #shards: number
  readonly #ends = new Map<number, JournalEnds | undefined>()
  readonly #waits: (() => void)[] = []
  #lost: ReadonlyMap<number, string> = new Map()

  constructor(shards: number) {
    this.#shards = shards
  }

  /**
   * Says what a shard has read, null where nothing can be said, and waits for all of them.
   * Resolves with why its journal is refused; null where it is not, and for one that has been here
   * before: it opens again among shards that have gone on since.
   */
  async join(shard: number, ends: JournalEnds | null): Promise<string | null> {
    if (this.#ends.has(shard)) return null
    this.#ends.set(shard, ends ?? undefined)
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

  #compare(): void {
    const journals = Array.from({ length: this.#shards }, (_, shard) => this.#ends.get(shard))
    this.#lost = findLostEnds(journals)
    for (const go of this.#waits) go()
  }
}
