import { BATCH_ITEM_HEADER_BYTES, encodeBatchItemHeader } from '../../shared/format/batch.ts'
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
import { type JsonReader, quoteName } from './json-reader.ts'

// `[{data | text | base64, headers?}]` → the batch encoding. `data` and `headers` are copied as
// they were sent, byte for byte. If a member is repeated, the last one counts.

const BACKSLASH = 0x5c
const LONE_SURROGATE = /\p{Cs}/u

const FORMATS: ReadonlyMap<string, RecordFormat> = new Map([
  ['data', RecordFormat.Json],
  ['text', RecordFormat.Text],
  ['base64', RecordFormat.Binary],
])

/** Where the parts of one record lie in the body. */
type Item = {
  format: RecordFormat | undefined
  bodyAt: number
  bodyEnd: number
  headersAt: number
  headersEnd: number
}

/**
 * Encodes the array of records that comes next in `reader`. One bad record refuses them all.
 *
 * A record takes no more bytes encoded than as JSON: its item header is shorter than `{"data":}`,
 * and an escape is longer than what it stands for.
 * @param body what is read, valid UTF-8
 * @param batch where they go; as long as what is left to read
 * @throws StoreError invalid_request, record_too_large
 */
export function encodeJsonRecords(
  body: Buffer,
  reader: JsonReader,
  limits: AppendLimits,
  batch = Buffer.allocUnsafe(reader.bytesLeft),
): EncodedBatch {
  if (!reader.isArray) throw invalid('the records must be an array: "records": [...]')
  const item: Item = { format: undefined, bodyAt: 0, bodyEnd: 0, headersAt: 0, headersEnd: 0 }
  let count = 0
  let at = 0
  for (let more = reader.enterArray(); more; more = reader.nextElement()) {
    if (count === limits.batchRecordsMax) throw tooMany(limits)
    readItem(reader, item, count)
    at = encodeItem(body, item, batch, at, count, limits)
    count += 1
  }
  checkCount(count, limits)
  return { batch: batch.subarray(0, at), count }
}

function readItem(reader: JsonReader, item: Item, index: number): void {
  if (!reader.isObject) throw invalid(`record ${index} is not an object`)
  item.format = undefined
  item.headersAt = 0
  item.headersEnd = 0
  for (let more = reader.enterObject(); more; more = reader.nextMember()) {
    const { name } = reader
    const format = FORMATS.get(name)
    reader.readValue()
    if (name === 'headers') {
      item.headersAt = reader.valueAt
      item.headersEnd = reader.valueEnd
    } else if (format === undefined) {
      throw invalid(`record ${index} has an unknown member ${quoteName(name)}`)
    } else if (item.format !== undefined && item.format !== format) {
      throw exactlyOne(index)
    } else {
      item.format = format
      item.bodyAt = reader.valueAt
      item.bodyEnd = reader.valueEnd
    }
  }
}

/** Writes a record at `start` of `batch`; returns where the next one goes. */
function encodeItem(
  body: Buffer,
  item: Item,
  batch: Buffer,
  start: number,
  index: number,
  limits: AppendLimits,
): number {
  const { format, bodyAt, bodyEnd, headersAt, headersEnd } = item
  if (format === undefined) throw exactlyOne(index)
  const hasHeaders =
    headersEnd > headersAt && countHeaders(body, headersAt, headersEnd, index, limits) > 0
  const headersLength = hasHeaders ? headersEnd - headersAt : 0
  const contentAt = start + BATCH_ITEM_HEADER_BYTES + headersLength
  const length = copyContent(body, format, bodyAt, bodyEnd, batch, contentAt, index)
  checkBodyLength(length, index, limits)
  encodeBatchItemHeader(batch, start, format, headersLength, length)
  body.copy(batch, start + BATCH_ITEM_HEADER_BYTES, headersAt, headersAt + headersLength)
  return contentAt + length
}

/** Writes what the value at `[start, end)` stands for to `target`; returns its length. */
function copyContent(
  body: Buffer,
  format: RecordFormat,
  start: number,
  end: number,
  target: Buffer,
  at: number,
  index: number,
): number {
  switch (format) {
    case RecordFormat.Json:
      return body.copy(target, at, start, end)
    case RecordFormat.Text:
      return copyText(body, start, end, target, at, index)
    case RecordFormat.Binary:
      return copyBase64(body, start, end, target, at, index)
  }
}

function copyText(
  body: Buffer,
  start: number,
  end: number,
  target: Buffer,
  at: number,
  index: number,
): number {
  if (!isString(body, start)) throw invalid(`text of record ${index} is not a string`)
  if (!hasEscape(body, start, end)) return body.copy(target, at, start + 1, end - 1)
  const text = JSON.parse(body.utf8Slice(start, end)) as string
  if (LONE_SURROGATE.test(text)) {
    throw invalid(`text of record ${index} has half of a surrogate pair, which UTF-8 cannot hold`)
  }
  return target.utf8Write(text, at)
}

function copyBase64(
  body: Buffer,
  start: number,
  end: number,
  target: Buffer,
  at: number,
  index: number,
): number {
  const text = isString(body, start) ? (JSON.parse(body.utf8Slice(start, end)) as string) : '*'
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) {
    throw invalid(`base64 of record ${index} is not base64 with padding`)
  }
  return bytes.copy(target, at)
}

/** Not by indexOf, which would search to the end of the body for every record. */
function hasEscape(body: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) if (body[at] === BACKSLASH) return true
  return false
}

function isString(body: Buffer, start: number): boolean {
  return body[start] === 0x22
}

function exactlyOne(index: number) {
  return invalid(`record ${index} must have exactly one of data, text and base64`)
}
