import { latin1ToHex } from '../../shared/format/bytes.ts'
import { CHANGE_NAMES, decodeCheckpointBody } from '../../shared/format/checkpoint.ts'
import { compressionNameOf, ExpandError, expandBody } from '../../shared/format/compression.ts'
import { type RecordView, RecordFormat, RecordKind } from '../../shared/format/record.ts'

import { REQUEST_BYTES_MAX } from '../../shared/limits.ts'

// How structures read as one line of text each.

const PREVIEW_BYTES = 48

/** `kind at 4096, name value, name value`. */
export function describe(
  kind: string,
  at: number,
  fields: Readonly<Record<string, string | number>>,
): string {
  const texts = Object.entries(fields).map(([name, value]) => `${name} ${value}`)
  return [`${kind} at ${at}`, ...texts].join(', ')
}

/** Names of the bits of `value` that `flags` has, and the rest as a number. */
export function nameFlags(flags: Readonly<Record<string, number>>, value: number): string {
  const names = Object.entries(flags).filter(([, bit]) => (value & bit) !== 0)
  const rest = names.reduce((left, [, bit]) => left & ~bit, value)
  const texts = names.map(([name]) => name)
  if (rest !== 0) texts.push(`0x${rest.toString(16)}`)
  return texts.length === 0 ? 'none' : texts.join('+')
}

/** Name of a constant by its value. */
export function nameOf(table: Readonly<Record<string, number>>, value: number): string {
  return Object.entries(table).find(([, known]) => known === value)?.[0] ?? String(value)
}

/** Text in quotes, without anything that a terminal would act on. */
export function quote(text: string): string {
  return escapeControls(JSON.stringify(text))
}

/** Escapes the controls that JSON leaves as they are. */
export function escapeControls(json: string): string {
  return json.replaceAll(
    /[\u007f-\u009f\u2028\u2029]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** µs since 1970. */
export function time(micros: number): string {
  const date = new Date(micros / 1000)
  return Number.isNaN(date.getTime()) ? `${micros} µs` : date.toISOString()
}

export function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** One record; `at` is its position in the file. */
export function describeRecord(bytes: Buffer, record: RecordView, at: number): string {
  if (record.kind === RecordKind.Checkpoint) return describeCheckpoint(bytes, record, at)
  const { headersAt, bodyAt, compression } = record
  const headers = bodyAt > headersAt ? { headers: quote(bytes.utf8Slice(headersAt, bodyAt)) } : {}
  return describe('record', at, {
    offset: record.offset,
    bytes: record.end - record.at,
    time: time(record.timestamp),
    format: nameOf(RecordFormat, record.format),
    previous: latin1ToHex(record.previousHash),
    ...headers,
    ...(compression === 0 ? {} : { compression: compressionNameOf(compression) ?? compression }),
    body: `${record.rawLength} bytes ${preview(bodyToShow(bytes, record), record)}`,
  })
}

function describeCheckpoint(bytes: Buffer, record: RecordView, at: number): string {
  const body = decodeCheckpointBody(bytes, record)
  const common = {
    offset: record.offset,
    bytes: record.end - record.at,
    time: time(record.timestamp),
    previous: latin1ToHex(record.previousHash),
  }
  if (body === undefined) return describe('checkpoint that makes no sense', at, common)
  const { recordCount, trimPoint, keyId, signature, isLastOfSegment } = body
  return describe(isLastOfSegment ? 'checkpoint, end of segment,' : 'checkpoint', at, {
    ...common,
    recordCount,
    trimOffset: trimPoint.offset,
    trimHash: latin1ToHex(trimPoint.hash),
    stateHash: latin1ToHex(body.stateHash),
    change: CHANGE_NAMES[body.change],
    keyId: latin1ToHex(keyId),
    signature: latin1ToHex(signature),
  })
}

/** The body as it was appended, where it can be had. */
function bodyToShow(bytes: Buffer, record: RecordView): Buffer {
  const stored = bytes.subarray(record.bodyAt, record.bodyEnd)
  if (record.compression === 0 || record.rawLength > REQUEST_BYTES_MAX) return stored
  try {
    return expandBody(record.compression, stored, record.rawLength)
  } catch (error) {
    if (error instanceof ExpandError) return stored
    throw error
  }
}

function preview(body: Buffer, { format, rawLength }: RecordView): string {
  const start = body.subarray(0, PREVIEW_BYTES)
  // One that could not be expanded is not of its format.
  const isBinary = format === RecordFormat.Binary || body.length !== rawLength
  const text = isBinary ? start.toString('hex') : quote(start.toString())
  return body.length > PREVIEW_BYTES ? `${text}...` : text
}
