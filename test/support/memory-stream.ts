import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { StoreError } from '../../src/shared/errors.ts'
import { latin1ToHex } from '../../src/shared/format/bytes.ts'
import { StateChange } from '../../src/shared/format/checkpoint.ts'
import { dataRecords, type PageSelection, selectPage } from '../../src/shared/format/read-page.ts'
import { historyMismatch } from '../../src/shared/format/cursor.ts'
import type {
  AppendResult,
  Checkpoint,
  CheckpointPage,
  ReadPage,
  ReadRequest,
  StreamConfig,
  StreamInfo,
  VerifyReport,
} from '../../src/shared/protocol/streams.ts'
import type { Signer } from '../../src/shared/signing.ts'
import type {
  AppendRequest,
  RecordChunk,
  StreamListener,
  StreamSubscription,
} from '../../src/main/store.ts'
import { MemoryChain } from './memory-chain.ts'
import { MemoryProducers } from './memory-producers.ts'

type EndReason = 'closed' | 'deleted' | 'failed'

/** One stream of the in-memory twin: real records, real chain. */
export class MemoryStream {
  readonly #name: string
  readonly #streamId = randomBytes(16).toString('latin1')
  readonly #createdAt: number
  #config: StreamConfig
  #isClosed = false
  readonly #chain: MemoryChain
  readonly #producers = new MemoryProducers()
  readonly #listeners = new Map<number, StreamListener>()
  #lastListener = 0

  constructor(name: string, config: StreamConfig, createdAt: number, signer: Signer) {
    this.#name = name
    this.#config = config
    this.#createdAt = createdAt
    this.#chain = new MemoryChain(name, this.#streamId, signer, () => ({
      createdAt,
      config: this.#config,
      closed: this.#isClosed,
      firstOffset: this.#chain.firstOffset,
    }))
  }

  get watches(): number {
    return this.#listeners.size
  }

  hasConfig(config: StreamConfig): boolean {
    return isDeepStrictEqual(config, this.#config)
  }

  info(): StreamInfo {
    const { firstOffset, nextOffset, head, bytes, segments } = this.#chain
    return {
      stream: this.#name,
      streamId: latin1ToHex(this.#streamId),
      state: this.#isClosed ? 'closed' : 'open',
      firstOffset,
      nextOffset,
      chainHead: latin1ToHex(head),
      recordBytes: bytes,
      segments,
      createdAt: this.#createdAt,
      config: this.#config,
    }
  }

  configure(change: Partial<StreamConfig>, nowMicros: number): StreamInfo {
    const config = { ...this.#config, ...change }
    if (this.hasConfig(config)) return this.info()
    this.#config = config
    this.#chain.signChange(nowMicros, StateChange.Configured)
    return this.info()
  }

  close(nowMicros: number): StreamInfo {
    if (this.#isClosed) return this.info()
    this.#isClosed = true
    this.#chain.signChange(nowMicros, StateChange.Closed)
    this.end('closed')
    return this.info()
  }

  /** @throws StoreError when an append cannot be, before anything of it is applied */
  check({ expectedOffset }: Pick<AppendRequest, 'expectedOffset'>): void {
    const { nextOffset } = this.#chain
    if (this.#isClosed) throw new StoreError('stream_closed', 'it is closed', { nextOffset })
    if ((expectedOffset ?? nextOffset) === nextOffset) return
    throw new StoreError('offset_mismatch', `the stream is at ${nextOffset}`, { nextOffset })
  }

  /** What was accepted before is answered before anything else is looked at. */
  append(request: AppendRequest, nowMicros: number): AppendResult {
    const { producer } = request
    const before = producer && this.#producers.find(producer)
    if (before !== undefined) return before
    this.check(request)
    const firstOffset = this.#chain.nextOffset
    const { records, recordHash, chainHead } = this.#chain.append(
      request.batch,
      nowMicros,
      this.#config,
    )
    const { nextOffset, lastTimestamp: timestamp } = this.#chain
    this.#emit({ firstOffset, nextOffset, records, lastHash: latin1ToHex(recordHash) })
    const durability = request.durability ?? this.#config.durability
    const result = {
      firstOffset,
      nextOffset,
      durability,
      durable: durability !== 'relaxed',
      duplicate: false,
      timestamp,
      streamId: latin1ToHex(this.#streamId),
      recordHash: latin1ToHex(recordHash),
      chainHead: latin1ToHex(chainHead),
    }
    if (producer !== undefined) this.#producers.add(producer, result)
    return result
  }

  trim(before: number, nowMicros: number): StreamInfo {
    const { nextOffset } = this.#chain
    if (before > nextOffset) {
      throw new StoreError('beyond_end', `the stream ends at ${nextOffset}`, { nextOffset })
    }
    this.#chain.trim(before, nowMicros)
    return this.info()
  }

  checkpoint(nowMicros: number): Checkpoint {
    return this.#chain.checkpoint(nowMicros)
  }

  /** Those of one offset are never parted. */
  checkpoints({ from, limit }: { from: number; limit: number }): CheckpointPage {
    const found = this.#chain.checkpoints.filter(({ offset }) => offset >= from)
    const last = found[limit - 1]?.offset ?? Number.POSITIVE_INFINITY
    const next = found.find(({ offset }) => offset > last)?.offset ?? null
    return { checkpoints: found.filter(({ offset }) => offset <= last), next }
  }

  read(request: ReadRequest): PageSelection & Omit<ReadPage, 'count' | 'payload'> {
    const { firstOffset, nextOffset: tailOffset } = this.#chain
    const from = this.#resolve(request)
    if (from > tailOffset) {
      if (request.after !== undefined) throw this.#mismatch(tailOffset)
      throw new StoreError('beyond_end', `the stream ends at ${tailOffset}`, {
        nextOffset: tailOffset,
      })
    }
    if (from < firstOffset) {
      const detail = `the first available offset is ${firstOffset} (requested ${from})`
      throw new StoreError('trimmed', `the stream was trimmed: ${detail}`, { firstOffset })
    }
    const isForward = request.direction === 'forward'
    const low = isForward ? from : firstOffset
    const high = isForward ? tailOffset : from
    this.#checkCursor(request.after, from)
    const page = selectPage(this.#recordsOf(request, low, high), low, high, request, firstOffset)
    const last = page.records.at(-1)?.record.offset
    const next = isForward ? page.nextOffset : (last ?? from)
    const cursor = latin1ToHex(this.#chain.hashBefore(next))
    const stream = { streamId: latin1ToHex(this.#streamId), closed: this.#isClosed }
    const found = { ...page, ...stream, tailOffset, lastHash: cursor }
    if (request.verify === 'none' || request.verify === 'links' || last === undefined) return found
    const bounds = [page.firstOffset, page.nextOffset].sort((left, right) => left - right)
    const [lowest = 0, end = 0] = isForward ? bounds : [bounds[0], from]
    return { ...found, signedThrough: Math.max(lowest, Math.min(this.#chain.signedThrough, end)) }
  }

  #checkCursor(after: string | undefined, from: number): void {
    if (after === undefined) return
    const { trimPoint } = this.#chain
    const isTrimPoint = from === trimPoint.offset && after === latin1ToHex(trimPoint.hash)
    if (after !== latin1ToHex(this.#chain.hashBefore(from)) && !isTrimPoint) {
      throw this.#mismatch(from)
    }
  }

  #mismatch(offset: number): StoreError {
    return historyMismatch(this.#name, offset, this.#chain.hashBefore(offset), this.#streamId)
  }

  #recordsOf({ verify }: ReadRequest, low: number, high: number) {
    if (verify === 'none') return this.#chain.records(low, high)
    const anchor = verify === 'genesis' ? undefined : this.#chain.anchorOf(low)
    return dataRecords(this.#chain.verified(high, anchor))
  }

  verify(range: { from?: number; to?: number }): VerifyReport {
    const { firstOffset, nextOffset, trimPoint } = this.#chain
    const to = Math.min(Math.max(range.to ?? nextOffset, firstOffset), nextOffset)
    const from = Math.min(Math.max(range.from ?? firstOffset, firstOffset), to)
    const anchor = from > firstOffset ? this.#chain.anchorOf(from) : undefined
    let hash = anchor?.record.previousHash ?? trimPoint.hash
    for (const linked of this.#chain.verified(to, anchor)) hash = linked.hash
    const start = trimPoint.offset === 0 ? 'genesis' : 'trim'
    return {
      ok: true,
      verifiedRecords: to - from,
      from,
      to,
      chainHead: latin1ToHex(hash),
      anchor: anchor === undefined ? start : 'checkpoint',
      failure: null,
    }
  }

  subscribe(listener: StreamListener): StreamSubscription {
    const id = ++this.#lastListener
    const { nextOffset } = this.#chain
    this.#listeners.set(id, listener)
    if (this.#isClosed) setImmediate(() => this.end('closed'))
    const streamId = latin1ToHex(this.#streamId)
    return { nextOffset, streamId, cancel: () => this.#listeners.delete(id) }
  }

  end(reason: EndReason): void {
    for (const [id, listener] of this.#listeners) {
      this.#listeners.delete(id)
      listener.onEnd(reason)
    }
  }

  #resolve({ from, since }: ReadRequest): number {
    const { firstOffset, nextOffset } = this.#chain
    if (since !== undefined) {
      const records = this.#chain.records(firstOffset, nextOffset)
      return records.find(({ record }) => record.timestamp >= since)?.record.offset ?? nextOffset
    }
    if (from === 'start') return firstOffset
    return from === 'end' ? nextOffset : from
  }

  #emit(chunk: RecordChunk): void {
    for (const listener of this.#listeners.values()) listener.onRecords(chunk)
  }
}
