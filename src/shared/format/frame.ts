import { crc32 } from 'node:zlib'
import { readU64, writeU64 } from './bytes.ts'
import { layout } from './layout.ts'

// A frame is the unit that is applied whole or not at all: one batch, one stream change, one
// barrier. Frames lie back to back in a block's body; the payload is a list of operations.

export const FRAME_MAGIC = 0x4d524656 // 'VFRM'
export const FRAME_VERSION = 1
export const FRAME_HEADER_BYTES = 32

// biome-ignore format: a layout is read as a table
export const FRAME_LAYOUT = { // little-endian
  //              at width
  magic:         [  0, 4 ], // u32  FRAME_MAGIC
  version:       [  4, 1 ], // u8   FRAME_VERSION
  flags:         [  5, 1 ], // u8   FrameFlag
  reserved:      [  6, 2 ], // u16  zero
  transaction:   [  8, 8 ], // u64  zero: reserved for transactions
  timestamp:     [ 16, 8 ], // u64  µs since 1970
  payloadLength: [ 24, 4 ], // u32
  checksum:      [ 28, 4 ], // u32  CRC-32 of the 28 bytes before it, then the payload
} as const
const at = layout(FRAME_HEADER_BYTES, FRAME_LAYOUT)

/** 2 aborted, 4 pending and 16 reference are reserved for what a later version writes. */
export const FrameFlag = { Committed: 1, Barrier: 8 } as const

export type Frame = {
  readonly flags: number
  readonly timestamp: number
  readonly payloadAt: number
  readonly end: number
}

/**
 * Writes the header of a frame whose payload already lies behind it. Returns where the frame ends.
 */
export function sealFrame(
  target: Buffer,
  start: number,
  flags: number,
  timestamp: number,
  payloadLength: number,
): number {
  target.writeUInt32LE(FRAME_MAGIC, start + at.magic)
  target.writeUInt32LE(FRAME_VERSION | (flags << 8), start + at.version)
  writeU64(target, start + at.transaction, 0)
  writeU64(target, start + at.timestamp, timestamp)
  target.writeUInt32LE(payloadLength, start + at.payloadLength)
  target.writeUInt32LE(frameChecksum(target, start, payloadLength), start + at.checksum)
  return start + FRAME_HEADER_BYTES + payloadLength
}

/** Decodes the frame at `start`, which must end by `limit`; undefined unless all of it checks. */
export function decodeFrame(bytes: Buffer, start: number, limit: number): Frame | undefined {
  const payloadAt = start + FRAME_HEADER_BYTES
  if (payloadAt > limit || bytes.readUInt32LE(start + at.magic) !== FRAME_MAGIC) return undefined
  const payloadLength = bytes.readUInt32LE(start + at.payloadLength)
  const end = payloadAt + payloadLength
  if (end > limit) return undefined
  if (bytes.readUInt32LE(start + at.checksum) !== frameChecksum(bytes, start, payloadLength)) {
    return undefined
  }
  const flags = bytes.readUInt8(start + at.flags)
  const timestamp = readU64(bytes, start + at.timestamp)
  const known =
    bytes.readUInt8(start + at.version) === FRAME_VERSION &&
    (flags === FrameFlag.Committed || flags === FrameFlag.Barrier) &&
    bytes.readUInt16LE(start + at.reserved) === 0 &&
    readU64(bytes, start + at.transaction) === 0 &&
    !Number.isNaN(timestamp)
  return known ? { flags, timestamp, payloadAt, end } : undefined
}

function frameChecksum(bytes: Buffer, start: number, payloadLength: number): number {
  const payloadAt = start + FRAME_HEADER_BYTES
  const header = crc32(bytes.subarray(start, start + at.checksum))
  return crc32(bytes.subarray(payloadAt, payloadAt + payloadLength), header)
}
