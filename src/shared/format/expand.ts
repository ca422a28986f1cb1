import { assert } from '../assert.ts'
import { StoreError } from '../errors.ts'
import { CODECS, CompressionCode, ExpandError, expandBody } from './compression.ts'
import type { LocatedRecord } from './read-page.ts'
import { viewRecord } from './record.ts'

/**
 * The record with its original body, which is what is hashed, counted and shown; the argument
 * itself where nothing is compressed. Of a compressed record, only headers and body are there:
 * in bytes of their own, side by side, which is where its positions point.
 * @param located its raw length is within the record limit
 * @throws StoreError corrupt_record, codec_unavailable
 */
export function expandRecord(located: LocatedRecord, codecs = CODECS): LocatedRecord {
  const { bytes, record } = located
  if (record.compression === CompressionCode.None) return located
  const headers = bytes.subarray(record.headersAt, record.bodyAt)
  const body = expandStored(located, codecs)
  const expanded = headers.length === 0 ? body : Buffer.concat([headers, body])
  return {
    bytes: expanded,
    record: {
      ...record,
      compression: CompressionCode.None,
      at: 0,
      headersAt: 0,
      bodyAt: headers.length,
      bodyEnd: expanded.length,
      end: expanded.length,
    },
  }
}

/** Bytes that whole records, back to back, would take if none of them were compressed. */
export function expandedBytes(records: Buffer): number {
  let bytes = records.length
  for (let at = 0; at < records.length; ) {
    const record = viewRecord(records, at)
    assert(record !== undefined, 'whole records, back to back')
    bytes += record.rawLength - (record.bodyEnd - record.bodyAt)
    at = record.end
  }
  return bytes
}

function expandStored({ bytes, record }: LocatedRecord, codecs: typeof CODECS): Buffer {
  const { offset, compression, rawLength, bodyAt, bodyEnd } = record
  try {
    return expandBody(compression, bytes.subarray(bodyAt, bodyEnd), rawLength, codecs)
  } catch (error) {
    if (!(error instanceof ExpandError)) throw error
    const detail = `record ${offset} cannot be expanded: ${error.message}`
    if (error.reason === 'unavailable') {
      throw new StoreError('codec_unavailable', detail, { offset }, error)
    }
    const range = { firstCorruptOffset: offset, nextReadableOffset: offset + 1 }
    throw new StoreError('corrupt_record', detail, range, error)
  }
}
