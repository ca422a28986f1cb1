import type { SegmentRange } from '../../shared/format/manifest.ts'
import type { Retention } from '../../shared/protocol/streams.ts'

// Decides which segments retention trims. It trims whole segments from the front. A segment may go
// when the records after it satisfy the bound on bytes or records, or when all of it is too old.

export type SealedSegment = Pick<
  SegmentRange,
  'firstOffset' | 'nextOffset' | 'bytes' | 'lastTimestamp'
>

/** A stream as retention sees it. */
export type RetainedExtent = {
  /** All segments but the active one, ascending. */
  readonly sealed: readonly SealedSegment[]
  readonly nextOffset: number
  /** Bytes of all records kept, those in sealed segments included. */
  readonly recordBytes: number
}

export type LetGo = {
  /** Records below are to be trimmed. */
  readonly before: number
  /** Bytes of the segments to be removed. */
  readonly bytes: number
}

const MICROS = 1e6

export function hasRetention({ maxAgeSeconds, maxBytes, maxRecords }: Retention): boolean {
  return maxAgeSeconds !== undefined || maxBytes !== undefined || maxRecords !== undefined
}

/** Records at or before this time, µs, are too old; never any without a bound on the age. */
export function expiredThrough({ maxAgeSeconds }: Retention, nowMicros: number): number {
  return maxAgeSeconds === undefined ? Number.NEGATIVE_INFINITY : nowMicros - maxAgeSeconds * MICROS
}

/** Returns the trim that retention asks for now, if any. */
export function findLetGo(
  { sealed, nextOffset, recordBytes }: RetainedExtent,
  retention: Retention,
  nowMicros: number,
): LetGo | undefined {
  const { maxBytes = Number.POSITIVE_INFINITY, maxRecords = Number.POSITIVE_INFINITY } = retention
  const expired = expiredThrough(retention, nowMicros)
  let found: LetGo | undefined
  let bytes = 0
  for (const segment of sealed) {
    bytes += segment.bytes
    const isEnough =
      nextOffset - segment.nextOffset >= maxRecords || recordBytes - bytes >= maxBytes
    if (isEnough || segment.lastTimestamp <= expired) found = { before: segment.nextOffset, bytes }
  }
  return found
}

/** When the first of the segments will be too old, µs since 1970; infinity: none ever will. */
export function nextExpiry(sealed: readonly SealedSegment[], { maxAgeSeconds }: Retention): number {
  const first = sealed[0]
  if (first === undefined || maxAgeSeconds === undefined) return Number.POSITIVE_INFINITY
  return first.lastTimestamp + maxAgeSeconds * MICROS
}
