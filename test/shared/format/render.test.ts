import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { viewOf } from '../../../src/shared/format/bytes.ts'
import type { LocatedRecord } from '../../../src/shared/format/read-page.ts'
import {
  encodeRecord,
  RecordFormat,
  recordBytes,
  viewRecord,
} from '../../../src/shared/format/record.ts'
import { formatTime, renderRecords } from '../../../src/shared/format/render.ts'
import type { ReadEncoding } from '../../../src/shared/protocol/streams.ts'

const render = suite('shared/format/render')
const TIME = 1_700_000_000_123_456
const SHOWN = '2023-11-14T22:13:20.123Z'

render('records of every format are one JSON array between brackets', () => {
  const records = [
    record(0, RecordFormat.Json, '{"a":1}'),
    record(1, RecordFormat.Text, 'é"\n\u2028'),
    record(2, RecordFormat.Binary, '\xff\x00'),
  ]
  const timestamp = SHOWN
  assert.equal(JSON.parse(`[${text(records, 'json')}]`), [
    { offset: 0, timestamp, data: { a: 1 } },
    { offset: 1, timestamp, text: 'é"\n\u2028' },
    { offset: 2, timestamp, base64: '/wA=' },
  ])
})

render('JSON bodies go out as the text that came in', () => {
  const body = '{ "n": 1.50,"big":12345678901234567890, "n": 2 }'
  assert.ok(text([record(0, RecordFormat.Json, body)], 'json').endsWith(`,"data":${body}}`))
})

render('headers stand before the body', () => {
  const shown = text([record(7, RecordFormat.Json, '1', '{"a":"b"}')], 'json')
  assert.is(shown, `{"offset":7,"timestamp":"${SHOWN}","headers":{"a":"b"},"data":1}`)
})

render('line breaks between tokens become spaces where a line is a record', () => {
  const broken = [record(0, RecordFormat.Json, '{\r\n"a":\n1}', '{"h":\n"x"}')]
  const object = `{"offset":0,"timestamp":"${SHOWN}","headers":{"h": "x"},"data":{  "a": 1}}`
  assert.is(text(broken, 'ndjson'), `${object}\n`)
  assert.is(text(broken, 'sse'), `id: 1\ndata: ${object}\n\n`)
})

render('a hash is shown when the chain was read from its start', () => {
  const linked = [{ ...record(0, RecordFormat.Json, '1'), hash: '\xab'.repeat(32) }]
  const shown = renderRecords(linked, { encoding: 'json', verify: 'genesis' }).toString()
  assert.is((JSON.parse(shown) as { hash: string }).hash, 'ab'.repeat(32))
  assert.not.ok(text(linked, 'json').includes('hash'))
})

render('the batch encoding holds headers and body of each record', () => {
  const records = [record(0, RecordFormat.Text, 'hi', '{}'), record(1, RecordFormat.Binary, '\x01')]
  const bytes = renderRecords(records, { encoding: 'batch', verify: 'links' })
  assert.is(bytes.toString('hex'), '02000000020002007b7d6869010000000000000001')
})

render('a text that grows by its escapes has room', () => {
  const body = '\x01'.repeat(100_000)
  const records = [record(0, RecordFormat.Text, body), record(1, RecordFormat.Json, '1')]
  const shown = JSON.parse(`[${text(records, 'json')}]`) as { text?: string; data?: number }[]
  assert.is(shown[0]?.text, body)
  assert.is(shown[1]?.data, 1)
})

render('nothing renders as nothing', () => {
  for (const encoding of ['json', 'ndjson', 'sse', 'batch'] as const) {
    assert.is(text([], encoding), '')
  }
})

render('a time has milliseconds, cut, not rounded', () => {
  assert.is(formatTime(1999), '1970-01-01T00:00:00.001Z')
})

function text(records: LocatedRecord[], encoding: ReadEncoding): string {
  return renderRecords(records, { encoding, verify: 'links' }).toString()
}

/** @param body latin1 for binary, UTF-8 for the rest */
function record(offset: number, format: RecordFormat, body: string, headers = ''): LocatedRecord {
  const content = Buffer.from(body, format === RecordFormat.Binary ? 'latin1' : 'utf8')
  const source = Buffer.concat([Buffer.from(headers), content])
  const bytes = Buffer.alloc(recordBytes(headers.length, content.length))
  const fields = { offset, timestamp: TIME, format, previousHash: '\0'.repeat(32) }
  encodeRecord(bytes, viewOf(bytes), 0, fields, source, 0, headers.length, content.length)
  const view = viewRecord(bytes, 0)
  if (view === undefined) throw new Error('an encoded record can be viewed')
  return { bytes, record: view }
}

render.run()
