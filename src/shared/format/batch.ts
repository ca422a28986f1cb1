import { StoreError } from '../errors.ts'
import { layout } from './layout.ts'
import { RecordFormat } from './record.ts'

// The batch encoding of api.md: items back to back until the body ends. It is the wire format of
// `application/vnd.varve.batch`, and the form in which every append travels to its shard.

export const BATCH_ITEM_HEADER_BYTES = 8

// biome-ignore format: a layout is read as a table
export const BATCH_ITEM_LAYOUT = { // little-endian; headers, then the body, follow
  //              at width
  bodyLength:    [ 0, 4 ], // u32
  headersLength: [ 4, 2 ], // u16
  format:        [ 6, 1 ], // u8   0 binary, 1 JSON, 2 text
  reserved:      [ 7, 1 ], // u8   zero
} as const
const at = layout(BATCH_ITEM_HEADER_BYTES, BATCH_ITEM_LAYOUT)

/**
 * One item; its headers lie at `headersAt` of the buffer it was read from, the body right after
 * them.
 */
export type BatchItem = {
  readonly format: RecordFormat
  readonly headersAt: number
  readonly headersLength: number
  readonly bodyLength: number
  /** Where the next item starts. */
  readonly end: number
}

/** Writes an item's header at `start`; returns where its headers go. */
export function encodeBatchItemHeader(
  target: Buffer,
  start: number,
  format: RecordFormat,
  headersLength: number,
  bodyLength: number,
): number {
  target.writeUInt32LE(bodyLength, start + at.bodyLength)
  target.writeUInt16LE(headersLength, start + at.headersLength)
  target.writeUInt16LE(format, start + at.format) // the reserved byte is zero
  return start + BATCH_ITEM_HEADER_BYTES
}

/**
 * Decodes the structure of the item at `start`, which must end by `limit`.
 * @throws StoreError invalid_request when it is cut off or a field has no meaning
 */
export function decodeBatchItem(bytes: Buffer, start: number, limit: number): BatchItem {
  const headersAt = start + BATCH_ITEM_HEADER_BYTES
  if (headersAt > limit) throw cutOff(start)
  const bodyLength = bytes.readUInt32LE(start + at.bodyLength)
  const headersLength = bytes.readUInt16LE(start + at.headersLength)
  const format = bytes.readUInt16LE(start + at.format)
  const end = headersAt + headersLength + bodyLength
  if (end > limit) throw cutOff(start)
  if (format > RecordFormat.Text) {
    throw new StoreError('invalid_request', `batch item at byte ${start} has an unknown format`)
  }
  return { format: format as RecordFormat, headersAt, headersLength, bodyLength, end }
}

function cutOff(start: number): StoreError {
  return new StoreError('invalid_request', `batch item at byte ${start} is cut off`)
}
