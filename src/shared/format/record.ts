import { crc32 } from 'node:zlib'
import { readU64, setU64 } from './bytes.ts'
import { RECORD_BYTES_BOUND } from '../limits.ts'
import { layout } from './layout.ts'

// A record as it lies in a segment, and, byte for byte, in the journal's frames:
//
//   header (68) | headers (UTF-8 JSON object of strings, or empty) | body | CRC-32 (4) | end marker
// (4)
//
// The checksum covers everything before it.

export const RECORD_MAGIC = 0x44435256 // 'VRCD'; not zero, so preallocated space holds no record
export const RECORD_END = 0x444e4552 // 'REND'
export const RECORD_HEADER_BYTES = 68
export const RECORD_TRAILER_BYTES = 8
export const RECORD_OVERHEAD_BYTES = RECORD_HEADER_BYTES + RECORD_TRAILER_BYTES

// biome-ignore format: a layout is read as a table
export const RECORD_LAYOUT = { // little-endian
  //              at width
  magic:         [  0,  4 ], // u32  RECORD_MAGIC
  length:        [  4,  4 ], // u32  stored body bytes
  offset:        [  8,  8 ], // u64  position in the stream
  timestamp:     [ 16,  8 ], // u64  µs since 1970
  kind:          [ 24,  1 ], // u8   RecordKind
  compression:   [ 25,  1 ], // u8   of the body: 0 none, 1 LZ4, 2 zstd
  format:        [ 26,  1 ], // u8   RecordFormat
  reserved:      [ 27,  1 ], // u8   zero
  headersLength: [ 28,  2 ], // u16  bytes of the headers
  reserved2:     [ 30,  2 ], // u16  zero
  rawLength:     [ 32,  4 ], // u32  body bytes before compression; <= 256 MiB
  previousHash:  [ 36, 32 ], //      chain hash of the record before; zero for the first
} as const
const at = layout(RECORD_HEADER_BYTES, RECORD_LAYOUT)

/** A checkpoint has a place in the chain, but no offset: it bears that of the record behind it. */
export const RecordKind = { Data: 0, Checkpoint: 1 } as const
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind]
/** The highest code of src/shared/format/compression.ts. */
const COMPRESSION_MAX = 2

export const RecordFormat = { Binary: 0, Json: 1, Text: 2 } as const
export type RecordFormat = (typeof RecordFormat)[keyof typeof RecordFormat]

/** A decoded record header; positions are in the buffer that it was read from. */
export type RecordView = {
  readonly offset: number
  /** µs since 1970 */
  readonly timestamp: number
  readonly kind: RecordKind
  /** Of the body as it is stored; src/shared/format/compression.ts has the codes. */
  readonly compression: number
  readonly format: RecordFormat
  /** Body bytes before compression. */
  readonly rawLength: number
  /** latin1, 32 characters */
  readonly previousHash: string
  readonly at: number
  readonly headersAt: number
  readonly bodyAt: number
  readonly bodyEnd: number
  /** Where the next record starts. */
  readonly end: number
}

export type RecordFields = {
  readonly offset: number
  readonly timestamp: number
  readonly format: RecordFormat
  readonly previousHash: string
}

/** A body that is stored smaller than it came. */
export type CompressedBody = { readonly compression: number; readonly bytes: Buffer }

export function recordBytes(headersLength: number, bodyLength: number): number {
  return RECORD_OVERHEAD_BYTES + headersLength + bodyLength
}

/**
 * Writes one data record at `start` of `target`, its headers and body copied from `source`, where
 * the headers lie at `headersAt` and the body right after them. Returns where the record ends.
 * @param view of all of `target`
 */
export function encodeRecord(
  target: Buffer,
  view: DataView,
  start: number,
  fields: RecordFields,
  source: Buffer,
  headersAt: number,
  headersLength: number,
  bodyLength: number,
): number {
  encodeHeader(target, view, start, fields, headersLength, bodyLength)
  const contentAt = start + RECORD_HEADER_BYTES
  const checksumAt = contentAt + headersLength + bodyLength
  source.copy(target, contentAt, headersAt, headersAt + headersLength + bodyLength)
  return sealRecord(target, view, start, checksumAt)
}

/**
 * The same for a body that was compressed: `bodyLength` is still what it had before.
 */
export function encodeCompressedRecord(
  target: Buffer,
  view: DataView,
  start: number,
  fields: RecordFields,
  source: Buffer,
  headersAt: number,
  headersLength: number,
  bodyLength: number,
  body: CompressedBody,
): number {
  encodeHeader(target, view, start, fields, headersLength, body.bytes.length)
  view.setUint8(start + at.compression, body.compression)
  view.setUint32(start + at.rawLength, bodyLength, true)
  const headersEnd = start + RECORD_HEADER_BYTES + headersLength
  source.copy(target, start + RECORD_HEADER_BYTES, headersAt, headersAt + headersLength)
  body.bytes.copy(target, headersEnd)
  return sealRecord(target, view, start, headersEnd + body.bytes.length)
}

/** Writes a checkpoint's record around `body` (src/shared/format/checkpoint.ts). */
export function encodeCheckpointRecord(
  target: Buffer,
  view: DataView,
  start: number,
  fields: Omit<RecordFields, 'format'>,
  body: Buffer,
): number {
  encodeHeader(target, view, start, { ...fields, format: RecordFormat.Binary }, 0, body.length)
  view.setUint8(start + at.kind, RecordKind.Checkpoint)
  const bodyAt = start + RECORD_HEADER_BYTES
  return sealRecord(target, view, start, bodyAt + body.copy(target, bodyAt))
}

/** The header of a data record that is not compressed. */
function encodeHeader(
  target: Buffer,
  view: DataView,
  start: number,
  fields: RecordFields,
  headersLength: number,
  bodyLength: number,
): void {
  view.setUint32(start + at.magic, RECORD_MAGIC, true)
  view.setUint32(start + at.length, bodyLength, true)
  setU64(view, start + at.offset, fields.offset)
  setU64(view, start + at.timestamp, fields.timestamp)
  view.setUint32(start + at.kind, fields.format << 16, true) // kind, compression, reserved are 0
  view.setUint32(start + at.headersLength, headersLength, true)
  view.setUint32(start + at.rawLength, bodyLength, true)
  target.latin1Write(fields.previousHash, start + at.previousHash, 32)
}

function sealRecord(target: Buffer, view: DataView, start: number, checksumAt: number): number {
  view.setUint32(checksumAt, crc32(target.subarray(start, checksumAt)), true)
  view.setUint32(checksumAt + 4, RECORD_END, true)
  return checksumAt + RECORD_TRAILER_BYTES
}

/**
 * The bytes that the record at `start` claims to take, from its header alone, unchecked but for
 * its marker; 0 when there is no whole header of a record.
 */
export function claimedRecordBytes(bytes: Buffer, start: number): number {
  if (start + RECORD_HEADER_BYTES > bytes.length) return 0
  if (bytes.readUInt32LE(start) !== RECORD_MAGIC) return 0
  const headersLength = bytes.readUInt16LE(start + at.headersLength)
  return recordBytes(headersLength, bytes.readUInt32LE(start + at.length))
}

/** Whether the header at `start`, which is whole, says that it is a checkpoint's; unchecked. */
export function isCheckpointAt(bytes: Buffer, start: number): boolean {
  return bytes[start + at.kind] === RecordKind.Checkpoint
}

/**
 * Decodes and checks the record at `start`; undefined unless every byte of it is there and checks.
 */
export function decodeRecord(bytes: Buffer, start: number): RecordView | undefined {
  const size = claimedRecordBytes(bytes, start)
  const end = start + size
  if (size === 0 || end > bytes.length) return undefined
  const checksumAt = end - RECORD_TRAILER_BYTES
  if (bytes.readUInt32LE(checksumAt + 4) !== RECORD_END) return undefined
  if (bytes.readUInt32LE(checksumAt) !== crc32(bytes.subarray(start, checksumAt))) return undefined
  return viewRecord(bytes, start)
}

/**
 * Decodes the record at `start` without its checksum, for bytes that this process wrote or checked
 * itself. Undefined when its fields make no record that this version knows.
 */
export function viewRecord(bytes: Buffer, start: number): RecordView | undefined {
  const size = claimedRecordBytes(bytes, start)
  if (size === 0) return undefined
  const packed = bytes.readUInt32LE(start + at.kind)
  const kind = packed & 0xff
  const compression = (packed >>> 8) & 0xff
  const format = (packed >>> 16) & 0xff
  const rawLength = bytes.readUInt32LE(start + at.rawLength)
  const headersWord = bytes.readUInt32LE(start + at.headersLength)
  const length = bytes.readUInt32LE(start + at.length)
  const known =
    (packed & 0xff000000) === 0 && // the reserved byte
    isKnown(kind, compression, format, headersWord) &&
    rawLength <= RECORD_BYTES_BOUND &&
    (compression === 0 ? rawLength === length : rawLength > length)
  const offset = readU64(bytes, start + at.offset)
  const timestamp = readU64(bytes, start + at.timestamp)
  if (!known || Number.isNaN(offset + timestamp)) return undefined
  const headersAt = start + RECORD_HEADER_BYTES
  const bodyAt = headersAt + headersWord
  return {
    offset,
    timestamp,
    kind: kind as RecordKind,
    compression,
    format: format as RecordFormat,
    rawLength,
    previousHash: bytes.latin1Slice(start + at.previousHash, start + at.previousHash + 32),
    at: start,
    headersAt,
    bodyAt,
    bodyEnd: bodyAt + length,
    end: start + size,
  }
}

function isKnown(kind: number, compression: number, format: number, headersWord: number): boolean {
  if (kind === RecordKind.Checkpoint) return compression === 0 && format === 0 && headersWord === 0
  return (
    kind === RecordKind.Data &&
    compression <= COMPRESSION_MAX &&
    format <= RecordFormat.Text &&
    headersWord <= 0xffff
  )
}
