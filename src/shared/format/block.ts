import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { PAGE_BYTES } from '../limits.ts'
import { isZero, readU64, roundUp, writeU64 } from './bytes.ts'
import { layout } from './layout.ts'

// A block is what goes out in one flush: this header, frames, zeros to the next page. Salt, number
// and previous hash are what tell it from stale bytes of a file that is used again.

export const BLOCK_MAGIC = 0x4b4c4256 // 'VBLK'
export const BLOCK_VERSION = 1
export const BLOCK_HEADER_BYTES = 128

// biome-ignore format: a layout is read as a table
export const BLOCK_LAYOUT = { // little-endian
  //               at width
  magic:          [   0,  4 ], // u32  BLOCK_MAGIC
  version:        [   4,  2 ], // u16  BLOCK_VERSION
  flags:          [   6,  2 ], // u16  one BlockFlag
  epoch:          [   8,  4 ], // u32  that of the file
  bodyLength:     [  12,  4 ], // u32  bytes of the frames
  bodyChecksum:   [  16,  4 ], // u32  CRC-32 of the frames
  reserved:       [  20,  4 ], // u32  zero
  number:         [  24,  8 ], // u64  counts all blocks of the shard, from 1
  lsn:            [  32,  8 ], // u64  of the block's first byte
  durableThrough: [  40,  8 ], // u64  number of the last block known to be synced when this one was sealed
  salt:           [  48, 16 ], //      that of the file
  previousHash:   [  64, 32 ], //      SHA-256 of the header of the block before; zero for the first
  reserved2:      [  96, 28 ], //      zero
  checksum:       [ 124,  4 ], // u32  CRC-32 of the 124 bytes before it
} as const
const at = layout(BLOCK_HEADER_BYTES, BLOCK_LAYOUT)

export const BlockFlag = { Data: 1, IdleSeal: 2, CleanShutdown: 4, EpochOpen: 8 } as const
const FLAGS: ReadonlySet<number> = new Set(Object.values(BlockFlag))

export type BlockHeader = {
  readonly flags: number
  readonly epoch: number
  readonly bodyLength: number
  readonly bodyChecksum: number
  readonly number: number
  readonly lsn: number
  readonly durableThrough: number
  /** 16 bytes as latin1 */
  readonly salt: string
  /** 32 bytes as latin1 */
  readonly previousHash: string
}

/** Bytes a block takes in the journal, a multiple of the page. */
export function blockBytes(bodyLength: number): number {
  return roundUp(BLOCK_HEADER_BYTES + bodyLength, PAGE_BYTES)
}

/**
 * Writes the header of a block whose body already lies behind it, and the zeros to the page's end.
 */
export function sealBlock(
  block: Buffer,
  header: Omit<BlockHeader, 'bodyChecksum'>,
): { bytes: number; hash: string } {
  const bodyEnd = BLOCK_HEADER_BYTES + header.bodyLength
  const bytes = blockBytes(header.bodyLength)
  block.fill(0, bodyEnd, bytes)
  block.fill(0, 0, BLOCK_HEADER_BYTES)
  block.writeUInt32LE(BLOCK_MAGIC, at.magic)
  block.writeUInt16LE(BLOCK_VERSION, at.version)
  block.writeUInt16LE(header.flags, at.flags)
  block.writeUInt32LE(header.epoch, at.epoch)
  block.writeUInt32LE(header.bodyLength, at.bodyLength)
  block.writeUInt32LE(crc32(block.subarray(BLOCK_HEADER_BYTES, bodyEnd)), at.bodyChecksum)
  writeU64(block, at.number, header.number)
  writeU64(block, at.lsn, header.lsn)
  writeU64(block, at.durableThrough, header.durableThrough)
  block.latin1Write(header.salt, at.salt, 16)
  block.latin1Write(header.previousHash, at.previousHash, 32)
  block.writeUInt32LE(crc32(block.subarray(0, at.checksum)), at.checksum)
  return { bytes, hash: blockHash(block, 0) }
}

/** SHA-256 of a block's header, latin1: what the next block names as `previousHash`. */
export function blockHash(bytes: Buffer, start: number): string {
  return hash('sha256', Buffer.from(bytes.subarray(start, start + BLOCK_HEADER_BYTES)), 'latin1')
}

/** Decodes the block header at `start`; undefined unless every byte of it checks. */
export function decodeBlockHeader(bytes: Buffer, start: number): BlockHeader | undefined {
  if (start + BLOCK_HEADER_BYTES > bytes.length) return undefined
  if (bytes.readUInt32LE(start + at.magic) !== BLOCK_MAGIC) return undefined
  const checksum = crc32(bytes.subarray(start, start + at.checksum))
  if (bytes.readUInt32LE(start + at.checksum) !== checksum) return undefined
  if (bytes.readUInt16LE(start + at.version) !== BLOCK_VERSION) return undefined
  const header: BlockHeader = {
    flags: bytes.readUInt16LE(start + at.flags),
    epoch: bytes.readUInt32LE(start + at.epoch),
    bodyLength: bytes.readUInt32LE(start + at.bodyLength),
    bodyChecksum: bytes.readUInt32LE(start + at.bodyChecksum),
    number: readU64(bytes, start + at.number),
    lsn: readU64(bytes, start + at.lsn),
    durableThrough: readU64(bytes, start + at.durableThrough),
    salt: bytes.latin1Slice(start + at.salt, start + at.previousHash),
    previousHash: bytes.latin1Slice(start + at.previousHash, start + at.reserved2),
  }
  const known =
    FLAGS.has(header.flags) &&
    (header.flags === BlockFlag.Data || header.bodyLength === 0) &&
    bytes.readUInt32LE(start + at.reserved) === 0 &&
    isZero(bytes, start + at.reserved2, start + at.checksum) &&
    !Number.isNaN(header.number + header.lsn + header.durableThrough)
  return known ? header : undefined
}

/**
 * Whether a page without a sound header bears the salt or the magic of one: it was begun as one.
 */
export function looksBegun(page: Buffer, salt: string): boolean {
  if (page.length < BLOCK_HEADER_BYTES) return false
  const bearsSalt = page.latin1Slice(at.salt, at.previousHash) === salt
  return bearsSalt || page.readUInt32LE(at.magic) === BLOCK_MAGIC
}

/** Whether the body that belongs to `header`, at `start` of `bytes`, is whole. */
export function blockBodyChecks(bytes: Buffer, start: number, header: BlockHeader): boolean {
  const bodyAt = start + BLOCK_HEADER_BYTES
  const bodyEnd = bodyAt + header.bodyLength
  return bodyEnd <= bytes.length && crc32(bytes.subarray(bodyAt, bodyEnd)) === header.bodyChecksum
}
