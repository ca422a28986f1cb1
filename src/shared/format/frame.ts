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
  coordinator:   [  6, 2 ], // u16  shard that a pending frame or a witness names; else zero
  transaction:   [  8, 8 ], // u64  id, zero where the frame is of none; of a witness: LSN
  timestamp:     [ 16, 8 ], // u64  µs since 1970
  payloadLength: [ 24, 4 ], // u32
  checksum:      [ 28, 4 ], // u32  CRC-32 of the 28 bytes before it, then the payload
} as const
const at = layout(FRAME_HEADER_BYTES, FRAME_LAYOUT)

/**
 * A pending frame holds what its transaction will do here; a later one of the same transaction in
 * the same journal, committed or aborted and without payload, says what became of it. A witness in
 * front of that says how far the journal of another shard was durable before.
 */
export const FrameFlag = { Committed: 1, Aborted: 2, Pending: 4, Barrier: 8, Witness: 16 } as const
export type FrameFlag = (typeof FrameFlag)[keyof typeof FrameFlag]

/** Of which transaction a frame is. */
export type FrameTransaction = {
  /** Not zero. */
  readonly id: number
  /** Of a pending frame: the shard whose journal decides; else 0. */
  readonly coordinator: number
}

/** That the journal of a shard was durable up to an LSN. */
export type Witness = { readonly shard: number; readonly lsn: number }

export type Frame = {
  readonly flags: FrameFlag
  /** Undefined: of none. */
  readonly transaction: FrameTransaction | undefined
  /** Of a witness alone. */
  readonly witness: Witness | undefined
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
  flags: FrameFlag,
  timestamp: number,
  payloadLength: number,
  transaction?: FrameTransaction,
): number {
  target.writeUInt32LE(FRAME_MAGIC, start + at.magic)
  target.writeUInt32LE(FRAME_VERSION | (flags << 8), start + at.version)
  target.writeUInt16LE(transaction?.coordinator ?? 0, start + at.coordinator)
  writeU64(target, start + at.transaction, transaction?.id ?? 0)
  writeU64(target, start + at.timestamp, timestamp)
  target.writeUInt32LE(payloadLength, start + at.payloadLength)
  target.writeUInt32LE(frameChecksum(target, start, payloadLength), start + at.checksum)
  return start + FRAME_HEADER_BYTES + payloadLength
}

/** Writes a witness; see FrameFlag. Returns where the frame ends. */
export function sealWitness(
  target: Buffer,
  start: number,
  timestamp: number,
  { shard, lsn }: Witness,
): number {
  const named = { id: lsn, coordinator: shard }
  return sealFrame(target, start, FrameFlag.Witness, timestamp, 0, named)
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
  const id = readU64(bytes, start + at.transaction)
  const coordinator = bytes.readUInt16LE(start + at.coordinator)
  const known =
    bytes.readUInt8(start + at.version) === FRAME_VERSION &&
    !Number.isNaN(timestamp + id) &&
    isKnown(flags, id, coordinator, payloadLength)
  if (!known) return undefined
  const isWitness = flags === FrameFlag.Witness
  const transaction = id === 0 || isWitness ? undefined : { id, coordinator }
  const witness = isWitness ? { shard: coordinator, lsn: id } : undefined
  return { flags: flags as FrameFlag, transaction, witness, timestamp, payloadAt, end }
}

/** Which fields go with which flag. */
function isKnown(flags: number, id: number, coordinator: number, payloadLength: number): boolean {
  switch (flags) {
    case FrameFlag.Committed:
      return coordinator === 0
    case FrameFlag.Aborted:
      return coordinator === 0 && id > 0 && payloadLength === 0
    case FrameFlag.Pending:
      return id > 0
    case FrameFlag.Witness:
      return id > 0 && payloadLength === 0
    case FrameFlag.Barrier:
      return coordinator === 0 && id === 0 && payloadLength === 0
    default:
      return false
  }
}

function frameChecksum(bytes: Buffer, start: number, payloadLength: number): number {
  const payloadAt = start + FRAME_HEADER_BYTES
  const header = crc32(bytes.subarray(start, start + at.checksum))
  return crc32(bytes.subarray(payloadAt, payloadAt + payloadLength), header)
}
