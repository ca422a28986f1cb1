import type { CommitEntry } from '../format/catalogue.ts'
import type { JournalHeader } from '../format/journal-header.ts'

// What a shard asks of its checkpointer thread, one job after the other, and what comes back.

/** Numbers per stream in `CheckpointDone.extents`. */
export const EXTENT_NUMBERS = 4

export type CheckpointJob = {
  readonly kind: 'checkpoint'
  /**
   * Catalogue entries of the streams that changed, back to back: as they will be, but segment,
   * segmentFirstOffset, segmentBytes and recordBytes still say how far the segments reach now.
   */
  readonly entries: Uint8Array
  /**
   * Per entry: 1 when the manifest is stale, number of frames, then chunk, position, length of
   * each.
   */
  readonly frames: Uint32Array
  /** The memory that holds the frames' records. */
  readonly chunks: readonly SharedArrayBuffer[]
  /** Streams deleted since the last checkpoint. */
  readonly removed: readonly { readonly name: string; readonly streamId: string }[]
  readonly commit: Omit<CommitEntry, 'entries'>
  /** Where in the catalogue the entries go. */
  readonly catalogueBytes: number
  /** Streams of the shard, to judge whether the catalogue wants compaction. */
  readonly streams: number
}

export type CheckpointerJob =
  | CheckpointJob
  | { readonly kind: 'prepare'; readonly file: JournalHeader }
  | {
      readonly kind: 'reindex'
      readonly directory: string
      readonly segment: number
      readonly bytes: number
    }

export type CheckpointDone = {
  readonly kind: 'checkpoint'
  /** Per entry: segment, segmentFirstOffset, segmentBytes, recordBytes. */
  readonly extents: Float64Array
  /** Manifests that could not be replaced, because what is there does not check. */
  readonly damaged: readonly string[]
  readonly catalogueBytes: number
}

export type CheckpointerResult =
  | CheckpointDone
  | { readonly kind: 'prepare'; readonly file: JournalHeader }
  | { readonly kind: 'reindex' }
  /**
   * `final`: nothing may be written after it; otherwise the disk was full, and the job may be sent
   * again.
   */
  | {
      readonly kind: 'failed'
      readonly job: CheckpointerJob['kind']
      readonly final: boolean
      readonly reason: string
    }
