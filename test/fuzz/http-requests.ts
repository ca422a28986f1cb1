import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { RecordFormat } from '../../src/shared/format/record.ts'
import { brokenJsonText, jsonText } from '../support/json-text.ts'
import { encodeBatch } from '../support/wire-samples.ts'

// Requests as bytes: most nearly right, so that they come far; some right, so that there is
// something to lose; some with bytes changed, dropped and added anywhere.

export type FuzzRequest = {
  readonly bytes: Buffer
  readonly method: string
  /** Framed as HTTP asks for, so that it must be answered. */
  readonly isWhole: boolean
  /** What the stream has, from the offset of the answer on, when the answer is 200. */
  readonly kept?: { readonly stream: string; readonly bodies: readonly string[] }
}

/** Only appended to, by requests whose records are known. */
export const KEPT_STREAMS = ['kept-0', 'kept-1', 'kept/2 ü']

const JSON_TYPE = 'application/json'
const BATCH = 'application/vnd.varve.batch'

type Body = { readonly type: string; readonly bytes: Buffer; readonly encoding?: string }
type Header = readonly [name: string, value: string]

const words = (text: string) => fc.constantFrom(...text.split(' '))

const name = fc.oneof(
  { weight: 4, arbitrary: words('a b c%2Fd __proto__ constructor %C3%A9') },
  words('. .. %2e%2e %2F a%2F%2Fb %00 %ff %C0%AF % %zz e%CC%81 %ED%A0%80 %252e%252e a/b'),
  fc.constantFrom('', 'x'.repeat(512), 'x'.repeat(513)),
  fc.string({ unit: 'binary', maxLength: 20 }).map(text => encodeURIComponent(toWellFormed(text))),
)
const resource = fc.oneof(
  { weight: 3, arbitrary: fc.constant('/records') },
  words(
    '/records/0 /records/-1 /records/x /records/18446744073709551616 /records/9007199254740991',
  ),
  words('/tail /close /trim /checkpoints /verify /unknown'),
  fc.constant(''),
)
const path = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(name, resource).map(parts => `/v1/streams/${parts.join('')}`) },
  words('/v1/streams /v1/transactions /v1/barrier /v1/keys /v1/ready /v1/health /v1/session'),
  words(
    '/metrics /docs /docs/json /docs/static/.. /docs/static/%00 / // * /v1/streams/% /v1/./keys',
  ),
)
const parameter = words(
  'from to limit maxBytes direction since verify wait after prefix expectedOffset durability ' +
    'format x __proto__ from[]',
)
const value = fc.oneof(
  words(
    '0 1 50 -1 1.5 1e3 0x1 start end backward 9007199254740991 9007199254740992 NaN null % %00',
  ),
  words('none links checkpoint genesis relaxed immediate batch json 2026-01-01T00:00:00Z'),
  fc.constantFrom('', '0'.repeat(64), 'f'.repeat(64), '9'.repeat(400), 'a'.repeat(5000)),
)
const query = fc
  .array(fc.tuple(parameter, value), { maxLength: 3 })
  .map(pairs => pairs.map(pair => pair.join('=')).join('&'))

const accept = words(
  'application/json application/x-ndjson application/vnd.varve.batch */* text/event-stream ' +
    'application/vnd.varve.stored a;q=x text/*;q=0 ,',
)
const header: fc.Arbitrary<Header> = fc.oneof(
  fc.tuple(fc.constant('accept'), accept),
  fc.tuple(words('producer-id producer-epoch producer-seq last-event-id'), value),
  fc.tuple(words('range if-none-match cookie authorization x upgrade te trailer'), value),
  fc.tuple(fc.constant('content-encoding'), words('gzip deflate br x,y identity')),
  fc.tuple(fc.constant('origin'), words('http://evil.example null http://localhost:1')),
  fc.tuple(fc.constant('expect'), words('100-continue 200-ok')),
  fc.nat(20_000).map(length => ['x-long', 'x'.repeat(length)] as const),
)

const batchItem = fc.record({
  format: fc.constantFrom(RecordFormat.Binary, RecordFormat.Json, RecordFormat.Text),
  headers: fc.constantFrom('', '{}', '{"a":"1"}', '{"a":1}', '[]', '{', '{"a":"1","a":"2"}'),
  body: fc.oneof(jsonText, fc.string()),
})
const anyBytes = fc.uint8Array({ maxLength: 64 }).map(bytes => Buffer.from(bytes))
const record = fc.oneof(
  { weight: 4, arbitrary: jsonText.map(data => `{"data":${data}}`) },
  fc.string({ unit: 'grapheme' }).map(text => JSON.stringify({ text, headers: { a: text } })),
  fc.constantFrom('{"base64":"AP8="}', '{"base64":"AP8"}', '{}', '{"data":1,"text":""}', '1'),
  brokenJsonText,
)
const records = fc.array(record, { maxLength: 4 }).map(items => `{"records":[${items.join()}]}`)

const body: fc.Arbitrary<Body> = fc.oneof(
  records.map(text => bodyOf(JSON_TYPE, text)),
  fc
    .tuple(records, records)
    .map(([left, right]) => `{"stream":"a",${left.slice(1)},{"stream":"b",${right.slice(1)}`)
    .map(appends => bodyOf(JSON_TYPE, `{"appends":[${appends}]}`)),
  fc.oneof(jsonText, brokenJsonText).map(text => bodyOf(JSON_TYPE, text)),
  fc
    .array(fc.oneof(jsonText, brokenJsonText), { maxLength: 4 })
    .map(lines => bodyOf('application/x-ndjson', lines.join('\n'))),
  fc.array(batchItem, { maxLength: 3 }).map(items => ({ type: BATCH, bytes: encodeBatch(items) })),
  fc
    .tuple(fc.constantFrom(BATCH, 'text/plain', 'application/octet-stream', JSON_TYPE), anyBytes)
    .map(([type, bytes]) => ({ type, bytes })),
  words(
    '{"before":1} {"before":-1} {"before":1e400} {"durability":"group"} {"maxSegmentBytes":1} ' +
      '{"retention":{"maxRecords":1}} {"retention":null} [] {"__proto__":{}}',
  ).map(text => bodyOf(JSON_TYPE, text)),
  fc.constantFrom(1, 3_000_000).map(length => zipped(Buffer.alloc(length))),
  fc
    .constantFrom('x', 'a/b', 'application/json;charset=latin1', ' ', `a${' '.repeat(3000)}x`)
    .map(type => bodyOf(type, 'x')),
)

function bodyOf(type: string, text: string): Body {
  return { type, bytes: Buffer.from(text) }
}

function zipped(bytes: Buffer): Body {
  return { type: 'text/plain', bytes: gzipSync(bytes), encoding: 'gzip' }
}

const method = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('GET', 'POST', 'POST', 'PUT', 'PATCH', 'DELETE') },
  fc.constantFrom('HEAD', 'OPTIONS', 'TRACE', 'CONNECT', 'QUERY', 'FOO', 'get'),
)

/** A request that is framed right, whatever it asks for. */
const wholeRequest = fc
  .record({ method, path, query, headers: fc.array(header, { maxLength: 3 }), body })
  .chain(({ method: verb, path: target, query: asked, headers, body: content }) => {
    const hasBody = verb !== 'GET' && verb !== 'HEAD' && verb !== 'CONNECT'
    const encoding =
      content.encoding === undefined ? [] : [['content-encoding', content.encoding] as const]
    const all: Header[] = hasBody
      ? [['content-type', content.type], ...encoding, ...headers]
      : headers
    const line = `${verb} ${target}${asked === '' ? '' : `?${asked}`} HTTP/1.1`
    return fc.boolean().map(
      (isChunked): FuzzRequest => ({
        bytes: assemble(line, all, hasBody ? content.bytes : undefined, isChunked),
        method: verb,
        isWhole: verb !== 'CONNECT' && /^[!-~]+$/.test(target + asked),
      }),
    )
  })

/** An append whose records are known when it is accepted. */
const keptRequest = fc
  .tuple(
    fc.constantFrom(...KEPT_STREAMS),
    fc.array(jsonText, { minLength: 1, maxLength: 4 }),
    fc.constantFrom('json', 'chunked', 'zipped', 'ndjson', 'batch'),
  )
  .map(([stream, texts, form]): FuzzRequest => {
    const lines = texts.map(text => text.replaceAll(/[\r\n]/g, ' '))
    const bodies = form === 'ndjson' ? lines : texts
    const { type, bytes: content, encoding } = keptBody(form, bodies)
    const line = `POST /v1/streams/${encodeURIComponent(stream)}/records HTTP/1.1`
    const headers: Header[] = [['content-type', type]]
    if (encoding !== undefined) headers.push(['content-encoding', encoding])
    const bytes = assemble(line, headers, content, form === 'chunked')
    return { bytes, method: 'POST', isWhole: true, kept: { stream, bodies } }
  })

function keptBody(form: string, bodies: readonly string[]): Body {
  const records = `{"records" : [${bodies.map(text => `{"data":\n${text} }`).join()}]}`
  const items = bodies.map(body => ({ format: RecordFormat.Json, headers: '', body }))
  switch (form) {
    case 'ndjson':
      return bodyOf('application/x-ndjson', bodies.join('\n'))
    case 'batch':
      return { type: BATCH, bytes: encodeBatch(items) }
    case 'zipped':
      return { type: JSON_TYPE, bytes: gzipSync(records), encoding: 'gzip' }
    default:
      return bodyOf(JSON_TYPE, records)
  }
}

/** Bytes changed, dropped and added; the connection may end within the request. */
const brokenRequest = fc
  .tuple(
    fc.oneof(wholeRequest, keptRequest),
    fc.array(fc.tuple(fc.nat(), fc.nat(3), fc.uint8Array({ maxLength: 3 })), {
      minLength: 1,
      maxLength: 3,
    }),
  )
  .map(([request, edits]): FuzzRequest => {
    let { bytes } = request
    for (const [place, dropped, added] of edits) {
      const at = place % (bytes.length + 1)
      bytes = Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + dropped)])
    }
    return { bytes, method: request.method, isWhole: false }
  })

export const anyRequest: fc.Arbitrary<FuzzRequest> = fc.oneof(
  { weight: 5, arbitrary: wholeRequest },
  { weight: 2, arbitrary: keptRequest },
  { weight: 3, arbitrary: brokenRequest },
)

function assemble(
  line: string,
  headers: readonly Header[],
  content: Buffer | undefined,
  isChunked: boolean,
): Buffer {
  const framing: Header[] = []
  if (content !== undefined) {
    framing.push(
      isChunked ? ['transfer-encoding', 'chunked'] : ['content-length', `${content.length}`],
    )
  }
  const all: Header[] = [['host', '127.0.0.1'], ['connection', 'close'], ...framing, ...headers]
  const head = [line, ...all.map(([key, text]) => `${key}: ${text}`)].join('\r\n')
  const payload = content === undefined ? Buffer.alloc(0) : isChunked ? inChunks(content) : content
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), payload])
}

function inChunks(content: Buffer): Buffer {
  const half = content.length >> 1
  const chunks = [content.subarray(0, half), content.subarray(half)].filter(part => part.length > 0)
  const framed = chunks.map(part => [Buffer.from(`${part.length.toString(16)}\r\n`), part, CRLF])
  return Buffer.concat([...framed.flat(), Buffer.from('0\r\n\r\n')])
}

const CRLF = Buffer.from('\r\n')

function toWellFormed(text: string): string {
  return text.replaceAll(/\p{Cs}/gu, '')
}
