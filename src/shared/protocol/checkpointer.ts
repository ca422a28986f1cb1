import type { Witness } from '../format/frame.ts'
import type { CommitEntry } from '../format/commit-entry.ts'
import type { StoredTrimPoint } from '../format/checkpoint.ts'
import type { JournalHeader } from '../format/journal-header.ts'
import type { Retention, StreamDamage } from './streams.ts'

// What a shard asks of its checkpointer thread, one job after the other, and what comes back.

/** Numbers per stream in `CheckpointDone.extents`. */
export const EXTENT_NUMBERS = 6
export type ExtentNumbers = [
  segment: number,
  segmentFirstOffset: number,
  segmentBytes: number,
  recordBytes: number,
  firstSegment: number,
  freedBytes: number,
]

/** Flags of a stream in a job; they are added up. */
export const StreamFlag = {
  ManifestStale: 1,
  EndsWithCheckpoint: 2,
  /** The catalogue already has these frames as unwritten, and nothing else has changed. */
  AlreadyUnwritten: 4,
} as const

/** Numbers per stream in `CheckpointJob.storedEnds`. */
export const STORED_END_NUMBERS = 3
export type StoredEndNumbers = [lastTimestamp: number, lastCheckpoint: number, segmentSince: number]

/** Why records cannot be written to a stream's segments. */
export type WriteFault = { readonly reason: string; readonly isForSpace: boolean }

export type CheckpointJob = {
  readonly kind: 'checkpoint'
  /**
   * Catalogue entries of the streams that changed, back to back: as they will be, but segment,
   * segmentFirstOffset, segmentBytes, recordBytes and recordHash still say how far the segments
   * reach now.
   */
  readonly entries: Uint8Array
  /** Per entry: StoredEndNumbers of the current end of the segments. */
  readonly storedEnds: Float64Array
  /**
   * Per entry: StreamFlag, number of frames, then chunk, position, length of each.
   */
  readonly frames: Uint32Array
  /** The memory that holds the frames' records. */
  readonly chunks: readonly SharedArrayBuffer[]
  /** Streams deleted since the last checkpoint. */
  readonly removed: readonly { readonly name: string; readonly streamId: string }[]
  /** Committed transactions that another shard may still ask about. */
  readonly decisions: readonly number[]
  /** How far other shards' journals were durable, by transactions. */
  readonly witnesses: readonly Witness[]
  readonly commit: Omit<CommitEntry, 'entries' | 'shard'>
  /** Where in the catalogue the entries go. */
  readonly catalogueBytes: number
  /** What they bear, latin1. */
  readonly catalogueSalt: string
  /** Streams of the shard, to judge whether the catalogue wants compaction. */
  readonly streams: number
  /** With less free space than this the whole disk counts as full, not one stream's path. */
  readonly reserveBytes: number
}

/** A stream whose segments below a number are no longer kept. */
export type TrimmedStream = { readonly directory: string; readonly firstSegment: number }

/** A stream whose retention is to be looked at, as of now. */
export type RetainedStream = {
  readonly name: string
  /** 16 bytes as latin1 */
  readonly streamId: string
  readonly firstSegment: number
  /** The active one. */
  readonly segment: number
  readonly nextOffset: number
  readonly recordBytes: number
  readonly retention: Retention
}

/** The trim that retention asks for. */
export type RetentionAnswer = {
  /** Records below may go; null: none. */
  readonly before: number | null
  /** Of the segments that go with them. */
  readonly bytes: number
  /** When the first segment of the rest will be too old, µs since 1970, or infinity. */
  readonly expiresAt: number
  /** The manifest, where it does not check. */
  readonly damaged: string | null
}

/** `answers`: one a stream of the job, in its order. */
export type RetentionDone = {
  readonly kind: 'retention'
  readonly answers: readonly RetentionAnswer[]
}

/** Brings one stream's segments up to date without a commit: a reference in the journal follows. */
export type StoreJob = {
  readonly kind: 'store'
  /** Of whoever sent it. */
  readonly id: number
  /** As in a CheckpointJob, of one stream. */
  readonly entries: Uint8Array
  readonly frames: Uint32Array
  readonly chunks: readonly SharedArrayBuffer[]
}

export type CheckpointerJob =
  | CheckpointJob
  | {
      readonly kind: 'retention'
      readonly streams: readonly RetainedStream[]
      readonly nowMicros: number
    }
  /** Sent once the checkpoint that let the segments go is known to every reader to come. */
  | { readonly kind: 'release'; readonly trimmed: readonly TrimmedStream[] }
  | StoreJob
  /** Sent once the journal refers to what was stored. */
  | { readonly kind: 'index'; readonly of: StoreJob }
  | { readonly kind: 'prepare'; readonly file: JournalHeader }
  | {
      readonly kind: 'reindex'
      readonly directory: string
      readonly segment: number
      readonly firstOffset: number
      readonly bytes: number
    }

export type CheckpointDone = {
  readonly kind: 'checkpoint'
  /** Per entry: ExtentNumbers. */
  readonly extents: Float64Array
  /** By entry: streams whose records could not be written. The catalogue has their frames. */
  readonly unwritten: ReadonlyMap<number, WriteFault>
  /** Of the entries whose first segments went: by entry, where what is kept begins. */
  readonly trimPoints: ReadonlyMap<number, StoredTrimPoint>
  /** The same streams; their files are still there. */
  readonly trimmed: readonly TrimmedStream[]
  readonly catalogueBytes: number
} & Findings

/** What a job met and went on with. */
export type Findings = {
  /** What cannot be read of streams, or not be stored. */
  readonly damage: readonly StreamDamage[]
  /** Anything else to be said: an index that cannot be written, a file that cannot be removed. */
  readonly notes: readonly string[]
}

export type CheckpointerResult =
  | CheckpointDone
  /** `isReused`: it was one before. */
  | { readonly kind: 'prepare'; readonly file: JournalHeader; readonly isReused: boolean }
  | ({ readonly kind: 'store'; readonly id: number; readonly extent: ExtentNumbers } & Findings)
  | { readonly kind: 'reindex' | 'index'; readonly notes: readonly string[] }
  /** Why second copies cannot be written; empty when all are whole again. */
  | { readonly kind: 'copies'; readonly reasons: readonly string[] }
  | ReleaseDone
  | RetentionDone
  | FailedJob

export type ReleaseDone = {
  readonly kind: 'release'
  /** How many went. */
  readonly segments: number
  readonly notes: readonly string[]
}

/** `final`: a sync failed, nothing may be written after it. Otherwise nothing of the job holds. */
export type FailedJob = {
  readonly kind: 'failed'
  readonly job: CheckpointerJob['kind']
  /** Of a store job. */
  readonly id?: number
  readonly final: boolean
  /** Whether room on the disk, or a file descriptor, was missing. */
  readonly isForSpace: boolean
  readonly reason: string
  /** Of the stream that it failed for, and of those before. */
  readonly damage: readonly StreamDamage[]
}
