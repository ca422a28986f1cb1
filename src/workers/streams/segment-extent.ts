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

/** Of a sealed one: it ends with the checkpoint that says so. */
export function extentOf(range: SegmentRange): SegmentExtent {
  return { ...range, endsWithCheckpoint: true }
}
