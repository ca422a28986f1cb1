import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readU64 } from '../../../src/shared/format/bytes.ts'
import { json, type TestServer, withServer } from '../../support/http-server.ts'
import { until } from '../../support/memory-store.ts'
import { batchOf } from '../../support/store-helpers.ts'
import { TailClient, type TailMessage } from '../../support/tail-client.ts'

const websocket = suite('main/tail/websocket')

websocket('a subscriber catches up, is live once, and follows', () =>
  withServer(async server => {
    await fill(server, 3)
    const client = new TailClient(server.url, 'a', '?from=start')
    await client.live()
    assert.equal(client.types, ['records', 'live'])
    assert.equal(pick(client.messages.at(-1)), ['live', 3])
    await fill(server, 2)
    await client.until(({ offsets }) => offsets.length === 5)
    assert.equal(client.offsets, [0, 1, 2, 3, 4])
    const { firstOffset, nextOffset } = client.messages.at(-1) ?? {}
    assert.equal([firstOffset, nextOffset], [3, 5])
  }),
)

websocket('a subscriber starts at the end unless it says where', () =>
  withServer(async server => {
    await fill(server, 3)
    const atEnd = new TailClient(server.url, 'a')
    const inside = new TailClient(server.url, 'a', '?from=2')
    await Promise.all([atEnd.live(), inside.live()])
    await fill(server, 1)
    await Promise.all(
      [atEnd, inside].map(client => client.until(({ offsets }) => offsets.includes(3))),
    )
    assert.equal([atEnd.offsets, inside.offsets], [[3], [2, 3]])
  }),
)

websocket('batch messages carry their first offset, their count, and the batch encoding', () =>
  withServer(async server => {
    const { batch } = batchOf('one', 'two')
    await server.append('a', 'application/vnd.varve.batch', batch)
    const client = new TailClient(server.url, 'a', '?from=start&format=batch')
    await client.live()
    await server.append('a', 'application/vnd.varve.batch', batchOf('three').batch)
    await client.until(({ binary }) => binary.length === 2)
    const [caughtUp = Buffer.alloc(0), live = Buffer.alloc(0)] = client.binary
    assert.equal(headerOf(caughtUp), [0, 2, 0])
    assert.equal(headerOf(live), [2, 1, 0])
    assert.is(caughtUp.subarray(16).toString('hex'), batch.toString('hex'))
    assert.is(live.subarray(16).toString('hex'), batchOf('three').batch.toString('hex'))
  }),
)

websocket('the end of a closed stream is said, then the connection ends normally', () =>
  withServer(async server => {
    await fill(server, 2)
    const live = new TailClient(server.url, 'a')
    await live.live()
    await server.send('POST', '/v1/streams/a/close')
    const late = new TailClient(server.url, 'a', '?from=start')
    assert.equal(await Promise.all([live.closed, late.closed]), [1000, 1000])
    assert.equal(pick(live.messages.at(-1)), ['closed', 2])
    assert.equal(late.types, ['records', 'live', 'closed'])
    assert.equal(late.offsets, [0, 1])
  }),
)

websocket('deleting the stream and losing its shard end with their problem', () =>
  withServer(async server => {
    await fill(server, 1)
    const first = new TailClient(server.url, 'a')
    await first.live()
    server.store.failSubscriptions()
    assert.is(await first.closed, 4000 + 503 - 400)
    const second = new TailClient(server.url, 'a')
    await second.live()
    await server.send('DELETE', '/v1/streams/a')
    assert.is(await second.closed, 4000 + 410 - 400)
    assert.equal(
      [first, second].map(({ messages }) => messages.at(-1)?.code),
      ['shard_failed', 'stream_deleted'],
    )
    assert.equal([second.messages.at(-1)?.type, second.messages.at(-1)?.status], ['error', 410])
  }),
)

websocket('a subscriber whose records were trimmed is told where the others begin', () =>
  withServer(async server => {
    await fill(server, 5)
    const { store } = server
    const read = store.read.bind(store)
    store.read = async (name, request) => {
      if (request.verify === 'links') await store.trim(name, 3) // its first page, not its start
      return read(name, request)
    }
    const client = new TailClient(server.url, 'a', '?from=1')
    assert.is(await client.closed, 4000 + 410 - 400)
    const { type, code, firstOffset, status } = client.messages.at(-1) ?? {}
    assert.equal([type, code, firstOffset, status], ['error', 'trimmed', 3, 410])
    const late = await TailClient.refusal(server.url, 'a', '?from=2')
    assert.equal([late.status, late.body], [410, { ...late.body, code: 'trimmed', firstOffset: 3 }])
  }),
)

websocket('a live subscriber does not notice a trim', () =>
  withServer(async server => {
    await fill(server, 3)
    const client = new TailClient(server.url, 'a', '?from=start')
    await client.live()
    await server.store.trim('a', 3)
    await server.store.checkpoint('a')
    await fill(server, 1)
    await client.until(({ offsets }) => offsets.includes(3))
    assert.equal(client.types, ['records', 'live', 'records'])
    const again = new TailClient(server.url, 'a', '?from=start')
    await again.live()
    assert.equal(again.offsets, [3])
  }),
)

websocket('what is wrong before the upgrade is a plain problem', () =>
  withServer(async server => {
    await fill(server, 1)
    const refused = async (stream: string, query: string) => {
      const { status, body } = await TailClient.refusal(server.url, stream, query)
      return [status, body.code]
    }
    assert.equal(await refused('b', ''), [404, 'stream_not_found'])
    assert.equal(await refused('a//b', ''), [400, 'invalid_stream_name'])
    assert.equal(await refused('a', '?from=2'), [416, 'beyond_end'])
    for (const query of ['?from=x', '?format=sse', '?other=1']) {
      assert.equal(await refused('a', query), [400, 'invalid_request'])
    }
    const plain = await server.send('GET', '/v1/streams/a/tail')
    assert.equal([plain.status, plain.body.code], [400, 'invalid_request'])
    await server.store.whenUnwatched()
  }),
)

websocket('pages of another origin are refused unless they are allowed', () =>
  withServer(
    async server => {
      await fill(server, 1)
      const origin = 'http://evil.example'
      const { status, body } = await TailClient.refusal(server.url, 'a', '', { origin })
      assert.equal([status, body.code], [403, 'forbidden'])
      const nowhere = await TailClient.refusal(server.url, 'a', '', { origin: 'null' })
      assert.is(nowhere.status, 403)
      for (const origin of [server.url, 'http://friend.example']) {
        const client = new TailClient(server.url, 'a', '', { origin })
        await client.live()
      }
    },
    { allowedOrigins: ['http://friend.example'] },
  ),
)

websocket('subscribers past the bound are told to come back', () =>
  withServer(
    async server => {
      await fill(server, 1)
      const first = new TailClient(server.url, 'a')
      await first.live()
      const { status, body } = await TailClient.refusal(server.url, 'a')
      assert.equal([status, body.code], [429, 'too_many_requests'])
      const waiting = await server.read('a', '?from=end&wait=1000')
      assert.equal([waiting.status, waiting.headers.has('retry-after')], [429, true])
      first.socket.close()
      await first.closed
      await server.store.whenUnwatched()
      await new TailClient(server.url, 'a').live()
    },
    { subscriptionsMax: 1 },
  ),
)

websocket('an idle subscriber hears a heartbeat', () =>
  withServer(
    async server => {
      await fill(server, 1)
      const client = new TailClient(server.url, 'a')
      await client.until(({ types }) => types.filter(type => type === 'heartbeat').length === 2)
      assert.equal(pick(client.messages.at(-1)), ['heartbeat', 1])
    },
    { heartbeatMs: 5 },
  ),
)

websocket('what a subscriber says is ignored, and too much of it ends the connection', () =>
  withServer(async server => {
    await fill(server, 1)
    const client = new TailClient(server.url, 'a')
    await client.live()
    client.socket.send('hello')
    await fill(server, 1)
    await client.until(({ offsets }) => offsets.includes(1))
    client.socket.send('x'.repeat(5000))
    assert.is(await client.closed, 1009)
    await server.store.whenUnwatched()
  }),
)

websocket('a stopped subscriber holds a bounded buffer and misses nothing', () =>
  withServer(async server => {
    await fill(server, 1)
    const client = new TailClient(server.url, 'a')
    await client.live()
    client.socket.pause()
    const body = 'x'.repeat(200_000)
    let most = 0
    for (let sent = 0; sent < 100; sent += 1) {
      await server.append('a', 'text/plain', body)
      most = Math.max(most, ...bufferedBytes(server))
    }
    assert.ok(most > 0 && most <= 1024 * 1024, `${most} bytes`)
    client.socket.resume()
    await client.until(({ offsets }) => offsets.length === 100)
    assert.equal(
      client.offsets,
      Array.from({ length: 100 }, (_, index) => index + 1),
    )
  }),
)

websocket('every subscriber has every record while appends go on', () =>
  withServer(async server => {
    await fill(server, 1)
    const count = 300
    const appends = (async () => {
      for (let sent = 1; sent < count; sent += 1) await fill(server, 1)
    })()
    const clients: TailClient[] = []
    for (let joined = 0; joined < 20; joined += 1) {
      clients.push(new TailClient(server.url, 'a', '?from=start'))
      await until(() => (clients.at(-1)?.messages.length ?? 0) > 0)
    }
    await Promise.all([
      appends,
      ...clients.map(client => client.until(c => c.offsets.length >= count)),
    ])
    const all = Array.from({ length: count }, (_, index) => index)
    for (const client of clients) assert.equal(client.offsets, all)
    assert.ok(clients.every(({ types }) => types.filter(type => type === 'live').length <= 1))
  }),
)

websocket('the end of the service is said to its subscribers', () =>
  withServer(async server => {
    await fill(server, 1)
    const client = new TailClient(server.url, 'a')
    await client.live()
    const waiting = server.read('a', '?from=end&wait=60000')
    await server.whenMetric('varve_subscribers 2')
    await server.server.close()
    assert.is(await client.closed, 1001)
    assert.is(client.messages.at(-1)?.code, 'shutting_down')
    assert.is((await waiting).status, 200)
  }),
)

function fill({ append }: TestServer, count: number) {
  const records = Array.from({ length: count }, (_, data) => ({ data }))
  return append('a', 'application/json', json(...records))
}

function headerOf(message: Buffer): number[] {
  return [readU64(message, 0), message.readUInt32LE(8), message.readUInt32LE(12)]
}

function bufferedBytes({ server }: TestServer): number[] {
  return [...server.app.websocketServer.clients].map(({ bufferedAmount }) => bufferedAmount)
}

websocket('every message says which stream it is of and where it stands', () =>
  withServer(async server => {
    const { body } = await server.append('a', 'text/plain', 'x')
    const client = new TailClient(server.url, 'a', '?from=start')
    await client.live()
    await server.append('a', 'text/plain', 'y')
    await client.until(({ offsets }) => offsets.length === 2)
    const { body: page } = await server.send('GET', '/v1/streams/a/records')
    await server.send('POST', '/v1/streams/a/close')
    await client.closed
    const cursors = client.messages.map(({ type, nextOffset, lastHash }) => [
      type,
      nextOffset,
      lastHash,
    ])
    const [first, last] = [body.recordHash, page.lastHash]
    const expected = [
      ['records', 1, first],
      ['live', 1, first],
      ['records', 2, last],
      ['closed', 2, last],
    ]
    assert.equal(cursors, expected)
    for (const { streamId } of client.messages) assert.is(streamId, page.streamId)
  }),
)

websocket('a tail after a hash that the stream does not have is refused before the upgrade', () =>
  withServer(async server => {
    const { body } = await server.append('a', 'text/plain', 'x')
    const right = new TailClient(server.url, 'a', `?from=1&after=${body.recordHash}`)
    await right.live()
    await server.send('DELETE', '/v1/streams/a')
    await server.append('a', 'text/plain', 'x')
    const wrong = new TailClient(server.url, 'a', `?from=1&after=${body.recordHash}`)
    await wrong.closed
    assert.equal(wrong.messages, [])
    await server.store.whenUnwatched()
  }),
)

function pick(message: TailMessage | undefined): unknown[] {
  return [message?.type, message?.nextOffset]
}

websocket.run()
