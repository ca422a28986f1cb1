import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { compressionOffered } from '../../../src/shared/format/compression.ts'
import { jsonBody, withServer } from '../../support/http-server.ts'

const streams = suite('main/http/streams')

streams('a stream is created, confirmed, and in the way of another configuration', () =>
  withServer(async ({ send }) => {
    const first = await send('PUT', '/v1/streams/a', jsonBody({ durability: 'immediate' }))
    const second = await send('PUT', '/v1/streams/a', jsonBody({ durability: 'immediate' }))
    const third = await send('PUT', '/v1/streams/a')
    assert.equal([first.status, second.status, third.status], [201, 200, 409])
    assert.equal(second.body, first.body)
    assert.is(third.body.code, 'stream_exists')
    assert.is(Object.keys(first.body).join(), INFO_MEMBERS)
    assert.equal(first.body.config, {
      durability: 'immediate',
      compression: 'none',
      maxSegmentBytes: 67_108_864,
      checkpointEvery: 1000,
      retention: {},
    })
  }),
)

streams('info is the same by GET and HEAD', () =>
  withServer(async ({ send }) => {
    await send('PUT', '/v1/streams/a')
    const get = await send('GET', '/v1/streams/a')
    const head = await send('HEAD', '/v1/streams/a')
    assert.equal([get.status, get.body.state, head.status, head.text], [200, 'open', 200, ''])
    assert.is(head.headers.get('content-length'), get.headers.get('content-length'))
    assert.is((await send('HEAD', '/v1/streams/b')).status, 404)
  }),
)

streams('a configuration changes in what is named', () =>
  withServer(async ({ send }) => {
    await send('PUT', '/v1/streams/a')
    const { status, body } = await send(
      'PATCH',
      '/v1/streams/a',
      jsonBody({ durability: 'relaxed' }),
    )
    assert.equal([status, body.config?.durability], [200, 'relaxed'])
    assert.is((await send('PATCH', '/v1/streams/a', jsonBody({}))).status, 200)
    assert.is((await send('PATCH', '/v1/streams/b', jsonBody({}))).body.code, 'stream_not_found')
  }),
)

streams('options outside their bounds or not offered are refused', () =>
  withServer(async ({ send }) => {
    for (const value of [65_536, 1_073_741_824]) {
      const name = `/v1/streams/${value}`
      assert.is((await send('PUT', name, jsonBody({ maxSegmentBytes: value }))).status, 201)
    }
    for (const value of BAD_OPTIONS) {
      for (const method of ['PUT', 'PATCH']) {
        const { body } = await send(method, '/v1/streams/a', jsonBody(value))
        assert.is(body.code, 'invalid_request', `${method} ${JSON.stringify(value)}`)
      }
    }
    assert.is((await send('GET', '/v1/streams/a')).status, 404)
  }),
)

streams('every option is taken at its bounds and shown as it was given', () =>
  withServer(async ({ send }) => {
    for (const [index, config] of GOOD_OPTIONS.entries()) {
      const name = `/v1/streams/${index}`
      const { status, body } = await send('PUT', name, jsonBody(config))
      assert.is(status, 201, JSON.stringify(config))
      assert.equal(body.config, { ...DEFAULTS, ...config })
      assert.equal((await send('GET', name)).body.config, body.config)
      assert.is((await send('PUT', name, jsonBody(config))).status, 200)
    }
  }),
)

streams('a stream that is retained otherwise is another one', () =>
  withServer(async ({ send }) => {
    const config = { checkpointEvery: 5, retention: { maxRecords: 10, maxBytes: 20 } }
    await send('PUT', '/v1/streams/a', jsonBody(config))
    const turned = { retention: { maxBytes: 20, maxRecords: 10 }, checkpointEvery: 5 }
    assert.is((await send('PUT', '/v1/streams/a', jsonBody(turned))).status, 200)
    for (const other of [
      {},
      { ...config, checkpointEvery: 6 },
      { ...config, compression: 'lz4' },
      { ...config, retention: { maxRecords: 10 } },
      { ...config, retention: { ...config.retention, maxAgeSeconds: 1 } },
    ]) {
      const { status, body } = await send('PUT', '/v1/streams/a', jsonBody(other))
      assert.equal([status, body.code], [409, 'stream_exists'], JSON.stringify(other))
    }
  }),
)

streams('a change replaces a retention as a whole and leaves the rest', () =>
  withServer(async ({ send }) => {
    const first = { checkpointEvery: 5, retention: { maxRecords: 10, maxBytes: 20 } }
    await send('PUT', '/v1/streams/a', jsonBody(first))
    const configOf = async (change: object) =>
      (await send('PATCH', '/v1/streams/a', jsonBody(change))).body.config
    const kept = { ...DEFAULTS, checkpointEvery: 5 }
    const retention = { maxAgeSeconds: 60 }
    assert.equal(await configOf({ retention }), { ...kept, retention })
    assert.equal(await configOf({ compression: 'lz4' }), { ...kept, retention, compression: 'lz4' })
    assert.equal(await configOf({ retention: {}, compression: 'none' }), kept)
  }),
)

streams('a compression that this process cannot do is refused with the reason', () =>
  withServer(async ({ send }) => {
    const reason = compressionOffered('zstd')
    for (const method of ['PUT', 'PATCH']) {
      const { status, body } = await send(
        method,
        '/v1/streams/a',
        jsonBody({ compression: 'zstd' }),
      )
      if (reason === undefined) assert.is(body.config?.compression, 'zstd')
      else {
        assert.equal([status, body.code], [400, 'invalid_request'])
        assert.ok(body.detail?.includes(reason), body.detail)
      }
    }
  }),
)

streams('a body that is not JSON is refused', () =>
  withServer(async ({ send }) => {
    const headers = { 'content-type': 'application/json' }
    const broken = await send('PUT', '/v1/streams/a', { body: '{', headers })
    assert.equal([broken.status, broken.body.code], [400, 'invalid_request'])
    const text = await send('PUT', '/v1/streams/a', { body: '{}' })
    assert.equal([text.status, text.body.code], [415, 'unsupported_media_type'])
    const long = `{"x":"${'x'.repeat(1024 * 1024)}"}`
    const large = await send('PUT', '/v1/streams/a', { body: long, headers })
    assert.equal([large.status, large.body.code], [413, 'body_too_large'])
  }),
)

streams('a stream is closed for good, and deleted', () =>
  withServer(async ({ send, append }) => {
    await append('a', 'text/plain', 'x')
    const closed = await send('POST', '/v1/streams/a/close')
    assert.equal([closed.status, closed.body.state], [200, 'closed'])
    const { status, body } = await append('a', 'text/plain', 'y')
    assert.equal([status, body.code, body.outcome], [409, 'stream_closed', 'not_applied'])
    const deleted = await send('DELETE', '/v1/streams/a')
    assert.equal([deleted.status, deleted.text], [204, ''])
    assert.is((await send('DELETE', '/v1/streams/a')).body.code, 'stream_not_found')
    const again = await send('PUT', '/v1/streams/a')
    assert.is.not(again.body.streamId, closed.body.streamId)
  }),
)

streams('names are listed page by page', () =>
  withServer(async ({ send }) => {
    for (const name of ['a', 'a/b', 'b', 'é']) await create(send, name)
    const first = await send('GET', '/v1/streams?limit=2')
    assert.equal([namesOf(first.body.streams), first.body.next], [['a', 'a/b'], 'a/b'])
    const second = await send('GET', '/v1/streams?limit=2&after=a%2Fb')
    assert.equal([namesOf(second.body.streams), second.body.next], [['b', 'é'], null])
    const some = await send('GET', '/v1/streams?prefix=a%2F')
    assert.equal(namesOf(some.body.streams), ['a/b'])
    for (const query of ['limit=0', 'limit=1001', 'limit=x', 'after=a&after=b', 'other=1']) {
      assert.is((await send('GET', `/v1/streams?${query}`)).body.code, 'invalid_request', query)
    }
    assert.is((await send('GET', '/v1/streams?limit=1000')).status, 200)
  }),
)

streams('a name is decoded exactly once', () =>
  withServer(async ({ send }) => {
    for (const name of ['a/b', '%2F', '%252F', 'a b', 'é/日本', '?#&+;', '__proto__']) {
      assert.is((await create(send, name)).body.stream, name)
      const { body } = await send('GET', `/v1/streams/${encodeURIComponent(name)}`)
      assert.is(body.stream, name)
    }
  }),
)

streams('a name outside the rule is refused on every route', () =>
  withServer(async ({ send }) => {
    for (const name of [
      '%2F',
      'a%2F%2Fb',
      '%2E%2F',
      '%00',
      '%C2%85',
      'e%CC%81',
      '%ED%A0%80',
      '%ZZ',
      LONG,
    ]) {
      for (const [method, rest] of ROUTES) {
        const { status, body } = await send(method, `/v1/streams/${name}${rest}`)
        const expected = method === 'POST' && rest === '/records' ? 415 : 400
        const isRouted = status === expected || body.code === 'invalid_stream_name'
        assert.ok(isRouted, `${method} ${name}${rest}: ${status} ${body.code}`)
      }
    }
    assert.is((await create(send, 'x'.repeat(512))).status, 201)
    assert.is((await create(send, 'x'.repeat(513))).body.code, 'invalid_stream_name')
    assert.is((await send('PUT', '/v1/streams/')).body.code, 'invalid_stream_name')
  }),
)

const INFO_MEMBERS =
  'stream,streamId,state,firstOffset,nextOffset,chainHead,recordBytes,segments,createdAt,config'
const LONG = 'x'.repeat(6000)
const ROUTES = [
  ['PUT', ''],
  ['GET', ''],
  ['PATCH', ''],
  ['DELETE', ''],
  ['POST', '/close'],
  ['POST', '/records'],
  ['GET', '/records'],
  ['GET', '/records/0'],
  ['GET', '/verify'],
  ['GET', '/checkpoints'],
  ['POST', '/checkpoints'],
] as const

const DEFAULTS = {
  durability: 'group',
  compression: 'none',
  maxSegmentBytes: 67_108_864,
  checkpointEvery: 1000,
  retention: {},
}

const GOOD_OPTIONS: readonly object[] = [
  { compression: 'none' },
  { compression: 'lz4' },
  { checkpointEvery: 1 },
  { checkpointEvery: 1_000_000 },
  { retention: {} },
  { retention: { maxAgeSeconds: 1, maxBytes: 1, maxRecords: 1 } },
  { retention: { maxAgeSeconds: 10_000_000_000 } },
  { retention: { maxBytes: Number.MAX_SAFE_INTEGER, maxRecords: Number.MAX_SAFE_INTEGER } },
]

const BAD_OPTIONS: readonly object[] = [
  { durability: 'never' },
  { maxSegmentBytes: 65_535 },
  { maxSegmentBytes: 1_073_741_825 },
  { maxSegmentBytes: '65536' },
  { maxSegmentBytes: 65_536.5 },
  { compression: 'gzip' },
  { compression: null },
  ...[0, 1_000_001, 1.5, '10', null].map(checkpointEvery => ({ checkpointEvery })),
  ...[null, [], 1, { other: 1 }].map(retention => ({ retention })),
  ...[0, 10_000_000_001, '1', null].map(maxAgeSeconds => ({ retention: { maxAgeSeconds } })),
  ...[0, -1, 2 ** 53, 1.5, '1KiB'].map(maxBytes => ({ retention: { maxBytes } })),
  ...[0, 2 ** 53, true].map(maxRecords => ({ retention: { maxRecords } })),
  { other: 1 },
]

function create<Sent>(send: (method: string, target: string) => Promise<Sent>, name: string) {
  return send('PUT', `/v1/streams/${encodeURIComponent(name)}`)
}

function namesOf(infos: readonly { stream: string }[] | undefined): string[] | undefined {
  return infos?.map(({ stream }) => stream)
}

streams.run()
