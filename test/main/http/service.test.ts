import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { withServer } from '../../support/http-server.ts'

const service = suite('main/http/service')

service('a service that serves is healthy and ready', () =>
  withServer(async ({ send }) => {
    assert.is((await send('GET', '/v1/health')).status, 200)
    const { status, text } = await send('GET', '/v1/ready')
    assert.equal([status, JSON.parse(text)], [200, { ready: true, shards: [READY], damage: [] }])
  }),
)

service('damage of a stream is listed and leaves the service ready', () =>
  withServer(async ({ send, store }) => {
    const damage = { stream: 'a', streamId: 'ab'.repeat(16), firstOffset: 3, nextOffset: 5 }
    store.damaged = [{ ...damage, reason: 'the segment file is missing' }]
    const { status, body } = await send('GET', '/v1/ready')
    assert.equal([status, body['damage']], [200, store.damaged])
  }),
)

service('a service with a shard that is not ready says so', () =>
  withServer(async ({ send, store }) => {
    await store.close()
    assert.is((await send('GET', '/v1/health')).status, 200)
    const { status, body, headers } = await send('GET', '/v1/ready')
    assert.equal([status, body.ready, headers.has('retry-after')], [503, false, true])
  }),
)

service('a barrier answers when what came before is durable', () =>
  withServer(async ({ send, append }) => {
    await append('a', 'text/plain', 'x', '?durability=relaxed')
    const { status, body } = await send('POST', '/v1/barrier')
    assert.equal([status, body.durable], [200, true])
  }),
)

service('metrics count what was asked, appended and read', () =>
  withServer(async ({ send, append, read }) => {
    await append('a', 'application/x-ndjson', '1\n2\n')
    await read('a')
    await read('b')
    const { text, headers } = await send('GET', '/metrics')
    assert.match(headers.get('content-type') ?? '', /^text\/plain/)
    for (const line of METRICS) assert.ok(text.includes(`${line}\n`), line)
  }),
)

service('the contract is served as OpenAPI', () =>
  withServer(async ({ send }) => {
    const { status, text } = await send('GET', '/docs/json')
    assert.is(status, 200)
    const { openapi, paths } = JSON.parse(text) as { openapi: string; paths: object }
    assert.match(openapi, /^3\.1/)
    assert.ok('/v1/streams/{stream}/records' in paths)
    assert.is((await send('GET', '/docs')).status, 200)
  }),
)

service('the document lists every address with the shapes of its bodies', () =>
  withServer(async ({ send }) => {
    const { paths } = JSON.parse((await send('GET', '/docs/json')).text) as Document
    for (const [path, methods] of Object.entries(DOCUMENTED)) {
      const shown = Object.keys(paths[path] ?? {}).filter(method => method !== 'head')
      assert.is(shown.toSorted().join(), methods, path)
      for (const [method, { responses, requestBody }] of Object.entries(paths[path] ?? {})) {
        const at = `${method} ${path}`
        assert.ok(
          Object.keys(responses).some(status => /^[12]/.test(status)),
          at,
        )
        if (WITH_BODY.has(at)) assert.ok(requestBody?.content['application/json']?.schema, at)
      }
    }
    const appended = paths['/v1/streams/{stream}/records']?.['post']?.parameters ?? []
    const named = appended.map(({ name }) => name)
    for (const name of ['expectedOffset', 'producer-id', 'producer-seq']) {
      assert.ok(named.includes(name), name)
    }
    for (const path of Object.keys(paths)) assert.ok(path in DOCUMENTED || path in BESIDE, path)
  }),
)

service('a chain is verified whole and in part', () =>
  withServer(async ({ send, append }) => {
    await append('a', 'application/x-ndjson', '1\n2\n3\n')
    const whole = await send('GET', '/v1/streams/a/verify')
    assert.equal([whole.body.ok, whole.body.verifiedRecords], [true, 3])
    const part = await send('GET', '/v1/streams/a/verify?from=1&to=2')
    assert.equal([part.body.ok, part.body.verifiedRecords], [true, 1])
    assert.is((await send('GET', '/v1/streams/a/verify?from=x')).body.code, 'invalid_request')
    assert.is((await send('GET', '/v1/streams/b/verify')).body.code, 'stream_not_found')
  }),
)

const READY = { shard: 0, state: 'ready' }

type Operation = {
  readonly responses: object
  readonly parameters?: readonly { readonly name: string }[]
  readonly requestBody?: { readonly content: Record<string, { readonly schema?: object }> }
}
type Document = { readonly paths: Record<string, Record<string, Operation>> }

const DOCUMENTED: Readonly<Record<string, string>> = {
  '/v1/streams': 'get',
  '/v1/streams/{stream}': 'delete,get,patch,put',
  '/v1/streams/{stream}/close': 'post',
  '/v1/streams/{stream}/trim': 'post',
  '/v1/streams/{stream}/records': 'get,post',
  '/v1/streams/{stream}/records/{offset}': 'get',
  '/v1/streams/{stream}/checkpoints': 'get,post',
  '/v1/streams/{stream}/verify': 'get',
  '/v1/transactions': 'post',
  '/v1/keys': 'get',
  '/v1/barrier': 'post',
  '/v1/health': 'get',
  '/v1/ready': 'get',
}
/** WebSockets. */
const BESIDE = { '/v1/streams/{stream}/tail': true, '/v1/session': true }
const WITH_BODY = new Set([
  'put /v1/streams/{stream}',
  'patch /v1/streams/{stream}',
  'post /v1/streams/{stream}/trim',
  'post /v1/streams/{stream}/records',
  'post /v1/transactions',
])

const METRICS = [
  'varve_appends_total 1',
  'varve_append_records_total 2',
  'varve_read_records_total 2',
  'varve_http_requests_total{method="POST",route="/v1/streams/:stream/records",status="200"} 1',
  'varve_http_requests_total{method="GET",route="/v1/streams/:stream/records",status="404"} 1',
  'varve_request_body_bytes 0',
]

service.run()
