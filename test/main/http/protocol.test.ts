import { connect } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { sendRaw, withServer } from '../../support/http-server.ts'

const protocol = suite('main/http/protocol')

protocol('a wrong method is told which ones are right, a wrong address is not found', () =>
  withServer(async ({ send }) => {
    for (const [method, target, allow] of WRONG_METHODS) {
      const { status, body, headers } = await send(method, target)
      const seen = [status, body.code, headers.get('allow')]
      assert.equal(seen, [405, 'method_not_allowed', allow], `${method} ${target}`)
    }
    for (const target of [
      '/',
      '/v1',
      '/v1/streams/a/b',
      '/v1/streams/a/records/0/1',
      '/V1/streams',
    ]) {
      const { status, body } = await send('GET', target)
      assert.equal([status, body.code], [404, 'not_found'], target)
    }
    const body = await send('POST', '/v1/nothing', {
      body: 'x',
      headers: { 'content-type': 'a/b' },
    })
    assert.equal([body.status, body.body.code], [404, 'not_found'])
  }),
)

protocol('every failure is a problem document with all of its members', () =>
  withServer(async ({ send }) => {
    const { status, headers, body } = await send('GET', '/v1/streams/a')
    assert.equal([status, headers.get('content-type')], [404, 'application/problem+json'])
    assert.equal(body, {
      type: 'urn:varve:problem:stream_not_found',
      title: 'The stream does not exist',
      status: 404,
      code: 'stream_not_found',
      detail: 'no such stream',
      retryable: false,
    })
  }),
)

protocol('malformed HTTP is answered with 400, and the connection is closed', () =>
  withServer(async ({ url, store }) => {
    for (const request of MALFORMED) {
      const answer = await sendRaw(url, request)
      assert.match(answer, /^HTTP\/1\.1 400 /, JSON.stringify(request))
      assert.match(answer, /connection: close/i, JSON.stringify(request))
      assert.ok(answer.includes('"code":"invalid_request"'), answer)
    }
    assert.equal((await store.list({ prefix: '', after: '', limit: 9 })).streams, [])
  }),
)

protocol('headers longer than the limit have their own status', () =>
  withServer(async ({ url }) => {
    const request = `GET /v1/health HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`
    assert.match(await sendRaw(url, request), /^HTTP\/1\.1 431 /)
  }),
)

protocol('a client that leaves within its body leaves nothing behind', () =>
  withServer(async ({ url, whenMetric, append }) => {
    const { port, hostname } = new URL(url)
    const socket = connect(Number(port), hostname)
    socket.write(`${APPEND}Content-Length: 9\r\n\r\nx`)
    await whenMetric('varve_request_body_bytes 1')
    socket.destroy()
    await whenMetric('varve_request_body_bytes 0')
    assert.is((await append('a', 'text/plain', 'x')).body.firstOffset, 0)
  }),
)

protocol('what is not served below the documentation is a problem document too', () =>
  withServer(async ({ url }) => {
    for (const target of [
      '/docs/static/..',
      '/docs/static/../../package.json',
      '/docs/static/%2e%2e/x',
      '/docs/static/nothing.js',
      '/docs/nothing',
      '/docs/static/%00',
    ]) {
      const answer = await sendRaw(url, `GET ${target} HTTP/1.1\r\n${LOCAL}\r\n\r\n`)
      assert.match(answer, /^HTTP\/1\.1 40[0-9] [^]*application\/problem\+json/, target)
    }
  }),
)

protocol('a tunnel is refused', () =>
  withServer(async ({ url }) => {
    const answer = await sendRaw(url, `CONNECT a:1 HTTP/1.1\r\n${LOCAL}\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 405 [^]*"code":"method_not_allowed"/)
  }),
)

const LOCAL = 'Host: localhost\r\nConnection: close'
const POST_HEAD = 'POST /v1/streams/a/records HTTP/1.1\r\nHost: localhost\r\n'
const APPEND = `${POST_HEAD}Content-Type: text/plain\r\n`

const MALFORMED = [
  `${APPEND}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy`,
  `${APPEND}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n`,
  `${APPEND}Content-Length: x\r\n\r\nxy`,
  `${APPEND}Transfer-Encoding: chunked, identity\r\n\r\nx`,
  'GET /v1/health HTTP/1.1\nHost: x\n\n',
  'GET /v1/health HTTP/1.1\r\nHost: localhost\r\nA: b\0c\r\n\r\n',
  'GET /v1/health HTTP/1.1\r\nHost : x\r\n\r\n',
  'GET /v1/health HTTP/1.1\r\n\r\n',
  'hello\r\n\r\n',
]

const WRONG_METHODS = [
  ['POST', '/v1/streams', 'GET'],
  ['POST', '/v1/streams/a', 'DELETE, GET, HEAD, PATCH, PUT'],
  ['PUT', '/v1/streams/a%2Fb/records?x=1', 'GET, POST'],
  ['DELETE', '/v1/streams/a/records/0', 'GET'],
  ['GET', '/v1/streams/a/close', 'POST'],
  ['GET', '/v1/barrier', 'POST'],
  ['GET', '/v1/transactions', 'POST'],
  ['GET', '/v1/streams/a/trim', 'POST'],
  ['DELETE', '/v1/streams/a%2Fb/checkpoints', 'GET, POST'],
  ['POST', '/v1/keys', 'GET'],
  ['POST', '/v1/health', 'GET'],
  ['PROPFIND', '/v1/streams', 'GET'],
  ['OPTIONS', '/v1/streams', 'GET'],
] as const

protocol.run()
