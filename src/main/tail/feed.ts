import { assert } from '../../shared/assert.ts'
import { MIB } from '../../shared/limits.ts'
import { hexToLatin1 } from '../../shared/format/bytes.ts'
import type { LinkedRecord } from '../../shared/format/read-page.ts'
import { expandedBytes, expandRecord } from '../../shared/format/expand.ts'
import { RecordKind, type RecordView, viewRecord } from '../../shared/format/record.ts'
import { renderRecords } from '../../shared/format/render.ts'
import type { RecordChunk, StreamListener } from '../store.ts'
import { type Cursor, type TailFormat, wrapRecords } from './tail-message.ts'

// One stream's durable records on their way to everyone who follows it.
//
// - `position` never goes back; every record from it on comes in a later fan-out, whole and once.
// - A follower is live only at or past `position`, decided in the turn in which it is compared.
// - Records wait in memory up to FEED_BYTES_MAX; past it they are only announced, to be read.

/** Records between two fan-outs, bytes once expanded. */
const FEED_BYTES_MAX = 4 * MIB
const EMPTY = Buffer.alloc(0)

export type EndReason = 'closed' | 'deleted' | 'failed' | 'shutting_down'

/** Someone who follows a feed. */
export type Follower = {
  /** Whether fan-outs are for it; one that is behind reads by itself. */
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
  /** Behind the last of them. */
  readonly cursor: Cursor
  readonly #chunks: readonly RecordChunk[]
  readonly #messages = new Map<TailFormat, Buffer>()

  constructor(firstOffset: number, cursor: Cursor, chunks: readonly RecordChunk[]) {
    this.firstOffset = firstOffset
    this.cursor = cursor
    this.#chunks = chunks
  }

  /** The records from `position` on, null where they are not in memory. */
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

/** The data records of a chunk, with their hashes: what follows each of them says its own. */
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

  /** Everything below has been fanned out, or was durable when the feed began. */
  get position(): number {
    assert(this.#position !== undefined, 'the feed has begun')
    return this.#position
  }

  get isClosed(): boolean {
    return this.#end === 'closed'
  }

  /** Why the feed ended, where that leaves nothing to be read. */
  get failure(): Exclude<EndReason, 'closed'> | undefined {
    return this.#end === 'closed' ? undefined : this.#end
  }

  begin(position: number, streamId: string): void {
    this.#position = position
    this.#streamId = streamId
  }

  /** Who follows it now. */
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
   * After a fan-out that took t the next one waits t: what arrives meanwhile goes out together, and
   * the thread has as much time for everything else.
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
