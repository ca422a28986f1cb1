import type { SegmentRange } from '../../shared/format/manifest.ts'
import type { Retention } from '../../shared/protocol/streams.ts'

// What a stream may let go of by itself. Segments go whole and from the front: one goes when
// everything behind it still holds what a bound asks for, or when all of it is too old.

export type SealedSegment = Pick<
  SegmentRange,
  'firstOffset' | 'nextOffset' | 'bytes' | 'lastTimestamp'
>

/** A stream as retention sees it. */
export type RetainedExtent = {
  /** Ascending; all that is kept but for the active one. */
  readonly sealed: readonly SealedSegment[]
  readonly nextOffset: number
  /** Of everything kept, the sealed segments included. */
  readonly recordBytes: number
}

export type LetGo = {
  /** Records below are to be trimmed. */
  readonly before: number
  /** Of the segments that go. */
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

/** What may go now; undefined: nothing. */
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
