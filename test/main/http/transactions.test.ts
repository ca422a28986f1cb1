import { once } from 'node:events'
import { connect } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { TRANSACTION_APPENDS_MAX } from '../../../src/shared/limits.ts'
import { jsonBody, type TestServer, withServer } from '../../support/http-server.ts'

const transactions = suite('main/http/transactions')
const URL = '/v1/transactions'
const TEXT = [{ text: 'x' }]

transactions('a transaction appends to every stream, and answers in their order', () =>
  withServer(async server => {
    await server.append('b', 'text/plain', 'before')
    const records = [{ data: { n: 1 } }, { text: 'é' }, { base64: 'AP8=', headers: { a: 'b' } }]
    const { status, body } = await transact(server, { stream: 'a', records }, of('b'), of('c/d'))
    assert.is(status, 200)
    assert.is(Object.keys(body).join(), 'transactionId,appends')
    assert.match(body.transactionId ?? '', /^[0-9a-f]{16}$/)
    assert.equal(
      body.appends?.map(({ stream, firstOffset, nextOffset }) => [stream, firstOffset, nextOffset]),
      [
        ['a', 0, 3],
        ['b', 1, 2],
        ['c/d', 0, 1],
      ],
    )
    const genesis = (await server.read('a', '?verify=genesis')).body.records
    assert.is(genesis?.[2]?.hash, body.appends?.[0]?.chainHead)
    assert.equal([genesis?.[0]?.data, genesis?.[2]?.headers], [{ n: 1 }, { a: 'b' }])
  }),
)

transactions('one precondition that fails applies nothing, and says whose it is', () =>
  withServer(async server => {
    await server.append('b', 'text/plain', 'x')
    const { status, body } = await transact(server, of('a'), { ...of('b'), expectedOffset: 0 })
    assert.equal([status, body.code], [412, 'offset_mismatch'])
    assert.equal([body.stream, body.nextOffset, body.outcome], ['b', 1, 'not_applied'])
    assert.is((await server.read('a')).status, 404)
    await server.send('POST', '/v1/streams/b/close')
    const closed = await transact(server, of('a'), of('b'))
    assert.equal([closed.status, closed.body.code], [409, 'stream_closed'])
    assert.equal([closed.body.stream, closed.body.outcome], ['b', 'not_applied'])
    assert.equal(await streamsOf(server), ['b'])
  }),
)

transactions('a stream that does not exist is created unless the service says otherwise', () =>
  withServer(
    async server => {
      await server.send('PUT', '/v1/streams/a')
      const { status, body } = await transact(server, of('a'), of('b'))
      assert.equal([status, body.code, body.stream], [404, 'stream_not_found', 'b'])
      assert.is(body.outcome, 'not_applied')
      assert.is((await server.read('a')).body.tailOffset, 0)
      assert.is((await transact(server, { ...of('a'), expectedOffset: 0 })).status, 200)
    },
    {},
    { autoCreate: false },
  ),
)

transactions('what is not the shape of the contract is refused', () =>
  withServer(async server => {
    for (const text of BAD_BODIES) await refused(server, text)
    assert.equal(await streamsOf(server), [])
  }),
)

transactions('one bad append refuses the whole body, and is named', () =>
  withServer(async server => {
    for (const bad of BAD_APPENDS) {
      const detail = await refused(server, JSON.stringify({ appends: [of('a'), bad] }))
      assert.match(detail, /append 1|appends\.1/, JSON.stringify(bad))
    }
    assert.equal(await streamsOf(server), [])
  }),
)

transactions('a stream is named once, whatever its name', () =>
  withServer(async server => {
    for (const name of ['a', 'a/b', '__proto__']) {
      await refused(server, JSON.stringify({ appends: [of(name), of('b'), of(name)] }))
    }
    assert.equal(await streamsOf(server), [])
    const { status } = await transact(server, of('__proto__'), of('constructor'), of('toString'))
    assert.equal([status, await streamsOf(server)], [200, ['__proto__', 'constructor', 'toString']])
  }),
)

transactions('a name outside the rule is refused with its own code', () =>
  withServer(async server => {
    for (const stream of ['', '/', 'a//b', '..', 'e\u0301', '\u0000', '\ud800', 'x'.repeat(513)]) {
      const { status, body } = await transact(server, of('a'), of(stream))
      const seen = [status, body.code, body.outcome]
      assert.equal(seen, [400, 'invalid_stream_name', 'not_applied'], JSON.stringify(stream))
    }
    // What a path would decode is a name as it stands.
    assert.is((await transact(server, of('a%2Fb'))).body.appends?.[0]?.stream, 'a%2Fb')
    assert.is((await transact(server, of('x'.repeat(512)))).status, 200)
  }),
)

transactions('a transaction has as many appends as the limit and no more', () =>
  withServer(async server => {
    const names = Array.from({ length: TRANSACTION_APPENDS_MAX + 1 }, (_, index) => of(`${index}`))
    assert.is((await transact(server, ...names.slice(1))).status, 200)
    const { status, body } = await transact(server, ...names)
    assert.equal([status, body.code, body.outcome], [400, 'invalid_request', 'not_applied'])
  }),
)

transactions('the limits of a batch hold for all appends together', () =>
  withServer(
    async server => {
      const two = { stream: 'a', records: [...TEXT, ...TEXT] }
      assert.is((await transact(server, two, of('b'))).status, 200)
      const { status, body } = await transact(server, two, { ...two, stream: 'b' })
      assert.equal([status, body.code, body.outcome], [400, 'invalid_request', 'not_applied'])
      const large = await transact(server, of('a'), {
        stream: 'b',
        records: [{ text: 'x'.repeat(11) }],
      })
      assert.equal([large.status, large.body.code], [413, 'record_too_large'])
      assert.is(large.body.outcome, 'not_applied')
      assert.is((await server.read('b')).body.tailOffset, 1)
    },
    { batchRecordsMax: 3, recordBytesMax: 10 },
  ),
)

transactions('a body past the limit or past the budget is refused, and nothing stays charged', () =>
  withServer(
    async server => {
      const long = await transact(server, { stream: 'a', records: [{ text: 'x'.repeat(200) }] })
      assert.equal([long.status, long.body.code], [413, 'body_too_large'])
      assert.is(long.body.outcome, 'not_applied')
      const text = JSON.stringify({ appends: [of('a')] }).padEnd(200)
      const body = new Blob([text]).stream()
      const headers = { 'content-type': 'application/json' }
      const init: RequestInit = { body, duplex: 'half', headers }
      const unknown = await server.send('POST', URL, init)
      assert.equal([unknown.status, unknown.body.code], [503, 'overloaded'])
      assert.ok(unknown.headers.has('retry-after'))
      await refused(server, '{')
      assert.is((await transact(server, of('a'))).status, 200)
      await server.whenMetric('varve_request_body_bytes 0')
    },
    { requestBytesMax: 200, recordBytesMax: 200, bodyBudgetBytes: 199 },
  ),
)

transactions('only JSON is taken', () =>
  withServer(async server => {
    const body = JSON.stringify({ appends: [of('a')] })
    for (const type of [
      'application/x-ndjson',
      'text/plain',
      'application/json; charset=latin1',
      '',
    ]) {
      const answer = await server.send('POST', URL, { body, headers: { 'content-type': type } })
      assert.equal([answer.status, answer.body.code], [415, 'unsupported_media_type'], type)
      assert.is(answer.body.outcome, 'not_applied')
    }
    const headers = { 'content-type': 'Application/JSON; charset=UTF-8' }
    assert.is((await server.send('POST', URL, { body, headers })).status, 200)
    assert.is((await server.send('POST', URL)).status, 415)
  }),
)

transactions('what only an append can ask for is refused, not ignored', () =>
  withServer(async server => {
    const body = JSON.stringify({ appends: [of('a')] })
    const type = { 'content-type': 'application/json' }
    const producer = { 'producer-id': 'p', 'producer-epoch': '0', 'producer-seq': '0' }
    const asked = [
      ['?durability=relaxed', {}],
      ['?expectedOffset=0', {}],
      ['', producer],
      ['', { 'producer-id': 'p' }],
    ] as const
    for (const [query, headers] of asked) {
      const init = { body, headers: { ...type, ...headers } }
      const { status, body: problem } = await server.send('POST', URL + query, init)
      const seen = [status, problem.code, problem.outcome]
      assert.equal(seen, [400, 'invalid_request', 'not_applied'], query)
    }
    assert.equal(await streamsOf(server), [])
  }),
)

transactions('a service that drains refuses with what became of it', () =>
  withServer(async ({ url, server }) => {
    const { port, hostname } = new globalThis.URL(url)
    const socket = connect(Number(port), hostname)
    const head = `POST ${URL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`
    socket.setEncoding('latin1').write(head)
    await once(server.app.server, 'connection')
    const closing = server.close()
    socket.write('Content-Length: 2\r\n\r\n{}')
    let answer = ''
    for await (const text of socket) answer += String(text)
    assert.match(answer, /^HTTP\/1\.1 503 /)
    assert.match(answer, /"outcome":"not_applied".*"code":"shutting_down"/)
    await closing
  }),
)

transactions('a failure of the store keeps its outcome, and one of ours is unknown', () =>
  withServer(async server => {
    server.store.failNextAppend = new StoreError('overloaded', 'it waited for too long')
    const full = await transact(server, of('a'))
    assert.equal([full.status, full.body.outcome], [503, 'not_applied'])
    assert.ok(full.headers.has('retry-after'))
    server.store.failNextAppend = new Error('/secret/path is broken')
    const { status, body, text } = await transact(server, of('a'))
    assert.equal([status, body.code, body.outcome], [500, 'internal', 'unknown'])
    assert.not.ok(text.includes('secret'))
  }),
)

transactions('transactions are counted and timed by what became of them', () =>
  withServer(async server => {
    await transact(server, of('a'))
    await transact(server, { ...of('a'), expectedOffset: 7 })
    server.store.failNextAppend = new Error('broken')
    await transact(server, of('a'))
    await refused(server, '{}')
    for (const outcome of ['committed', 'not_applied', 'unknown']) {
      await server.whenMetric(`varve_transaction_seconds_count{outcome="${outcome}"} 1`)
    }
  }),
)

const BAD_BODIES = [
  '',
  '{',
  '[]',
  '1',
  'null',
  '"x"',
  '{}',
  '{"appends":{}}',
  '{"appends":[]}',
  '{"appends":[1]}',
  '{"appends":null}',
  '{"appends":[{"stream":"a","records":[{"data":1}]}],"other":1}',
  '{"appends":[{"stream":"a","records":[{"data":1}]}],"__proto__":1}',
  `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
  `{"appends":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
]

const BAD_APPENDS: readonly unknown[] = [
  null,
  [],
  {},
  { stream: 'b' },
  { records: TEXT },
  { stream: 1, records: TEXT },
  { stream: null, records: TEXT },
  { stream: 'b', records: [] },
  { stream: 'b', records: {} },
  { stream: 'b', records: 'x' },
  { stream: 'b', records: [1] },
  { stream: 'b', records: [{}] },
  { stream: 'b', records: [{ data: 1, text: 'x' }] },
  { stream: 'b', records: [{ text: 1 }] },
  { stream: 'b', records: [{ base64: 'AP8' }] },
  { stream: 'b', records: [{ data: 1, headers: { a: 1 } }] },
  { stream: 'b', records: TEXT, other: 1 },
  { stream: 'b', records: TEXT, durability: 'relaxed' },
  { stream: 'b', records: TEXT, expectedOffset: -1 },
  { stream: 'b', records: TEXT, expectedOffset: 1.5 },
  { stream: 'b', records: TEXT, expectedOffset: '0' },
  { stream: 'b', records: TEXT, expectedOffset: null },
  { stream: 'b', records: TEXT, expectedOffset: 2 ** 53 },
]

function of(stream: string) {
  return { stream, records: TEXT }
}

function transact(server: TestServer, ...appends: unknown[]) {
  return server.send('POST', URL, jsonBody({ appends }))
}

/** The detail with which a body is refused. */
async function refused(server: TestServer, text: string): Promise<string> {
  const headers = { 'content-type': 'application/json' }
  const { status, body } = await server.send('POST', URL, { body: text, headers })
  const seen = [status, body.code, body.outcome]
  assert.equal(seen, [400, 'invalid_request', 'not_applied'], text.slice(0, 200))
  return body.detail ?? ''
}

async function streamsOf(server: TestServer): Promise<string[]> {
  const { streams = [] } = (await server.send('GET', '/v1/streams')).body
  return streams.map(({ stream }) => stream)
}

transactions.run()
