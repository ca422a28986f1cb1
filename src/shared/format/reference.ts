import type { Producer } from '../protocol/streams.ts'
import { isZero, readU64, writeU64 } from './bytes.ts'
import { layout } from './layout.ts'
import { decodeProducer, encodeProducer, producerBytes } from './producer.ts'

// What the journal says of an append whose records went straight to a segment: they are there,
// synced, with everything of the stream that came before, up to the end that is named. So the
// payload is written once.

const REFERENCE_HEADER_BYTES = 144

// biome-ignore format: a layout is read as a table
export const REFERENCE_LAYOUT = { // little-endian; the producer follows
  //                    at width
  firstOffset:        [  0,  8 ], // u64
  count:              [  8,  4 ], // u32  data records
  length:             [ 12,  4 ], // u32  bytes of the records, checkpoints included
  checksum:           [ 16,  4 ], // u32  CRC-32 of them
  producerLength:     [ 20,  4 ], // u32  maybe 0
  chainHead:          [ 24, 32 ], //      chain hash of the last record of either kind
  segmentFirstOffset: [ 56,  8 ], // u64  of the segment that is active after it
  segmentSince:       [ 64,  8 ], // u64  µs since 1970, of that segment's first record
  lastCheckpoint:     [ 72,  8 ], // u64  offset of the last checkpoint
  recordBytes:        [ 80,  8 ], // u64  of all records kept
  segment:            [ 88,  4 ], // u32  number of the active segment
  segmentBytes:       [ 92,  4 ], // u32  bytes of it that count
  recordHash:         [ 96, 32 ], //      hash of the last data record
  reserved:           [128, 16 ], //      zero
} as const
const at = layout(REFERENCE_HEADER_BYTES, REFERENCE_LAYOUT)

export type Reference = {
  readonly firstOffset: number
  readonly count: number
  readonly length: number
  readonly checksum: number
  readonly chainHead: string
  readonly recordHash: string
  readonly segmentFirstOffset: number
  readonly segmentSince: number
  readonly lastCheckpoint: number
  readonly recordBytes: number
  readonly segment: number
  readonly segmentBytes: number
  readonly producer: Producer | undefined
}

export function referenceBytes(producer: Producer | undefined): number {
  return REFERENCE_HEADER_BYTES + producerBytes(producer)
}

/** Writes a reference at `start`; returns where it ends. */
export function encodeReference(target: Buffer, start: number, reference: Reference): number {
  const { producer } = reference
  target.fill(0, start, start + REFERENCE_HEADER_BYTES)
  writeU64(target, start + at.firstOffset, reference.firstOffset)
  target.writeUInt32LE(reference.count, start + at.count)
  target.writeUInt32LE(reference.length, start + at.length)
  target.writeUInt32LE(reference.checksum, start + at.checksum)
  target.writeUInt32LE(producerBytes(producer), start + at.producerLength)
  target.latin1Write(reference.chainHead, start + at.chainHead, 32)
  target.latin1Write(reference.recordHash, start + at.recordHash, 32)
  writeU64(target, start + at.segmentFirstOffset, reference.segmentFirstOffset)
  writeU64(target, start + at.segmentSince, reference.segmentSince)
  writeU64(target, start + at.lastCheckpoint, reference.lastCheckpoint)
  writeU64(target, start + at.recordBytes, reference.recordBytes)
  target.writeUInt32LE(reference.segment, start + at.segment)
  target.writeUInt32LE(reference.segmentBytes, start + at.segmentBytes)
  const end = start + REFERENCE_HEADER_BYTES
  return producer === undefined ? end : encodeProducer(target, end, producer)
}

/** The reference that fills `[start, end)`; undefined when that makes none. */
export function decodeReference(bytes: Buffer, start: number, end: number): Reference | undefined {
  const producerAt = start + REFERENCE_HEADER_BYTES
  if (producerAt > end) return undefined
  const chainHeadAt = start + at.chainHead
  const recordHashAt = start + at.recordHash
  const isAlone = producerAt === end
  const producer = isAlone ? undefined : decodeProducer(bytes, producerAt, end)
  const reference = {
    firstOffset: readU64(bytes, start + at.firstOffset),
    count: bytes.readUInt32LE(start + at.count),
    length: bytes.readUInt32LE(start + at.length),
    checksum: bytes.readUInt32LE(start + at.checksum),
    chainHead: bytes.latin1Slice(chainHeadAt, chainHeadAt + 32),
    recordHash: bytes.latin1Slice(recordHashAt, recordHashAt + 32),
    segmentFirstOffset: readU64(bytes, start + at.segmentFirstOffset),
    segmentSince: readU64(bytes, start + at.segmentSince),
    lastCheckpoint: readU64(bytes, start + at.lastCheckpoint),
    recordBytes: readU64(bytes, start + at.recordBytes),
    segment: bytes.readUInt32LE(start + at.segment),
    segmentBytes: bytes.readUInt32LE(start + at.segmentBytes),
    producer,
  }
  const { firstOffset, segmentFirstOffset, segmentSince, lastCheckpoint, recordBytes } = reference
  const numbers = firstOffset + segmentFirstOffset + segmentSince + lastCheckpoint + recordBytes
  const isSound =
    bytes.readUInt32LE(start + at.producerLength) === end - producerAt &&
    isZero(bytes, start + at.reserved, producerAt) &&
    reference.count > 0 &&
    (isAlone || producer !== undefined) &&
    !Number.isNaN(numbers)
  return isSound ? reference : undefined
}
