import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../../support/memory-store.ts'
import { json, type TestServer, withServer } from '../../support/http-server.ts'
import {
  type BinaryAnswer,
  binaryRequest,
  SessionClient,
  type TextAnswer,
} from '../../support/session-client.ts'
import { withSessions } from '../../support/session-server.ts'
import { HeldStore } from '../../support/session-stores.ts'
import { batchOf } from '../../support/store-helpers.ts'
import { TailClient } from '../../support/tail-client.ts'

const session = suite('main/http/session')
const { batch: BATCH } = batchOf('x')

session('an append in JSON is answered like one over HTTP', () =>
  withServer(async ({ url, append }) => {
    const client = await SessionClient.open(url)
    client.append('first', 'a')
    client.append(2, 'a', { records: [{ data: { b: 1 } }, { base64: 'AAE=' }] })
    const [first, second] = [await text(client, 0), await text(client, 1)]
    const { text: body } = await append('b', 'text/plain', 'first')
    assert.equal(Object.keys(first.ok ?? {}), Object.keys(JSON.parse(body) as object))
    assert.equal([first.id, first.ok?.firstOffset, first.ok?.nextOffset], ['first', 0, 1])
    assert.equal([second.id, second.ok?.firstOffset, second.ok?.count], [2, 1, 2])
    assert.equal([first.ok?.stream, first.ok?.durable, first.ok?.duplicate], ['a', true, false])
  }),
)

session('an append in bytes is answered in bytes', () =>
  withServer(async ({ url, read }) => {
    const client = await SessionClient.open(url)
    client.binary({ id: 0xffff_ffff, stream: 'a/ü', batch: batchOf('one', 'two').batch })
    const answer = { id: 0xffff_ffff, status: 200, reserved: 0, firstOffset: 0, nextOffset: 2 }
    assert.equal(await client.answer(0), answer)
    const { body } = await read('a/ü')
    assert.equal(
      body.records?.map(record => record.text),
      ['one', 'two'],
    )
  }),
)

session('an id comes back as it was written', () =>
  withServer(async ({ url }) => {
    const client = await SessionClient.open(url)
    const ids = ['0', '-1.50', '1e400', '12345678901234567890', '"a\\"}"', '""', '-0']
    for (const id of ids) client.text(`{"op":"append","stream":"a","id": ${id} ,"records":[]}`)
    await client.until(ids.length)
    const opened = client.raw.map(raw => raw.slice('{"id":'.length, raw.indexOf(',"error"')))
    assert.equal(opened, ids)
  }),
)

session('what the store is asked is what was sent', async () => {
  const store = new HeldStore()
  await withSessions(store, async ({ open }) => {
    const client = await open()
    const producer = { id: 'p', epoch: 1, seq: 2 }
    client.append(1, 'a', { expectedOffset: 0, durability: 'relaxed', producer })
    const big = { id: 'ü', epoch: 2n ** 53n - 1n, seq: 0n }
    client.binary({ id: 2, stream: 'b', batch: BATCH, flags: 1, expectedOffset: 9n, producer: big })
    client.binary({ id: 3, stream: 'c', batch: BATCH })
    await until(() => store.asked.length === 3)
    for (const { batch } of store.asked) assert.ok(batch.length > 0)
    const asked = store.asked.map(request => ({ ...request, batch: 0 }))
    const inBytes = { ...big, epoch: Number.MAX_SAFE_INTEGER, seq: 0 }
    assert.equal(asked, [
      { stream: 'a', batch: 0, count: 1, expectedOffset: 0, durability: 'relaxed', producer },
      {
        stream: 'b',
        batch: 0,
        count: 1,
        expectedOffset: 9,
        durability: 'immediate',
        producer: inBytes,
      },
      { stream: 'c', batch: 0, count: 1 },
    ])
    store.open()
  })
})

session('a repeat of a producer is answered like the first time, across forms', () =>
  withServer(async ({ url, whenMetric }) => {
    const client = await SessionClient.open(url)
    const records = [{ text: 'x' }, { text: 'y' }]
    client.append(1, 'a', { records, producer: { id: 'p', epoch: 0, seq: 0 } })
    client.append(2, 'a', { records, producer: { id: 'p', epoch: 0, seq: 0 } })
    client.binary({ id: 3, stream: 'a', batch: BATCH, producer: { id: 'p', epoch: 0n, seq: 5n } })
    const [{ ok: first }, { ok: second }] = [await text(client, 0), await text(client, 1)]
    assert.equal(second, { ...first, duplicate: true })
    assert.is((await binary(client, 2)).status, 409)
    await whenMetric('varve_append_duplicates_total 1')
  }),
)

session('each durability has its flag', async () => {
  const store = new HeldStore()
  await withSessions(store, async ({ open }) => {
    const client = await open()
    for (let flags = 0; flags < 4; flags += 1) {
      client.binary({ id: flags, stream: 'a', batch: BATCH, flags })
    }
    await until(() => store.asked.length === 4)
    const asked = store.asked.map(({ durability }) => durability)
    assert.equal(asked, [undefined, 'immediate', 'group', 'relaxed'])
    store.open()
  })
})

session('bad text is answered with its problem, and the session goes on', () =>
  withServer(async ({ url }) => {
    const client = await SessionClient.open(url)
    for (const [message] of BAD_TEXT) client.text(message)
    client.append('last', 'a')
    await client.until(BAD_TEXT.length + 1)
    for (const [at, [message, id, code]] of BAD_TEXT.entries()) {
      const { error, ...answer } = client.answers[at] as TextAnswer
      assert.equal([answer.id, error?.code], [id, code], JSON.stringify(message))
      assert.is(error?.outcome, 'not_applied', JSON.stringify(message))
    }
    assert.is((await text(client, BAD_TEXT.length)).ok?.firstOffset, 0)
  }),
)

session('bad bytes are answered with their problem, and the session goes on', () =>
  withServer(async ({ url }) => {
    const client = await SessionClient.open(url)
    for (const [message] of BAD_BYTES) client.binary(message)
    client.binary({ id: 99, stream: 'a', batch: BATCH })
    await client.until(BAD_BYTES.length + 1)
    for (const [at, [message, status, code]] of BAD_BYTES.entries()) {
      const { problem, ...answer } = client.answers[at] as BinaryAnswer
      assert.equal([answer.id, answer.status], [7, status], message.toString('hex'))
      assert.equal([answer.firstOffset, answer.nextOffset], [0, 0])
      assert.equal([problem?.code, problem?.outcome], [code, 'not_applied'])
    }
    assert.is((await binary(client, BAD_BYTES.length)).status, 200)
  }),
)

session('a binary message without an id closes, when what came before is answered', () =>
  withServer(async ({ url, store }) => {
    const client = await SessionClient.open(url)
    client.append(1, 'a')
    client.binary(Buffer.alloc(15))
    client.append(2, 'a')
    assert.is(await client.closed, 4000)
    assert.equal(client.ids, [1])
    assert.is((await store.info('a')).nextOffset, 1)
  }),
)

session('a wrong expected offset is answered with the right one, in both forms', () =>
  withServer(async ({ url, append }) => {
    await append('a', 'application/json', json({ data: 1 }, { data: 2 }))
    const client = await SessionClient.open(url)
    client.append(1, 'a', { expectedOffset: 5 })
    client.binary({ id: 2, stream: 'a', batch: BATCH, expectedOffset: 5n })
    const { error } = await text(client, 0)
    assert.equal([error?.code, error?.nextOffset], ['offset_mismatch', 2])
    const answer = { id: 2, status: 412, reserved: 0, firstOffset: 0, nextOffset: 2 }
    assert.equal(await client.answer(1), answer)
  }),
)

session('a failure that leaves the outcome open says so, in both forms', () =>
  withServer(async ({ url, store }) => {
    const client = await SessionClient.open(url)
    store.failNextAppend = new Error('a path: /var/lib')
    client.append(1, 'a')
    const { error } = await text(client, 0)
    assert.equal([error?.code, error?.outcome], ['internal', 'unknown'])
    assert.not.match(JSON.stringify(error), /lib/)
    store.failNextAppend = new Error('again')
    client.binary({ id: 2, stream: 'a', batch: BATCH })
    const { status, firstOffset } = await binary(client, 1)
    assert.equal([status, firstOffset], [500, 1])
  }),
)

session('a message may be as long as a request body, and no longer', () =>
  withServer(
    async ({ url }) => {
      const client = await SessionClient.open(url)
      const stream = 'a'
      const longest = batchOf('x'.repeat(2048 - 16 - 1 - 8)).batch
      client.binary({ id: 1, stream, batch: longest })
      assert.is((await binary(client, 0)).status, 200)
      client.binary({ id: 2, stream, batch: Buffer.concat([longest, Buffer.alloc(1)]) })
      assert.is(await client.closed, 1009)
    },
    { requestBytesMax: 2048 },
  ),
)

session('a fragmented message is one message', () =>
  withServer(async ({ url }) => {
    const client = await SessionClient.open(url)
    const message = binaryRequest({ id: 1, stream: 'a', batch: BATCH })
    for (const at of message.keys()) {
      client.socket.send(message.subarray(at, at + 1), { fin: at === message.length - 1 })
    }
    assert.is((await binary(client, 0)).status, 200)
  }),
)

session('what is wrong before the upgrade is a plain problem', () =>
  withServer(async ({ url, send }) => {
    const origin = 'http://evil.example'
    const refused = await SessionClient.refusal(url, '', { origin })
    assert.equal(refused, { status: 403, code: 'forbidden' })
    const unknown = await SessionClient.refusal(url, '?other=1')
    assert.equal(unknown, { status: 400, code: 'invalid_request' })
    const plain = await send('GET', '/v1/session')
    assert.equal([plain.status, plain.body.code], [400, 'invalid_request'])
  }),
)

session('sessions past the bound are told to come back', () =>
  withServer(
    async ({ url, whenMetric }) => {
      const first = await SessionClient.open(url)
      const refused = await SessionClient.refusal(url)
      assert.equal(refused, { status: 429, code: 'too_many_requests' })
      first.socket.close()
      await whenMetric('varve_sessions 0')
      await SessionClient.open(url)
    },
    { sessionsMax: 1 },
  ),
)

session('tails keep their own bound of what they are sent', () =>
  withServer(async ({ url, append }) => {
    await append('a', 'text/plain', 'x')
    const client = new TailClient(url, 'a')
    await client.live()
    client.socket.send('x'.repeat(5000))
    assert.is(await client.closed, 1009)
  }),
)

session('answers are counted by result', () =>
  withServer(async ({ url, whenMetric }) => {
    const client = await SessionClient.open(url)
    client.append(1, 'a')
    client.append(2, 'a')
    client.append(3, 'a//b')
    await client.until(3)
    await whenMetric('varve_session_appends_total{result="ok"} 2')
    await whenMetric('varve_session_appends_total{result="invalid_stream_name"} 1')
    await whenMetric('varve_appends_total 2')
  }),
)

session('the document has the route and its messages', () =>
  withServer(async ({ send }: TestServer) => {
    const { text: document } = await send('GET', '/docs/json')
    const { paths } = JSON.parse(document) as { paths: Record<string, { get: object }> }
    const route = JSON.stringify(paths['/v1/session']?.get)
    assert.match(route, '"101"')
    for (const member of ['expectedOffset', 'producer', 'chainHead', 'retryable']) {
      assert.match(route, `"${member}"`)
    }
  }),
)

const APPEND = { op: 'append', stream: 'a', records: [{ data: 1 }] }
const LONG = 'x'.repeat(129)

/** Message → the id and the code that it is answered with. */
const BAD_TEXT: readonly (readonly [message: string | object, id: unknown, code: string])[] = [
  ['{', null, 'invalid_request'],
  ['', null, 'invalid_request'],
  ['[]', null, 'invalid_request'],
  ['"id"', null, 'invalid_request'],
  ['null', null, 'invalid_request'],
  [APPEND, null, 'invalid_request'],
  [{ ...APPEND, id: null }, null, 'invalid_request'],
  [{ ...APPEND, id: true }, null, 'invalid_request'],
  [{ ...APPEND, id: [1] }, null, 'invalid_request'],
  [{ ...APPEND, id: 1, op: 'read' }, 1, 'invalid_request'],
  [{ ...APPEND, id: 1, op: undefined }, 1, 'invalid_request'],
  [{ ...APPEND, id: 1, stream: undefined }, 1, 'invalid_request'],
  [{ ...APPEND, id: 1, stream: '' }, 1, 'invalid_stream_name'],
  [{ ...APPEND, id: 1, stream: 'a/../b' }, 1, 'invalid_stream_name'],
  [{ ...APPEND, id: 1, stream: '\ud800' }, 1, 'invalid_stream_name'],
  [{ ...APPEND, id: 1, other: 1 }, 1, 'invalid_request'],
  ['{"id":1,"__proto__":{"op":"append"}}', 1, 'invalid_request'],
  [{ ...APPEND, id: 1, expectedOffset: -1 }, 1, 'invalid_request'],
  [{ ...APPEND, id: 1, expectedOffset: '1' }, 1, 'invalid_request'],
  [{ ...APPEND, id: 1, expectedOffset: 2 ** 53 }, 1, 'invalid_request'],
  [{ ...APPEND, id: 1, durability: 'none' }, 1, 'invalid_request'],
  [{ ...APPEND, id: 1, producer: { id: 'p', epoch: 0 } }, 1, 'invalid_request'],
  [{ ...APPEND, id: 1, producer: { id: '', epoch: 0, seq: 0 } }, 1, 'invalid_request'],
  [{ ...APPEND, id: 1, producer: { id: LONG, epoch: 0, seq: 0 } }, 1, 'invalid_request'],
  [{ ...APPEND, id: 1, producer: { id: 'p', epoch: -1, seq: 0 } }, 1, 'invalid_request'],
  [{ ...APPEND, id: 1, records: undefined }, 1, 'invalid_request'],
  [{ ...APPEND, id: 1, records: [] }, 1, 'invalid_request'],
  [{ ...APPEND, id: 1, records: [{}] }, 1, 'invalid_request'],
  [{ ...APPEND, id: 1, records: [{ base64: '?' }] }, 1, 'invalid_request'],
]

const NAME = { id: 7, stream: 'a', batch: BATCH, flags: 8 }

/** Message with id 7 → the status and the code that it is answered with. */
const BAD_BYTES: readonly (readonly [message: Buffer, status: number, code: string])[] = [
  [binaryRequest({ ...NAME, batch: Buffer.alloc(0) }), 400, 'invalid_request'],
  [binaryRequest({ ...NAME, batch: BATCH.subarray(0, -1) }), 400, 'invalid_request'],
  [binaryRequest({ ...NAME, stream: '' }), 400, 'invalid_stream_name'],
  [binaryRequest({ ...NAME, stream: 'a//b' }), 400, 'invalid_stream_name'],
  [binaryRequest({ ...NAME, stream: Buffer.from([0xff]) }), 400, 'invalid_stream_name'],
  [binaryRequest({ ...NAME, flags: 8 | 16 }), 400, 'invalid_request'],
  [binaryRequest({ ...NAME, flags: 8 | 0x8000 }), 400, 'invalid_request'],
  [binaryRequest({ ...NAME, flags: 8 | 4, batch: Buffer.alloc(17) }), 400, 'invalid_request'],
  [binaryRequest({ ...NAME, expectedOffset: -2n }), 400, 'invalid_request'],
  [binaryRequest({ ...NAME, expectedOffset: 2n ** 53n }), 400, 'invalid_request'],
  [binaryRequest(NAME).subarray(0, 16), 400, 'invalid_request'],
]

async function text(client: SessionClient, at: number): Promise<TextAnswer> {
  return await client.answer(at)
}

async function binary(client: SessionClient, at: number): Promise<BinaryAnswer> {
  return (await client.answer(at)) as BinaryAnswer
}

session.run()
