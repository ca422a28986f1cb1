import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { GENESIS_HASH } from '../../../src/shared/format/chain.ts'
import {
  CODECS,
  compressBody,
  CompressionCode,
  zstdCodec,
} from '../../../src/shared/format/compression.ts'
import { expandedBytes, expandRecord } from '../../../src/shared/format/expand.ts'
import type { LocatedRecord } from '../../../src/shared/format/read-page.ts'
import { decodeRecord, RecordFormat, RecordKind } from '../../../src/shared/format/record.ts'
import { assertRejectsFlips, assertRejectsPrefixes, golden } from '../../support/format.ts'
import { COMPRESSED, SAMPLES } from '../../support/format-samples.ts'

const HEADERS = '{"type":"placed"}'
const BODY = JSON.stringify(Array.from({ length: 40 }, (_, id) => ({ id, state: 'placed' })))
/** What lies around the record in its buffer. */
const BEFORE = 100

function locate(headers: string, body: Buffer, compression: number, rawLength: number) {
  const bodyAt = BEFORE + 68 + headers.length
  const bytes = Buffer.alloc(bodyAt + body.length + 50, 0xee)
  bytes.write(headers, BEFORE + 68)
  body.copy(bytes, bodyAt)
  const record = {
    offset: 7,
    timestamp: 1,
    kind: RecordKind.Data,
    compression,
    format: RecordFormat.Json,
    rawLength,
    previousHash: GENESIS_HASH,
    at: BEFORE,
    headersAt: BEFORE + 68,
    bodyAt,
    bodyEnd: bodyAt + body.length,
    end: bodyAt + body.length + 8,
  }
  return { bytes, record }
}

function compressed(headers: string, rawLength = BODY.length): LocatedRecord {
  const stored = compressBody(CompressionCode.Lz4, Buffer.from(BODY), 0, BODY.length)
  assert.ok(stored)
  return locate(headers, stored, CompressionCode.Lz4, rawLength)
}

function contentOf({ bytes, record }: LocatedRecord): [headers: string, body: string] {
  const { headersAt, bodyAt, bodyEnd } = record
  return [bytes.toString('utf8', headersAt, bodyAt), bytes.toString('utf8', bodyAt, bodyEnd)]
}

function failureOf(run: () => unknown): StoreError {
  try {
    run()
  } catch (error) {
    assert.instance(error, StoreError)
    return error as StoreError
  }
  return assert.unreachable() as never
}

const expand = suite('shared/format/expand')

expand('a record that is not compressed is itself', () => {
  const located = locate(HEADERS, Buffer.from(BODY), CompressionCode.None, BODY.length)
  assert.is(expandRecord(located), located)
})

expand('a compressed record has its headers and its original body', () => {
  for (const headers of [HEADERS, '']) {
    const expanded = expandRecord(compressed(headers))
    assert.equal(contentOf(expanded), [headers, BODY])
  }
})

expand('what an expanded record says of itself stays, and it is not compressed', () => {
  const { record } = compressed(HEADERS)
  const expanded = expandRecord(compressed(HEADERS)).record
  for (const key of [
    'offset',
    'timestamp',
    'kind',
    'format',
    'rawLength',
    'previousHash',
  ] as const) {
    assert.is(expanded[key], record[key], key)
  }
  assert.is(expanded.compression, CompressionCode.None)
  assert.is(expanded.bodyEnd - expanded.bodyAt, record.rawLength)
})

expand('an expanded record stays when the buffer that it came from is used again', () => {
  for (const headers of [HEADERS, '']) {
    const located = compressed(headers)
    const expanded = expandRecord(located)
    located.bytes.fill(0)
    assert.equal(contentOf(expanded), [headers, BODY])
  }
})

expand('a body of another length than is stated is damage of that one record', () => {
  for (const rawLength of [BODY.length - 1, BODY.length + 1, 0xffff_ffff]) {
    const { code, fields } = failureOf(() => expandRecord(compressed(HEADERS, rawLength)))
    assert.is(code, 'corrupt_record')
    assert.equal(fields, { firstCorruptOffset: 7, nextReadableOffset: 8 })
  }
})

expand('a record of a codec that this Node has not got is not called damaged', () => {
  const zstd = zstdCodec({ zstdCompressSync: undefined, zstdDecompressSync: undefined })
  const located = locate(HEADERS, Buffer.alloc(50), CompressionCode.Zstd, 500)
  const { code, message, fields } = failureOf(() => expandRecord(located, { ...CODECS, zstd }))
  assert.is(code, 'codec_unavailable')
  assert.match(message, /^record 7 cannot be expanded: this Node has no zstd/)
  assert.equal(fields, { offset: 7 })
})

expand('a compressed record that is cut off or has a bit flipped is no record', () => {
  const decode = (bytes: Buffer) => decodeRecord(bytes, 0)
  assertRejectsPrefixes(golden('compressed-record'), decode)
  assertRejectsFlips(golden('compressed-record'), decode)
})

expand('records back to back say what they expand to', () => {
  const { record, 'compressed-record': compressedRecord } = SAMPLES
  const more = COMPRESSED.body.length - COMPRESSED.block.length
  const bytes = Buffer.concat([record, compressedRecord, record, compressedRecord])
  assert.is(expandedBytes(bytes), bytes.length + 2 * more)
  assert.is(expandedBytes(Buffer.alloc(0)), 0)
})

expand.run()
