import { latin1ToHex } from '../../shared/format/bytes.ts'
import {
  CHANGE_NAMES,
  CHECKPOINT_RECORD_BYTES,
  type CheckpointFields,
  StateChange,
} from '../../shared/format/checkpoint.ts'
import { FRAME_HEADER_BYTES, FrameFlag, sealFrame } from '../../shared/format/frame.ts'
import { appendPrefixBytes, encodeAppendPrefix } from '../../shared/format/operation.ts'
import { stateHashOf, type StreamState } from '../../shared/format/stream-state.ts'
import type { Checkpoint } from '../../shared/protocol/streams.ts'
import type { StreamLog, TailFrame } from '../streams/stream-log.ts'
import { existing } from '../streams/stream-table.ts'
import { afterCheckpoint } from '../streams/stream-position.ts'
import type { Accepted } from './accepted.ts'
import { checkWritable } from './appender.ts'
import { type EncodedCheckpoint, encodeCheckpoint } from './checkpoint-encoder.ts'
import type { EngineParts } from './engine-parts.ts'
import { segmentLimits } from './segment-limits.ts'

// A checkpoint outside a batch: one that was requested, or one that signs a change of the stream's
// state. In the journal it is an append without records. The checkpoint of a change follows the
// change in the same frame, so no change is durable without its signature.

const PREFIX_BYTES = appendPrefixBytes(undefined)
export const LONE_CHECKPOINT_BYTES = PREFIX_BYTES + CHECKPOINT_RECORD_BYTES

/**
 * Signs the stream's head as it is assigned; where that is signed already, by that checkpoint.
 * Undefined when there is no room now.
 * @throws StoreError stream_not_found, stream_unwritable, disk_full
 */
export function takeCheckpoint(parts: EngineParts, name: string): Accepted | undefined {
  const { table, buffer, environment, signer } = parts
  const log = existing(table.assigned(name))
  if (log.requested?.chainHead === log.chainHead) {
    return { commit: null, value: log.requested.checkpoint, durability: 'group' }
  }
  checkWritable(log)
  const length = FRAME_HEADER_BYTES + LONE_CHECKPOINT_BYTES
  const room = buffer.reserve(length)
  if (room === undefined) return undefined
  const { block, at } = room
  const fields = fieldsOf(log, environment.nowMicros(), log.assignedState, StateChange.None)
  const written = writeLoneCheckpoint(block, at + FRAME_HEADER_BYTES, parts, fields, false)
  sealFrame(block, at, FrameFlag.Committed, fields.timestamp, LONE_CHECKPOINT_BYTES)
  const endLsn = buffer.commit(length)
  const frame = keepLoneCheckpoint(parts, log, block, at + FRAME_HEADER_BYTES, endLsn, {
    ...written,
    fields,
    isLast: false,
  })
  log.assign(frame)
  const checkpoint = view(name, fields, written.signature, signer.keyId)
  log.requested = { chainHead: log.chainHead, checkpoint }
  return {
    commit: { kind: 'append', endLsn, log, frame, creates: false },
    value: checkpoint,
    durability: 'group',
  }
}

/**
 * Returns whether the checkpoint of a change must end the active segment, because no other one
 * would fit after it. A segment without a data record never ends.
 */
export function isSegmentFull({ position, nextOffset, config }: StreamLog): boolean {
  const { segmentBytes, segmentFirstOffset } = position
  const limit = segmentLimits(config).bytes
  return nextOffset > segmentFirstOffset && segmentBytes + 2 * CHECKPOINT_RECORD_BYTES > limit
}

/**
 * Returns what a checkpoint at the stream's head signs.
 * @param state the stream's state after the checkpoint
 */
export function fieldsOf(
  log: StreamLog,
  now: number,
  state: StreamState,
  change: StateChange,
): CheckpointFields {
  const { id: streamId, nextOffset: offset, chainHead, stored } = log
  const timestamp = Math.max(now, log.lastTimestamp)
  const { trimPoint } = stored
  const stateHash = stateHashOf(state)
  const signed = { chainHead, trimPoint, stateHash, change }
  return { streamId, offset, recordCount: offset, timestamp, ...signed }
}

/** Writes the operation at `start`. */
export function writeLoneCheckpoint(
  block: Buffer,
  start: number,
  { signer }: EngineParts,
  fields: CheckpointFields,
  isLast: boolean,
): EncodedCheckpoint {
  const written = encodeCheckpoint(block, start + PREFIX_BYTES, signer, fields, isLast)
  const { chainHead } = written
  const prefix = { firstOffset: fields.offset, count: 0, chainHead }
  encodeAppendPrefix(block, start, fields.streamId, prefix, CHECKPOINT_RECORD_BYTES)
  return written
}

/** The tail's frame of a checkpoint whose operation lies at `start` of `block`. */
export function keepLoneCheckpoint(
  { arena }: EngineParts,
  log: StreamLog,
  block: Buffer,
  start: number,
  endLsn: number,
  written: { chainHead: string; fields: CheckpointFields; isLast: boolean },
): TailFrame {
  const { offset, timestamp } = written.fields
  const recordAt = start + PREFIX_BYTES
  return {
    firstOffset: offset,
    nextOffset: offset,
    timestamp,
    chainHead: written.chainHead,
    recordHash: log.recordHash,
    position: afterCheckpoint(log.position, CHECKPOINT_RECORD_BYTES, offset, written.isLast),
    hasCheckpoint: true,
    producer: undefined,
    endLsn,
    length: CHECKPOINT_RECORD_BYTES,
    ...arena.keep(block, recordAt, recordAt + CHECKPOINT_RECORD_BYTES, endLsn),
  }
}

function view(
  stream: string,
  fields: CheckpointFields,
  signature: string,
  keyId: string,
): Checkpoint {
  const { offset, recordCount, timestamp, trimPoint, change } = fields
  return {
    stream,
    streamId: latin1ToHex(fields.streamId),
    offset,
    chainHead: latin1ToHex(fields.chainHead),
    recordCount,
    timestamp,
    trimPoint: { offset: trimPoint.offset, chainHead: latin1ToHex(trimPoint.hash) },
    stateHash: latin1ToHex(fields.stateHash),
    change: CHANGE_NAMES[change],
    signature: latin1ToHex(signature),
    keyId: latin1ToHex(keyId),
  }
}
