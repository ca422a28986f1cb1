import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  BATCH_ITEM_LAYOUT,
  decodeBatchItem,
  encodeBatchItemHeader,
} from '../../../src/shared/format/batch.ts'
import { RecordFormat } from '../../../src/shared/format/record.ts'
import { golden, patched, storeErrorCode } from '../../support/format.ts'
import { RECORDS } from '../../support/format-samples.ts'

const BYTES = golden('batch')
const FIRST_END = 8 + RECORDS[0].headers.length + RECORDS[0].body.length
const refuse = (bytes: Buffer, limit = bytes.length) =>
  storeErrorCode(() => decodeBatchItem(bytes, 0, limit))

const batch = suite('shared/format/batch')

batch('the golden bytes are two items', () => {
  let at = 0
  for (const { format, headers, body } of RECORDS) {
    const item = decodeBatchItem(BYTES, at, BYTES.length)
    const bodyAt = item.headersAt + item.headersLength
    assert.is(item.format, format)
    assert.is(BYTES.toString('utf8', item.headersAt, bodyAt), headers)
    assert.is(BYTES.toString('utf8', bodyAt, item.end), body)
    at = item.end
  }
  assert.is(at, BYTES.length)
})

batch('a header says where its headers go', () => {
  const bytes = Buffer.alloc(32, 0xff)
  assert.is(encodeBatchItemHeader(bytes, 3, RecordFormat.Text, 5, 7), 11)
  const item = decodeBatchItem(bytes, 3, 23)
  assert.equal(item, { format: 2, headersAt: 11, headersLength: 5, bodyLength: 7, end: 23 })
})

batch('every truncated prefix is rejected', () => {
  for (let length = 0; length < FIRST_END; length += 1) {
    assert.is(refuse(Buffer.from(BYTES.subarray(0, length))), 'invalid_request', `${length} bytes`)
    assert.is(refuse(BYTES, length), 'invalid_request', `a limit of ${length} bytes`)
  }
})

batch('the reserved byte and an unknown format are rejected', () => {
  assert.is(refuse(patched(BYTES, BATCH_ITEM_LAYOUT.reserved[0], 1)), 'invalid_request')
  assert.is(refuse(patched(BYTES, BATCH_ITEM_LAYOUT.format[0], 3)), 'invalid_request')
})

batch('an absurd length is rejected', () => {
  const bytes = Buffer.from(BYTES)
  bytes.writeUInt32LE(0xffff_ffff, BATCH_ITEM_LAYOUT.bodyLength[0])
  assert.is(refuse(bytes), 'invalid_request')
})

batch('eight zeros are an empty binary record', () => {
  const item = decodeBatchItem(Buffer.alloc(8), 0, 8)
  assert.equal(item, { format: 0, headersAt: 8, headersLength: 0, bodyLength: 0, end: 8 })
})

batch.run()
