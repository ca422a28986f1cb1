import { decodeBatchItem } from '../../src/shared/format/batch.ts'
import { latin1ToHex, viewOf } from '../../src/shared/format/bytes.ts'
import { chainHashOf, GENESIS_HASH } from '../../src/shared/format/chain.ts'
import {
  CHECKPOINT_RECORD_BYTES,
  checkpointFields,
  CHANGE_NAMES,
  decodeCheckpointBody,
  encodeCheckpointBody,
  signedBytes,
  StateChange,
  type TrimPoint,
} from '../../src/shared/format/checkpoint.ts'
import type { LinkedRecord, LocatedRecord } from '../../src/shared/format/read-page.ts'
import { Vouching } from '../../src/shared/format/vouching.ts'
import {
  encodeCheckpointRecord,
  encodeRecord,
  RecordKind,
  recordBytes,
  viewRecord,
} from '../../src/shared/format/record.ts'
import { stateHashOf, type StreamState } from '../../src/shared/format/stream-state.ts'
import type { Checkpoint } from '../../src/shared/protocol/streams.ts'
import { type Signer, verifySignature } from '../../src/shared/signing.ts'

type Segment = {
  readonly firstOffset: number
  /** latin1 */
  readonly previousHash: string
  bytes: number
  readonly records: LocatedRecord[]
}

export type ChainBounds = { readonly maxSegmentBytes: number; readonly checkpointEvery: number }

/** Records and checkpoints of one stream of the in-memory twin, in segments. */
export class MemoryChain {
  readonly #stream: string
  readonly #streamId: string
  readonly #signer: Signer
  readonly #stateOf: () => StreamState
  #segments: Segment[] = [{ firstOffset: 0, previousHash: GENESIS_HASH, bytes: 0, records: [] }]
  /** latin1 */
  head = GENESIS_HASH
  nextOffset = 0
  firstOffset = 0
  lastTimestamp = 0
  #lastCheckpoint = 0
  #trimRecordHash = GENESIS_HASH
  /** The last checkpoint that was asked for, and the head after it. */
  #requested: { readonly head: string; readonly checkpoint: Checkpoint } | undefined

  /**
   * @param streamId latin1
   * @param stateOf returns the stream's current state
   */
  constructor(stream: string, streamId: string, signer: Signer, stateOf: () => StreamState) {
    this.#stateOf = stateOf
    this.#stream = stream
    this.#streamId = streamId
    this.#signer = signer
  }

  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  get segments(): number {
    return this.#segments.filter(({ records }) => records.length > 0).length
  }

  get checkpoints(): Checkpoint[] {
    const found = this.#all().filter(({ record }) => record.kind === RecordKind.Checkpoint)
    return found.map(located => this.#view(located))
  }

  /** The start of the first segment that is kept: chains are verified from here. */
  get trimPoint(): TrimPoint {
    const { firstOffset: offset, previousHash: hash } = this.#segments[0] as Segment
    return { offset, hash }
  }

  /** Appends the items of a batch; returns their records back to back, and the hashes after. */
  append(batch: Buffer, nowMicros: number, bounds: ChainBounds) {
    this.lastTimestamp = Math.max(this.lastTimestamp, nowMicros)
    const parts: Buffer[] = []
    let recordHash = this.head
    for (let at = 0; at < batch.length; ) {
      const item = decodeBatchItem(batch, at, batch.length)
      const { format, headersAt, headersLength, bodyLength } = item
      const bytes = Buffer.alloc(recordBytes(headersLength, bodyLength))
      this.#makeRoom(bytes.length, bounds)
      const { nextOffset: offset, lastTimestamp: timestamp, head: previousHash } = this
      const fields = { offset, timestamp, format, previousHash }
      const view = viewOf(bytes)
      encodeRecord(bytes, view, 0, fields, batch, headersAt, headersLength, bodyLength)
      this.#push(bytes)
      this.nextOffset += 1
      parts.push(bytes)
      at = item.end
      recordHash = this.head
      if (this.nextOffset - this.#lastCheckpoint >= bounds.checkpointEvery) this.#sign(false)
    }
    return { records: Buffer.concat(parts), recordHash, chainHead: this.head }
  }

  /** Signs the head; where nothing came since it was last asked for, that one is the answer. */
  checkpoint(nowMicros: number): Checkpoint {
    if (this.#requested?.head === this.head) return this.#requested.checkpoint
    this.lastTimestamp = Math.max(this.lastTimestamp, nowMicros)
    const checkpoint = this.#view(this.#sign(false))
    this.#requested = { head: this.head, checkpoint }
    return checkpoint
  }

  /** Signs a change of the stream's state that has been applied. */
  signChange(nowMicros: number, change: StateChange): void {
    this.lastTimestamp = Math.max(this.lastTimestamp, nowMicros)
    this.#sign(false, change)
  }

  /** Drops what lies below, whole segments of it at once; where nothing is left, all of them. */
  trim(before: number, nowMicros: number): void {
    if (before <= this.firstOffset) return
    this.firstOffset = before
    this.lastTimestamp = Math.max(this.lastTimestamp, nowMicros)
    if (before === this.nextOffset && this.#hasData) this.#endSegment(StateChange.Trimmed)
    else this.#sign(false, StateChange.Trimmed)
    const first = this.#segments.findLast(({ firstOffset }) => firstOffset <= before)
    this.#trimRecordHash = this.hashBefore(first?.firstOffset ?? 0)
    this.#segments = this.#segments.filter(
      (segment, index) =>
        segment === this.#segments.at(-1) ||
        (this.#segments[index + 1]?.firstOffset ?? before) > before,
    )
  }

  /** Data records of `[low, high)`. */
  records(low: number, high: number): LocatedRecord[] {
    return this.#all().filter(
      ({ record }) =>
        record.kind === RecordKind.Data && record.offset >= low && record.offset < high,
    )
  }

  /** Hash (latin1) of the data record before `offset`. */
  hashBefore(offset: number): string {
    const all = this.#all()
    const at = all.findIndex(
      ({ record }) => record.kind === RecordKind.Data && record.offset === offset - 1,
    )
    if (at < 0) return offset === 0 ? GENESIS_HASH : this.#trimRecordHash
    return all[at + 1]?.record.previousHash ?? this.head
  }

  /** The highest checkpoint, as far as offsets are signed. */
  get signedThrough(): number {
    const last = this.#all().findLast(({ record }) => record.kind === RecordKind.Checkpoint)
    return last?.record.offset ?? 0
  }

  /** What a verification of `from` goes out from, undefined for the trim point. */
  anchorOf(from: number): LocatedRecord | undefined {
    return this.#all().findLast(
      ({ record }) => record.kind === RecordKind.Checkpoint && record.offset <= from,
    )
  }

  /**
   * From `anchor` up to the record `high`, checkpoints among them, each checked to follow the one
   * before and to be signed.
   */
  *verified(high: number, anchor: LocatedRecord | undefined): Generator<LinkedRecord> {
    const all = this.#all()
    const records = anchor === undefined ? all : all.slice(all.indexOf(anchor))
    const isWhole = high === this.nextOffset
    const streamId = this.#streamId
    const end = { hash: this.head, offset: this.nextOffset }
    const options = { streamId, end, isStrict: true, hashBefore: () => undefined }
    for (const linked of new Vouching(records, options).records()) {
      if (linked.record.offset >= high && !isWhole) return
      if (linked.record.kind === RecordKind.Checkpoint) this.#checkSignature(linked)
      yield linked
    }
  }

  #checkSignature({ bytes, record }: LocatedRecord): void {
    const body = decodeCheckpointBody(bytes, record)
    const fields = body && checkpointFields(this.#streamId, record, body)
    const { publicKey } = this.#signer
    if (fields && verifySignature(publicKey, signedBytes(fields), body.signature)) return
    throw new Error(`the checkpoint at ${record.offset} is not signed`)
  }

  #all(): LocatedRecord[] {
    return this.#segments.flatMap(({ records }) => records)
  }

  #makeRoom(bytes: number, { maxSegmentBytes }: ChainBounds): void {
    const used = this.#segments.at(-1)?.bytes ?? 0
    if (this.#hasData && used + bytes + CHECKPOINT_RECORD_BYTES > maxSegmentBytes)
      this.#endSegment()
  }

  /** Whether the active segment has a data record. */
  get #hasData(): boolean {
    return this.nextOffset > (this.#segments.at(-1)?.firstOffset ?? 0)
  }

  #endSegment(change: StateChange = StateChange.None): void {
    this.#sign(true, change)
    const { nextOffset: firstOffset, head: previousHash } = this
    this.#segments.push({ firstOffset, previousHash, bytes: 0, records: [] })
  }

  #sign(isLastOfSegment: boolean, change: StateChange = StateChange.None): LocatedRecord {
    const { nextOffset: offset, lastTimestamp: timestamp, head: previousHash, trimPoint } = this
    const streamId = this.#streamId
    const recordCount = offset
    const signed = { recordCount, trimPoint, stateHash: stateHashOf(this.#stateOf()), change }
    const fields = { streamId, offset, timestamp, chainHead: previousHash, ...signed }
    const signature = this.#signer.sign(signedBytes(fields))
    const { keyId } = this.#signer
    const body = encodeCheckpointBody({ ...signed, keyId, isLastOfSegment, signature })
    const bytes = Buffer.alloc(CHECKPOINT_RECORD_BYTES)
    encodeCheckpointRecord(bytes, viewOf(bytes), 0, { offset, timestamp, previousHash }, body)
    this.#lastCheckpoint = offset
    return this.#push(bytes)
  }

  #push(bytes: Buffer): LocatedRecord {
    const record = viewRecord(bytes, 0)
    if (record === undefined) throw new Error('an encoded record can be viewed')
    const segment = this.#segments.at(-1) as Segment
    segment.records.push({ bytes, record })
    segment.bytes += bytes.length
    this.head = chainHashOf(this.#streamId, bytes, record)
    return { bytes, record }
  }

  #view({ bytes, record }: LocatedRecord): Checkpoint {
    const body = decodeCheckpointBody(bytes, record)
    if (body === undefined) throw new Error('a checkpoint that was written can be read')
    const fields = checkpointFields(this.#streamId, record, body)
    const { offset, timestamp, recordCount, trimPoint, stateHash, change } = fields
    return {
      stream: this.#stream,
      streamId: latin1ToHex(fields.streamId),
      offset,
      chainHead: latin1ToHex(fields.chainHead),
      recordCount,
      timestamp,
      trimPoint: { offset: trimPoint.offset, chainHead: latin1ToHex(trimPoint.hash) },
      stateHash: latin1ToHex(stateHash),
      change: CHANGE_NAMES[change],
      signature: latin1ToHex(body.signature),
      keyId: latin1ToHex(body.keyId),
    }
  }
}
