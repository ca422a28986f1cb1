import { CHECKPOINT_RECORD_BYTES } from '../../shared/format/checkpoint.ts'
import { SEGMENT_BYTES_MIN } from '../../shared/limits.ts'
import type { StreamConfig } from '../../shared/protocol/streams.ts'
import type { StreamPosition } from '../streams/stream-position.ts'

// Segments go whole, so retention is as fine as they are: where it asks for less than a segment
// holds, segments end sooner, at an eighth of it, but not at so little that a stream is all files.

const RETENTION_PARTS = 8
const RECORDS_MIN = 100
const AGE_MICROS_MIN = 1e6

/** Where a segment ends at the latest. */
export type SegmentLimits = {
  readonly bytes: number
  readonly records: number
  readonly ageMicros: number
}

export function segmentLimits({ maxSegmentBytes, retention }: StreamConfig): SegmentLimits {
  const { maxBytes, maxRecords, maxAgeSeconds } = retention
  const part = (whole: number | undefined, least: number) =>
    whole === undefined ? Number.POSITIVE_INFINITY : Math.max(least, whole / RETENTION_PARTS)
  return {
    bytes: Math.min(maxSegmentBytes, part(maxBytes, SEGMENT_BYTES_MIN)),
    records: part(maxRecords, RECORDS_MIN),
    ageMicros: part(maxAgeSeconds && maxAgeSeconds * 1e6, AGE_MICROS_MIN),
  }
}

/**
 * Whether the segment ends before a record of `bytes`. Room for the checkpoint that ends it is kept
 * free, so it never grows past its limit, but for a record that does alone. One without a record
 * never ends: a segment that holds checkpoints alone would have no place in the row of offsets.
 */
export function endsBefore(
  limits: SegmentLimits,
  position: StreamPosition,
  offset: number,
  timestamp: number,
  bytes: number,
): boolean {
  const { segmentBytes, segmentFirstOffset, segmentSince } = position
  if (offset === segmentFirstOffset) return false
  return (
    segmentBytes + bytes + CHECKPOINT_RECORD_BYTES > limits.bytes ||
    offset - segmentFirstOffset >= limits.records ||
    (segmentSince > 0 && timestamp - segmentSince > limits.ageMicros)
  )
}
