import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { jsonBody, type TestServer, withServer } from '../../support/http-server.ts'

const trims = suite('main/http/trims')

trims('a trim answers with the stream, and what is below is gone', () =>
  withServer(async server => {
    await fill(server)
    const { status, body } = await trim(server, 3)
    assert.equal([status, body.firstOffset, body.nextOffset, body.stream], [200, 3, 5, 'a'])
    const gone = await server.read('a', '?from=2')
    assert.equal([gone.status, gone.body.code, gone.body.firstOffset], [410, 'trimmed', 3])
    assert.is(gone.headers.get('content-type'), 'application/problem+json')
    const kept = await server.read('a')
    assert.equal([kept.body.firstOffset, kept.body.records?.[0]?.data], [3, 3])
  }),
)

trims('every way to read below the first record kept says where that is', () =>
  withServer(async server => {
    await fill(server)
    await trim(server, 3)
    const targets = ['records?from=0&direction=backward', 'records/2', 'records/0?verify=genesis']
    for (const target of targets) {
      const { status, body } = await server.send('GET', `/v1/streams/a/${target}`)
      assert.equal([status, body.code, body.firstOffset], [410, 'trimmed', 3], target)
    }
    for (const verify of ['none', 'links', 'checkpoint', 'genesis']) {
      assert.is((await server.read('a', `?from=2&verify=${verify}`)).status, 410)
      assert.is((await server.read('a', `?from=3&verify=${verify}`)).body.records?.length, 2)
    }
    const events = await server.read('a', '?from=1', 'text/event-stream')
    assert.equal([events.status, events.body.firstOffset], [410, 3])
    assert.is((await server.send('GET', '/v1/streams/a/records/3')).status, 200)
  }),
)

trims('a trim that asks for nothing changes nothing', () =>
  withServer(async server => {
    await fill(server)
    for (const [before, firstOffset] of [
      [0, 0],
      [2, 2],
      [2, 2],
      [1, 2],
      [5, 5],
    ] as const) {
      const { status, body } = await trim(server, before)
      assert.equal([status, body.firstOffset], [200, firstOffset])
    }
    assert.is((await server.read('a')).body.records?.length, 0)
    assert.is((await server.append('a', 'text/plain', 'x')).body.firstOffset, 5)
  }),
)

trims('a trim above the end says where that is', () =>
  withServer(async server => {
    await fill(server)
    for (const before of [6, Number.MAX_SAFE_INTEGER]) {
      const { status, body } = await trim(server, before)
      assert.equal([status, body.code, body.nextOffset], [416, 'beyond_end', 5])
    }
    assert.is((await server.send('GET', '/v1/streams/a')).body.firstOffset, 0)
  }),
)

trims('a backward read is done at the first record kept', () =>
  withServer(async server => {
    await fill(server)
    await trim(server, 2)
    const { body } = await server.read('a', '?from=end&direction=backward')
    assert.equal([body.records?.length, body.nextOffset], [3, 0])
  }),
)

trims('what is not a bound is refused', () =>
  withServer(async server => {
    await fill(server)
    for (const value of BAD_BODIES) {
      const { status, body } = await server.send('POST', URL, jsonBody(value))
      assert.equal([status, body.code], [400, 'invalid_request'], JSON.stringify(value))
    }
    const headers = { 'content-type': 'application/json' }
    for (const body of ['', '{', 'null', '{"before":01}']) {
      assert.is((await server.send('POST', URL, { body, headers })).body.code, 'invalid_request')
    }
    assert.is((await server.send('POST', URL)).body.code, 'invalid_request')
    assert.is((await server.send('POST', URL, { body: '{"before":1}' })).status, 415)
    assert.is((await server.send('GET', '/v1/streams/a')).body.firstOffset, 0)
  }),
)

trims('a stream that is not there, and a name that is none, have their codes', () =>
  withServer(async server => {
    const missing = await server.send('POST', '/v1/streams/b/trim', jsonBody({ before: 0 }))
    assert.equal([missing.status, missing.body.code], [404, 'stream_not_found'])
    const bad = await server.send('POST', '/v1/streams/a%2F%2Fb/trim', jsonBody({ before: 0 }))
    assert.equal([bad.status, bad.body.code], [400, 'invalid_stream_name'])
    await server.append('a/b', 'text/plain', 'x')
    const { body } = await server.send('POST', '/v1/streams/a%2Fb/trim', jsonBody({ before: 1 }))
    assert.equal([body.stream, body.firstOffset], ['a/b', 1])
  }),
)

trims('a closed stream can be trimmed, and its chain verified from there', () =>
  withServer(async server => {
    await fill(server)
    await server.send('POST', '/v1/streams/a/close')
    assert.equal((await trim(server, 5)).body.state, 'closed')
    const end = await server.read('a')
    assert.equal([end.body.closed, end.headers.get('varve-stream-closed')], [true, 'true'])
    const { body } = await server.send('GET', '/v1/streams/a/verify')
    assert.equal([body.ok, body.anchor, body.verifiedRecords], [true, 'trim', 0])
  }),
)

trims('trims are counted', () =>
  withServer(async server => {
    await fill(server)
    await trim(server, 1)
    await trim(server, 9)
    await server.whenMetric('varve_trims_total 1')
  }),
)

const URL = '/v1/streams/a/trim'
const BAD_BODIES: readonly unknown[] = [
  {},
  [],
  1,
  { before: -1 },
  { before: 1.5 },
  { before: '1' },
  { before: null },
  { before: 2 ** 53 },
  { before: 1, other: 1 },
  { Before: 1 },
]

async function fill({ append }: TestServer): Promise<void> {
  await append('a', 'application/x-ndjson', '0\n1\n2\n3\n4\n')
}

function trim({ send }: TestServer, before: number) {
  return send('POST', URL, jsonBody({ before }))
}

trims.run()
