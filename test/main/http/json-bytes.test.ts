import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BATCH_ITEM_HEADER_BYTES } from '../../../src/shared/format/batch.ts'
import { RecordFormat } from '../../../src/shared/format/record.ts'
import { type TestServer, withServer } from '../../support/http-server.ts'
import { SessionClient } from '../../support/session-client.ts'
import { TailClient } from '../../support/tail-client.ts'
import { encodeBatch } from '../../support/wire-samples.ts'

const bytes = suite('main/http/json-bytes')
const JSON_TYPE = 'application/json'
const NDJSON = 'application/x-ndjson'
const BATCH = 'application/vnd.varve.batch'

/** What a JavaScript value cannot hold: JSON.parse and JSON.stringify change each of them. */
const VALUES = [
  '{"id":12345678901234567890,"price":1.10,"a":1,"a":2,"e":1e400}',
  '{ "b" : 1 ,\t"1":2,\n"0" : [ 1 , 2 ]\r\n}',
  '-0',
  '1.0E+2',
  '0.1000',
  '"\\u0041\\/\\ud83d\\ude00 \\ud800"',
  '{"__proto__":1,"__proto__":{"x":2}}',
  `${'['.repeat(20_000)}-0.0${']'.repeat(20_000)}`,
]
/** NDJSON has no line break within a value. */
const LINES = VALUES.filter(text => !text.includes('\n'))
const RECORDS = VALUES.map(text => `\n{ "data" : ${text} ,"headers":{"a":"1","a" : "\\u00e9"}} `)

/** The bodies of a stream as they are stored. */
async function bodiesOf({ url }: TestServer, stream: string): Promise<string[]> {
  const init = { headers: { accept: BATCH } }
  const response = await fetch(`${url}/v1/streams/${stream}/records`, init)
  const batch = Buffer.from(await response.arrayBuffer())
  const bodies: string[] = []
  for (let at = 0; at < batch.length; ) {
    const start = at + BATCH_ITEM_HEADER_BYTES + batch.readUInt16LE(at + 4)
    at = start + batch.readUInt32LE(start - batch.readUInt16LE(at + 4) - BATCH_ITEM_HEADER_BYTES)
    bodies.push(batch.toString('utf8', start, at))
  }
  return bodies
}

function asBatch(texts: readonly string[]): Buffer {
  return encodeBatch(texts.map(body => ({ format: RecordFormat.Json, headers: '', body })))
}

bytes('an append of any content type stores data byte for byte', () =>
  withServer(async server => {
    const { append } = server
    assert.is((await append('json', JSON_TYPE, `{"records":[${RECORDS.join()}]}`)).status, 200)
    assert.is((await append('ndjson', NDJSON, LINES.join(' \r\n '))).status, 200)
    assert.is((await append('batch', BATCH, asBatch(VALUES))).status, 200)
    assert.equal(await bodiesOf(server, 'json'), VALUES)
    assert.equal(await bodiesOf(server, 'ndjson'), LINES)
    assert.equal(await bodiesOf(server, 'batch'), VALUES)
  }),
)

bytes('a transaction stores data byte for byte', () =>
  withServer(async server => {
    const targets = ['a', 'b'].map(name => `{"records": [${RECORDS.join()}],"stream":"${name}"}`)
    const init = { body: `{"appends":[${targets.join()}]}`, headers: { 'content-type': JSON_TYPE } }
    assert.is((await server.send('POST', '/v1/transactions', init)).status, 200)
    assert.equal(await bodiesOf(server, 'a'), VALUES)
    assert.equal(await bodiesOf(server, 'b'), VALUES)
  }),
)

bytes('a session stores data byte for byte, and answers with the id as it was written', () =>
  withServer(async server => {
    const client = await SessionClient.open(server.url)
    const ids = ['12345678901234567890', '1.10', '"\\u0061\\ud800"', '-0', '1e400']
    for (const id of ids) {
      client.text(
        `{"id":0,"records" : [${RECORDS.join()}],"op":"append","stream":"a","\\u0069d": ${id} }`,
      )
    }
    await client.until(ids.length)
    assert.equal(
      client.raw.map(text => text.slice(0, text.indexOf(',"ok"'))),
      ids.map(id => `{"id":${id}`),
    )
    assert.equal(await bodiesOf(server, 'a'), [
      ...VALUES,
      ...VALUES,
      ...VALUES,
      ...VALUES,
      ...VALUES,
    ])
    client.socket.close()
  }),
)

bytes('JSON pages, lines, events and tails show data and headers as they were sent', () =>
  withServer(async server => {
    const { append, read, send } = server
    await append('a', JSON_TYPE, `{"records":[${RECORDS.join()}]}`)
    const tail = new TailClient(server.url, 'a', '?from=start')
    const tailed: string[] = []
    tail.socket.on('message', (data: Buffer) => tailed.push(data.toString()))
    await tail.live()
    await send('POST', '/v1/streams/a/close')
    const page = await read('a')
    const lines = await read('a', '', NDJSON)
    const events = await read('a', '?from=start', 'text/event-stream')
    for (const [offset, value] of VALUES.entries()) {
      const shown = `"headers":{"a":"1","a" : "\\u00e9"},"data":${value}}`
      const line = shown.replaceAll(/[\r\n]/g, ' ')
      assert.ok(page.text.includes(shown), `page ${offset}`)
      assert.ok(tailed.join('').includes(shown), `tail ${offset}`)
      assert.ok((await send('GET', `/v1/streams/a/records/${offset}`)).text.includes(shown))
      assert.ok(lines.text.split('\n')[offset]?.endsWith(line), `line ${offset}`)
      assert.ok(
        events.text.split('\n\n').some(event => event.endsWith(line)),
        `event ${offset}`,
      )
    }
    tail.socket.close()
  }),
)

bytes('of a member that is repeated the last one counts, for its shape and for its bytes', () =>
  withServer(async server => {
    const { append } = server
    const first = '"records":[{"data":"first"}]'
    const item = '{"data":1, "d\\u0061ta" : 1.0,"headers":{"a":"1"},"headers":{}}'
    assert.is((await append('a', JSON_TYPE, `{${first},"records":[${item}]}`)).status, 200)
    assert.equal(await bodiesOf(server, 'a'), ['1.0'])
    assert.not.ok((await server.read('a')).text.includes('headers'))
    for (const text of ['{"data":1,"text":"x"}', '{"data":1,"d\\u0061t":2}']) {
      assert.is((await append('a', JSON_TYPE, `{"records":[${text}]}`)).status, 400, text)
    }
  }),
)

bytes('a text is what its escapes stand for, and its bytes where there are none', () =>
  withServer(async server => {
    const texts = ['"plain é 😀"', '""', '"a\\n\\u0000\\ud83d\\ude00\\"\\\\"']
    const records = texts.map(text => `{"text":${text}}`)
    await server.append('a', JSON_TYPE, `{"records":[${records.join()}]}`)
    assert.equal(
      await bodiesOf(server, 'a'),
      texts.map(text => JSON.parse(text) as string),
    )
  }),
)

bytes('what is not JSON is refused in every path, and nothing is appended', () =>
  withServer(async server => {
    const bad = ['01', '1.', '.5', '+1', '1e', "'a'", '"\\x"', '"\t"', '[1,]', '{"a":1,}', 'NaN']
    const client = await SessionClient.open(server.url)
    for (const text of [...bad, '{a:1}', '"\\u12g4"', 'tru', 'nulll', '1 2', '\u00a01', '{"a"}']) {
      const body = `{"records":[{"data":0},{"data":${text}}]}`
      const appends = `{"appends":[{"stream":"a",${body.slice(1)}]}`
      const init = { body: appends, headers: { 'content-type': JSON_TYPE } }
      assert.is((await server.append('a', JSON_TYPE, body)).status, 400, text)
      assert.is((await server.append('a', NDJSON, `0\n${text}`)).status, 400, text)
      assert.is((await server.append('a', BATCH, asBatch(['0', text]))).status, 400, text)
      assert.is((await server.send('POST', '/v1/transactions', init)).status, 400, text)
      client.text(`{"id":1,"op":"append","stream":"a",${body.slice(1)}`)
      const { error } = (await client.answer(client.answers.length)) as { error?: { code: string } }
      assert.is(error?.code, 'invalid_request', text)
    }
    assert.is((await server.read('a')).status, 404)
    client.socket.close()
  }),
)

bytes.run()
