import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { sendRaw, type TestServer, withServer } from '../../support/http-server.ts'

const producers = suite('main/http/producers')
const RECORDS = '/v1/streams/a/records'

producers('a repeat is answered like the first time, and says that it is one', () =>
  withServer(async server => {
    const first = await produce(server, 'p', 0, 0)
    const repeat = await produce(server, 'p', 0, 0)
    assert.equal([first.status, first.body.duplicate], [200, false])
    assert.equal([repeat.status, repeat.body], [200, { ...first.body, duplicate: true }])
    assert.is((await produce(server, 'p', 0, 1)).body.firstOffset, 1)
    assert.is((await server.read('a')).body.tailOffset, 2)
  }),
)

producers('a gap, an older epoch and a new one have their codes and fields', () =>
  withServer(async server => {
    await produce(server, 'p', 1, 0)
    const gap = await produce(server, 'p', 1, 2)
    assert.equal([gap.status, gap.body.code, gap.body.expectedSeq], [409, 'producer_gap', 1])
    const fenced = await produce(server, 'p', 0, 1)
    assert.equal([fenced.status, fenced.body.code], [403, 'producer_fenced'])
    const late = await produce(server, 'p', 2, 1)
    assert.equal([late.status, late.body.code], [400, 'invalid_request'])
    for (const { body } of [gap, fenced, late]) {
      assert.equal([body.outcome, body.retryable], ['not_applied', false])
    }
    assert.is((await server.read('a')).body.tailOffset, 1)
  }),
)

producers('a repeat that expects an offset is answered, and a new append is held to it', () =>
  withServer(async server => {
    await produce(server, 'p', 0, 0, '?expectedOffset=0')
    assert.is((await produce(server, 'p', 0, 0, '?expectedOffset=0')).body.duplicate, true)
    const { status, body } = await produce(server, 'p', 0, 1, '?expectedOffset=0')
    assert.equal([status, body.code, body.nextOffset], [412, 'offset_mismatch', 1])
    assert.is((await produce(server, 'p', 0, 1, '?expectedOffset=1')).status, 200)
  }),
)

producers('a producer is named by all three headers or by none', () =>
  withServer(async server => {
    const all = { 'producer-id': 'p', 'producer-epoch': '0', 'producer-seq': '0' }
    for (const missing of Object.keys(all)) {
      const headers = Object.entries(all).filter(([name]) => name !== missing)
      await refused(server, Object.fromEntries(headers))
      await refused(server, { ...all, [missing]: '' })
    }
    assert.is((await send(server, all)).status, 200)
  }),
)

producers('an id has 1 to 128 bytes', () =>
  withServer(async server => {
    assert.is((await produce(server, 'x'.repeat(128), 0, 0)).status, 200)
    await refused(server, of('x'.repeat(129), '0', '0'))
    for (const id of ['a b', '__proto__', 'a, b', '"', '0']) {
      assert.is((await produce(server, id, 0, 0)).body.duplicate, false, id)
      assert.is((await produce(server, id, 0, 0)).body.duplicate, true, id)
    }
  }),
)

producers('epoch and seq are unsigned decimals up to 2^53 - 1', () =>
  withServer(async server => {
    for (const bad of [
      '-1',
      '+1',
      '1.0',
      '1e3',
      '0x1',
      'x',
      ' ',
      '9007199254740992',
      '1'.repeat(17),
    ]) {
      await refused(server, of('p', bad, '0'))
      await refused(server, of('p', '0', bad))
    }
    assert.is((await produce(server, 'p', Number.MAX_SAFE_INTEGER, 0)).status, 200)
    const { body } = await produce(server, 'p', Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
    assert.equal([body.code, body.expectedSeq], ['producer_gap', 1])
  }),
)

producers('a header given twice is refused', () =>
  withServer(async ({ url }) => {
    for (const name of ['Producer-Id', 'Producer-Epoch', 'Producer-Seq']) {
      const answer = await sendRaw(url, rawAppend('p', `${name}: 0\r\n`))
      assert.match(answer, /^HTTP\/1\.1 400 /, name)
      assert.ok(answer.includes('given more than once'), answer)
    }
  }),
)

producers('an id is UTF-8, and refused where it is not', () =>
  withServer(async ({ url, append }) => {
    const utf8 = Buffer.from('é').toString('latin1')
    assert.match(await sendRaw(url, rawAppend(utf8, '')), /"duplicate":false/)
    assert.match(await sendRaw(url, rawAppend(utf8, '')), /"duplicate":true/)
    assert.match(await sendRaw(url, rawAppend('\xe9', '')), /^HTTP\/1\.1 400 /)
    assert.match(await sendRaw(url, rawAppend('\xed\xa0\x80', '')), /^HTTP\/1\.1 400 /)
    assert.match(
      await sendRaw(url, rawAppend(Buffer.from('é'.repeat(64)).toString('latin1'), '')),
      / 200 /,
    )
    assert.match(
      await sendRaw(url, rawAppend(Buffer.from('é'.repeat(65)).toString('latin1'), '')),
      / 400 /,
    )
    assert.is((await append('a', 'text/plain', 'x')).body.firstOffset, 2)
  }),
)

producers('every type of body takes a producer', () =>
  withServer(async server => {
    const bodies = [
      ['application/json', '{"records":[{"data":1}]}'],
      ['application/x-ndjson', '1\n'],
      ['application/octet-stream', 'x'],
    ] as const
    for (const [seq, [type, body]] of bodies.entries()) {
      const headers = { ...of('p', '0', `${seq}`), 'content-type': type }
      for (const duplicate of [false, true]) {
        const answer = await server.send('POST', RECORDS, { body, headers })
        assert.equal([answer.status, answer.body.duplicate], [200, duplicate], type)
      }
    }
  }),
)

producers('a body that is refused does not use up its seq', () =>
  withServer(async server => {
    const headers = { ...of('p', '0', '0'), 'content-type': 'application/json' }
    const bad = await server.send('POST', RECORDS, { body: '{', headers })
    assert.equal([bad.status, bad.body.outcome], [400, 'not_applied'])
    assert.is((await produce(server, 'p', 0, 0)).body.duplicate, false)
  }),
)

producers('repeats are counted apart from appends', () =>
  withServer(async server => {
    for (let time = 0; time < 3; time += 1) await produce(server, 'p', 0, 0)
    await server.whenMetric('varve_append_duplicates_total 2')
    await server.whenMetric('varve_append_records_total 1')
  }),
)

function of(id: string, epoch: string, seq: string): Record<string, string> {
  return { 'producer-id': id, 'producer-epoch': epoch, 'producer-seq': seq }
}

function send(server: TestServer, headers: Record<string, string>, query = '') {
  return server.send('POST', RECORDS + query, {
    body: 'x',
    headers: { ...headers, 'content-type': 'text/plain' },
  })
}

function produce(server: TestServer, id: string, epoch: number, seq: number, query = '') {
  return send(server, of(id, `${epoch}`, `${seq}`), query)
}

async function refused(server: TestServer, headers: Record<string, string>): Promise<void> {
  const { status, body } = await send(server, headers)
  const seen = [status, body.code, body.outcome]
  assert.equal(seen, [400, 'invalid_request', 'not_applied'], JSON.stringify(headers))
}

/** An append by a producer, its id as bytes in latin1. */
function rawAppend(id: string, more: string): string {
  const head = `POST ${RECORDS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n`
  const producer = `Producer-Id: ${id}\r\nProducer-Epoch: 0\r\nProducer-Seq: 0\r\n${more}`
  return `${head}Content-Type: text/plain\r\nContent-Length: 1\r\n${producer}\r\nx`
}

producers.run()
