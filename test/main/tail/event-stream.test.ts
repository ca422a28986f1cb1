import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { json, type TestServer, withServer } from '../../support/http-server.ts'

const eventStream = suite('main/tail/event-stream')

eventStream('events catch up, follow, and end with the stream', () =>
  withServer(async server => {
    await fill(server, 2)
    const events = await follow(server, '?from=start')
    assert.equal(events.headers, ['0', '2', null])
    await events.until(': live')
    await fill(server, 1)
    await server.send('POST', '/v1/streams/a/close')
    const text = await events.rest()
    assert.equal(idsOf(text), [1, 2, 3])
    assert.ok(text.endsWith('event: closed\ndata: {"nextOffset":3}\n\n'))
    assert.is(server.store.watches, 0)
  }),
)

eventStream('a client that comes back goes on after the last event, whatever it asked for', () =>
  withServer(async server => {
    await fill(server, 3)
    await server.send('POST', '/v1/streams/a/close')
    const resumed = await follow(server, '?from=start', { 'last-event-id': '2' })
    assert.equal(idsOf(await resumed.rest()), [3])
  }),
)

eventStream('a client that comes back to the end of a closed stream is told to come no more', () =>
  withServer(async server => {
    await fill(server, 1)
    await server.send('POST', '/v1/streams/a/close')
    const text = await (await follow(server, '?from=start')).rest()
    const id = /id: (.*)\nevent: closed/.exec(text)?.[1] ?? ''
    for (const last of [id, '1']) {
      const done = await server.send('GET', '/v1/streams/a/records', {
        headers: { accept: 'text/event-stream', 'last-event-id': last },
      })
      assert.is(done.status, 204)
    }
    const first = await follow(server, '?from=end')
    assert.equal(first.headers, ['1', '1', 'true'])
    assert.match(await first.rest(), /^id: 1\.[0-9a-f]{64}\nevent: closed\n/m)
  }),
)

eventStream('a cursor of another history is refused before any event', () =>
  withServer(async server => {
    await fill(server, 2)
    const { body } = await server.send('GET', '/v1/streams/a/records')
    const cursor = `2.${(body as { lastHash: string }).lastHash}`
    await server.send('DELETE', '/v1/streams/a')
    await fill(server, 3)
    const refused = await server.send('GET', '/v1/streams/a/records', {
      headers: { accept: 'text/event-stream', 'last-event-id': cursor },
    })
    assert.is(refused.status, 409)
    await server.store.whenUnwatched()
  }),
)

eventStream('an event is one record with its id and data on a line each', () =>
  withServer(async server => {
    await server.append('a', 'application/x-ndjson', '{"a": "x"}')
    await server.send('POST', '/v1/streams/a/close')
    const [event = ''] = (await (await follow(server, '')).rest()).split('\n\n')
    assert.match(
      event,
      /^id: 1\.[0-9a-f]{64}\ndata: \{"offset":0,"timestamp":"[^"]+","data":\{"a": "x"\}\}$/,
    )
  }),
)

eventStream('what is wrong from the start is a plain problem', () =>
  withServer(async server => {
    await fill(server, 1)
    const refused = async (query: string, headers = {}) => {
      const { status } = await server.send('GET', `/v1/streams/a/records${query}`, {
        headers: { accept: 'text/event-stream', ...headers },
      })
      return status
    }
    assert.is(await refused('?from=2'), 416)
    assert.is(await refused('', { 'last-event-id': '2' }), 416)
    assert.is(await refused('', { 'last-event-id': 'x' }), 400)
    assert.is(await refused('?direction=backward'), 400)
    await server.store.whenUnwatched()
  }),
)

eventStream('what goes wrong later is an event', () =>
  withServer(async server => {
    await fill(server, 1)
    const events = await follow(server, '')
    await events.until(': live')
    await server.send('DELETE', '/v1/streams/a')
    const text = await events.rest()
    assert.match(text, /event: error\ndata: \{.*"code":"stream_deleted".*\}\n\n$/)
  }),
)

eventStream('an idle client hears a comment, and one that leaves is forgotten', () =>
  withServer(
    async server => {
      await fill(server, 1)
      const events = await follow(server, '')
      await events.until(': heartbeat')
      events.leave()
      await server.store.whenUnwatched()
    },
    { heartbeatMs: 5 },
  ),
)

function fill({ append }: TestServer, count: number) {
  const records = Array.from({ length: count }, (_, data) => ({ data }))
  return append('a', 'application/json', json(...records))
}

async function follow({ url }: TestServer, query: string, more: Record<string, string> = {}) {
  const leaving = new AbortController()
  const response = await fetch(`${url}/v1/streams/a/records${query}`, {
    headers: { accept: 'text/event-stream', ...more },
    signal: leaving.signal,
  })
  const names = ['next-offset', 'tail-offset', 'stream-closed']
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  const readMore = async () => {
    const next = await reader?.read()
    text += next?.value ?? ''
    return next?.done === false
  }
  return {
    headers: names.map(name => response.headers.get(`varve-${name}`)),
    leave: () => leaving.abort(),
    until: async (part: string) => {
      while (!text.includes(part)) assert.ok(await readMore(), `the stream ended before ${part}`)
    },
    rest: async () => {
      while (await readMore());
      return text
    },
  }
}

function idsOf(text: string): number[] {
  return [...text.matchAll(/^id: (\d+)\.[0-9a-f]{64}\ndata:/gm)].map(([, id]) => Number(id))
}

eventStream.run()
