import { PRODUCER_ID_BYTES_MAX } from '../limits.ts'
import type { Producer } from '../protocol/streams.ts'
import { readU64, writeU64 } from './bytes.ts'
import { layout } from './layout.ts'

// Who made an append, in the frame of that append: so deduplication is as durable as the data.

const PRODUCER_HEADER_BYTES = 20

// biome-ignore format: a layout is read as a table
export const PRODUCER_LAYOUT = { // little-endian; the id (UTF-8) follows
  //          at width
  epoch:    [  0, 8 ], // u64
  seq:      [  8, 8 ], // u64
  idLength: [ 16, 2 ], // u16  1 to 128
  reserved: [ 18, 2 ], // u16  zero
} as const
const at = layout(PRODUCER_HEADER_BYTES, PRODUCER_LAYOUT)

export function producerBytes(producer: Producer | undefined): number {
  return producer === undefined ? 0 : PRODUCER_HEADER_BYTES + Buffer.byteLength(producer.id)
}

/** Writes a producer at `start`; returns where it ends. */
export function encodeProducer(target: Buffer, start: number, producer: Producer): number {
  writeU64(target, start + at.epoch, producer.epoch)
  writeU64(target, start + at.seq, producer.seq)
  const idLength = target.utf8Write(producer.id, start + PRODUCER_HEADER_BYTES)
  target.writeUInt32LE(idLength, start + at.idLength) // the reserved bytes are zero
  return start + PRODUCER_HEADER_BYTES + idLength
}

/** The producer that fills `[start, end)`; undefined when that makes none. */
export function decodeProducer(bytes: Buffer, start: number, end: number): Producer | undefined {
  const idAt = start + PRODUCER_HEADER_BYTES
  if (idAt >= end) return undefined
  const idLength = bytes.readUInt32LE(start + at.idLength)
  const epoch = readU64(bytes, start + at.epoch)
  const seq = readU64(bytes, start + at.seq)
  const isSound = idLength === end - idAt && idLength <= PRODUCER_ID_BYTES_MAX
  if (!isSound || Number.isNaN(epoch + seq)) return undefined
  return { id: bytes.utf8Slice(idAt, end), epoch, seq }
}
