import { crc32 } from 'node:zlib'
import { assert } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import { FRAME_HEADER_BYTES, FrameFlag, sealFrame } from '../../shared/format/frame.ts'
import { encodeReferenceOperation, referenceOperationBytes } from '../../shared/format/operation.ts'
import type { Reference } from '../../shared/format/reference.ts'
import type { ExtentNumbers, StoreJob } from '../../shared/protocol/checkpointer.ts'
import type { StreamLog } from '../streams/stream-log.ts'
import type { Accepted } from './accepted.ts'
import { type Append, type LargeAppend, shown } from './appender.ts'
import type { WaitingMutation } from './waiting-mutation.ts'
import { type BatchPlan, type EncodedBatch, encodeBatch } from './batch-encoder.ts'
import type { EngineParts } from './engine-parts.ts'
import { storeJobOf } from './store-job.ts'

// The hybrid way of a large append to one stream: its records go straight to the segment, synced by
// the checkpointer with everything of the stream that came before, and the journal gets a reference
// to them. The payload is written once.
//
//   started ── stored ── referenced (a frame in the log buffer) ── durable, applied
//      └─ the write failed: refused, nothing has changed
//
// Invariants:
// - the stream is held from started to referenced: nothing else is assigned to it
// - no write-back runs from started to applied, because it would overwrite the records stored past
//   the extent that it knows. No direct append starts while a write-back runs or is due, so neither
//   waits long
// - the segment is durable before the reference to it is written

/** A direct append that is not durable yet. */
export type DirectAppend = {
  readonly id: number
  readonly item: WaitingMutation
  readonly append: Append
  readonly log: StreamLog
  readonly timestamp: number
  readonly encoded: EncodedBatch
  readonly memory: SharedArrayBuffer
  readonly checksum: number
  readonly job: StoreJob
  extent: ExtentNumbers | undefined
}

export class DirectAppends {
  readonly #parts: EngineParts
  #lastId = 0
  /** By id, in order of their start. */
  readonly #underWay = new Map<number, DirectAppend>()
  /** Streams with a reference that is not applied yet: `stored` lags behind their segments. */
  readonly #unapplied = new Set<StreamLog>()
  /** Bytes since the last write-back, which count as if they were in the journal. */
  bytes = 0
  /** Direct appends since the start. */
  count = 0
  /** False while a write-back runs or is due. */
  mayStart = true

  constructor(parts: EngineParts) {
    this.#parts = parts
  }

  /** Whether a write-back has to wait. */
  get isRunning(): boolean {
    return this.#underWay.size + this.#unapplied.size > 0
  }

  /**
   * Whether a planned append goes this way: it is large, lies in one segment whole, and its stream
   * has a directory.
   */
  takes(log: StreamLog, plan: BatchPlan): boolean {
    const { directBytes } = this.#parts.options
    const { segment, segmentBytes } = log.stored
    return (
      this.mayStart &&
      !this.#unapplied.has(log) &&
      directBytes > 0 &&
      plan.length >= directBytes &&
      !plan.checkpoints.some(({ endsSegment }) => endsSegment) &&
      segment + segmentBytes > 0
    )
  }

  /** Encodes the batch and sends it to the segment; its stream is to be held until `finish`. */
  start(item: WaitingMutation, { append, log, plan }: LargeAppend): DirectAppend {
    const memory = new SharedArrayBuffer(plan.length)
    const records = Buffer.from(memory)
    const encoded = encodeBatch(records, 0, log, plan, item.bytes, this.#parts.signer)
    const id = ++this.#lastId
    const { timestamp } = plan
    const checksum = crc32(records)
    const job = storeJobOf(id, log, memory, encoded, timestamp, append.count)
    const sent = { id, item, append, log, timestamp, encoded, memory, checksum, job }
    const direct = { ...sent, extent: undefined }
    this.#underWay.set(id, direct)
    this.bytes += plan.length
    this.count += 1
    this.#parts.postJob(job)
    return direct
  }

  /** Notes that the segment is durable. */
  onStored(id: number, extent: ExtentNumbers): void {
    const direct = this.#underWay.get(id)
    assert(direct !== undefined, `direct append ${id} was stored but never sent`)
    direct.extent = extent
  }

  /** Number of direct appends that are not answered yet. */
  get length(): number {
    return this.#underWay.size
  }

  /** Removes and returns all direct appends. */
  takeAll(): DirectAppend[] {
    const all = [...this.#underWay.values()]
    this.#underWay.clear()
    return all
  }

  /** Removes and returns one that failed. Its bytes past the segment's end are ignored. */
  abandon(id: number): DirectAppend {
    const direct = this.#underWay.get(id)
    assert(direct !== undefined, `direct append ${id} failed but was never sent`)
    this.#underWay.delete(id)
    return direct
  }

  /** Direct appends that are stored and wait for their reference. */
  get stored(): DirectAppend[] {
    return [...this.#underWay.values()].filter(({ extent }) => extent !== undefined)
  }

  /** Writes the reference; undefined when there is no room now. */
  finish(direct: DirectAppend): Accepted | undefined {
    const { buffer } = this.#parts
    const { append, log, timestamp, id } = direct
    const { producer } = append
    const reference = referenceOf(direct)
    const length = referenceOperationBytes(producer)
    const room = buffer.reserve(FRAME_HEADER_BYTES + length)
    if (room === undefined) return undefined
    const { block, at } = room
    encodeReferenceOperation(block, at + FRAME_HEADER_BYTES, log.id, reference)
    sealFrame(block, at, FrameFlag.Committed, timestamp, length)
    const endLsn = buffer.commit(FRAME_HEADER_BYTES + length)
    const { firstOffset, count } = reference
    const nextOffset = firstOffset + count
    const { recordHash, chainHead } = direct.encoded
    const result = { firstOffset, nextOffset, timestamp, recordHash, chainHead }
    const state = producer && log.nextProducer(producer, result)
    const stored = { reference, timestamp, producer: state, endLsn }
    log.assignStored(stored)
    this.#underWay.delete(id)
    this.#unapplied.add(log)
    const durability = append.durability ?? log.config.durability
    return {
      commit: { kind: 'reference', endLsn, log, stored, job: direct.job },
      value: shown(log, result, durability, false),
      durability,
    }
  }

  noteApplied(log: StreamLog): void {
    this.#unapplied.delete(log)
  }

  /** Notes that a write-back has begun. */
  reset(): void {
    this.bytes = 0
  }
}

export const NOT_STORED = new StoreError(
  'shard_failed',
  'the segment could not be written; see the log for the reason',
)
export const NO_ROOM = new StoreError(
  'disk_full',
  'there is no room on the disk for the segment: free some; appends then resume',
)

function referenceOf(direct: DirectAppend): Reference {
  const { append, log, encoded, memory, checksum, extent } = direct
  const { position, chainHead, recordHash } = encoded
  assert(extent !== undefined, 'a reference is written to what is stored')
  const [segment, segmentFirstOffset, segmentBytes, recordBytes] = extent
  const agrees =
    position.segmentBytes === segmentBytes && position.segmentFirstOffset === segmentFirstOffset
  assert(agrees, `the segments of ${log.name} end where the appender said`)
  return {
    firstOffset: log.nextOffset,
    count: append.count,
    length: memory.byteLength,
    checksum,
    chainHead,
    recordHash,
    segmentFirstOffset,
    segmentSince: position.segmentSince,
    lastCheckpoint: position.lastCheckpoint,
    recordBytes,
    segment,
    segmentBytes,
    producer: append.producer,
  }
}
