import { isUtf8 } from 'node:buffer'
import {
  BATCH_ITEM_HEADER_BYTES,
  decodeBatchItem,
  encodeBatchItemHeader,
} from '../../shared/format/batch.ts'
import { RecordFormat } from '../../shared/format/record.ts'
import {
  checkBodyLength,
  checkCount,
  countHeaders,
  type EncodedBatch,
  invalid,
  tooMany,
} from './append-checks.ts'
import type { AppendLimits } from './http-config.ts'
import { openJsonObject, unknownMember } from './json-envelope.ts'
import { isJson } from './json-reader.ts'
import { encodeJsonRecords } from './json-records.ts'

// Request bodies of api.md → one buffer in the batch encoding. One bad item refuses the whole body.
// JSON is stored byte for byte, whatever it came in.

/**
 * `{"records": [{data | text | base64, headers?}]}`
 * @throws StoreError invalid_request, record_too_large
 */
export function encodeJsonBody(body: Buffer, limits: AppendLimits): EncodedBatch {
  const reader = openJsonObject(body, 'the body', '{"records": [...]}')
  const batch = Buffer.allocUnsafe(body.length)
  let encoded: EncodedBatch | undefined
  for (let more = reader.enterObject(); more; more = reader.nextMember()) {
    if (reader.name !== 'records') throw unknownMember('the body', reader.name)
    encoded = encodeJsonRecords(body, reader, limits, batch)
  }
  reader.finish()
  if (encoded === undefined) throw invalid('the body must be {"records": [...]}')
  return encoded
}

/** One JSON value a line; the lines' bytes are kept as they are. */
export function encodeNdjsonBody(body: Buffer, limits: AppendLimits): EncodedBatch {
  if (!isUtf8(body)) throw invalid('the body is not valid UTF-8')
  const lines: [start: number, end: number][] = []
  let length = 0
  for (let start = 0; start < body.length; ) {
    const feed = body.indexOf(LINE_FEED, start)
    const next = feed === -1 ? body.length : feed
    const line = trim(body, start, next)
    if (line[1] > line[0]) {
      if (lines.length === limits.batchRecordsMax) throw tooMany(limits)
      lines.push(line)
      length += line[1] - line[0] + BATCH_ITEM_HEADER_BYTES
    }
    start = next + 1
  }
  checkCount(lines.length, limits)
  const batch = Buffer.allocUnsafe(length)
  let at = 0
  for (const [index, [start, end]] of lines.entries()) {
    checkBodyLength(end - start, index, limits)
    if (!isJson(body, start, end)) throw invalid(`record ${index} is not valid JSON`)
    at = encodeBatchItemHeader(batch, at, RecordFormat.Json, 0, end - start)
    at += body.copy(batch, at, start, end)
  }
  return { batch, count: lines.length }
}

/** The whole body is one record. */
export function encodeLoneBody(
  body: Buffer,
  format: RecordFormat,
  limits: AppendLimits,
): EncodedBatch {
  checkBodyLength(body.length, 0, limits)
  if (format === RecordFormat.Text && !isUtf8(body)) throw invalid('the body is not valid UTF-8')
  const batch = Buffer.allocUnsafe(BATCH_ITEM_HEADER_BYTES + body.length)
  body.copy(batch, encodeBatchItemHeader(batch, 0, format, 0, body.length))
  return { batch, count: 1 }
}

/** Checks a body in the batch encoding, which is then used as it is. */
export function checkBatchBody(body: Buffer, limits: AppendLimits): EncodedBatch {
  let count = 0
  for (let at = 0; at < body.length; count += 1) {
    if (count === limits.batchRecordsMax) throw tooMany(limits)
    const { format, headersAt, headersLength, bodyLength, end } = decodeBatchItem(
      body,
      at,
      body.length,
    )
    const bodyAt = headersAt + headersLength
    checkBodyLength(bodyLength, count, limits)
    if (headersLength > 0) {
      if (!isUtf8(body.subarray(headersAt, bodyAt))) {
        throw invalid(`headers of record ${count} are not valid UTF-8`)
      }
      countHeaders(body, headersAt, bodyAt, count, limits)
    }
    if (format !== RecordFormat.Binary) {
      if (!isUtf8(body.subarray(bodyAt, end))) throw invalid(`record ${count} is not valid UTF-8`)
      if (format === RecordFormat.Json && !isJson(body, bodyAt, end)) {
        throw invalid(`record ${count} is not valid JSON`)
      }
    }
    at = end
  }
  checkCount(count, limits)
  return { batch: body, count }
}

const LINE_FEED = 10

/** Without the white space of JSON (RFC 8259 section 2) at both ends. */
function trim(bytes: Buffer, from: number, to: number): [start: number, end: number] {
  let start = from
  let end = to
  while (start < end && isSpace(bytes[start])) start += 1
  while (end > start && isSpace(bytes[end - 1])) end -= 1
  return [start, end]
}

function isSpace(byte: number | undefined): boolean {
  return byte === 32 || byte === 9 || byte === 13 || byte === LINE_FEED
}
