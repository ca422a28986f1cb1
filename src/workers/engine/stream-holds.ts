/** What waits, and the streams that it wants all at once. */
type Parked<Item> = { readonly item: Item; readonly streams: readonly string[] }

/**
 * Which streams are held by a pending transaction, and what waits for them. Whatever is parked
 * keeps its place on each of its streams: it goes on when none of them is held and nothing parked
 * earlier wants one of them. It takes all of its streams at once and holds none while it waits, so
 * nothing here waits in a circle.
 */
export class StreamHolds<Item> {
  /** Stream → transaction. */
  readonly #holders = new Map<string, number>()
  /** In the order in which they came. */
  #parked: Parked<Item>[] = []
  /** Stream → how many parked items want it. */
  readonly #wanted = new Map<string, number>()
  /** Whether something may go on that could not when it was last looked at. */
  #hasChanged = false

  /** Items that wait. */
  get length(): number {
    return this.#parked.length
  }

  /** Whether no stream is held, and nothing waits. */
  get isIdle(): boolean {
    return this.#holders.size + this.#parked.length === 0
  }

  /** Whether none of the streams is held or waited for. */
  isFree(streams: readonly string[]): boolean {
    return !streams.some(stream => this.#holders.has(stream) || this.#wanted.has(stream))
  }

  holderOf(stream: string): number | undefined {
    return this.#holders.get(stream)
  }

  hold(streams: readonly string[], transaction: number): void {
    for (const stream of streams) this.#holders.set(stream, transaction)
  }

  release(streams: readonly string[]): void {
    for (const stream of streams) this.#holders.delete(stream)
    this.#hasChanged = true
  }

  park(item: Item, streams: readonly string[]): void {
    this.#parked.push({ item, streams })
    for (const stream of streams) this.#wanted.set(stream, (this.#wanted.get(stream) ?? 0) + 1)
  }

  /** Notes that `mayRun` may answer otherwise now. */
  touch(): void {
    this.#hasChanged = true
  }

  /**
   * Runs whatever may go on, in order. One pass is enough: what runs frees nothing for what was
   * parked before it.
   * @param run false when there is no room: everything from there on stays parked
   */
  runFree(mayRun: (item: Item) => boolean, run: (item: Item) => boolean): boolean {
    if (!this.#hasChanged || this.#parked.length === 0) return true
    const kept: Parked<Item>[] = []
    const passed = new Set<string>()
    let hasRoom = true
    for (const parked of this.#parked) {
      const { item, streams } = parked
      const isFree = !streams.some(stream => this.#holders.has(stream) || passed.has(stream))
      if (hasRoom && isFree && mayRun(item)) {
        hasRoom = run(item)
        if (hasRoom) {
          this.#unwant(streams)
          continue
        }
      }
      kept.push(parked)
      for (const stream of streams) passed.add(stream)
    }
    this.#parked = kept
    this.#hasChanged = !hasRoom
    return hasRoom
  }

  /** Takes out what `isWanted` names. */
  take(isWanted: (item: Item, streams: readonly string[]) => boolean): Item[] {
    const taken = this.#parked.filter(({ item, streams }) => isWanted(item, streams))
    if (taken.length === 0) return []
    this.#parked = this.#parked.filter(parked => !taken.includes(parked))
    for (const { streams } of taken) this.#unwant(streams)
    this.#hasChanged = true
    return taken.map(({ item }) => item)
  }

  #unwant(streams: readonly string[]): void {
    for (const stream of streams) {
      const rest = (this.#wanted.get(stream) ?? 0) - 1
      if (rest > 0) this.#wanted.set(stream, rest)
      else this.#wanted.delete(stream)
    }
  }
}
