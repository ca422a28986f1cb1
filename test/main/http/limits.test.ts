import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BATCH_ITEM_HEADER_BYTES, encodeBatchItemHeader } from '../../../src/shared/format/batch.ts'
import { RecordFormat } from '../../../src/shared/format/record.ts'
import { json, sendRaw, withServer } from '../../support/http-server.ts'

const limits = suite('main/http/limits')
const LIMITS = { recordBytesMax: 10, batchRecordsMax: 3, headersMax: 2, headersBytesMax: 20 }
const JSON_TYPE = 'application/json'

limits('a record may be as long as the limit and no longer, in every type', () =>
  withServer(async ({ append }) => {
    for (const [type, at, past] of RECORDS) {
      assert.is((await append('a', type, at)).status, 200, type)
      const { status, body } = await append('a', type, past)
      assert.equal(
        [status, body.code, body.outcome],
        [413, 'record_too_large', 'not_applied'],
        type,
      )
    }
  }, LIMITS),
)

limits('a batch may have as many records as the limit and no more', () =>
  withServer(async ({ append }) => {
    for (const [type, of] of BATCHES) {
      assert.is((await append('a', type, of(3))).status, 200, type)
      assert.is((await append('a', type, of(4))).body.code, 'invalid_request', type)
    }
  }, LIMITS),
)

limits('headers may be as many and as long as the limits', () =>
  withServer(async ({ append }) => {
    for (const headers of [{ a: '1', b: '2' }, { a: 'x'.repeat(12) }, {}]) {
      assert.is((await append('a', JSON_TYPE, json({ data: 1, headers }))).status, 200)
      assert.is((await append('a', BATCH, item('1', JSON.stringify(headers)))).status, 200)
    }
    for (const headers of [{ a: '1', b: '2', c: '3' }, { a: 'x'.repeat(13) }]) {
      assert.is((await append('a', JSON_TYPE, json({ data: 1, headers }))).status, 400)
      assert.is((await append('a', BATCH, item('1', JSON.stringify(headers)))).status, 400)
    }
  }, LIMITS),
)

limits('items of a batch are checked one by one', () =>
  withServer(async ({ append }) => {
    const good = item('1', '')
    const bad: readonly Buffer[] = [
      item('{', ''),
      item('1', '[]'),
      item('1', '{"a":1}'),
      item(Buffer.from([0xff]), '', RecordFormat.Text),
      item('x', '', 3),
      good.subarray(0, -1),
      Buffer.from(good).fill(1, 7, 8),
    ]
    for (const body of bad) {
      const { status } = await append('a', BATCH, Buffer.concat([good, body]))
      assert.is(status, 400, body.toString('hex'))
    }
  }),
)

limits('a request may be as long as the limit, announced or not', () =>
  withServer(
    async ({ append, send }) => {
      assert.is((await append('a', 'text/plain', 'x'.repeat(100))).status, 200)
      const { status, body } = await append('a', 'text/plain', 'x'.repeat(101))
      assert.equal([status, body.code, body.outcome], [413, 'body_too_large', 'not_applied'])
      const chunked = await send('POST', '/v1/streams/a/records', chunkedBody('x'.repeat(101)))
      assert.equal([chunked.status, chunked.body.code], [413, 'body_too_large'])
      const fits = await send('POST', '/v1/streams/a/records', chunkedBody('x'.repeat(100)))
      assert.is(fits.status, 200)
    },
    { requestBytesMax: 100 },
  ),
)

limits('a body past the limit is refused before it is sent', () =>
  withServer(async ({ url }) => {
    const head = 'POST /v1/streams/a/records HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n'
    const announced = 'Content-Type: text/plain\r\nContent-Length: 999999999\r\n\r\n'
    assert.match(await sendRaw(url, head + announced), /^HTTP\/1\.1 413 /)
  }),
)

limits('bodies past the budget are refused, and the budget comes back', () =>
  withServer(
    async ({ append, server }) => {
      const bytes = 'x'.repeat(100)
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => append('a', 'text/plain', bytes)),
      )
      const refused = answers.find(({ status }) => status !== 200)
      if (refused !== undefined) {
        assert.equal([refused.status, refused.body.code], [503, 'overloaded'])
        assert.ok(refused.headers.has('retry-after'))
      }
      await append('a', 'text/html', bytes)
      await append('a', JSON_TYPE, bytes)
      assert.match(await server.metrics.render(), /varve_request_body_bytes 0/)
      assert.is((await append('a', 'text/plain', bytes)).status, 200)
    },
    { bodyBudgetBytes: 150, requestBytesMax: 150 },
  ),
)

limits('a body of unknown length is charged as it arrives', () =>
  withServer(
    async ({ send }) => {
      const fits = await send('POST', '/v1/streams/a/records', chunkedBody('x'.repeat(99)))
      assert.is(fits.status, 200)
      const { status, body } = await send(
        'POST',
        '/v1/streams/a/records',
        chunkedBody('x'.repeat(100)),
      )
      assert.equal([status, body.code, body.outcome], [503, 'overloaded', 'not_applied'])
    },
    { bodyBudgetBytes: 99, requestBytesMax: 100 },
  ),
)

const BATCH = 'application/vnd.varve.batch'
const RECORDS: readonly (readonly [type: string, at: string | Buffer, past: string | Buffer])[] = [
  ['text/plain', 'x'.repeat(10), 'x'.repeat(11)],
  ['application/octet-stream', 'x'.repeat(10), 'x'.repeat(11)],
  ['application/x-ndjson', '"12345678"\n', '"123456789"\n'],
  [JSON_TYPE, json({ data: '12345678' }), json({ data: '123456789' })],
  [JSON_TYPE, json({ text: 'ééééé' }), json({ text: 'éééééx' })],
  [JSON_TYPE, json({ base64: 'AAAAAAAAAAAAAA==' }), json({ base64: 'AAAAAAAAAAAAAAA=' })],
  [BATCH, item('"12345678"', ''), item('"123456789"', '')],
]

const BATCHES: readonly (readonly [type: string, of: (count: number) => string | Buffer])[] = [
  [JSON_TYPE, count => json(...Array.from({ length: count }, () => ({ data: 1 })))],
  ['application/x-ndjson', count => '1\n'.repeat(count)],
  [BATCH, count => Buffer.concat(Array.from({ length: count }, () => item('1', '')))],
]

function item(body: string | Buffer, headers: string, format: number = RecordFormat.Json): Buffer {
  const bytes = Buffer.from(body)
  const header = Buffer.alloc(BATCH_ITEM_HEADER_BYTES)
  encodeBatchItemHeader(header, 0, format as RecordFormat, headers.length, bytes.length)
  return Buffer.concat([header, Buffer.from(headers), bytes])
}

function chunkedBody(text: string): RequestInit {
  const body = new Blob([text]).stream()
  return { body, duplex: 'half', headers: { 'content-type': 'text/plain' } }
}

limits.run()
