import { assert } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import { KIB, SUBSCRIBER_BYTES_MAX } from '../../shared/limits.ts'
import type { ReadPage, ReadRequest } from '../../shared/protocol/streams.ts'
import type { StreamStore } from '../store.ts'
import type { Lease } from '../http/read-budget.ts'
import type { EndReason, FanOut, Follower } from './feed.ts'
import type { Hub, Seat } from './hub.ts'
import { type Cursor, encodingOf, type TailFormat, wrapRecords } from './tail-message.ts'

// One subscriber, whatever its speed:
//
//   catching-up ─ at or past the feed's position ─▶ live ─ stream closed, deleted, failed ─▶ ended
//        ▲                                           │
//        └── too slow, or records not in memory ─────┘
//
// - While catching up it reads pages from the store, and the next page only once the socket has
//   taken most of the last; while live it gets what the feed fans out.
// - `position` is the next record to send: each is sent once, in order, from either source.
// - The bytes that wait in its socket stay within SUBSCRIBER_BYTES_MAX. The one exception is a
//   single longer record, sent when nothing else waits.
// - The bytes that wait in all sockets together are bounded too. A page is read once there is room
//   for it; a live subscriber that lags while there is no room catches up later.

/** Bytes that may wait when the next page is read. */
const BUFFER_LOW_BYTES = 256 * KIB
const PAGE_BYTES = 256 * KIB
const PAGE_RECORDS = 1000
const PAGE_RENDERED_BYTES_MAX = SUBSCRIBER_BYTES_MAX - BUFFER_LOW_BYTES

/** The socket of a subscriber. */
export type Sink = {
  readonly format: TailFormat
  /** Bytes sent and not yet taken by the kernel. */
  readonly bufferedBytes: number
  /** @param onTaken is called once the kernel has the message, or the peer is gone */
  send(message: Buffer, onTaken: () => void): void
  /** Resolves once at most `bytes` wait, or the peer is gone. */
  drained(bytes: number): Promise<void>
  sendLive(cursor: Cursor): void
  sendHeartbeat(cursor: Cursor): void
  /** Says that the stream is closed and read to its end, and ends. */
  endClosed(cursor: Cursor): void
  endFailed(error: unknown): void
}

export type SubscriptionStart = Pick<ReadRequest, 'from' | 'since' | 'after'>

/** Where a subscription begins, and where its stream ended then. */
type Position = Cursor & { readonly tailOffset: number | undefined; readonly isClosed: boolean }

const SHARED: Lease = { resize: () => undefined, release: () => undefined }

/** A page, and the bytes of the budget that it holds. */
type LeasedPage = { readonly page: ReadPage; readonly lease: Lease }

type SubscriptionState = 'catching-up' | 'live' | 'ended'

const FAILURES = {
  deleted: { code: 'stream_deleted', detail: 'the stream was deleted' },
  failed: { code: 'shard_failed', detail: 'the shard of the stream stopped' },
  shutting_down: { code: 'shutting_down', detail: 'the service is shutting down' },
} as const

export class Subscription implements Follower {
  readonly #store: StreamStore
  readonly #stream: string
  readonly #seat: Seat
  /** The stream's end, and whether it was closed, when the subscription was opened. */
  readonly tailOffset: number | undefined
  readonly isClosed: boolean
  readonly streamId: string
  #position: number
  #lastHash: string | null
  #state: SubscriptionState = 'catching-up'
  #sink: Sink | undefined
  #heartbeat: NodeJS.Timeout | undefined
  readonly #gone = new AbortController()
  #saidLive = false

  constructor(store: StreamStore, stream: string, seat: Seat, start: Position) {
    this.#store = store
    this.#stream = stream
    this.#seat = seat
    this.#position = start.nextOffset
    this.#lastHash = start.lastHash
    this.streamId = start.streamId
    this.tailOffset = start.tailOffset
    this.isClosed = start.isClosed
  }

  /**
   * Finds where to start; nothing is sent before `start`.
   * @throws StoreError what the hub's `join` and the store's `read` throw
   */
  static async open(
    hub: Hub,
    store: StreamStore,
    stream: string,
    start: SubscriptionStart,
  ): Promise<Subscription> {
    for (;;) {
      const seat = await hub.join(stream)
      try {
        const page = await store.read(stream, {
          ...start,
          direction: 'forward',
          limit: 1,
          maxBytes: 1,
          verify: 'none',
          encoding: 'batch',
        })
        if (page.streamId === seat.feed.streamId) {
          return new Subscription(store, stream, seat, positionOf(start, page))
        }
      } catch (error) {
        seat.leave()
        throw error
      }
      // The stream was deleted and created again, but the feed has not heard of it yet: retry.
      seat.feed.onEnd('deleted')
      seat.leave()
    }
  }

  get isLive(): boolean {
    return this.#state === 'live'
  }

  get position(): number {
    return this.#position
  }

  /** Hash of the record before `position`; null where it is not known yet. */
  get lastHash(): string | null {
    return this.#lastHash
  }

  start(sink: Sink, heartbeatMs: number): void {
    if (this.#state === 'ended') return
    this.#sink = sink
    this.#heartbeat = setTimeout(() => this.#beat(), heartbeatMs)
    const { feed } = this.#seat
    feed.add(this)
    if (feed.failure === undefined) this.#followUp()
    else this.onEnd(feed.failure)
  }

  /** Ends the subscription without a message. Idempotent. */
  stop(): void {
    this.#state = 'ended'
    this.#gone.abort()
    clearTimeout(this.#heartbeat)
    this.#seat.feed.remove(this)
    this.#seat.leave()
  }

  onFanOut(fanOut: FanOut): void {
    const sink = this.#socket
    const message = fanOut.message(sink.format, this.#position)
    if (message !== null && sink.bufferedBytes + message.length <= SUBSCRIBER_BYTES_MAX) {
      // A subscriber that keeps up shares the message with all the others.
      const lease = sink.bufferedBytes === 0 ? SHARED : this.#seat.budget.tryTake(message.length)
      if (lease !== undefined) return this.#send(message, fanOut.cursor, lease)
    }
    this.#state = 'catching-up'
    this.#followUp()
  }

  onEnd(reason: EndReason): void {
    if (this.#state === 'ended') return
    if (reason !== 'closed')
      this.#fail(new StoreError(FAILURES[reason].code, FAILURES[reason].detail))
    else if (this.#state === 'live') this.#endClosed()
  }

  get #socket(): Sink {
    assert(this.#sink !== undefined, 'the subscription has started')
    return this.#sink
  }

  #followUp(): void {
    this.#catchUp().catch((error: unknown) => this.#fail(error))
  }

  async #catchUp(): Promise<void> {
    const { feed } = this.#seat
    const sink = this.#socket
    let limit = PAGE_RECORDS
    while (this.#state === 'catching-up') {
      if (sink.bufferedBytes > BUFFER_LOW_BYTES) await sink.drained(BUFFER_LOW_BYTES)
      if (this.#state !== 'catching-up') return
      if (this.#position >= feed.position) return this.#becomeLive()
      limit = await this.#sendPage(sink, limit, await this.#takePage(sink.format, limit))
    }
  }

  /** Returns the limit for the next page: smaller where the records were too long together. */
  async #sendPage(sink: Sink, limit: number, { page, lease }: LeasedPage): Promise<number> {
    assert(page.count > 0, 'a page below the position of the feed has no record')
    const isTooLong = page.payload.length > PAGE_RENDERED_BYTES_MAX
    if (isTooLong && page.count === 1) await sink.drained(0)
    if (this.#state !== 'catching-up' || (isTooLong && page.count > 1)) {
      lease.release()
      return isTooLong ? Math.ceil(page.count / 4) : limit
    }
    this.#send(wrapRecords(sink.format, page.firstOffset, page, page.payload), page, lease)
    return limit
  }

  /** Reads the next page. Its bytes are charged to the budget before another page is read. */
  #takePage(format: TailFormat, limit: number): Promise<LeasedPage> {
    const { budget, pages } = this.#seat
    const { signal } = this.#gone
    return pages.run(async () => {
      const lease = await budget.take(PAGE_BYTES, signal)
      try {
        const page = await this.#readPage(format, limit)
        lease.resize(page.payload.length)
        return { page, lease }
      } catch (error) {
        lease.release()
        throw error
      }
    }, signal)
  }

  /**
   * Reads the next page. If records in it are damaged, the page ends before them, so that no sound
   * record is left out. If they come first, the subscription ends with the failure of the read.
   */
  async #readPage(format: TailFormat, limit: number): Promise<ReadPage> {
    try {
      return await this.#read(format, limit)
    } catch (error) {
      const sound = soundBefore(error, this.#position)
      if (sound <= 0 || sound >= limit) throw error
      return await this.#read(format, sound)
    }
  }

  async #read(format: TailFormat, limit: number): Promise<ReadPage> {
    const request: ReadRequest = {
      from: this.#position,
      direction: 'forward',
      limit,
      maxBytes: PAGE_BYTES,
      verify: 'links',
      encoding: encodingOf(format),
    }
    const after = this.#lastHash
    const from = after === null ? request : { ...request, after }
    const page = await this.#store.read(this.#stream, from)
    // An answer may overtake the announcement that the stream was deleted.
    if (page.streamId !== this.streamId) {
      throw new StoreError('stream_deleted', 'the stream was deleted; another has its name now')
    }
    return page
  }

  #becomeLive(): void {
    this.#state = 'live'
    if (!this.#saidLive) this.#socket.sendLive(this.#cursor)
    this.#saidLive = true
    if (this.#seat.feed.isClosed) this.#endClosed()
  }

  get #cursor(): Cursor {
    return { nextOffset: this.#position, streamId: this.streamId, lastHash: this.#lastHash }
  }

  /** Sends a message. @param lease is released once the socket has taken it */
  #send(message: Buffer, { nextOffset, lastHash }: Cursor, lease: Lease): void {
    this.#position = nextOffset
    this.#lastHash = lastHash
    lease.resize(message.length)
    this.#socket.send(message, () => lease.release())
    // Binary messages have no cursor, so their heartbeats, which have one, are never postponed.
    if (this.#socket.format !== 'batch') this.#heartbeat?.refresh()
  }

  /** A subscriber whose socket is full is not idle, and needs no more bytes. */
  #beat(): void {
    if (this.#socket.bufferedBytes === 0) this.#socket.sendHeartbeat(this.#cursor)
    this.#heartbeat?.refresh()
  }

  #endClosed(): void {
    this.stop()
    this.#socket.endClosed(this.#cursor)
  }

  #fail(error: unknown): void {
    if (this.#state === 'ended') return
    this.stop()
    this.#socket.endFailed(error)
  }
}

function positionOf(start: SubscriptionStart, page: ReadPage): Position {
  const { firstOffset: nextOffset, tailOffset, closed: isClosed, streamId } = page
  // The hash of a page with a record is that record's, not that of the record before it.
  const lastHash = start.after ?? (page.count === 0 ? page.lastHash : null)
  return { nextOffset, streamId, lastHash, tailOffset, isClosed }
}

/** Returns how many records lie between `position` and the damage; 0 for any other failure. */
function soundBefore(error: unknown, position: number): number {
  if (!(error instanceof StoreError) || error.code !== 'corrupt_record') return 0
  return Number(error.fields['firstCorruptOffset']) - position
}
