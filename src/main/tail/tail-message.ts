import { writeU64 } from '../../shared/format/bytes.ts'
import type { ReadEncoding } from '../../shared/protocol/streams.ts'

/** Where a subscriber stands: what it may go on with, on another connection. */
export type Cursor = {
  readonly nextOffset: number
  /** 32 hex digits */
  readonly streamId: string
  /** 64 hex digits: hash of the record before `nextOffset`; null where it is not known */
  readonly lastHash: string | null
}

/** `json` and `batch` as WebSocket messages, `sse` as events of a response. */
export type TailFormat = 'json' | 'batch' | 'sse'

/** Before the batch encoding in a binary message: u64 firstOffset, u32 count, u32 reserved. */
const BATCH_MESSAGE_HEADER_BYTES = 16

export function encodingOf(format: TailFormat): ReadEncoding {
  return format
}

/** Records in the encoding of `format` → the bytes that a subscriber is sent. */
export function wrapRecords(
  format: TailFormat,
  firstOffset: number,
  { nextOffset, streamId, lastHash }: Cursor,
  payload: Uint8Array,
): Buffer {
  switch (format) {
    case 'sse':
      return Buffer.from(payload.buffer, payload.byteOffset, payload.length)
    case 'json': {
      const range = `"firstOffset":${firstOffset},"nextOffset":${nextOffset}`
      const cursor = `"streamId":"${streamId}","lastHash":${JSON.stringify(lastHash)}`
      const opening = `{"type":"records",${range},${cursor},"records":[`
      return Buffer.concat([Buffer.from(opening), payload, Buffer.from(']}')])
    }
    case 'batch': {
      const header = Buffer.alloc(BATCH_MESSAGE_HEADER_BYTES)
      writeU64(header, 0, firstOffset)
      header.writeUInt32LE(nextOffset - firstOffset, 8)
      return Buffer.concat([header, payload])
    }
  }
}
