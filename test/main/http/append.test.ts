import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { json, withServer } from '../../support/http-server.ts'
import { batchOf } from '../../support/store-helpers.ts'

const append = suite('main/http/append')
const JSON_TYPE = 'application/json'
const NDJSON = 'application/x-ndjson'
const BATCH = 'application/vnd.varve.batch'

append('an append answers with all that the contract lists', () =>
  withServer(async ({ append }) => {
    const { status, body } = await append('a', JSON_TYPE, json({ data: 1 }, { text: 'x' }))
    assert.is(status, 200)
    assert.equal(Object.keys(body).join(), ANSWER_MEMBERS)
    const { stream, firstOffset, nextOffset, count, durable, duplicate } = body
    assert.equal([stream, firstOffset, nextOffset, count], ['a', 0, 2, 2])
    assert.equal([durable, duplicate, body.durability], [true, false, 'group'])
    assert.match(body.timestamp ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    assert.match(body.chainHead ?? '', /^[0-9a-f]{64}$/)
  }),
)

append('each content type becomes its kind of record', () =>
  withServer(async ({ append, read }) => {
    await append('a', JSON_TYPE, json({ data: { n: 1 } }, { text: 'é' }, { base64: 'AP8=' }))
    await append('a', NDJSON, '{"n": 2}\r\n\n  3 \n"last"')
    await append('a', 'text/plain', 'héllo')
    await append('a', 'application/octet-stream', Buffer.from([0, 255]))
    await append('a', BATCH, batchOf('one', 'two').batch)
    const { body } = await read('a')
    const shown = body.records?.map(({ data, text, base64 }) => data ?? text ?? base64)
    const fromNdjson = [{ n: 2 }, 3, 'last']
    assert.equal(shown, [{ n: 1 }, 'é', 'AP8=', ...fromNdjson, 'héllo', 'AP8=', 'one', 'two'])
  }),
)

append('a charset is allowed where there is text, and only UTF-8', () =>
  withServer(async ({ append }) => {
    const text = ['text/plain', JSON_TYPE, NDJSON].map(type => `${type}; charset=UTF-8`)
    for (const type of text) {
      assert.is((await append('a', type, json({ data: 1 }))).status, 200, type)
    }
    const refused = ['text/plain; charset=latin1', `${BATCH}; charset=utf-8`, 'text/html', 'x', '']
    for (const type of refused) {
      const { status, body } = await append('a', type, json({ data: 1 }))
      assert.equal([status, body.code], [415, 'unsupported_media_type'], type)
      assert.is(body.outcome, 'not_applied')
    }
  }),
)

append('an empty body is a record of text and bytes, and nothing anywhere else', () =>
  withServer(async ({ append, store }) => {
    for (const type of ['text/plain', 'application/octet-stream']) {
      assert.is((await append('a', type, '')).body.count, 1)
    }
    for (const [type, body] of [
      [JSON_TYPE, ''],
      [JSON_TYPE, json()],
      [NDJSON, ' \n'],
      [BATCH, ''],
    ]) {
      const answer = await append('b', type ?? '', body ?? '')
      assert.equal([answer.status, answer.body.code], [400, 'invalid_request'])
      assert.is(answer.body.outcome, 'not_applied')
    }
    const { streams } = await store.list({ prefix: '', after: '', limit: 10 })
    assert.equal(
      streams.map(({ stream }) => stream),
      ['a'],
    )
  }),
)

append('one bad item refuses the whole body', () =>
  withServer(async ({ append, read }) => {
    await append('a', JSON_TYPE, json({ data: 'kept' }))
    const good = { data: 'dropped' }
    for (const bad of BAD_ITEMS) {
      const { status, body } = await append('a', JSON_TYPE, json(good, bad, good))
      assert.equal([status, body.code], [400, 'invalid_request'], JSON.stringify(bad))
      assert.is(body.outcome, 'not_applied')
    }
    for (const line of ['{', 'nul', "{'a':1}", '\uFEFF1', 'NaN']) {
      assert.is((await append('a', NDJSON, `1\n${line}\n2`)).status, 400, line)
    }
    assert.is((await read('a')).body.tailOffset, 1)
  }),
)

append('what is not the shape of the contract is refused', () =>
  withServer(async ({ append }) => {
    for (const body of ['[]', '1', 'null', '{}', '{"records":{}}', '{"records":[1],"x":1}', '{']) {
      assert.is((await append('a', JSON_TYPE, body)).body.code, 'invalid_request', body)
    }
  }),
)

append('text that is not UTF-8 is refused wherever text is said to be', () =>
  withServer(async ({ append }) => {
    const bytes = Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])
    for (const type of ['text/plain', JSON_TYPE, NDJSON]) {
      assert.is((await append('a', type, bytes)).status, 400, type)
    }
    assert.is((await append('a', 'application/octet-stream', bytes)).status, 200)
  }),
)

append('__proto__ and constructor are ordinary names and keys', () =>
  withServer(async ({ append, read, send }) => {
    const text = '{"records":[{"data":{"__proto__":1,"constructor":{"prototype":2}}}]}'
    const headers = '{"records":[{"text":"x","headers":{"__proto__":"a","constructor":"b"}}]}'
    for (const stream of ['__proto__', 'constructor']) {
      assert.is((await append(stream, JSON_TYPE, text)).status, 200)
      assert.is((await append(stream, JSON_TYPE, headers)).status, 200)
      const page = await read(stream)
      assert.ok(page.text.includes('"data":{"__proto__":1,"constructor":{"prototype":2}}'))
      assert.ok(page.text.includes('"headers":{"__proto__":"a","constructor":"b"}'))
    }
    assert.is((await send('GET', '/v1/streams')).body.streams?.length, 2)
    assert.is((await append('a', JSON_TYPE, '{"records":[{"__proto__":1}]}')).status, 400)
  }),
)

append('JSON of any depth is kept, and a name of any length makes no long problem', () =>
  withServer(async ({ append }) => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000)
    assert.is((await append('a', NDJSON, deep)).status, 200)
    assert.is((await append('a', JSON_TYPE, `{"records":[{"data":${deep}}]}`)).status, 200)
    const { status, text } = await append('a', JSON_TYPE, `{"${'x'.repeat(100_000)}":1}`)
    assert.equal([status, text.length < 1000], [400, true])
  }),
)

append('an expected offset and a durability go with the request', () =>
  withServer(async ({ append }) => {
    assert.is((await append('a', 'text/plain', 'x', '?expectedOffset=0')).status, 200)
    const { status, body } = await append('a', 'text/plain', 'x', '?expectedOffset=0')
    assert.equal([status, body.code, body.nextOffset], [412, 'offset_mismatch', 1])
    assert.is(body.outcome, 'not_applied')
    const relaxed = await append('a', 'text/plain', 'x', '?expectedOffset=1&durability=relaxed')
    assert.equal([relaxed.body.durability, relaxed.body.durable], ['relaxed', false])
  }),
)

append('a query that the contract does not know is refused', () =>
  withServer(async ({ append }) => {
    for (const query of BAD_QUERIES) {
      const { status, body } = await append('a', 'text/plain', 'x', `?${query}`)
      assert.equal(
        [status, body.code, body.outcome],
        [400, 'invalid_request', 'not_applied'],
        query,
      )
    }
  }),
)

append('a stream that does not exist is created unless the service says otherwise', () =>
  withServer(
    async ({ append }) => {
      const { status, body } = await append('a', 'text/plain', 'x')
      assert.equal([status, body.code, body.outcome], [404, 'stream_not_found', 'not_applied'])
    },
    {},
    { autoCreate: false },
  ),
)

append('a failure of the store keeps its outcome, and one of ours is unknown', () =>
  withServer(async ({ append, store }) => {
    store.failNextAppend = new StoreError('disk_full', 'no space')
    const full = await append('a', 'text/plain', 'x')
    assert.equal([full.status, full.body.outcome], [507, 'not_applied'])
    store.failNextAppend = new Error('/secret/path is broken')
    const { status, body, text } = await append('a', 'text/plain', 'x')
    assert.equal([status, body.code, body.outcome], [500, 'internal', 'unknown'])
    assert.not.ok(text.includes('secret'))
  }),
)

append('64 clients at once are all answered, each with its own offset', () =>
  withServer(async ({ append, read }) => {
    const clients = Array.from({ length: 64 }, (_, index) => append('a', 'text/plain', `${index}`))
    const answers = await Promise.all(clients)
    const offsets = answers.map(({ body }) => body.firstOffset ?? -1).toSorted((a, b) => a - b)
    assert.equal(
      offsets,
      Array.from({ length: 64 }, (_, index) => index),
    )
    const { body } = await read('a')
    answers.forEach(({ body: { firstOffset = -1 } }, index) =>
      assert.is(body.records?.[firstOffset]?.text, `${index}`),
    )
  }),
)

const ANSWER_MEMBERS =
  'stream,firstOffset,nextOffset,count,durability,durable,duplicate,timestamp,' +
  'streamId,recordHash,chainHead'

const BAD_ITEMS: readonly unknown[] = [
  1,
  null,
  [],
  {},
  { headers: {} },
  { data: 1, text: 'x' },
  { text: 1 },
  { text: '\ud800' },
  { base64: '***' },
  { base64: 'AP8' },
  { base64: 1 },
  { data: 1, headers: null },
  { data: 1, headers: [] },
  { data: 1, headers: { a: 1 } },
  { data: 1, other: 2 },
]

const BAD_QUERIES = [
  'expectedOffset=-1',
  'expectedOffset=',
  'expectedOffset=1.5',
  'expectedOffset=0x1',
  'expectedOffset=9007199254740992',
  'expectedOffset=0&expectedOffset=0',
  'expectedOfset=0',
  'durability=never',
]

append.run()
