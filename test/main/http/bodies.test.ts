import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { deflateSync, gzipSync } from 'node:zlib'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BodyBudget } from '../../../src/main/http/body-budget.ts'
import { parseMediaType } from '../../../src/main/http/media-type.ts'
import { RequestBodies } from '../../../src/main/http/request-bodies.ts'
import { MIB } from '../../../src/shared/limits.ts'
import { type TestServer, withServer } from '../../support/http-server.ts'
import { append, appendHead, RawClient } from '../../support/raw-client.ts'

const bodies = suite('main/http/bodies')

bodies('sockets that announce a body and send nothing hold nothing', () =>
  withServer(
    async ({ url, append, whenMetric }) => {
      const silent = Array.from({ length: 9 }, () => new RawClient(url))
      for (const client of silent) client.send(appendHead('Content-Length: 1000'))
      const last = new RawClient(url).send(`${appendHead('Content-Length: 1000')}x`)
      await whenMetric('varve_request_body_bytes 1')
      assert.is((await append('a', 'text/plain', 'x'.repeat(900))).status, 200)
      for (const { socket } of [...silent, last]) socket.destroy()
      await whenMetric('varve_request_body_bytes 0')
    },
    { bodyBudgetBytes: 1000, requestBytesMax: 1000 },
  ),
)

bodies('a sender that falls silent within its body is answered 408 and cut off', () =>
  withServer(
    async ({ url, whenMetric, store }) => {
      for (const start of ['', 'x']) {
        const client = new RawClient(url).send(appendHead('Content-Length: 9') + start)
        await client.closed
        assert.equal(client.statuses, [408])
        assert.match(client.answer, /"outcome":"not_applied".*"code":"request_timeout"/)
      }
      await whenMetric('varve_request_body_bytes 0')
      assert.equal((await store.list({ prefix: '', after: '', limit: 9 })).streams, [])
    },
    { requestIdleMs: 20 },
  ),
)

bodies('a body that is still decoded is not taken for that of a silent sender', () => {
  let nowMs = 0
  const stepMs = 25
  const bodies = new RequestBodies(new BodyBudget(MIB, MIB), 4 * stepMs, () => nowMs)
  const failed: (string | undefined)[] = []
  const begin = () => {
    const headers = { 'content-encoding': 'gzip' }
    const request = Object.assign(new PassThrough(), { headers }) as unknown as IncomingMessage
    bodies.admit(request, MIB)
    bodies.read(request, failure => failed.push(failure?.code))
    return request
  }
  const whole = begin()
  // Decoding goes on in a later turn, and the rest is not read before it has made room.
  begin().emit('data', gzipSync('x'))
  begin()
  whole.emit('data', gzipSync('x'))
  whole.emit('end')
  for (let count = 0; count < 9; count += 1) {
    nowMs += stepMs
    bodies.sweep()
  }
  assert.equal(failed, ['request_timeout'])
  bodies.close()
})

bodies('a sender that dribbles is cut off when its request takes too long', () =>
  withServer(
    async ({ url }) => {
      const client = new RawClient(url).send(appendHead('Content-Length: 999999'))
      const dribble = setInterval(() => client.send('x'), 5)
      await client.closed
      clearInterval(dribble)
      assert.equal(client.statuses, [408])
    },
    { requestTimeoutMs: 100 },
  ),
)

bodies('a body is decoded as its Content-Encoding says', () =>
  withServer(async server => {
    const text = 'varve '.repeat(50_000)
    for (const [encoding, bytes] of [
      ['gzip', gzipSync(text)],
      ['X-GZip', Buffer.concat([gzipSync(text.slice(0, 9)), gzipSync(text.slice(9))])],
      ['deflate', deflateSync(text)],
      ['identity', Buffer.from(text)],
    ] as const) {
      const { status, body } = await send(server, encoding, bytes)
      assert.is(status, 200, encoding)
      const page = await server.read('a', `?from=${body.firstOffset}`)
      assert.is(page.body.records?.[0]?.text, text, encoding)
    }
    await server.whenMetric('varve_request_body_bytes 0')
  }),
)

bodies('an encoding that is not known is refused, and what is not so encoded too', () =>
  withServer(async server => {
    for (const encoding of ['br', 'zstd', 'gzip, gzip', 'gzip, br', 'x']) {
      const { status, body } = await send(server, encoding, gzipSync('x'))
      const seen = [status, body.code, body.outcome]
      assert.equal(seen, [415, 'unsupported_media_type', 'not_applied'], encoding)
    }
    const whole = gzipSync('x'.repeat(1000))
    const behind = Buffer.concat([whole, Buffer.from('more')])
    for (const bytes of [Buffer.from('text'), whole.subarray(0, -1), behind]) {
      const { status, body } = await send(server, 'gzip', bytes)
      assert.equal([status, body.code, body.outcome], [400, 'invalid_request', 'not_applied'])
    }
    assert.is((await send(server, 'gzip', deflateSync('x'))).status, 400)
    assert.equal((await server.store.list({ prefix: '', after: '', limit: 9 })).streams, [])
  }),
)

bodies('small routes decode too', () =>
  withServer(async ({ send }) => {
    const body = gzipSync(JSON.stringify({ durability: 'relaxed' }))
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
    assert.is((await send('PUT', '/v1/streams/a', { body, headers })).status, 201)
    const bomb = gzipSync(Buffer.alloc(2 * MIB, ' '))
    assert.is((await send('PUT', '/v1/streams/b', { body: bomb, headers })).status, 413)
  }),
)

bodies('what expands past the limit is given up there', () =>
  withServer(
    async server => {
      const bomb = gzipSync(Buffer.alloc(64 * MIB))
      const { status, body } = await send(server, 'gzip', bomb)
      assert.equal([status, body.code, body.outcome], [413, 'body_too_large', 'not_applied'])
      await server.whenMetric('varve_request_body_bytes 0')
    },
    { requestBytesMax: MIB, recordBytesMax: MIB },
  ),
)

bodies('what expands past the budget is refused', () =>
  withServer(
    async server => {
      const { status, body } = await send(server, 'gzip', gzipSync(Buffer.alloc(MIB)))
      assert.equal([status, body.code], [503, 'overloaded'])
      await server.whenMetric('varve_request_body_bytes 0')
    },
    { requestBytesMax: MIB, recordBytesMax: MIB, bodyBudgetBytes: MIB / 2 },
  ),
)

bodies('what follows a body is answered after it, and never for it', () =>
  withServer(async ({ url, store }) => {
    for (const behind of ['garbage\r\n\r\n', 'x', '\0', 'POST / HTTP/9.9\r\n\r\n', BOTH_LENGTHS]) {
      const client = new RawClient(url).send(append('kept') + behind)
      if (behind === 'x') client.socket.end()
      await client.closed
      assert.equal(client.statuses.slice(0, 2), [200, 400], JSON.stringify(behind))
    }
    assert.is((await store.info('a')).nextOffset, 5)
  }),
)

bodies('a chunk that is not one is the answer to its own request, behind those before', () =>
  withServer(async ({ url, store, whenMetric }) => {
    const broken = `${appendHead('Transfer-Encoding: chunked')}1\r\nx\r\nzz\r\n`
    const client = new RawClient(url).send(append('kept') + broken)
    await client.closed
    assert.equal(client.statuses, [200, 400])
    assert.match(client.answer, /"outcome":"not_applied".*"code":"invalid_request"/)
    assert.is((await store.info('a')).nextOffset, 1)
    await whenMetric('varve_request_body_bytes 0')
  }),
)

bodies('an expectation that is not known is a problem document', () =>
  withServer(async ({ url }) => {
    const client = new RawClient(url).send(append('x', 'Expect: cake'))
    await client.closed
    assert.match(client.answer, /^HTTP\/1\.1 417 [^]*application\/problem\+json[^]*"status":417/)
    const known = new RawClient(url).send(append('x', 'Expect: 100-continue', 'Connection: close'))
    await known.closed
    assert.equal(known.statuses, [100, 200])
  }),
)

bodies('a Content-Type of any length is parsed in no time', () => {
  const parse = (text: string) => parseMediaType(text)?.type
  assert.is(parse(`a${' '.repeat(1e6)}x`), undefined)
  assert.is(parse(`text/plain${' '.repeat(1e6)};`), 'text/plain')
  assert.is(parse(`text/plain; charset ${' '.repeat(1e6)} = "UTF-8" ;`), 'text/plain')
  for (const bad of [
    '',
    ';',
    'text/plain; charset=latin1',
    'a/b; a=b',
    'a/b; charset=utf-8; c=d',
  ]) {
    assert.is(parse(bad), undefined, bad)
  }
})

/** Lengths that contradict each other, as in request smuggling. */
const BOTH_LENGTHS = `${appendHead('Content-Length: 4', 'Transfer-Encoding: chunked')}0\r\n\r\n`

function send({ send }: TestServer, encoding: string, body: Buffer) {
  const headers = { 'content-type': 'text/plain', 'content-encoding': encoding }
  return send('POST', '/v1/streams/a/records', { body, headers })
}

bodies.run()
