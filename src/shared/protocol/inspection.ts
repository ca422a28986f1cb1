import type { Checkpoint } from './streams.ts'

// What the `verify` and `inspect` commands ask of src/workers/inspection.ts, a thread that only
// reads. The request is the thread's `workerData`; every message comes over its parent port. The
// thread ends after a report, after `failed`, or, of `inspect`, after the last line.

export type InspectionRequest =
  | {
      readonly kind: 'verify'
      /** Data directory. */
      readonly data: string
      readonly heads: readonly KeptHead[]
      /** Raw public keys that heads are signed with, 64 hex digits each; none: see keys/. */
      readonly keys: readonly string[]
    }
  | { readonly kind: 'inspect'; readonly file: string }

/** A signed checkpoint that somebody kept, and where it was read from. */
export type KeptHead = { readonly source: string; readonly checkpoint: Checkpoint }

/** Half-open. */
type InspectionRange = readonly [from: number, to: number]

export type Finding = {
  /** Relative to the data directory, with slashes; or the file that a kept head is from. */
  readonly file: string
  readonly stream?: string
  /** Offsets of the records concerned. */
  readonly offsets?: InspectionRange
  /** Bytes of `file` concerned. */
  readonly bytes?: InspectionRange
  /** A sentence without full stop. */
  readonly reason: string
  /** `note`: expected after a crash, or repaired at the next use; nothing is lost. */
  readonly severity: 'damage' | 'note'
}

/** What was checked and found sound. */
export type InspectionCounts = {
  readonly shards: number
  readonly streams: number
  readonly segments: number
  readonly records: number
  /** Stored bytes of the records, framing included. */
  readonly recordBytes: number
  /** Signed checkpoints of streams. */
  readonly checkpoints: number
  /** Kept heads that the log was held against. */
  readonly heads: number
  readonly journalBlocks: number
  readonly journalFrames: number
  readonly indexPages: number
}

export type InspectionReport = InspectionCounts & {
  readonly ok: boolean
  /** Findings of damage. */
  readonly findings: number
}

export type InspectionMessage =
  | {
      readonly kind: 'progress'
      readonly doneBytes: number
      readonly totalBytes: number
      /** What is being read. */
      readonly what: string
    }
  /** Output of `inspect`: one or more whole lines, without the last one's line end. */
  | { readonly kind: 'line'; readonly text: string }
  | ({ readonly kind: 'finding' } & Finding)
  /** The end of a verification. */
  | ({ readonly kind: 'report' } & InspectionReport)
  /** It could not be done: no data directory, an unknown kind of file. */
  | { readonly kind: 'failed'; readonly reason: string }
