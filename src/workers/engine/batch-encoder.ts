import { assert } from '../../shared/assert.ts'
import { BATCH_ITEM_HEADER_BYTES, decodeBatchItem } from '../../shared/format/batch.ts'
import { viewOf } from '../../shared/format/bytes.ts'
import { chainHashInPlace } from '../../shared/format/chain.ts'
import { CHECKPOINT_RECORD_BYTES, StateChange } from '../../shared/format/checkpoint.ts'
import { compressBody, compressionCodeOf } from '../../shared/format/compression.ts'
import {
  type CompressedBody,
  encodeCompressedRecord,
  encodeRecord,
  RECORD_OVERHEAD_BYTES,
  RecordKind,
} from '../../shared/format/record.ts'
import { stateHashOf } from '../../shared/format/stream-state.ts'
import type { BatchBytes } from '../../shared/protocol/shard.ts'
import type { Signer } from '../../shared/signing.ts'
import type { StreamLog } from '../streams/stream-log.ts'
import { afterCheckpoint, afterRecord, type StreamPosition } from '../streams/stream-position.ts'
import { encodeCheckpoint } from './checkpoint-encoder.ts'
import { endsBefore, type SegmentLimits, segmentLimits } from './segment-limits.ts'

// What a batch becomes: its records, chained, and the checkpoints that fall due among them. First
// a plan, which says how much room it takes and changes nothing; then the bytes.

export type BatchPlan = {
  readonly batch: BatchBytes
  readonly timestamp: number
  /** Bytes of all records, checkpoints included. */
  readonly length: number
  /** Bodies that are stored smaller than they came, by item; undefined: none is. */
  readonly bodies: readonly (CompressedBody | undefined)[] | undefined
  /** Ascending; one behind the last item has their number. */
  readonly checkpoints: readonly PlannedCheckpoint[]
}

type PlannedCheckpoint = {
  /** The item that it lies before. */
  readonly item: number
  readonly endsSegment: boolean
}

export type EncodedBatch = {
  readonly end: number
  /** Chain hash of the last data record. */
  readonly recordHash: string
  /** Chain hash after it and what follows it. */
  readonly chainHead: string
  readonly position: StreamPosition
  readonly hasCheckpoint: boolean
}

/** Bodies of a batch, compressed as its stream wants it; undefined where nothing is. */
export function compressBatch(
  log: StreamLog,
  batch: BatchBytes,
  bytes: Buffer,
): BatchPlan['bodies'] {
  const { compression: name } = log.config
  if (name === 'none') return undefined
  const compression = compressionCodeOf(name)
  return items(batch, bytes).map(({ headersAt, headersLength, end }) => {
    const compressed = compressBody(compression, bytes, headersAt + headersLength, end)
    return compressed && { compression, bytes: compressed }
  })
}

export function planBatch(
  log: StreamLog,
  batch: BatchBytes,
  bytes: Buffer,
  timestamp: number,
  bodies: BatchPlan['bodies'],
): BatchPlan {
  const { nextOffset, position, config } = log
  const raw = batch.length + batch.count * (RECORD_OVERHEAD_BYTES - BATCH_ITEM_HEADER_BYTES)
  const limits = segmentLimits(config)
  const isDue = nextOffset + batch.count - position.lastCheckpoint >= config.checkpointEvery
  const lastOffset = nextOffset + batch.count - 1
  // Nearly every batch ends here: no checkpoint is due in it and no body is compressed.
  if (
    !isDue &&
    bodies === undefined &&
    !endsBefore(limits, position, lastOffset, timestamp, raw) &&
    position.segmentBytes + raw + CHECKPOINT_RECORD_BYTES <= limits.bytes
  ) {
    return { batch, timestamp, length: raw, bodies, checkpoints: [] }
  }
  return planRecords(log, batch, bytes, timestamp, bodies, limits)
}

/** The same, record by record. */
function planRecords(
  log: StreamLog,
  batch: BatchBytes,
  bytes: Buffer,
  timestamp: number,
  bodies: BatchPlan['bodies'],
  limits: SegmentLimits,
): BatchPlan {
  const checkpoints: PlannedCheckpoint[] = []
  const { checkpointEvery } = log.config
  let { position, nextOffset: offset } = log
  let length = 0
  const checkpoint = (item: number, endsSegment: boolean) => {
    checkpoints.push({ item, endsSegment })
    length += CHECKPOINT_RECORD_BYTES
    position = afterCheckpoint(position, CHECKPOINT_RECORD_BYTES, offset, endsSegment)
  }
  for (const [index, { headersAt, headersLength, end }] of items(batch, bytes).entries()) {
    const body = bodies?.[index]?.bytes.length ?? end - headersAt - headersLength
    const size = RECORD_OVERHEAD_BYTES + headersLength + body
    if (endsBefore(limits, position, offset, timestamp, size)) checkpoint(index, true)
    position = afterRecord(position, size, timestamp)
    length += size
    offset += 1
    if (offset - position.lastCheckpoint < checkpointEvery) continue
    // One more would leave no room for the checkpoint that ends the segment: then it is that one.
    checkpoint(index + 1, position.segmentBytes + 2 * CHECKPOINT_RECORD_BYTES > limits.bytes)
  }
  return { batch, timestamp, length, bodies, checkpoints }
}

/**
 * Writes a planned batch at `start` as records that follow `log`'s head. The items' own bytes are
 * used up on the way: each hash is taken over the space before its content.
 */
export function encodeBatch(
  block: Buffer,
  start: number,
  log: StreamLog,
  plan: BatchPlan,
  bytes: Buffer,
  signer: Signer,
): EncodedBatch {
  const writer = new BatchWriter(block, start, log, plan, bytes, signer)
  writer.run()
  assert(writer.end === start + plan.length, 'a batch takes the room that was planned')
  return writer
}

class BatchWriter implements EncodedBatch {
  readonly #block: Buffer
  readonly #view: DataView
  readonly #log: StreamLog
  readonly #plan: BatchPlan
  readonly #bytes: Buffer
  readonly #source: DataView
  readonly #signer: Signer
  /** Up to where `position` has been moved. */
  #settledAt: number
  #offset: number
  /** Checkpoints written. */
  #written = 0
  end: number
  recordHash = ''
  chainHead: string
  position: StreamPosition
  hasCheckpoint = false

  constructor(
    block: Buffer,
    start: number,
    log: StreamLog,
    plan: BatchPlan,
    bytes: Buffer,
    signer: Signer,
  ) {
    this.#block = block
    this.#view = viewOf(block)
    this.#log = log
    this.#plan = plan
    this.#bytes = bytes
    this.#source = viewOf(bytes)
    this.#signer = signer
    this.#offset = log.nextOffset
    this.end = this.#settledAt = start
    this.chainHead = log.chainHead
    this.position = log.position
  }

  run(): void {
    const { batch } = this.#plan
    let itemAt = batch.at
    for (let index = 0; index < batch.count; index += 1) {
      this.#writeCheckpoints(index)
      itemAt = this.#writeRecord(index, itemAt, batch.at + batch.length)
    }
    this.recordHash = this.chainHead
    this.#writeCheckpoints(batch.count)
    this.#settle()
  }

  /** Returns where the next item starts. */
  #writeRecord(index: number, itemAt: number, limit: number): number {
    const bytes = this.#bytes
    const { timestamp, bodies } = this.#plan
    const item = decodeBatchItem(bytes, itemAt, limit)
    const { format, headersAt, headersLength, bodyLength } = item
    const offset = this.#offset
    const previousHash = this.chainHead
    const fields = { offset, timestamp, format, previousHash }
    const content = [bytes, headersAt, headersLength, bodyLength] as const
    const body = bodies?.[index]
    this.end =
      body === undefined
        ? encodeRecord(this.#block, this.#view, this.end, fields, ...content)
        : encodeCompressedRecord(this.#block, this.#view, this.end, fields, ...content, body)
    const { id: streamId } = this.#log
    const chained = { streamId, previousHash, offset, timestamp, kind: RecordKind.Data, format }
    this.chainHead = chainHashInPlace(
      chained,
      bytes,
      this.#source,
      headersAt,
      headersLength,
      bodyLength,
    )
    this.#offset += 1
    return item.end
  }

  /** Those that lie right before an item. */
  #writeCheckpoints(item: number): void {
    const { checkpoints } = this.#plan
    for (let next = checkpoints[this.#written]; next?.item === item; ) {
      this.#writeCheckpoint(next.endsSegment)
      this.#written += 1
      next = checkpoints[this.#written]
    }
  }

  #writeCheckpoint(isLast: boolean): void {
    this.#settle()
    const { timestamp } = this.#plan
    const { id: streamId, stored } = this.#log
    const offset = this.#offset
    const { trimPoint } = stored
    const { chainHead } = this
    const fields = {
      streamId,
      offset,
      recordCount: offset,
      timestamp,
      chainHead,
      trimPoint,
      stateHash: stateHashOf(this.#log.assignedState),
      change: StateChange.None,
    }
    const written = encodeCheckpoint(this.#block, this.end, this.#signer, fields, isLast)
    this.chainHead = written.chainHead
    this.end += CHECKPOINT_RECORD_BYTES
    this.#settledAt = this.end
    this.position = afterCheckpoint(this.position, CHECKPOINT_RECORD_BYTES, offset, isLast)
    this.hasCheckpoint = true
  }

  #settle(): void {
    if (this.end === this.#settledAt) return
    const { timestamp } = this.#plan
    this.position = afterRecord(this.position, this.end - this.#settledAt, timestamp)
    this.#settledAt = this.end
  }
}

type Item = { readonly headersAt: number; readonly headersLength: number; readonly end: number }

function items(batch: BatchBytes, bytes: Buffer): Item[] {
  const found: Item[] = []
  const itemsEnd = batch.at + batch.length
  for (let at = batch.at; at < itemsEnd; ) {
    const item = decodeBatchItem(bytes, at, itemsEnd)
    found.push(item)
    at = item.end
  }
  assert(found.length === batch.count, 'a batch holds as many items as it says')
  return found
}
