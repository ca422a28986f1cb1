import { BATCH_ITEM_HEADER_BYTES, encodeBatchItemHeader } from '../../src/shared/format/batch.ts'
import { encodeSessionAnswer } from '../../src/shared/format/session-answer.ts'
import type { RecordFormat } from '../../src/shared/format/record.ts'
import {
  SESSION_PRODUCER_BYTES,
  SESSION_PRODUCER_LAYOUT,
  SESSION_REQUEST_HEADER_BYTES,
  SESSION_REQUEST_LAYOUT,
  SessionFlag,
} from '../../src/shared/format/session-request.ts'

export type Content = {
  readonly format: RecordFormat
  readonly headers: string
  readonly body: string
}

/** Records as they come over the wire. */
export function encodeBatch(records: readonly Content[]): Buffer {
  const items = records.map(({ format, headers, body }) => {
    const header = Buffer.alloc(BATCH_ITEM_HEADER_BYTES)
    encodeBatchItemHeader(header, 0, format, Buffer.byteLength(headers), Buffer.byteLength(body))
    return Buffer.concat([header, Buffer.from(headers), Buffer.from(body)])
  })
  return Buffer.concat(items)
}

/** An append as a session sends it, from a producer. */
export function encodeSessionMessage(stream: string, batch: Buffer): Buffer {
  const header = Buffer.alloc(SESSION_REQUEST_HEADER_BYTES)
  header.writeUInt32LE(7, SESSION_REQUEST_LAYOUT.id[0])
  header.writeUInt16LE(stream.length, SESSION_REQUEST_LAYOUT.nameLength[0])
  header.writeUInt16LE(SessionFlag.Producer | 2, SESSION_REQUEST_LAYOUT.flags[0])
  const producer = Buffer.alloc(SESSION_PRODUCER_BYTES)
  producer.writeBigUInt64LE(3n, SESSION_PRODUCER_LAYOUT.epoch[0])
  producer.writeUInt16LE(2, SESSION_PRODUCER_LAYOUT.idLength[0])
  return Buffer.concat([header, Buffer.from(stream), producer, Buffer.from('p1'), batch])
}

/** What a new stream's first append of `count` records is answered with. */
export function encodeSessionAnswered(count: number): Buffer {
  return encodeSessionAnswer({ id: 7, status: 200, firstOffset: 0, nextOffset: count })
}
