import { readU64, writeU64 } from './bytes.ts'
import { layout } from './layout.ts'
import { RECORD_OVERHEAD_BYTES, type RecordView } from './record.ts'

// A checkpoint is a record of its own kind in a stream's chain, signed with Ed25519 (RFC 8032). Who
// trusts the key can check a chain from it on, and hold against a stream what was signed before.

export const CHECKPOINT_BODY_BYTES = 136

// biome-ignore format: a layout is read as a table
export const CHECKPOINT_BODY_LAYOUT = { // little-endian
  //             at width
  recordCount: [  0,  8 ], // u64  data records before it since the stream began
  trimOffset:  [  8,  8 ], // u64  the trim point: where the records begin that are kept
  trimHash:    [ 16, 32 ], //      chain hash before the trim point; zero at offset 0
  keyId:       [ 48, 16 ], //      of the key that signed: first half of the SHA-256 of the public key
  flags:       [ 64,  1 ], // u8   1: the last record of its segment
  reserved:    [ 65,  7 ], //      zero
  signature:   [ 72, 64 ], //      Ed25519 over the signed bytes
} as const
const at = layout(CHECKPOINT_BODY_BYTES, CHECKPOINT_BODY_LAYOUT)

export const CHECKPOINT_SIGNED_BYTES = 132

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
} as const
const signedAt = layout(CHECKPOINT_SIGNED_BYTES, CHECKPOINT_SIGNED_LAYOUT)

export const CHECKPOINT_DOMAIN = 'varve.checkpoint.v1\0'
export const CHECKPOINT_RECORD_BYTES = RECORD_OVERHEAD_BYTES + CHECKPOINT_BODY_BYTES

const FLAG_LAST_OF_SEGMENT = 1

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
}

export type CheckpointBody = {
  readonly recordCount: number
  readonly trimPoint: TrimPoint
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
  return bytes
}

export function encodeCheckpointBody(body: CheckpointBody): Buffer {
  const bytes = Buffer.alloc(CHECKPOINT_BODY_BYTES)
  writeU64(bytes, at.recordCount, body.recordCount)
  writeU64(bytes, at.trimOffset, body.trimPoint.offset)
  bytes.latin1Write(body.trimPoint.hash, at.trimHash, 32)
  bytes.latin1Write(body.keyId, at.keyId, 16)
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
  const isZero = text(at.reserved, 7) === '\0'.repeat(7)
  if (flags > FLAG_LAST_OF_SEGMENT || !isZero || Number.isNaN(recordCount + offset)) {
    return undefined
  }
  return {
    recordCount,
    trimPoint: { offset, hash: text(at.trimHash, 32) },
    keyId: text(at.keyId, 16),
    isLastOfSegment: flags === FLAG_LAST_OF_SEGMENT,
    signature: text(at.signature, 64),
  }
}

/** The fields that the signature in a checkpoint's record was made over. */
export function checkpointFields(
  streamId: string,
  record: RecordView,
  body: CheckpointBody,
): CheckpointFields {
  const { offset, timestamp, previousHash: chainHead } = record
  const { recordCount, trimPoint } = body
  return { streamId, offset, recordCount, timestamp, chainHead, trimPoint }
}
