import { crc32 } from 'node:zlib'
import { PAGE_BYTES } from '../limits.ts'
import { readU64, writeU64 } from './bytes.ts'
import { layout } from './layout.ts'

// The first page of a journal file. A file gets its name only after this page and the zeros behind
// it were synced, so a numbered file without a sound header is damage, never an unfinished start.

export const JOURNAL_MAGIC = 0x4c4e4a56 // 'VJNL'
export const JOURNAL_VERSION = 1
const HEADER_BYTES = 64
const ZEROS = Buffer.alloc(PAGE_BYTES - HEADER_BYTES)

// biome-ignore format: a layout is read as a table
export const JOURNAL_HEADER_LAYOUT = { // little-endian; zeros follow to the end of the page
  //           at width
  magic:     [  0,  4 ], // u32  JOURNAL_MAGIC
  version:   [  4,  2 ], // u16  JOURNAL_VERSION
  reserved:  [  6,  2 ], // u16  zero
  shard:     [  8,  4 ], // u32
  epoch:     [ 12,  4 ], // u32  one more at every start of the shard
  number:    [ 16,  8 ], // u64  as in the file's name
  firstLsn:  [ 24,  8 ], // u64  of the byte after this page
  capacity:  [ 32,  8 ], // u64  bytes after this page
  salt:      [ 40, 16 ], //      random, of this use of the file
  reserved2: [ 56,  4 ], // u32  zero
  checksum:  [ 60,  4 ], // u32  CRC-32 of the 60 bytes before it
} as const
const at = layout(HEADER_BYTES, JOURNAL_HEADER_LAYOUT)

export type JournalHeader = {
  readonly shard: number
  readonly epoch: number
  readonly number: number
  readonly firstLsn: number
  readonly capacity: number
  /** 16 bytes as latin1 */
  readonly salt: string
}

/** The header page, `PAGE_BYTES` long. */
export function encodeJournalHeader(header: JournalHeader): Buffer {
  const page = Buffer.alloc(PAGE_BYTES)
  page.writeUInt32LE(JOURNAL_MAGIC, at.magic)
  page.writeUInt16LE(JOURNAL_VERSION, at.version)
  page.writeUInt32LE(header.shard, at.shard)
  page.writeUInt32LE(header.epoch, at.epoch)
  writeU64(page, at.number, header.number)
  writeU64(page, at.firstLsn, header.firstLsn)
  writeU64(page, at.capacity, header.capacity)
  page.latin1Write(header.salt, at.salt, 16)
  page.writeUInt32LE(crc32(page.subarray(0, at.checksum)), at.checksum)
  return page
}

/** Decodes a header page; undefined unless it is whole and of this version. */
export function decodeJournalHeader(page: Buffer): JournalHeader | undefined {
  if (page.length < PAGE_BYTES || page.readUInt32LE(at.magic) !== JOURNAL_MAGIC) return undefined
  if (page.readUInt32LE(at.checksum) !== crc32(page.subarray(0, at.checksum))) return undefined
  if (page.readUInt32LE(at.version) !== JOURNAL_VERSION) return undefined
  const header = {
    shard: page.readUInt32LE(at.shard),
    epoch: page.readUInt32LE(at.epoch),
    number: readU64(page, at.number),
    firstLsn: readU64(page, at.firstLsn),
    capacity: readU64(page, at.capacity),
    salt: page.latin1Slice(at.salt, at.reserved2),
  }
  const zeros = page.subarray(HEADER_BYTES, PAGE_BYTES).equals(ZEROS)
  const sound = zeros && page.readUInt32LE(at.reserved2) === 0
  return sound && !Number.isNaN(header.number + header.firstLsn + header.capacity)
    ? header
    : undefined
}
