import { assert } from '../../shared/assert.ts'
import { MIB } from '../../shared/limits.ts'
import { hexToLatin1 } from '../../shared/format/bytes.ts'
import type { LinkedRecord } from '../../shared/format/read-page.ts'
import { expandedBytes, expandRecord } from '../../shared/format/expand.ts'
import { RecordKind, type RecordView, viewRecord } from '../../shared/format/record.ts'
import { renderRecords } from '../../shared/format/render.ts'
import type { RecordChunk, StreamListener } from '../store.ts'
import { type Cursor, type TailFormat, wrapRecords } from './tail-message.ts'

// Passes one stream's durable records to all of its followers.
//
// - `position` never goes back; every record from it on is in exactly one later fan-out.
// - A follower becomes live only at or past `position`, in the same turn of the event loop.
// - Up to FEED_BYTES_MAX of records wait in memory; more are only announced, and followers read
//   them from the store.

/** Most bytes of expanded records between two fan-outs. */
const FEED_BYTES_MAX = 4 * MIB
const EMPTY = Buffer.alloc(0)

export type EndReason = 'closed' | 'deleted' | 'failed' | 'shutting_down'

/** Someone who follows a feed. */
export type Follower = {
  /** Whether it takes fan-outs; a follower that is behind reads from the store. */
  readonly isLive: boolean
  /** The next record it needs. */
  readonly position: number
  onFanOut(fanOut: FanOut): void
  /** The last call, but for one that is not live when the stream is closed: it reads to the end. */
  onEnd(reason: EndReason): void
}

/** Records that go to all live followers of a feed together; rendered once a format. */
export class FanOut {
  readonly firstOffset: number
  /** The cursor after the last record. */
  readonly cursor: Cursor
  readonly #chunks: readonly RecordChunk[]
  readonly #messages = new Map<TailFormat, Buffer>()

  constructor(firstOffset: number, cursor: Cursor, chunks: readonly RecordChunk[]) {
    this.firstOffset = firstOffset
    this.cursor = cursor
    this.#chunks = chunks
  }

  /** Returns the records from `position` on as a message; null if they are not in memory. */
  message(format: TailFormat, position: number): Buffer | null {
    if (this.#chunks.some(({ records }) => records === null)) return null
    if (position > this.firstOffset) return this.#render(format, position)
    const message = this.#messages.get(format) ?? this.#render(format, this.firstOffset)
    this.#messages.set(format, message)
    return message
  }

  #render(format: TailFormat, position: number): Buffer {
    const records = this.#chunks.flatMap(chunk => locate(chunk, position))
    const payload = renderRecords(records, { encoding: format, verify: 'none' })
    return wrapRecords(format, position, this.cursor, payload)
  }
}

/** Returns the data records of a chunk with their hashes, taken from the element after each. */
function locate({ records, lastHash }: RecordChunk, position: number): LinkedRecord[] {
  const located: LinkedRecord[] = []
  const bytes = records ?? EMPTY
  let before: RecordView | undefined
  const add = (hash: string) => {
    if (before === undefined) return
    const expanded = expandRecord({ bytes, record: before })
    located.push({ bytes: expanded.bytes, record: expanded.record, hash })
    before = undefined
  }
  for (let at = 0; at < bytes.length; ) {
    const record = viewRecord(bytes, at)
    assert(record !== undefined, 'a chunk of the store holds whole records')
    add(record.previousHash)
    if (record.kind === RecordKind.Data && record.offset >= position) before = record
    at = record.end
  }
  add(hexToLatin1(lastHash))
  return located
}

export class Feed implements StreamListener {
  readonly #now: () => number
  readonly #onEnded: () => void
  readonly #followers = new Set<Follower>()
  #position: number | undefined
  #streamId = ''
  #end: EndReason | undefined
  #pending: RecordChunk[] = []
  #pendingBytes = 0
  #scheduled: (() => void) | undefined
  #tookMs = 0
  #finishedAt = 0

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: () => number, onEnded: () => void) {
    this.#now = now
    this.#onEnded = onEnded
  }

  /** Offset below which all records have been fanned out, or were durable when the feed began. */
  get position(): number {
    assert(this.#position !== undefined, 'the feed has begun')
    return this.#position
  }

  /** Id of the stream that had the name when the feed began; 32 hex digits. */
  get streamId(): string {
    return this.#streamId
  }

  get isClosed(): boolean {
    return this.#end === 'closed'
  }

  /** Why the feed ended, unless the stream was closed and can still be read to its end. */
  get failure(): Exclude<EndReason, 'closed'> | undefined {
    return this.#end === 'closed' ? undefined : this.#end
  }

  begin(position: number, streamId: string): void {
    this.#position = position
    this.#streamId = streamId
  }

  /** Number of followers. */
  get followers(): number {
    return this.#followers.size
  }

  add(follower: Follower): void {
    this.#followers.add(follower)
  }

  remove(follower: Follower): void {
    this.#followers.delete(follower)
  }

  onRecords(chunk: RecordChunk): void {
    this.#pending.push(chunk)
    this.#pendingBytes += chunk.records === null ? 0 : expandedBytes(chunk.records)
    if (this.#pendingBytes > FEED_BYTES_MAX) {
      const { firstOffset } = this.#pending[0] ?? chunk
      const { nextOffset, lastHash } = chunk
      this.#pending = [{ firstOffset, nextOffset, records: null, lastHash }]
      this.#pendingBytes = 0
    }
    this.#scheduled ??= this.#schedule()
  }

  onEnd(reason: EndReason): void {
    if (this.#end !== undefined) return
    if (this.#pending.length > 0) this.#fanOut()
    this.#end = reason
    this.#onEnded()
    for (const follower of this.#followers) follower.onEnd(reason)
  }

  /**
   * Schedules the next fan-out. After one that took a time t, the next waits for t. Records that
   * arrive meanwhile are sent together, and the thread has as much time for other work.
   */
  #schedule(): () => void {
    const waitMs = this.#finishedAt + this.#tookMs - this.#now()
    if (waitMs < 1) {
      const immediate = setImmediate(() => this.#fanOut())
      return () => clearImmediate(immediate)
    }
    const timeout = setTimeout(() => this.#fanOut(), waitMs)
    return () => clearTimeout(timeout)
  }

  #fanOut(): void {
    this.#scheduled?.()
    this.#scheduled = undefined
    const chunks = this.#pending
    this.#pending = []
    this.#pendingBytes = 0
    const startedAt = this.#now()
    const firstOffset = this.position
    const last = chunks.at(-1)
    const nextOffset = last?.nextOffset ?? firstOffset
    this.#position = nextOffset
    const cursor = { nextOffset, streamId: this.#streamId, lastHash: last?.lastHash ?? null }
    const fanOut = new FanOut(firstOffset, cursor, chunks)
    for (const follower of this.#followers) {
      if (follower.isLive && follower.position < nextOffset) follower.onFanOut(fanOut)
    }
    this.#finishedAt = this.#now()
    this.#tookMs = this.#finishedAt - startedAt
  }
}
