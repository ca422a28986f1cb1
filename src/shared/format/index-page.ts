import { crc32 } from 'node:zlib'
import { PAGE_BYTES } from '../limits.ts'
import { layout } from './layout.ts'

// The offset index of a segment: page p holds the positions of records p × ENTRIES .. of the
// segment, so that the place of an entry is computed. It is a cache: whatever does not check is
// rebuilt from the segment. The highest bit of an entry says that a checkpoint lies right before
// the record, so that the nearest one is found without reading records.

export const INDEX_MAGIC = 0x58444956 // 'VIDX'
const HEADER_BYTES = 16
export const INDEX_PAGE_ENTRIES = (PAGE_BYTES - HEADER_BYTES) / 4

// biome-ignore format: a layout is read as a table
export const INDEX_PAGE_LAYOUT = { // little-endian; u32 entries follow, unused ones are zero
  //          at width
  magic:    [  0, 4 ], // u32  INDEX_MAGIC
  page:     [  4, 4 ], // u32  number of this page, from 0
  count:    [  8, 4 ], // u32  entries in use
  checksum: [ 12, 4 ], // u32  CRC-32 of the 12 bytes before it, then the entries in use
} as const
const at = layout(HEADER_BYTES, INDEX_PAGE_LAYOUT)

const CHECKPOINT_BIT = 0x8000_0000

/** An entry of the index: where a record starts, and whether a checkpoint ends there. */
export function indexEntry(position: number, followsCheckpoint: boolean): number {
  return followsCheckpoint ? position + CHECKPOINT_BIT : position
}

export function entryPosition(entry: number): number {
  return entry % CHECKPOINT_BIT
}

export function followsCheckpoint(entry: number): boolean {
  return entry >= CHECKPOINT_BIT
}

/** Writes `entries` (at most INDEX_PAGE_ENTRIES, ascending) as page number `page`. */
export function encodeIndexPage(page: number, entries: readonly number[]): Buffer {
  const bytes = Buffer.alloc(PAGE_BYTES)
  bytes.writeUInt32LE(INDEX_MAGIC, at.magic)
  bytes.writeUInt32LE(page, at.page)
  bytes.writeUInt32LE(entries.length, at.count)
  for (const [ordinal, entry] of entries.entries()) {
    bytes.writeUInt32LE(entry, HEADER_BYTES + 4 * ordinal)
  }
  bytes.writeUInt32LE(pageChecksum(bytes, entries.length), at.checksum)
  return bytes
}

/** The entries on page number `page`; undefined unless `bytes` is that page, whole. */
export function decodeIndexPage(bytes: Buffer, page: number): number[] | undefined {
  if (bytes.length !== PAGE_BYTES || bytes.readUInt32LE(at.magic) !== INDEX_MAGIC) return undefined
  const count = bytes.readUInt32LE(at.count)
  if (bytes.readUInt32LE(at.page) !== page || count > INDEX_PAGE_ENTRIES) return undefined
  if (bytes.readUInt32LE(at.checksum) !== pageChecksum(bytes, count)) return undefined
  return Array.from({ length: count }, (_, entry) => bytes.readUInt32LE(HEADER_BYTES + 4 * entry))
}

function pageChecksum(bytes: Buffer, count: number): number {
  const header = crc32(bytes.subarray(0, at.checksum))
  return crc32(bytes.subarray(HEADER_BYTES, HEADER_BYTES + 4 * count), header)
}
