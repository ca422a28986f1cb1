import { assert } from '../../shared/assert.ts'
import { decodeCheckpointBody } from '../../shared/format/checkpoint.ts'
import { RecordKind, viewRecord } from '../../shared/format/record.ts'

/**
 * Where in its active segment a stream stands after some record. The appender decides by it when a
 * segment rolls and when a checkpoint is due; whoever walks the same records comes to the same.
 */
export type StreamPosition = {
  readonly segmentFirstOffset: number
  readonly segmentBytes: number
  /** µs since 1970: time of the segment's first data record; 0 while it has none. */
  readonly segmentSince: number
  /** Offset of the last checkpoint; 0 before the first. */
  readonly lastCheckpoint: number
}

export const STREAM_START: StreamPosition = {
  segmentFirstOffset: 0,
  segmentBytes: 0,
  segmentSince: 0,
  lastCheckpoint: 0,
}

/** Whether the active segment's last record is a checkpoint. */
export function endsWithCheckpoint(position: StreamPosition, nextOffset: number): boolean {
  return position.segmentBytes > 0 && position.lastCheckpoint === nextOffset
}

export function afterRecord(
  position: StreamPosition,
  bytes: number,
  timestamp: number,
): StreamPosition {
  // Written out, because V8 spreads objects slowly and this runs for each record.
  return {
    segmentFirstOffset: position.segmentFirstOffset,
    segmentBytes: position.segmentBytes + bytes,
    segmentSince: position.segmentSince === 0 ? timestamp : position.segmentSince,
    lastCheckpoint: position.lastCheckpoint,
  }
}

/** @param isLast whether the segment ends with it */
export function afterCheckpoint(
  position: StreamPosition,
  bytes: number,
  offset: number,
  isLast: boolean,
): StreamPosition {
  if (isLast) {
    return { segmentFirstOffset: offset, segmentBytes: 0, segmentSince: 0, lastCheckpoint: offset }
  }
  const segmentBytes = position.segmentBytes + bytes
  return { ...position, segmentBytes, lastCheckpoint: offset }
}

/** Where a stream stands after some records. */
export type StreamEnd = {
  readonly position: StreamPosition
  /** Hash of its last data record, whatever checkpoints follow it. */
  readonly recordHash: string
}

/**
 * Returns where a stream stands after the records of `[from, to)`, which were checked before.
 * @param chainHead chain hash of the last of them, of either kind
 */
export function afterRecords(
  before: StreamEnd,
  bytes: Buffer,
  from: number,
  to: number,
  chainHead: string,
): StreamEnd {
  let { position, recordHash } = before
  let followsData = false
  for (let at = from; at < to; ) {
    const record = viewRecord(bytes, at)
    assert(record !== undefined, 'records that were checked are sound')
    const length = record.end - at
    if (record.kind === RecordKind.Checkpoint) {
      const isLast = decodeCheckpointBody(bytes, record)?.isLastOfSegment === true
      position = afterCheckpoint(position, length, record.offset, isLast)
      if (followsData) recordHash = record.previousHash
    } else position = afterRecord(position, length, record.timestamp)
    followsData = record.kind === RecordKind.Data
    at = record.end
  }
  return { position, recordHash: followsData ? chainHead : recordHash }
}
