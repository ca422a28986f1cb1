import { randomBytes } from 'node:crypto'
import { StoreError } from '../../src/shared/errors.ts'
import { decodeBatchItem } from '../../src/shared/format/batch.ts'
import { latin1ToHex, viewOf } from '../../src/shared/format/bytes.ts'
import { chainHashOf, GENESIS_HASH } from '../../src/shared/format/chain.ts'
import {
  checkLinks,
  type LocatedRecord,
  type PageSelection,
  selectPage,
} from '../../src/shared/format/read-page.ts'
import { encodeRecord, recordBytes, viewRecord } from '../../src/shared/format/record.ts'
import type {
  AppendResult,
  ReadRequest,
  StreamConfig,
  StreamInfo,
  VerifyReport,
} from '../../src/shared/protocol/streams.ts'
import type {
  AppendRequest,
  RecordChunk,
  StreamListener,
  StreamSubscription,
} from '../../src/main/store.ts'

type EndReason = 'closed' | 'deleted' | 'failed'

/** One stream of the in-memory twin: real records, real chain. */
export class MemoryStream {
  readonly #name: string
  readonly #streamId = randomBytes(16).toString('latin1')
  readonly #createdAt: number
  #config: StreamConfig
  #isClosed = false
  #records: LocatedRecord[] = []
  #recordBytes = 0
  #chainHead = GENESIS_HASH
  #lastTimestamp = 0
  readonly #listeners = new Map<number, StreamListener>()
  #lastListener = 0

  constructor(name: string, config: StreamConfig, createdAt: number) {
    this.#name = name
    this.#config = config
    this.#createdAt = createdAt
  }

  get watches(): number {
    return this.#listeners.size
  }

  hasConfig(config: StreamConfig): boolean {
    return (
      config.durability === this.#config.durability &&
      config.maxSegmentBytes === this.#config.maxSegmentBytes
    )
  }

  info(): StreamInfo {
    return {
      stream: this.#name,
      streamId: latin1ToHex(this.#streamId),
      state: this.#isClosed ? 'closed' : 'open',
      firstOffset: 0,
      nextOffset: this.#records.length,
      chainHead: latin1ToHex(this.#chainHead),
      recordBytes: this.#recordBytes,
      segments: this.#records.length === 0 ? 0 : 1,
      createdAt: this.#createdAt,
      config: this.#config,
    }
  }

  configure(change: Partial<StreamConfig>): StreamInfo {
    this.#config = { ...this.#config, ...change }
    return this.info()
  }

  close(): StreamInfo {
    this.#isClosed = true
    this.end('closed')
    return this.info()
  }

  append(request: AppendRequest, nowMicros: number): AppendResult {
    if (this.#isClosed) throw new StoreError('stream_closed', 'the stream is closed')
    const firstOffset = this.#records.length
    if ((request.expectedOffset ?? firstOffset) !== firstOffset) {
      throw new StoreError('offset_mismatch', `the stream is at ${firstOffset}`, {
        nextOffset: firstOffset,
      })
    }
    this.#lastTimestamp = Math.max(this.#lastTimestamp, nowMicros)
    const records = this.#encode(request.batch)
    const nextOffset = this.#records.length
    this.#emit({ firstOffset, nextOffset, records })
    return {
      firstOffset,
      nextOffset,
      durability: request.durability ?? this.#config.durability,
      durable: (request.durability ?? this.#config.durability) !== 'relaxed',
      timestamp: this.#lastTimestamp,
      chainHead: latin1ToHex(this.#chainHead),
    }
  }

  read(request: ReadRequest): Omit<PageSelection, never> & { tailOffset: number; closed: boolean } {
    const tailOffset = this.#records.length
    const from = this.#resolve(request)
    if (from > tailOffset) {
      throw new StoreError('beyond_end', `the stream ends at ${tailOffset}`, {
        nextOffset: tailOffset,
      })
    }
    const isForward = request.direction === 'forward'
    const low = isForward ? from : 0
    const high = isForward ? tailOffset : from
    const first = request.verify === 'genesis' ? 0 : low
    const records = this.#records.slice(first, high)
    const verified =
      request.verify === 'none'
        ? records
        : checkLinks(records, this.#streamId, records[0]?.record.previousHash ?? GENESIS_HASH)
    return { ...selectPage(verified, low, high, request), tailOffset, closed: this.#isClosed }
  }

  verify(range: { from?: number; to?: number }): VerifyReport {
    const to = Math.min(range.to ?? this.#records.length, this.#records.length)
    const from = Math.min(range.from ?? 0, to)
    let hash = GENESIS_HASH
    for (const linked of checkLinks(this.#records.slice(0, to), this.#streamId, GENESIS_HASH)) {
      hash = linked.hash
    }
    const chainHead = latin1ToHex(hash)
    const verifiedRecords = to - from
    return { ok: true, verifiedRecords, from, to, chainHead, anchor: 'genesis', failure: null }
  }

  subscribe(listener: StreamListener): StreamSubscription {
    const id = ++this.#lastListener
    const nextOffset = this.#records.length
    this.#listeners.set(id, listener)
    if (this.#isClosed) setImmediate(() => this.end('closed'))
    return { nextOffset, cancel: () => this.#listeners.delete(id) }
  }

  end(reason: EndReason): void {
    for (const [id, listener] of this.#listeners) {
      this.#listeners.delete(id)
      listener.onEnd(reason)
    }
  }

  #resolve({ from, since }: ReadRequest): number {
    const end = this.#records.length
    if (since !== undefined) {
      const index = this.#records.findIndex(({ record }) => record.timestamp >= since)
      return index === -1 ? end : index
    }
    if (from === 'start') return 0
    return from === 'end' ? end : from
  }

  /** Appends the batch's items as records; returns them back to back. */
  #encode(batch: Buffer): Buffer {
    const items = []
    let size = 0
    for (let at = 0; at < batch.length; ) {
      const item = decodeBatchItem(batch, at, batch.length)
      items.push(item)
      size += recordBytes(item.headersLength, item.bodyLength)
      at = item.end
    }
    const bytes = Buffer.alloc(size)
    const view = viewOf(bytes)
    let at = 0
    for (const { format, headersAt, headersLength, bodyLength } of items) {
      const offset = this.#records.length
      const previousHash = this.#chainHead
      const timestamp = this.#lastTimestamp
      const fields = { offset, timestamp, format, previousHash }
      const end = encodeRecord(bytes, view, at, fields, batch, headersAt, headersLength, bodyLength)
      const record = viewRecord(bytes, at)
      if (record === undefined) throw new Error('an encoded record can be viewed')
      this.#chainHead = chainHashOf(this.#streamId, bytes, record)
      this.#records.push({ bytes, record })
      at = end
    }
    this.#recordBytes += size
    return bytes
  }

  #emit(chunk: RecordChunk): void {
    for (const listener of this.#listeners.values()) listener.onRecords(chunk)
  }
}
