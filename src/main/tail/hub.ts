import { StoreError } from '../../shared/errors.ts'
import { MIB, SUBSCRIBER_BYTES_MAX } from '../../shared/limits.ts'
import { ReadBudget } from '../http/read-budget.ts'
import { WaitingLine } from '../shards/waiting-line.ts'
import type { StreamStore, StreamSubscription } from '../store.ts'
import { Feed, type Follower } from './feed.ts'

/** Most unread bytes of all subscribers together; one who takes nothing is cut off in time. */
const TAIL_BUDGET_BYTES = 64 * MIB

/** Pages that are read at once: the size of a page is known only after its read. */
const PAGES_AT_ONCE = 2

/** One subscriber's share in a stream's feed, which is kept while anyone has a seat. */
export type Seat = {
  readonly feed: Feed
  /** Bounds the bytes that were sent to subscribers and not yet taken. */
  readonly budget: ReadBudget
  /** Bounds the reads of pages of all subscribers together. */
  readonly pages: WaitingLine
  /** Idempotent. */
  readonly leave: () => void
}

type Entry = {
  readonly feed: Feed
  readonly subscription: Promise<StreamSubscription>
  seats: number
}

/** Passes durable records to subscribers, with one subscription at the store for each stream. */
export class Hub {
  readonly #store: StreamStore
  readonly #now: () => number
  readonly #subscribersMax: number
  readonly #budget: ReadBudget
  readonly #pages = new WaitingLine(PAGES_AT_ONCE)
  readonly #entries = new Map<string, Entry>()
  #subscribers = 0
  #isClosed = false

  /** @param budget of the bytes that wait for all subscribers together */
  constructor(
    store: StreamStore,
    now: () => number,
    subscribersMax: number,
    budget = new ReadBudget(TAIL_BUDGET_BYTES, SUBSCRIBER_BYTES_MAX),
  ) {
    this.#store = store
    this.#now = now
    this.#subscribersMax = subscribersMax
    this.#budget = budget
  }

  get subscribers(): number {
    return this.#subscribers
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /**
   * Takes a seat at the feed of `stream`. Passes on any error of the store's `subscribe`.
   * @throws StoreError stream_not_found, too_many_requests, shutting_down
   */
  async join(stream: string): Promise<Seat> {
    if (this.#subscribers >= this.#subscribersMax) {
      const detail = `the limit of ${this.#subscribersMax} subscriptions is reached`
      throw new StoreError('too_many_requests', detail)
    }
    this.#subscribers += 1
    const entry = this.#entries.get(stream) ?? this.#open(stream)
    entry.seats += 1
    let hasLeft = false
    const leave = () => {
      if (hasLeft) return
      hasLeft = true
      this.#subscribers -= 1
      entry.seats -= 1
      if (entry.seats === 0) this.#drop(stream, entry)
    }
    try {
      await entry.subscription
      if (this.#isClosed) throw new StoreError('shutting_down', 'the service is shutting down')
      return { feed: entry.feed, budget: this.#budget, pages: this.#pages, leave }
    } catch (error) {
      leave()
      throw error
    }
  }

  /** Resolves once a record at or past `offset` is durable, the stream ends, or `signal` aborts. */
  async waitFor(stream: string, offset: number, signal: AbortSignal): Promise<void> {
    const { feed, leave } = await this.join(stream)
    const isOver = feed.position > offset || feed.isClosed || feed.failure !== undefined
    if (isOver || signal.aborted) return leave()
    await new Promise<void>(resolve => {
      // The feed and the signal may outlive this wait, so its end removes follower and listener.
      const end = () => {
        feed.remove(follower)
        signal.removeEventListener('abort', end)
        leave()
        resolve()
      }
      const follower: Follower = { isLive: true, position: offset, onFanOut: end, onEnd: end }
      feed.add(follower)
      signal.addEventListener('abort', end)
    })
  }

  /** Ends all feeds, and accepts no more subscribers. Idempotent. */
  close(): void {
    this.#isClosed = true
    for (const { feed } of this.#entries.values()) feed.onEnd('shutting_down')
  }

  #open(stream: string): Entry {
    const feed = new Feed(this.#now, () => this.#forget(stream, entry))
    const subscription = this.#store.subscribe(stream, feed).then(subscription => {
      feed.begin(subscription.nextOffset, subscription.streamId)
      return subscription
    })
    const entry: Entry = { feed, subscription, seats: 0 }
    this.#entries.set(stream, entry)
    return entry
  }

  /** Forgets a feed that has ended, so that the next subscriber opens another. */
  #forget(stream: string, entry: Entry): void {
    if (this.#entries.get(stream) === entry) this.#entries.delete(stream)
  }

  #drop(stream: string, entry: Entry): void {
    this.#forget(stream, entry)
    // A subscription that was refused has been reported to its subscriber already.
    entry.subscription.then(
      subscription => subscription.cancel(),
      () => undefined,
    )
  }
}
