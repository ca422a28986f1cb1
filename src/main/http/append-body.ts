import { isUtf8 } from 'node:buffer'
import { StoreError } from '../../shared/errors.ts'
import {
  BATCH_ITEM_HEADER_BYTES,
  decodeBatchItem,
  encodeBatchItemHeader,
} from '../../shared/format/batch.ts'
import { RecordFormat } from '../../shared/format/record.ts'
import type { AppendLimits } from './http-config.ts'

// Request bodies of api.md → one buffer in the batch encoding. One bad item refuses the whole body.
//
// `application/json` goes through JSON.parse and JSON.stringify, so its numbers are doubles and
// its white space is gone. NDJSON lines and batch items are stored byte for byte: what needs
// 64-bit integers or its own formatting comes in by those.

/** The records of one append in the batch encoding. */
export type EncodedBatch = { readonly batch: Buffer; readonly count: number }

type Item = {
  readonly format: RecordFormat
  /** As UTF-8 JSON, or empty. */
  readonly headers: string
  readonly body: string | Buffer
  readonly bodyLength: number
}

/**
 * `{"records": [{data | text | base64, headers?}]}`, already parsed.
 * @throws StoreError invalid_request, record_too_large
 */
export function encodeJsonRecords(records: unknown, limits: AppendLimits): EncodedBatch {
  if (!Array.isArray(records)) throw invalid('the body must be {"records": [...]}')
  checkCount(records.length, limits)
  const items = records.map((record, index) => readJsonItem(record, index, limits))
  let length = 0
  for (const { headers, bodyLength } of items) {
    length += BATCH_ITEM_HEADER_BYTES + Buffer.byteLength(headers) + bodyLength
  }
  const batch = Buffer.allocUnsafe(length)
  let at = 0
  for (const { format, headers, body, bodyLength } of items) {
    at = encodeBatchItemHeader(batch, at, format, Buffer.byteLength(headers), bodyLength)
    at += batch.utf8Write(headers, at)
    at += typeof body === 'string' ? batch.utf8Write(body, at) : body.copy(batch, at)
  }
  return { batch, count: items.length }
}

/** @throws StoreError invalid_request, record_too_large */
export function encodeJsonBody(body: Buffer, limits: AppendLimits): EncodedBatch {
  const parsed = parseJson(body, 'the body')
  if (!isObject(parsed)) throw invalid('the body must be {"records": [...]}')
  for (const key of Object.keys(parsed)) {
    if (key !== 'records') throw invalid(`the body has an unknown member ${JSON.stringify(key)}`)
  }
  return encodeJsonRecords(parsed.records, limits)
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
    checkJson(body.utf8Slice(start, end), `record ${index}`)
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
    if (headersLength > 0) checkHeaders(body.subarray(headersAt, bodyAt), count, limits)
    if (format !== RecordFormat.Binary) {
      const content = body.subarray(bodyAt, end)
      if (!isUtf8(content)) throw invalid(`record ${count} is not valid UTF-8`)
      if (format === RecordFormat.Json) checkJson(content.utf8Slice(), `record ${count}`)
    }
    at = end
  }
  checkCount(count, limits)
  return { batch: body, count }
}

/** @throws StoreError invalid_request */
export function parseJson(body: Buffer, what: string): unknown {
  if (!isUtf8(body)) throw invalid(`${what} is not valid UTF-8`)
  return checkJson(body.utf8Slice(), what)
}

const LINE_FEED = 10

function readJsonItem(record: unknown, index: number, limits: AppendLimits): Item {
  if (!isObject(record)) throw invalid(`record ${index} is not an object`)
  let kind: 'data' | 'text' | 'base64' | undefined
  for (const key of Object.keys(record)) {
    if (key === 'headers') continue
    if (key !== 'data' && key !== 'text' && key !== 'base64') {
      throw invalid(`record ${index} has an unknown member ${JSON.stringify(key)}`)
    }
    if (kind !== undefined) throw exactlyOne(index)
    kind = key
  }
  if (kind === undefined) throw exactlyOne(index)
  const headers = 'headers' in record ? encodeHeaders(record.headers, index, limits) : ''
  const value = record[kind]
  switch (kind) {
    case 'data': {
      const text = stringify(value, index)
      return finish(RecordFormat.Json, headers, text, Buffer.byteLength(text), index, limits)
    }
    case 'text': {
      if (typeof value !== 'string') throw invalid(`text of record ${index} is not a string`)
      if (LONE_SURROGATE.test(value)) {
        throw invalid(
          `text of record ${index} has half of a surrogate pair, which UTF-8 cannot hold`,
        )
      }
      return finish(RecordFormat.Text, headers, value, Buffer.byteLength(value), index, limits)
    }
    case 'base64': {
      const bytes = Buffer.from(typeof value === 'string' ? value : '', 'base64')
      if (bytes.toString('base64') !== value) {
        throw invalid(`base64 of record ${index} is not base64 with padding`)
      }
      return finish(RecordFormat.Binary, headers, bytes, bytes.length, index, limits)
    }
  }
}

const LONE_SURROGATE = /\p{Cs}/u

function finish(
  format: RecordFormat,
  headers: string,
  body: string | Buffer,
  bodyLength: number,
  index: number,
  limits: AppendLimits,
): Item {
  checkBodyLength(bodyLength, index, limits)
  return { format, headers, body, bodyLength }
}

function encodeHeaders(value: unknown, index: number, limits: AppendLimits): string {
  checkHeaderValues(value, index, limits)
  if (Object.keys(value).length === 0) return ''
  const text = JSON.stringify(value)
  checkHeadersLength(Buffer.byteLength(text), index, limits)
  return text
}

function checkHeaders(bytes: Buffer, index: number, limits: AppendLimits): void {
  checkHeadersLength(bytes.length, index, limits)
  checkHeaderValues(parseJson(bytes, `headers of record ${index}`), index, limits)
}

function checkHeaderValues(
  value: unknown,
  index: number,
  { headersMax }: AppendLimits,
): asserts value is Record<string, string> {
  if (!isObject(value)) throw invalid(`headers of record ${index} are not an object`)
  const values = Object.values(value)
  if (values.length > headersMax) {
    throw invalid(`record ${index} has more than ${headersMax} headers`)
  }
  if (values.some(header => typeof header !== 'string')) {
    throw invalid(`a header of record ${index} is not a string`)
  }
}

function checkHeadersLength(length: number, index: number, limits: AppendLimits): void {
  if (length <= limits.headersBytesMax) return
  throw invalid(`headers of record ${index} take more than ${limits.headersBytesMax} bytes`)
}

function checkBodyLength(length: number, index: number, { recordBytesMax }: AppendLimits): void {
  if (length <= recordBytesMax) return
  throw new StoreError(
    'record_too_large',
    `record ${index} has ${length} bytes, ${recordBytesMax} are allowed`,
    { recordBytesMax },
  )
}

function checkCount(count: number, limits: AppendLimits): void {
  if (count === 0) throw invalid('the body has no records')
  if (count > limits.batchRecordsMax) throw tooMany(limits)
}

function tooMany({ batchRecordsMax }: AppendLimits): StoreError {
  return invalid(`the body has more than ${batchRecordsMax} records`)
}

function checkJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw invalid(`${what} is not valid JSON`)
  }
}

/** JSON.parse takes any depth, JSON.stringify what the stack holds. */
function stringify(value: unknown, index: number): string {
  try {
    return JSON.stringify(value)
  } catch {
    throw invalid(`data of record ${index} is nested too deeply; send it as application/x-ndjson`)
  }
}

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

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function exactlyOne(index: number): StoreError {
  return invalid(`record ${index} must have exactly one of data, text and base64`)
}

function invalid(detail: string): StoreError {
  return new StoreError('invalid_request', detail)
}
