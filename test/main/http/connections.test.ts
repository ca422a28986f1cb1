import { EventEmitter } from 'node:events'
import type { Server } from 'node:http'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Connections } from '../../../src/main/http/connections.ts'
import { KIB, MIB } from '../../../src/shared/limits.ts'
import { sendRaw, withServer } from '../../support/http-server.ts'
import { until } from '../../support/memory-store.ts'
import { append, appendHead, get, RawClient } from '../../support/raw-client.ts'

const connections = suite('main/http/connections')

connections('a socket that got its last answer is destroyed, whether its peer ends or not', () =>
  withServer(async ({ url, server }) => {
    const client = new RawClient(url, { allowHalfOpen: true }).send('hello\r\n\r\n')
    assert.equal(await client.answers(1), [400])
    await until(
      () =>
        new Promise<boolean>(resolve => {
          server.app.server.getConnections((_error, count) => resolve(count === 0))
        }),
    )
    client.socket.destroy()
  }),
)

connections('a silent connection is answered 408 and let go', () =>
  withServer(
    async ({ url }) => {
      for (const start of ['', 'GET /v1/hea']) {
        const client = new RawClient(url)
        if (start !== '') client.send(start)
        await client.closed
        assert.equal(client.statuses, [408])
        assert.match(client.answer, /"code":"request_timeout"/)
      }
    },
    { requestTimeoutMs: 40 },
  ),
)

connections('a late body of a request that was answered gets no second answer', () =>
  withServer(
    async ({ url }) => {
      const head = 'POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n'
      const client = new RawClient(url).send(head)
      await client.closed
      assert.equal(client.statuses, [404])
    },
    { requestTimeoutMs: 40 },
  ),
)

connections('pipelined requests are answered in order, many more than are served at a time', () =>
  withServer(async ({ url, store }) => {
    const count = 400
    const all = Array.from({ length: count }, (_, index) => append(String(index))).join('')
    const client = new RawClient(url).send(all)
    assert.is((await client.answers(count)).length, count)
    const offsets = [...client.answer.matchAll(/"firstOffset":(\d+)/g)].map(([, at]) => Number(at))
    assert.equal(
      offsets,
      offsets.toSorted((left, right) => left - right),
    )
    assert.is((await store.info('a')).nextOffset, count)
    client.socket.destroy()
  }),
)

connections('a connection that pipelines without end is cut off', () =>
  withServer(async ({ url, whenMetric }) => {
    const wait = get('/v1/streams/a/records?wait=60000')
    const client = new RawClient(url).send(append(''))
    await client.answers(1)
    client.send(get('/v1/streams/a/records?from=1&wait=60000').repeat(16) + wait.repeat(2000))
    await client.closed
    await whenMetric('varve_connections_cut_total{reason="pipelining"} 1')
    assert.equal(client.statuses, [200])
  }),
)

connections('a client that takes nothing of what it asked for is cut off', () =>
  withServer(
    async ({ url, append, whenMetric }) => {
      await append('a', 'application/octet-stream', Buffer.alloc(8 * MIB))
      const stopped = new RawClient(url).send(get('/v1/streams/a/records'))
      stopped.socket.pause()
      await whenMetric('varve_connections_cut_total{reason="slow_reader"} 1')
      await whenMetric('varve_read_page_bytes 0')
      stopped.socket.destroy()
    },
    { responseIdleMs: 50 },
  ),
)

connections('who takes anything of a long write, or has nothing to take, is not cut off', () => {
  let nowMs = 0
  const cuts: string[] = []
  const limits = { responseIdleMs: 100, now: () => nowMs, failBody: () => false }
  const open = new Connections({ ...limits, onCut: reason => cuts.push(reason) })
  const server = new EventEmitter() as Server
  open.attach(server)
  const socket = Object.assign(new EventEmitter(), {
    _handle: { writeQueueSize: MIB },
    destroyed: false,
    destroy: () => {
      socket.destroyed = true
    },
  })
  let waiting = MIB
  Object.defineProperties(socket, {
    writableLength: { get: () => waiting },
    bytesWritten: { get: () => MIB },
  })
  server.emit('connection', socket)
  for (const taken of [0, 1, 2]) {
    socket._handle.writeQueueSize = MIB - taken
    open.sweep()
    nowMs += 99
    open.sweep()
  }
  waiting = 0
  nowMs += 1000
  open.sweep()
  assert.equal(cuts, [])
  waiting = MIB
  open.sweep()
  nowMs += 100_000 // a pause of the process itself: nobody could take anything
  open.sweep()
  assert.equal(cuts, [])
  for (let count = 0; count < 8; count += 1) {
    nowMs += 100 / 8
    open.sweep()
  }
  assert.equal([cuts.join(), socket.destroyed], ['slow_reader', true])
  server.emit('close')
})

connections(
  'an upgrade that is not to a WebSocket is ignored, its body is read and nothing leaks',
  () =>
    withServer(
      async ({ url, whenMetric }) => {
        const upgrade = [
          'Connection: Upgrade, HTTP2-Settings',
          'Upgrade: h2c',
          'HTTP2-Settings: AAMAAABk',
        ]
        const client = new RawClient(url)
        for (let count = 1; count <= 9; count += 1) {
          const head = appendHead('Transfer-Encoding: chunked', ...upgrade)
          client.send(`${head}1\r\nx\r\n0\r\n\r\n`)
          assert.equal(
            await client.answers(count),
            Array.from({ length: count }, () => 200),
          )
        }
        client.send(get('/v1/streams/a/records', ...upgrade))
        assert.is((await client.answers(10))[9], 200)
        await whenMetric('varve_request_body_bytes 0')
        client.socket.destroy()
      },
      { requestBytesMax: KIB, bodyBudgetBytes: KIB },
    ),
)

connections('a WebSocket is upgraded at its addresses only, and not behind open requests', () =>
  withServer(async ({ url, append: appendText }) => {
    await appendText('a', 'text/plain', 'x')
    const upgrade = (target: string) =>
      get(target, 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', KEY)
    const elsewhere = new RawClient(url).send(upgrade('/v1/health'))
    assert.equal(await elsewhere.answers(1), [200])
    const tail = new RawClient(url).send(upgrade('/v1/streams/a/tail'))
    assert.equal(await tail.answers(1), [101])
    const poll = get('/v1/streams/a/records?from=1&wait=50')
    const behind = new RawClient(url).send(poll + upgrade('/v1/session'))
    assert.equal(await behind.answers(2), [200, 400])
    for (const { socket } of [elsewhere, tail, behind]) socket.destroy()
  }),
)

connections('a handshake that is not one is answered with a problem, never in HTML', () =>
  withServer(async ({ url, append: appendText }) => {
    await appendText('a', 'text/plain', 'x')
    const [asked, version] = ['Connection: Upgrade, close', 'Sec-WebSocket-Version: 13']
    const wrong = [
      [version],
      [version, 'Sec-WebSocket-Key: short'],
      [KEY],
      [KEY, 'Sec-WebSocket-Version: 12'],
      [KEY, version, 'Sec-WebSocket-Protocol: a,'],
      [KEY, version, 'Sec-WebSocket-Protocol: a, a'],
    ]
    for (const target of ['/v1/session', '/v1/streams/a/tail']) {
      for (const lines of wrong) {
        const answer = await sendRaw(url, get(target, asked, 'Upgrade: websocket', ...lines))
        assert.match(answer, /^HTTP\/1\.1 400 /, answer)
        assert.match(answer, /content-type: application\/problem\+json/, answer)
        assert.ok(answer.includes('"code":"invalid_request"'), answer)
      }
    }
  }),
)

connections('a half-sent request holds up a clean stop no longer than its grace', () =>
  withServer(
    async ({ url, server, whenMetric }) => {
      const client = new RawClient(url).send(`${appendHead('Content-Length: 9')}x`)
      await whenMetric('varve_request_body_bytes 1')
      await server.close()
      await client.closed
    },
    { drainMs: 20 },
  ),
)

const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='

connections.run()
