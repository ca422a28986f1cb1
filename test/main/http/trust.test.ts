import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { HttpConfig } from '../../../src/main/http/http-config.ts'
import { HTTP_CONFIG_DEFAULTS } from '../../../src/main/http/http-config.ts'
import { Trust } from '../../../src/main/http/trust.ts'
import { sendRaw, withServer } from '../../support/http-server.ts'
import { SessionClient } from '../../support/session-client.ts'

const trust = suite('main/http/trust')

trust('a page of a foreign origin can neither append, close, read nor ask', () =>
  withServer(async ({ append, send, store }) => {
    await append('a', 'text/plain', 'x')
    for (const [method, target] of REQUESTS) {
      const { status, body } = await send(method, target, { headers: { origin: FOREIGN } })
      assert.equal([status, body.code], [403, 'forbidden'], `${method} ${target}`)
    }
    const { state, nextOffset } = await store.info('a')
    assert.equal([state, nextOffset], ['open', 1])
  }),
)

trust('a name that resolves here but is not ours is misdirected, whatever is asked', () =>
  withServer(async ({ url, store }) => {
    for (const host of ['evil.example', 'evil.example:4400', 'localhost.evil.example', '', '@']) {
      for (const [method, target] of REQUESTS) {
        const answer = await raw(url, method, target, `Host: ${host}`)
        assert.match(
          answer,
          /^HTTP\/1\.1 421 .*"code":"misdirected"/s,
          `${host} ${method} ${target}`,
        )
      }
    }
    assert.equal((await store.list({ prefix: '', after: '', limit: 9 })).streams, [])
  }),
)

trust('loopback names are served on any port, and with capital letters', () =>
  withServer(async ({ url }) => {
    for (const host of ['localhost', 'LocalHost:1', '127.0.0.1', '127.0.0.1:65535', '[::1]:80']) {
      assert.match(await raw(url, 'GET', '/v1/health', `Host: ${host}`), /^HTTP\/1\.1 200 /, host)
    }
  }),
)

trust('two Host headers, or none, are not valid', () =>
  withServer(async ({ url }) => {
    const twice = 'Host: localhost\r\nHOST: localhost'
    for (const headers of [twice, 'X: y']) {
      const answer = await raw(url, 'GET', '/v1/health', headers)
      assert.match(answer, /^HTTP\/1\.1 400 .*"code":"invalid_request"/s, headers)
    }
  }),
)

trust('a target that names a foreign host is misdirected, whatever its Host says', () =>
  withServer(async ({ url }) => {
    const evil = await raw(url, 'GET', 'http://evil.example/v1/health', 'Host: localhost')
    assert.match(evil, /^HTTP\/1\.1 421 .*"code":"misdirected"/s)
    const own = await raw(url, 'GET', 'http://localhost/v1/health', 'Host: localhost')
    assert.match(own, /^HTTP\/1\.1 200 /)
  }),
)

trust('a WebSocket is refused to foreign names and origins before its upgrade', () =>
  withServer(async ({ url }) => {
    const host = await SessionClient.refusal(url, '', { host: 'evil.example' })
    assert.equal(host, { status: 421, code: 'misdirected' })
    const origin = await SessionClient.refusal(url, '', { origin: FOREIGN })
    assert.equal(origin, { status: 403, code: 'forbidden' })
  }),
)

trust('pages of an allowed origin get what their browser asks for', () =>
  withServer(
    async ({ send }) => {
      const headers = { origin: FOREIGN, 'access-control-request-method': 'PUT' }
      const preflight = await send('OPTIONS', '/v1/streams/a', { headers })
      assert.is(preflight.status, 204)
      assert.match(preflight.headers.get('access-control-allow-methods') ?? '', /\bPUT\b/)
      assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /Producer-Id/)
      for (const target of ['/v1/health', '/v1/streams/a', '/nowhere']) {
        const answer = await send('GET', target, { headers: { origin: FOREIGN } })
        assert.is(answer.headers.get('access-control-allow-origin'), FOREIGN, target)
        assert.match(answer.headers.get('access-control-expose-headers') ?? '', /Varve-Next-Offset/)
        assert.is(answer.headers.get('vary'), 'Origin')
      }
    },
    { allowedOrigins: [FOREIGN] },
  ),
)

trust('an event stream can be read by pages of an allowed origin', () =>
  withServer(
    async ({ url, append }) => {
      await append('a', 'text/plain', 'x')
      const headers = { origin: FOREIGN, accept: 'text/event-stream' }
      const response = await fetch(`${url}/v1/streams/a/records`, { headers })
      assert.is(response.headers.get('access-control-allow-origin'), FOREIGN)
      await response.body?.cancel()
    },
    { allowedOrigins: [FOREIGN] },
  ),
)

trust('a preflight of a foreign origin is refused, and one of the own origin has no need', () =>
  withServer(async ({ url, send }) => {
    const ask = (origin: string) =>
      send('OPTIONS', '/v1/streams/a', {
        headers: { origin, 'access-control-request-method': 'PUT' },
      })
    const foreign = await ask(FOREIGN)
    assert.equal([foreign.status, foreign.body.code], [403, 'forbidden'])
    assert.is(foreign.headers.get('access-control-allow-origin'), null)
    assert.is((await ask(url)).status, 204)
    assert.is((await send('GET', '/v1/health', { headers: { origin: url } })).status, 200)
  }),
)

trust('other names are served when they are allowed, with their port if they have one', () => {
  const allowedHosts = ['Varve.example', 'other.example:80']
  const names = hostsOf({ allowedHosts })
  assert.equal(names(['varve.example:99', 'other.example:80', 'localhost']), [true, true, true])
  assert.equal(names(['other.example', 'a.varve.example', '10.0.0.1']), [false, false, false])
  assert.equal(hostsOf({ allowedHosts: ['*'] })(['evil.example']), [true])
})

trust('a service on the network is also served under addresses and undotted names', () => {
  const names = hostsOf({ host: '0.0.0.0' })
  assert.equal(names(['10.0.0.1:4400', '[fe80::1]', 'varve:4400']), [true, true, true])
  assert.equal(names(['evil.example', '10.0.0.1.evil.example']), [false, false])
})

const FOREIGN = 'http://evil.example'
const REQUESTS = [
  ['POST', '/v1/streams/a/records'],
  ['POST', '/v1/streams/a/close'],
  ['DELETE', '/v1/streams/a'],
  ['GET', '/v1/streams/a/records'],
  ['GET', '/v1/health'],
  ['GET', '/docs/json'],
  ['GET', '/nowhere'],
  ['OPTIONS', '/v1/streams/a'],
] as const

function raw(url: string, method: string, target: string, headers: string): Promise<string> {
  return sendRaw(url, `${method} ${target} HTTP/1.1\r\n${headers}\r\nConnection: close\r\n\r\n`)
}

/** Whether each of some names is served. */
function hostsOf(config: Partial<HttpConfig>): (hosts: string[]) => boolean[] {
  const trust = new Trust({ ...HTTP_CONFIG_DEFAULTS, ...config })
  const isServed = (host: string) => {
    const request = { headers: { host }, rawHeaders: ['Host', host], httpVersion: '1.1' }
    try {
      trust.checkHost(request as Parameters<Trust['checkHost']>[0])
      return true
    } catch {
      return false
    }
  }
  return hosts => hosts.map(isServed)
}

trust.run()
