import { readU64, writeU64 } from './bytes.ts'
import { layout } from './layout.ts'
import { RECORD_OVERHEAD_BYTES, type RecordView, viewRecord } from './record.ts'

// A checkpoint is a record of its own kind in a stream's chain, signed with Ed25519 (RFC 8032). Who
// trusts the key can check a chain from it on, and hold against a stream what was signed before.

export const CHECKPOINT_BODY_BYTES = 168

// biome-ignore format: a layout is read as a table
export const CHECKPOINT_BODY_LAYOUT = { // little-endian
  //             at width
  recordCount: [  0,  8 ], // u64  data records before it since the stream began
  trimOffset:  [  8,  8 ], // u64  the trim point: where the records begin that are kept
  trimHash:    [ 16, 32 ], //      chain hash before the trim point; zero at offset 0
  stateHash:   [ 48, 32 ], //      of the stream's state, see stream-state.ts
  keyId:       [ 80, 16 ], //      of the key that signed: first half of the SHA-256 of the public key
  flags:       [ 96,  1 ], // u8   1: the last record of its segment
  change:      [ 97,  1 ], // u8   StateChange: the change that it was written with
  reserved:    [ 98,  6 ], //      zero
  signature:   [104, 64 ], //      Ed25519 over the signed bytes
} as const
const at = layout(CHECKPOINT_BODY_BYTES, CHECKPOINT_BODY_LAYOUT)

export const CHECKPOINT_SIGNED_BYTES = 165

// biome-ignore format: a layout is read as a table
export const CHECKPOINT_SIGNED_LAYOUT = { // little-endian
  //             at width
  domain:      [  0, 20 ], //      CHECKPOINT_DOMAIN
  streamId:    [ 20, 16 ], //
  offset:      [ 36,  8 ], // u64  that of the record
  recordCount: [ 44,  8 ], // u64
  timestamp:   [ 52,  8 ], // u64  that of the record, µs since 1970
  chainHead:   [ 60, 32 ], //      the record's previous hash
  trimOffset:  [ 92,  8 ], // u64
  trimHash:    [100, 32 ], //
  stateHash:   [132, 32 ], //
  change:      [164,  1 ], // u8
} as const
const signedAt = layout(CHECKPOINT_SIGNED_BYTES, CHECKPOINT_SIGNED_LAYOUT)

export const CHECKPOINT_DOMAIN = 'varve.checkpoint.v1\0'
export const CHECKPOINT_RECORD_BYTES = RECORD_OVERHEAD_BYTES + CHECKPOINT_BODY_BYTES

const FLAG_LAST_OF_SEGMENT = 1

/**
 * The change of the stream's state in the same frame as a checkpoint. A checkpoint without a change
 * must sign the same state as the one before it. So a state that was altered on the disk is found
 * even if the service has signed it since.
 */
export const StateChange = { None: 0, Configured: 1, Closed: 2, Trimmed: 3 } as const
export type StateChange = (typeof StateChange)[keyof typeof StateChange]

/** Names on the wire, by number. */
export const CHANGE_NAMES = ['none', 'configure', 'close', 'trim'] as const

/** Where the records that are kept begin, and the chain hash before them, latin1. */
export type TrimPoint = { readonly offset: number; readonly hash: string }

/** The same as it is stored: `recordHash` is the hash of the last data record before it, latin1. */
export type StoredTrimPoint = TrimPoint & { readonly recordHash: string }

/** What a checkpoint vouches for. Ids and hashes are latin1. */
export type CheckpointFields = {
  readonly streamId: string
  /** It lies before the record of this offset. */
  readonly offset: number
  readonly recordCount: number
  /** µs since 1970 */
  readonly timestamp: number
  /** Chain hash of what lies before it. */
  readonly chainHead: string
  readonly trimPoint: TrimPoint
  readonly stateHash: string
  readonly change: StateChange
}

export type CheckpointBody = {
  readonly recordCount: number
  readonly trimPoint: TrimPoint
  /** 32 bytes as latin1 */
  readonly stateHash: string
  readonly change: StateChange
  /** 16 bytes as latin1 */
  readonly keyId: string
  readonly isLastOfSegment: boolean
  /** 64 bytes as latin1 */
  readonly signature: string
}

/** The bytes that the signature is made over. */
export function signedBytes(fields: CheckpointFields): Buffer {
  const bytes = Buffer.alloc(CHECKPOINT_SIGNED_BYTES)
  bytes.latin1Write(CHECKPOINT_DOMAIN, signedAt.domain, 20)
  bytes.latin1Write(fields.streamId, signedAt.streamId, 16)
  writeU64(bytes, signedAt.offset, fields.offset)
  writeU64(bytes, signedAt.recordCount, fields.recordCount)
  writeU64(bytes, signedAt.timestamp, fields.timestamp)
  bytes.latin1Write(fields.chainHead, signedAt.chainHead, 32)
  writeU64(bytes, signedAt.trimOffset, fields.trimPoint.offset)
  bytes.latin1Write(fields.trimPoint.hash, signedAt.trimHash, 32)
  bytes.latin1Write(fields.stateHash, signedAt.stateHash, 32)
  bytes[signedAt.change] = fields.change
  return bytes
}

export function encodeCheckpointBody(body: CheckpointBody): Buffer {
  const bytes = Buffer.alloc(CHECKPOINT_BODY_BYTES)
  writeU64(bytes, at.recordCount, body.recordCount)
  writeU64(bytes, at.trimOffset, body.trimPoint.offset)
  bytes.latin1Write(body.trimPoint.hash, at.trimHash, 32)
  bytes.latin1Write(body.stateHash, at.stateHash, 32)
  bytes.latin1Write(body.keyId, at.keyId, 16)
  bytes[at.change] = body.change
  bytes.writeUInt8(body.isLastOfSegment ? FLAG_LAST_OF_SEGMENT : 0, at.flags)
  bytes.latin1Write(body.signature, at.signature, 64)
  return bytes
}

/** The body of a checkpoint's record in `bytes`; undefined when it makes no sense. */
export function decodeCheckpointBody(
  bytes: Buffer,
  record: RecordView,
): CheckpointBody | undefined {
  const { bodyAt, bodyEnd } = record
  if (bodyEnd - bodyAt !== CHECKPOINT_BODY_BYTES) return undefined
  const text = (field: number, length: number) =>
    bytes.latin1Slice(bodyAt + field, bodyAt + field + length)
  const flags = bytes.readUInt8(bodyAt + at.flags)
  const recordCount = readU64(bytes, bodyAt + at.recordCount)
  const offset = readU64(bytes, bodyAt + at.trimOffset)
  const change = bytes.readUInt8(bodyAt + at.change)
  const isKnown =
    flags <= FLAG_LAST_OF_SEGMENT && isChange(change) && text(at.reserved, 6) === '\0'.repeat(6)
  if (!isKnown || Number.isNaN(recordCount + offset)) return undefined
  return {
    recordCount,
    trimPoint: { offset, hash: text(at.trimHash, 32) },
    stateHash: text(at.stateHash, 32),
    change,
    keyId: text(at.keyId, 16),
    isLastOfSegment: flags === FLAG_LAST_OF_SEGMENT,
    signature: text(at.signature, 64),
  }
}

/** Returns the body of a stored checkpoint's record (latin1); undefined if it is invalid. */
export function checkpointOf(stored: string): CheckpointBody | undefined {
  const bytes = Buffer.from(stored, 'latin1')
  const record = viewRecord(bytes, 0)
  return record && record.end <= bytes.length ? decodeCheckpointBody(bytes, record) : undefined
}

/** The fields that the signature in a checkpoint's record was made over. */
export function checkpointFields(
  streamId: string,
  record: RecordView,
  body: CheckpointBody,
): CheckpointFields {
  const { offset, timestamp, previousHash: chainHead } = record
  const { recordCount, trimPoint, stateHash, change } = body
  return { streamId, offset, recordCount, timestamp, chainHead, trimPoint, stateHash, change }
}

function isChange(value: number): value is StateChange {
  return value <= StateChange.Trimmed
}
