import { StoreError } from '../../shared/errors.ts'
import { MIB, SUBSCRIBER_BYTES_MAX } from '../../shared/limits.ts'
import { ReadBudget } from '../http/read-budget.ts'
import type { StreamStore, StreamSubscription } from '../store.ts'
import { Feed, type Follower } from './feed.ts'

/** What subscribers may leave unread together; those who take nothing are cut off after a while. */
const TAIL_BUDGET_BYTES = 128 * MIB

/** A seat at a stream's feed; the feed goes on while anyone has one. */
export type Seat = {
  readonly feed: Feed
  /** For what subscribers have been sent and have not taken. */
  readonly budget: ReadBudget
  /** Idempotent. */
  readonly leave: () => void
}

type Entry = {
  readonly feed: Feed
  readonly subscription: Promise<StreamSubscription>
  seats: number
}

/** Durable records → subscribers: one subscription at the store for each stream. */
export class Hub {
  readonly #store: StreamStore
  readonly #now: () => number
  readonly #subscribersMax: number
  readonly #budget: ReadBudget
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
   * @throws StoreError stream_not_found, too_many_requests, shutting_down, and what the store's
   * `subscribe` throws
   */
  async join(stream: string): Promise<Seat> {
    if (this.#subscribers >= this.#subscribersMax) {
      throw new StoreError('too_many_requests', 'the service has all the subscribers it allows')
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
      return { feed: entry.feed, budget: this.#budget, leave }
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
      // Others may keep the feed, and the signal may belong to a connection that is kept: whatever
      // ends the wait takes the follower and the listener away.
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

  /** Ends all that is followed, and lets no one follow any more. Idempotent. */
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

  /** A feed that ended takes nobody new: who comes next opens another. */
  #forget(stream: string, entry: Entry): void {
    if (this.#entries.get(stream) === entry) this.#entries.delete(stream)
  }

  #drop(stream: string, entry: Entry): void {
    this.#forget(stream, entry)
    // One that never began was refused, and who asked for it was told.
    entry.subscription.then(
      subscription => subscription.cancel(),
      () => undefined,
    )
  }
}
