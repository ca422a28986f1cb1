import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { json, type TestServer, withServer } from '../../support/http-server.ts'

const read = suite('main/http/read')
const JSON_TYPE = 'application/json'
const NDJSON = 'application/x-ndjson'
const BATCH = 'application/vnd.varve.batch'

read('a page says where it is, in its body and its headers', () =>
  withServer(async server => {
    await fill(server, 3)
    const { status, body, headers } = await server.read('a', '?from=1&limit=1')
    assert.is(status, 200)
    const { stream, firstOffset, nextOffset, tailOffset, closed, records } = body
    assert.equal(
      { stream, firstOffset, nextOffset, tailOffset, closed },
      {
        stream: 'a',
        firstOffset: 1,
        nextOffset: 2,
        tailOffset: 3,
        closed: false,
      },
    )
    assert.equal([records?.length, records?.[0]?.offset, records?.[0]?.data], [1, 1, 1])
    const shown = ['varve-next-offset', 'varve-tail-offset', 'varve-stream-closed']
    assert.equal(
      shown.map(name => headers.get(name)),
      ['2', '3', null],
    )
  }),
)

read('every format carries the headers, and the closed one at the end of a closed stream', () =>
  withServer(async server => {
    await fill(server, 2)
    await server.send('POST', '/v1/streams/a/close')
    for (const accept of [JSON_TYPE, NDJSON, BATCH]) {
      const before = await server.read('a', '?limit=1', accept)
      const end = await server.read('a', '?from=1', accept)
      assert.ok(end.headers.get('content-type')?.startsWith(accept))
      assert.equal(offsets(before), ['0', '1', '2', null])
      assert.equal(offsets(end), ['1', '2', '2', 'true'])
    }
    assert.is((await server.read('a', '?from=2&wait=60000')).body.closed, true)
  }),
)

read('the first format among the most wanted is served', () =>
  withServer(async server => {
    await fill(server, 1)
    for (const [accept, type] of ACCEPTS) {
      const { headers } = await server.read('a', '', accept)
      assert.ok(headers.get('content-type')?.startsWith(type), accept)
    }
    for (const accept of ['text/html', 'application/json;q=0', 'image/*, text/plain']) {
      const { status, body } = await server.read('a', '', accept)
      assert.equal([status, body.code], [406, 'not_acceptable'], accept)
    }
  }),
)

read('NDJSON is a record object a line, and the batch encoding comes back as it went in', () =>
  withServer(async server => {
    await fill(server, 2)
    const { text } = await server.read('a', '', NDJSON)
    const lines = text.trimEnd().split('\n')
    assert.equal(
      lines.map(line => (JSON.parse(line) as { data: number }).data),
      [0, 1],
    )
    const batch = await server.read('a', '', BATCH)
    const again = await server.append('b', BATCH, batch.text)
    assert.is(again.body.count, 2)
    assert.is((await server.read('b', '', BATCH)).text, batch.text)
  }),
)

read('a stream is read backward to its start', () =>
  withServer(async server => {
    await fill(server, 3)
    const first = await server.read('a', '?direction=backward&from=end&limit=2')
    assert.equal(
      first.body.records?.map(({ offset }) => offset),
      [2, 1],
    )
    assert.is(first.body.nextOffset, 1)
    const second = await server.read('a', '?direction=backward&from=1')
    assert.equal([second.body.records?.length, second.body.nextOffset], [1, 0])
  }),
)

read('since starts at a time', () =>
  withServer(async server => {
    const { body } = await fill(server, 1)
    const past = encodeURIComponent('2000-01-01T00:00:00.000+01:00')
    assert.is((await server.read('a', `?since=${past}`)).body.records?.length, 1)
    assert.is((await server.read('a', `?since=${body.timestamp}`)).body.records?.length, 1)
    const never = await server.read('a', '?since=2999-01-01T00:00:00Z')
    assert.equal([never.body.records, never.body.nextOffset], [[], 1])
  }),
)

read('hashes are shown where the chain is verified and not without', () =>
  withServer(async server => {
    const { body } = await fill(server, 2)
    for (const verify of ['genesis', 'checkpoint']) {
      const { records } = (await server.read('a', `?verify=${verify}`)).body
      assert.is(records?.[1]?.hash, body.chainHead, verify)
    }
    for (const verify of ['none', 'links']) {
      assert.is((await server.read('a', `?verify=${verify}`)).body.records?.[1]?.hash, undefined)
    }
  }),
)

read('limits hold at their bounds and are refused past them', () =>
  withServer(async server => {
    await fill(server, 3)
    for (const query of GOOD_QUERIES)
      assert.is((await server.read('a', `?${query}`)).status, 200, query)
    for (const query of BAD_QUERIES) {
      const { status, body } = await server.read('a', `?${query}`)
      assert.equal([status, body.code], [400, 'invalid_request'], query)
    }
    assert.is((await server.read('a', '?maxBytes=2')).body.records?.length, 2)
  }),
)

read('what cannot be read has its code and where to go on', () =>
  withServer(async server => {
    await fill(server, 1)
    const beyond = await server.read('a', '?from=2')
    assert.equal([beyond.status, beyond.body.code, beyond.body.nextOffset], [416, 'beyond_end', 1])
    assert.is((await server.read('a', '?from=1')).status, 200)
    const missing = await server.read('b')
    assert.equal([missing.status, missing.body.code], [404, 'stream_not_found'])
    assert.is(missing.headers.get('content-type'), 'application/problem+json')
  }),
)

read('one record is served by its offset', () =>
  withServer(async ({ send, append }) => {
    await append('a', JSON_TYPE, json({ data: 'x' }, { text: 'y', headers: { a: 'b' } }))
    const { status, body } = await send('GET', '/v1/streams/a/records/1?verify=genesis')
    const { offset, text, headers, hash } = body as Record<string, unknown>
    assert.equal([status, offset, text, headers], [200, 1, 'y', { a: 'b' }])
    assert.match(String(hash), /^[0-9a-f]{64}$/)
    const line = await send('GET', '/v1/streams/a/records/0', { headers: { accept: NDJSON } })
    assert.ok(line.text.endsWith('"data":"x"}\n'))
    for (const beyond of [2, 3]) {
      const { status, body } = await send('GET', `/v1/streams/a/records/${beyond}`)
      assert.equal([status, body.code], [404, 'record_not_found'])
    }
    assert.is((await send('GET', '/v1/streams/a/records/x')).body.code, 'invalid_request')
  }),
)

read('a read that waits answers with the record that comes', () =>
  withServer(async server => {
    await fill(server, 1)
    for (const query of ['from=1&wait=60000', 'from=end&wait=60000']) {
      const waiting = server.read('a', `?${query}`)
      await server.store.whenWatched()
      await server.append('a', JSON_TYPE, json({ data: query }))
      assert.is((await waiting).body.records?.at(-1)?.data, query)
    }
    assert.is(server.store.watches, 0)
  }),
)

read('a read that waits ends empty after its time, and when the stream is closed', () =>
  withServer(async server => {
    await fill(server, 1)
    const { body } = await server.read('a', '?from=1&wait=1')
    assert.equal([body.records, body.nextOffset, body.closed], [[], 1, false])
    const waiting = server.read('a', '?from=1&wait=60000')
    await server.store.whenWatched()
    await server.send('POST', '/v1/streams/a/close')
    assert.equal([(await waiting).body.records, (await waiting).body.closed], [[], true])
  }),
)

read('a client that leaves ends its wait', () =>
  withServer(async server => {
    await fill(server, 1)
    const leaving = new AbortController()
    const { signal } = leaving
    const waiting = server.send('GET', '/v1/streams/a/records?from=1&wait=60000', { signal })
    await server.store.whenWatched()
    leaving.abort()
    await waiting.catch(() => undefined)
    await server.store.whenUnwatched()
    await server.whenMetric('varve_subscribers 0')
  }),
)

const ACCEPTS = [
  ['*/*', JSON_TYPE],
  ['application/*', JSON_TYPE],
  [`${NDJSON}, ${JSON_TYPE};q=0.9`, NDJSON],
  [`${JSON_TYPE};q=0.1, ${BATCH};q=0.5, */*;q=0.2`, BATCH],
  [`text/html, ${NDJSON}`, NDJSON],
  ['application/json;q=0, */*', NDJSON],
  [`${JSON_TYPE.toUpperCase()}; charset=utf-8`, JSON_TYPE],
] as const

const GOOD_QUERIES = [
  'limit=1',
  'limit=100000',
  'maxBytes=1',
  'maxBytes=67108864',
  'from=start',
  'from=end',
  'from=3',
  'wait=0',
]

const BAD_QUERIES = [
  'limit=0',
  'limit=100001',
  'limit=-1',
  'limit=1e3',
  'maxBytes=0',
  'maxBytes=67108865',
  'wait=60001',
  'from=-1',
  'from=x',
  'from=',
  'from=1&from=2',
  'from=9007199254740992',
  'direction=sideways',
  'verify=all',
  'since=yesterday',
  'since=2000-13-01T00:00:00Z',
  'since=2000-01-01T00:00:00Z&from=1',
  'since=2000-01-01T00:00:00Z&direction=backward',
  'other=1',
]

function fill({ append }: TestServer, count: number) {
  return append('a', JSON_TYPE, json(...Array.from({ length: count }, (_, data) => ({ data }))))
}

function offsets({ headers }: { headers: Headers }): (string | null)[] {
  const names = ['first-offset', 'next-offset', 'tail-offset', 'stream-closed']
  return names.map(name => headers.get(`varve-${name}`))
}

read.run()
