import { crc32 } from 'node:zlib'
import { MIB } from '../limits.ts'
import { isZero, readU64, writeU64 } from './bytes.ts'
import { GENESIS_HASH } from './chain.ts'
import { CHECKPOINT_RECORD_BYTES, type StoredTrimPoint } from './checkpoint.ts'
import { COMMIT_BYTES, type CommitEntry, decodeCommit, encodeCommit } from './commit-entry.ts'
import type { Witness } from './frame.ts'
import { layout } from './layout.ts'
import {
  decodeProducerStates,
  encodeProducerStates,
  type ProducerState,
  producerStatesBytes,
} from './producer-state.ts'

// The catalogue of a shard: which streams there are and how far their segments reach, as of the
// last write-back. A file of entries, appended by each write-back and ended by a
// commit entry; what follows the last commit is an unfinished checkpoint and counts for nothing.
// The last entry of a stream is the one that holds.

export const CATALOGUE_MAGIC = 0x54414356 // 'VCAT'
export const CATALOGUE_VERSION = 3
export const ENTRY_HEADER_BYTES = 32
export const CATALOGUE_SALT_BYTES = 8
/** Bytes of one entry that a reader need not fear: as many producers as a stream may have. */
export const ENTRY_BYTES_MAX = 64 * MIB

// biome-ignore format: a layout is read as a table
export const ENTRY_LAYOUT = { // little-endian; the body follows
  //          at width
  magic:    [  0, 4 ], // u32  CATALOGUE_MAGIC
  version:  [  4, 1 ], // u8   CATALOGUE_VERSION
  type:     [  5, 1 ], // u8   EntryType
  reserved: [  6, 2 ], // u16  zero
  length:   [  8, 4 ], // u32  bytes of the body
  checksum: [ 12, 4 ], // u32  CRC-32 of the 12 bytes before it, then of all after it
  salt:     [ 16, 8 ], //      of the catalogue, random
  position: [ 24, 8 ], // u64  of the entry's first byte in the file
} as const
const at = layout(ENTRY_HEADER_BYTES, ENTRY_LAYOUT)

/**
 * A decision is a committed transaction that some shard may still ask about; a witness says how far
 * the journal of another shard was durable.
 */
export const EntryType = { Stream: 1, Removed: 2, Commit: 3, Decision: 4, Witness: 5 } as const

/** The body of a removed entry is the stream's id. */
const REMOVED_BYTES = 16
/** The body of a decision entry is the transaction's id. */
const DECISION_BYTES = 8
/** The body of a witness entry is the shard, then the LSN. */
const WITNESS_BYTES = 16
const STREAM_BYTES = 276
/** Most bytes of unwritten frames in a shard's catalogue; an entry must stay below its bound. */
export const UNWRITTEN_BYTES_MAX = 48 * MIB

// biome-ignore format: a layout is read as a table
export const STREAM_ENTRY_LAYOUT = { // little-endian; name, configuration, producers, frames, state checkpoint follow
  //                    at width
  streamId:           [   0, 16 ], //
  chainHead:          [  16, 32 ], //      chain hash of the last stored record of either kind
  createdAt:          [  48,  8 ], // u64  µs since 1970
  lastTimestamp:      [  56,  8 ], // u64  µs since 1970, of the last stored record
  firstOffset:        [  64,  8 ], // u64  first record kept
  nextOffset:         [  72,  8 ], // u64  stored records end here
  recordBytes:        [  80,  8 ], // u64  of all records kept
  segmentFirstOffset: [  88,  8 ], // u64  first record of the active segment
  segment:            [  96,  4 ], // u32  number of the active segment
  segmentBytes:       [ 100,  4 ], // u32  bytes of the active segment that count
  state:              [ 104,  1 ], // u8   0 open, 1 closed
  reserved:           [ 105,  1 ], //      zero
  stateLength:        [ 106,  2 ], // u16  bytes of the checkpoint that signed the state; 0: it never changed
  nameLength:         [ 108,  2 ], // u16
  configLength:       [ 110,  2 ], // u16
  producersLength:    [ 112,  4 ], // u32
  firstSegment:       [ 116,  4 ], // u32  number of the first segment kept
  lastCheckpoint:     [ 120,  8 ], // u64  offset of the last stored checkpoint; 0 before the first
  segmentSince:       [ 128,  8 ], // u64  µs since 1970, of the active segment's first record
  trimOffset:         [ 136,  8 ], // u64  the trim point: where the first segment kept begins
  trimHash:           [ 144, 32 ], //      chain hash before it
  trimRecordHash:     [ 176, 32 ], //      hash of the last data record before it
  recordHash:         [ 208, 32 ], //      hash of the last stored data record
  unwrittenLength:    [ 240,  4 ], // u32  bytes of the unwritten frames
  creationHash:       [ 244, 32 ], //      of the state that the stream was created with
} as const
const streamAt = layout(STREAM_BYTES, STREAM_ENTRY_LAYOUT)

export type StreamEntry = {
  readonly name: string
  /** JSON */
  readonly config: string
  readonly streamId: string
  readonly chainHead: string
  /** latin1: hash of the last stored data record, zeros before the first */
  readonly recordHash: string
  readonly createdAt: number
  readonly lastTimestamp: number
  readonly firstOffset: number
  readonly nextOffset: number
  readonly recordBytes: number
  readonly segment: number
  readonly segmentFirstOffset: number
  readonly segmentBytes: number
  readonly closed: boolean
  readonly lastCheckpoint: number
  readonly segmentSince: number
  readonly trimPoint: StoredTrimPoint
  readonly firstSegment: number
  readonly producers: readonly ProducerState[]
  /**
   * Journal frames with the records after `nextOffset`, which could not be written to a segment.
   * Empty for most streams.
   */
  readonly unwritten: Uint8Array
  /** latin1: hash of the state that the stream was created with; its id commits to it */
  readonly creationHash: string
  /** latin1: record of the checkpoint that signed the state; empty where it never changed */
  readonly stateCheckpoint: string
}

export const NOTHING_UNWRITTEN = new Uint8Array(0)

/**
 * Where an entry belongs. Bytes that a client sent, in the id of a producer say, may be a whole
 * entry; but no client knows the salt, so they never belong to the place where they lie.
 */
export type EntryPlace = { readonly salt: string; readonly position: number }

export type CatalogueEntry = { readonly end: number; readonly place: EntryPlace } & (
  | { readonly type: typeof EntryType.Stream; readonly stream: StreamEntry }
  | { readonly type: typeof EntryType.Removed; readonly streamId: string }
  | { readonly type: typeof EntryType.Commit; readonly commit: CommitEntry }
  | { readonly type: typeof EntryType.Decision; readonly transaction: number }
  | { readonly type: typeof EntryType.Witness; readonly witness: Witness }
)

/** Bytes that `encodeStreamEntry` will take at most. */
export function streamEntryBytesMax(
  name: string,
  config: string,
  producers: readonly ProducerState[],
  unwritten: Uint8Array = NOTHING_UNWRITTEN,
): number {
  const text = 3 * (name.length + config.length)
  const variable = text + producerStatesBytes(producers) + unwritten.length
  return ENTRY_HEADER_BYTES + STREAM_BYTES + variable + CHECKPOINT_RECORD_BYTES
}

/** Writes a stream's entry at `start`, without a place; returns where it ends. */
export function encodeStreamEntry(target: Buffer, start: number, entry: StreamEntry): number {
  const body = start + ENTRY_HEADER_BYTES
  target.fill(0, start, body + STREAM_BYTES)
  target.latin1Write(entry.streamId, body + streamAt.streamId, 16)
  target.latin1Write(entry.chainHead, body + streamAt.chainHead, 32)
  writeU64(target, body + streamAt.createdAt, entry.createdAt)
  writeU64(target, body + streamAt.lastTimestamp, entry.lastTimestamp)
  writeU64(target, body + streamAt.firstOffset, entry.firstOffset)
  writeU64(target, body + streamAt.nextOffset, entry.nextOffset)
  writeU64(target, body + streamAt.recordBytes, entry.recordBytes)
  writeU64(target, body + streamAt.segmentFirstOffset, entry.segmentFirstOffset)
  target.writeUInt32LE(entry.segment, body + streamAt.segment)
  target.writeUInt32LE(entry.segmentBytes, body + streamAt.segmentBytes)
  target.writeUInt8(entry.closed ? 1 : 0, body + streamAt.state)
  target.writeUInt32LE(entry.firstSegment, body + streamAt.firstSegment)
  writeU64(target, body + streamAt.lastCheckpoint, entry.lastCheckpoint)
  writeU64(target, body + streamAt.segmentSince, entry.segmentSince)
  writeU64(target, body + streamAt.trimOffset, entry.trimPoint.offset)
  target.latin1Write(entry.trimPoint.hash, body + streamAt.trimHash, 32)
  target.latin1Write(entry.trimPoint.recordHash, body + streamAt.trimRecordHash, 32)
  target.latin1Write(entry.recordHash, body + streamAt.recordHash, 32)
  target.latin1Write(entry.creationHash, body + streamAt.creationHash, 32)
  const nameAt = body + STREAM_BYTES
  const nameLength = target.utf8Write(entry.name, nameAt)
  const configLength = target.utf8Write(entry.config, nameAt + nameLength)
  target.writeUInt16LE(nameLength, body + streamAt.nameLength)
  target.writeUInt16LE(configLength, body + streamAt.configLength)
  const producersAt = nameAt + nameLength + configLength
  const unwrittenAt = encodeProducerStates(target, producersAt, entry.producers)
  target.writeUInt32LE(unwrittenAt - producersAt, body + streamAt.producersLength)
  target.set(entry.unwritten, unwrittenAt)
  const stateAt = unwrittenAt + entry.unwritten.length
  target.writeUInt32LE(stateAt - unwrittenAt, body + streamAt.unwrittenLength)
  const end = stateAt + target.latin1Write(entry.stateCheckpoint, stateAt)
  target.writeUInt16LE(end - stateAt, body + streamAt.stateLength)
  return sealEntry(target, start, EntryType.Stream, end - body)
}

export function encodeRemovedEntry(streamId: string): Buffer {
  const target = Buffer.alloc(ENTRY_HEADER_BYTES + REMOVED_BYTES)
  target.latin1Write(streamId, ENTRY_HEADER_BYTES, REMOVED_BYTES)
  sealEntry(target, 0, EntryType.Removed, REMOVED_BYTES)
  return target
}

export function encodeDecisionEntry(transaction: number): Buffer {
  const target = Buffer.alloc(ENTRY_HEADER_BYTES + DECISION_BYTES)
  writeU64(target, ENTRY_HEADER_BYTES, transaction)
  sealEntry(target, 0, EntryType.Decision, DECISION_BYTES)
  return target
}

export function encodeWitnessEntry({ shard, lsn }: Witness): Buffer {
  const target = Buffer.alloc(ENTRY_HEADER_BYTES + WITNESS_BYTES)
  writeU64(target, ENTRY_HEADER_BYTES, shard)
  writeU64(target, ENTRY_HEADER_BYTES + 8, lsn)
  sealEntry(target, 0, EntryType.Witness, WITNESS_BYTES)
  return target
}

export function encodeCommitEntry(commit: CommitEntry): Buffer {
  const target = Buffer.alloc(ENTRY_HEADER_BYTES + COMMIT_BYTES)
  encodeCommit(target, ENTRY_HEADER_BYTES, commit)
  sealEntry(target, 0, EntryType.Commit, COMMIT_BYTES)
  return target
}

/** Gives entries, each by itself and without a place, theirs: back to back from `position` on. */
export function placeEntries(entries: readonly Buffer[], { salt, position }: EntryPlace): Buffer {
  const placed = Buffer.concat(entries)
  let start = 0
  for (const { length } of entries) {
    placed.latin1Write(salt, start + at.salt, CATALOGUE_SALT_BYTES)
    writeU64(placed, start + at.position, position + start)
    const checksum = entryChecksum(placed, start, length - ENTRY_HEADER_BYTES)
    placed.writeUInt32LE(checksum, start + at.checksum)
    start += length
  }
  return placed
}

function sealEntry(target: Buffer, start: number, type: number, length: number): number {
  target.writeUInt32LE(CATALOGUE_MAGIC, start + at.magic)
  target.writeUInt32LE(CATALOGUE_VERSION | (type << 8), start + at.version)
  target.writeUInt32LE(length, start + at.length)
  target.writeUInt32LE(entryChecksum(target, start, length), start + at.checksum)
  return start + ENTRY_HEADER_BYTES + length
}

function entryChecksum(bytes: Buffer, start: number, length: number): number {
  const behind = start + at.checksum + 4
  const header = crc32(bytes.subarray(start, start + at.checksum))
  return crc32(bytes.subarray(behind, start + ENTRY_HEADER_BYTES + length), header)
}

/** Decodes the entry at `start`; undefined unless all of it is there and checks. */
export function decodeEntry(bytes: Buffer, start: number): CatalogueEntry | undefined {
  const body = start + ENTRY_HEADER_BYTES
  if (body > bytes.length || bytes.readUInt32LE(start + at.magic) !== CATALOGUE_MAGIC) {
    return undefined
  }
  const length = bytes.readUInt32LE(start + at.length)
  const end = body + length
  if (length > ENTRY_BYTES_MAX || end > bytes.length) return undefined
  if (bytes.readUInt32LE(start + at.checksum) !== entryChecksum(bytes, start, length)) {
    return undefined
  }
  if (bytes.readUInt8(start + at.version) !== CATALOGUE_VERSION) return undefined
  if (bytes.readUInt16LE(start + at.reserved) !== 0) return undefined
  const place = decodePlace(bytes, start)
  if (Number.isNaN(place.position)) return undefined
  switch (bytes.readUInt8(start + at.type)) {
    case EntryType.Stream: {
      const stream = decodeStream(bytes, body, end)
      return stream && { type: EntryType.Stream, end, place, stream }
    }
    case EntryType.Removed: {
      if (length !== REMOVED_BYTES) return undefined
      return { type: EntryType.Removed, end, place, streamId: bytes.latin1Slice(body, end) }
    }
    case EntryType.Commit: {
      const commit = length === COMMIT_BYTES ? decodeCommit(bytes, body) : undefined
      return commit && { type: EntryType.Commit, end, place, commit }
    }
    case EntryType.Decision: {
      const transaction = length === DECISION_BYTES ? readU64(bytes, body) : Number.NaN
      return transaction > 0 ? { type: EntryType.Decision, end, place, transaction } : undefined
    }
    case EntryType.Witness: {
      if (length !== WITNESS_BYTES) return undefined
      const witness = { shard: readU64(bytes, body), lsn: readU64(bytes, body + 8) }
      const isSound = witness.lsn > 0 && !Number.isNaN(witness.shard)
      return isSound ? { type: EntryType.Witness, end, place, witness } : undefined
    }
    default:
      return undefined
  }
}

function decodePlace(bytes: Buffer, start: number): EntryPlace {
  const saltAt = start + at.salt
  const salt = bytes.latin1Slice(saltAt, saltAt + CATALOGUE_SALT_BYTES)
  return { salt, position: readU64(bytes, start + at.position) }
}

function decodeStream(bytes: Buffer, body: number, end: number): StreamEntry | undefined {
  const nameAt = body + STREAM_BYTES
  if (nameAt > end) return undefined
  const configAt = nameAt + bytes.readUInt16LE(body + streamAt.nameLength)
  const configEnd = configAt + bytes.readUInt16LE(body + streamAt.configLength)
  const unwrittenAt = configEnd + bytes.readUInt32LE(body + streamAt.producersLength)
  const stateAt = unwrittenAt + bytes.readUInt32LE(body + streamAt.unwrittenLength)
  if (stateAt + bytes.readUInt16LE(body + streamAt.stateLength) !== end) return undefined
  const producers = decodeProducerStates(bytes, configEnd, unwrittenAt)
  if (producers === undefined) return undefined
  const text = (at: number, width: number) => bytes.latin1Slice(body + at, body + at + width)
  const state = bytes.readUInt8(body + streamAt.state)
  const stream = {
    name: bytes.utf8Slice(nameAt, configAt),
    config: bytes.utf8Slice(configAt, configEnd),
    streamId: text(streamAt.streamId, 16),
    chainHead: text(streamAt.chainHead, 32),
    recordHash: text(streamAt.recordHash, 32),
    createdAt: readU64(bytes, body + streamAt.createdAt),
    lastTimestamp: readU64(bytes, body + streamAt.lastTimestamp),
    firstOffset: readU64(bytes, body + streamAt.firstOffset),
    nextOffset: readU64(bytes, body + streamAt.nextOffset),
    recordBytes: readU64(bytes, body + streamAt.recordBytes),
    segment: bytes.readUInt32LE(body + streamAt.segment),
    segmentFirstOffset: readU64(bytes, body + streamAt.segmentFirstOffset),
    segmentBytes: bytes.readUInt32LE(body + streamAt.segmentBytes),
    closed: state === 1,
    lastCheckpoint: readU64(bytes, body + streamAt.lastCheckpoint),
    segmentSince: readU64(bytes, body + streamAt.segmentSince),
    trimPoint: decodeTrimPoint(bytes, body),
    firstSegment: bytes.readUInt32LE(body + streamAt.firstSegment),
    producers,
    unwritten: unwrittenAt === stateAt ? NOTHING_UNWRITTEN : bytes.subarray(unwrittenAt, stateAt),
    creationHash: text(streamAt.creationHash, 32),
    stateCheckpoint: bytes.latin1Slice(stateAt, end),
  }
  const known = state <= 1 && isZero(bytes, body + streamAt.reserved, body + streamAt.stateLength)
  const numbers =
    stream.createdAt +
    stream.lastTimestamp +
    stream.firstOffset +
    stream.nextOffset +
    stream.recordBytes +
    stream.segmentFirstOffset +
    stream.lastCheckpoint +
    stream.segmentSince +
    stream.trimPoint.offset
  return known && !Number.isNaN(numbers) ? stream : undefined
}

const UNTRIMMED: StoredTrimPoint = { offset: 0, hash: GENESIS_HASH, recordHash: GENESIS_HASH }

function decodeTrimPoint(bytes: Buffer, body: number): StoredTrimPoint {
  const offset = readU64(bytes, body + streamAt.trimOffset)
  const hashAt = body + streamAt.trimHash
  const recordHashAt = body + streamAt.trimRecordHash
  const hash = bytes.latin1Slice(hashAt, hashAt + 32)
  const recordHash = bytes.latin1Slice(recordHashAt, recordHashAt + 32)
  // Most streams are never trimmed: they share one.
  const isUntrimmed = offset === 0 && hash === GENESIS_HASH && recordHash === GENESIS_HASH
  return isUntrimmed ? UNTRIMMED : { offset, hash, recordHash }
}
