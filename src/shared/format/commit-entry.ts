import { readU64, writeU64 } from './bytes.ts'
import { layout } from './layout.ts'

// The body of the catalogue entry that ends a write-back.

export const COMMIT_BYTES = 80

// biome-ignore format: a layout is read as a table
export const COMMIT_ENTRY_LAYOUT = { // little-endian
  //                   at width
  checkpointLsn:     [  0,  8 ], // u64  everything below is synced in segments or unwritten frames; a block starts here
  journalFile:       [  8,  8 ], // u64  number of the file that holds it
  blockNumber:       [ 16,  8 ], // u64  of the last block below it; synced
  blockHash:         [ 24, 32 ], //      hash of that block's header
  timestamp:         [ 56,  8 ], // u64  µs since 1970
  clockMicros:       [ 64,  8 ], // u64  trusted clock, µs since 1970
  entries:           [ 72,  4 ], // u32  entries since the commit before
  shard:             [ 76,  4 ], // u32  whose catalogue it is
} as const
const commitAt = layout(COMMIT_BYTES, COMMIT_ENTRY_LAYOUT)

export type CommitEntry = {
  readonly checkpointLsn: number
  readonly journalFile: number
  readonly blockNumber: number
  readonly blockHash: string
  readonly timestamp: number
  /** The clock that retention and producers' expiry go by, µs since 1970. */
  readonly clockMicros: number
  readonly entries: number
  /** Shard of the catalogue, so that another shard's file in its place is noticed. */
  readonly shard: number
}

/** Writes the body at `body`. */
export function encodeCommit(target: Buffer, body: number, commit: CommitEntry): void {
  writeU64(target, body + commitAt.checkpointLsn, commit.checkpointLsn)
  writeU64(target, body + commitAt.journalFile, commit.journalFile)
  writeU64(target, body + commitAt.blockNumber, commit.blockNumber)
  target.latin1Write(commit.blockHash, body + commitAt.blockHash, 32)
  writeU64(target, body + commitAt.timestamp, commit.timestamp)
  writeU64(target, body + commitAt.clockMicros, commit.clockMicros)
  target.writeUInt32LE(commit.entries, body + commitAt.entries)
  target.writeUInt32LE(commit.shard, body + commitAt.shard)
}

/** Decodes the body at `body`; undefined if it is invalid. */
export function decodeCommit(bytes: Buffer, body: number): CommitEntry | undefined {
  const blockHashAt = body + commitAt.blockHash
  const commit = {
    checkpointLsn: readU64(bytes, body + commitAt.checkpointLsn),
    journalFile: readU64(bytes, body + commitAt.journalFile),
    blockNumber: readU64(bytes, body + commitAt.blockNumber),
    blockHash: bytes.latin1Slice(blockHashAt, blockHashAt + 32),
    timestamp: readU64(bytes, body + commitAt.timestamp),
    clockMicros: readU64(bytes, body + commitAt.clockMicros),
    entries: bytes.readUInt32LE(body + commitAt.entries),
    shard: bytes.readUInt32LE(body + commitAt.shard),
  }
  const { checkpointLsn, journalFile, blockNumber, timestamp, clockMicros } = commit
  const isKnown = !Number.isNaN(checkpointLsn + journalFile + blockNumber + timestamp + clockMicros)
  return isKnown ? commit : undefined
}
