import type { SegmentRange } from '../../shared/format/manifest.ts'

/** What of a segment counts. */
export type SegmentExtent = {
  readonly number: number
  readonly firstOffset: number
  readonly nextOffset: number
  readonly bytes: number
  readonly endsWithCheckpoint: boolean
}

/** Where a stored checkpoint's record lies. */
export type CheckpointPlace = {
  readonly segment: SegmentExtent
  readonly position: number
  readonly offset: number
}

/** The extent of a sealed segment: it ends with the checkpoint that says so. */
export function extentOf({ number, firstOffset, nextOffset, bytes }: SegmentRange): SegmentExtent {
  return { number, firstOffset, nextOffset, bytes, endsWithCheckpoint: true }
}
