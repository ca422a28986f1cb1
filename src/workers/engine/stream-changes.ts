import { assert } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import { CHECKPOINT_RECORD_BYTES, StateChange } from '../../shared/format/checkpoint.ts'
import { FRAME_HEADER_BYTES, FrameFlag, sealFrame } from '../../shared/format/frame.ts'
import {
  createBytes,
  encodeChange,
  encodeCreate,
  encodeTrim,
  OPERATION_HEADER_BYTES,
  OperationType,
  TRIM_BYTES,
} from '../../shared/format/operation.ts'
import type { StreamState } from '../../shared/format/stream-state.ts'
import { SEGMENT_BYTES_MAX } from '../../shared/limits.ts'
import type { Mutation } from '../../shared/protocol/shard.ts'
import type { StreamConfig } from '../../shared/protocol/streams.ts'
import type { StreamLog, TailFrame } from '../streams/stream-log.ts'
import { existing } from '../streams/stream-table.ts'
import type { Accepted } from './accepted.ts'
import { newStream } from './appender.ts'
import type { EngineParts } from './engine-parts.ts'
import {
  fieldsOf,
  isSegmentFull,
  keepLoneCheckpoint,
  LONE_CHECKPOINT_BYTES,
  writeLoneCheckpoint,
} from './lone-checkpoint.ts'

type Trim = Extract<Mutation, { kind: 'trim' }>

type SignedChange = {
  /** The stream's state after the change. */
  readonly state: StreamState
  readonly change: StateChange
  readonly endsSegment: boolean
}

/**
 * Turns what changes a stream, but appends nothing to it, into frames. Each returns undefined when
 * there is no room now; nothing has changed then, nor when it throws.
 */
export class StreamChanges {
  readonly #parts: EngineParts

  constructor(parts: EngineParts) {
    this.#parts = parts
  }

  /** @throws StoreError stream_exists, too_many_requests */
  create(name: string, config: StreamConfig): Accepted | undefined {
    const { table, options } = this.#parts
    const found = table.assigned(name)
    if (found !== undefined) {
      if (!sameConfig(found.config, config)) {
        throw new StoreError('stream_exists', 'the stream exists with another configuration')
      }
      const value = { created: false, info: found.info('assigned') }
      return { commit: null, value, durability: 'group' }
    }
    table.checkMayCreate({ ...options, autoCreate: true })
    const log = newStream(this.#parts, name, config)
    const text = JSON.stringify(config)
    const endLsn = this.#writeFrame(createBytes(name, text), (block, at) =>
      encodeCreate(block, at, log.id, { createdAt: log.createdAt, name, config: text }),
    )
    if (endLsn === undefined) return undefined
    table.assign(log)
    const value = { created: true, info: log.info('assigned') }
    return { commit: { kind: 'create', endLsn, log }, value, durability: 'group' }
  }

  /** @throws StoreError stream_not_found, too_many_requests */
  configure(name: string, change: Partial<StreamConfig>): Accepted | undefined {
    const log = existing(this.#parts.table.assigned(name))
    const config = { ...log.config, ...change }
    if (sameConfig(log.config, config)) {
      return { commit: null, value: { info: log.info('assigned') }, durability: 'group' }
    }
    checkRoom(log)
    const text = JSON.stringify(config)
    const length = OPERATION_HEADER_BYTES + Buffer.byteLength(text)
    const state = { ...log.assignedState, config }
    const signed = { state, change: StateChange.Configured, endsSegment: isSegmentFull(log) }
    const frame = this.#writeSigned(log, length, signed, (block, at) =>
      encodeChange(block, at, OperationType.Configure, log.id, text),
    )
    if (frame === undefined) return undefined
    log.config = config
    const value = { info: log.info('assigned') }
    const { endLsn } = frame
    return { commit: { kind: 'configure', endLsn, log, config, frame }, value, durability: 'group' }
  }

  /** @throws StoreError stream_not_found */
  close(name: string): Accepted | undefined {
    const log = existing(this.#parts.table.assigned(name))
    if (log.state === 'closed') {
      return { commit: null, value: { info: log.info('assigned') }, durability: 'group' }
    }
    const state = { ...log.assignedState, closed: true }
    const signed = { state, change: StateChange.Closed, endsSegment: isSegmentFull(log) }
    const frame = this.#writeSigned(log, OPERATION_HEADER_BYTES, signed, (block, at) =>
      encodeChange(block, at, OperationType.Close, log.id),
    )
    if (frame === undefined) return undefined
    log.state = 'closed'
    const value = { info: log.info('assigned') }
    const { endLsn } = frame
    return { commit: { kind: 'close', endLsn, log, frame }, value, durability: 'group' }
  }

  /** @throws StoreError stream_not_found */
  delete(name: string): Accepted | undefined {
    const log = existing(this.#parts.table.assigned(name))
    const endLsn = this.#writeFrame(OPERATION_HEADER_BYTES, (block, at) =>
      encodeChange(block, at, OperationType.Delete, log.id),
    )
    if (endLsn === undefined) return undefined
    log.state = 'deleted'
    this.#parts.table.unassign(log)
    return { commit: { kind: 'delete', endLsn, log }, value: null, durability: 'group' }
  }

  /**
   * Hides the records below `before`. If none are left, ends the active segment too, so that its
   * space can be freed.
   * @throws StoreError stream_not_found, beyond_end, too_many_requests
   */
  trim({ stream, before, streamId }: Trim): Accepted | undefined {
    const found = this.#parts.table.assigned(stream)
    const isOther = streamId !== undefined && found?.id !== streamId
    const log = existing(isOther ? undefined : found)
    const { nextOffset } = log
    if (before > nextOffset) {
      const end = `its next offset is ${nextOffset}`
      const detail = `stream ${JSON.stringify(stream)} ends before offset ${before}: ${end}`
      throw new StoreError('beyond_end', detail, { nextOffset })
    }
    if (before <= log.firstOffset) {
      return { commit: null, value: { info: log.info('assigned') }, durability: 'group' }
    }
    checkRoom(log)
    const isEmptied = before === nextOffset && nextOffset > log.position.segmentFirstOffset
    const endsSegment = isEmptied || isSegmentFull(log)
    const state = { ...log.assignedState, firstOffset: before }
    const signed = { state, change: StateChange.Trimmed, endsSegment }
    const frame = this.#writeSigned(log, TRIM_BYTES, signed, (block, at) =>
      encodeTrim(block, at, log.id, before),
    )
    if (frame === undefined) return undefined
    log.firstOffset = before
    const value = { info: log.info('assigned') }
    const cause = streamId === undefined ? 'request' : 'retention'
    const { endLsn } = frame
    const commit = { kind: 'trim', endLsn, log, before, cause, frame } as const
    return { commit, value, durability: 'group' }
  }

  barrier(): Accepted | undefined {
    const { buffer, environment } = this.#parts
    const room = buffer.reserve(FRAME_HEADER_BYTES)
    if (room === undefined) return undefined
    sealFrame(room.block, room.at, FrameFlag.Barrier, environment.nowMicros(), 0)
    const endLsn = buffer.commit(FRAME_HEADER_BYTES)
    return { commit: { kind: 'barrier', endLsn }, value: null, durability: 'immediate' }
  }

  /**
   * Writes a frame with one change and the checkpoint that signs it, and assigns the checkpoint.
   * Returns the checkpoint's frame; undefined if the log buffer has no room.
   */
  #writeSigned(
    log: StreamLog,
    length: number,
    { state, change, endsSegment }: SignedChange,
    encode: (block: Buffer, at: number) => number,
  ): TailFrame | undefined {
    const { buffer, environment } = this.#parts
    const payloadBytes = length + LONE_CHECKPOINT_BYTES
    const room = buffer.reserve(FRAME_HEADER_BYTES + payloadBytes)
    if (room === undefined) return undefined
    const { block, at } = room
    const checkpointAt = encode(block, at + FRAME_HEADER_BYTES)
    assert(
      checkpointAt === at + FRAME_HEADER_BYTES + length,
      'an operation is as long as it was reserved',
    )
    const fields = fieldsOf(log, environment.nowMicros(), state, change)
    const written = writeLoneCheckpoint(block, checkpointAt, this.#parts, fields, endsSegment)
    sealFrame(block, at, FrameFlag.Committed, fields.timestamp, payloadBytes)
    const endLsn = buffer.commit(FRAME_HEADER_BYTES + payloadBytes)
    const kept = { ...written, fields, isLast: endsSegment }
    const frame = keepLoneCheckpoint(this.#parts, log, block, checkpointAt, endLsn, kept)
    log.assign(frame)
    return frame
  }

  /** Writes a frame of one operation. Returns the LSN of its end, or undefined without room. */
  #writeFrame(length: number, encode: (block: Buffer, at: number) => number): number | undefined {
    const { buffer, environment } = this.#parts
    const room = buffer.reserve(FRAME_HEADER_BYTES + length)
    if (room === undefined) return undefined
    const payloadAt = room.at + FRAME_HEADER_BYTES
    const end = encode(room.block, payloadAt)
    assert(end === payloadAt + length, 'an operation is as long as it was reserved')
    sealFrame(room.block, room.at, FrameFlag.Committed, environment.nowMicros(), length)
    return buffer.commit(FRAME_HEADER_BYTES + length)
  }
}

/**
 * Refuses one more checkpoint in a full segment without a data record. Such a segment cannot end,
 * because it would hold no offset. @throws StoreError too_many_requests
 */
function checkRoom({ name, position, nextOffset }: StreamLog): void {
  const { segmentFirstOffset, segmentBytes } = position
  if (nextOffset > segmentFirstOffset) return
  if (segmentBytes + 2 * CHECKPOINT_RECORD_BYTES <= SEGMENT_BYTES_MAX) return
  const stream = `stream ${JSON.stringify(name)}`
  throw new StoreError(
    'too_many_requests',
    `${stream} has had too many changes since its last record: append a record, then retry`,
  )
}

function sameConfig(left: StreamConfig, right: StreamConfig): boolean {
  return (
    left.durability === right.durability &&
    left.compression === right.compression &&
    left.maxSegmentBytes === right.maxSegmentBytes &&
    left.checkpointEvery === right.checkpointEvery &&
    left.retention.maxAgeSeconds === right.retention.maxAgeSeconds &&
    left.retention.maxBytes === right.retention.maxBytes &&
    left.retention.maxRecords === right.retention.maxRecords
  )
}
