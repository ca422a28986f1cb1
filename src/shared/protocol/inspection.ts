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
  | {
      readonly kind: 'repair'
      readonly data: string
      /** Only then is anything written. */
      readonly apply: boolean
      /** Transactions, 16 hex digits, that are to be settled so. */
      readonly commit: readonly string[]
      readonly abort: readonly string[]
    }

/** Something that a repair gives up. */
export type Loss = {
  readonly shard: number
  /** Null where no entry tells its name, or where it is not known which stream it was. */
  readonly stream: string | null
  /** 32 hex digits */
  readonly streamId: string | null
  /** Offsets of the records, half-open; null where they are not known. */
  readonly firstOffset: number | null
  readonly nextOffset: number | null
  readonly reason: string
}

/** A transaction whose coordinator's journal cannot tell what became of it. */
export type Undecided = {
  /** 16 hex digits */
  readonly id: string
  readonly shard: number
  readonly coordinator: number
  readonly streams: readonly string[]
}

export type RepairReport = {
  /** Why each shard, or file, needs a repair; empty: there is nothing to do. */
  readonly reasons: readonly string[]
  readonly losses: readonly Loss[]
  /** These have to be settled by `--commit` or `--abort` before anything is written. */
  readonly undecided: readonly Undecided[]
  /** What could not be mended, and why; the rest was repaired. */
  readonly unmended: readonly string[]
  /** Where what was replaced lies now; null where nothing was written. */
  readonly quarantine: string | null
}

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
  | ({ readonly kind: 'repaired' } & RepairReport)
  /** It could not be done: no data directory, an unknown kind of file. */
  | { readonly kind: 'failed'; readonly reason: string }
